"""Items that a thread computes before they are asked for."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from collections import deque
from collections.abc import Generator
from typing import Any, NamedTuple

from chainrule.engine.devices import Mode, state


class _Settings(NamedTuple):
    """How a thread computes: the settings of chainrule that each thread has of its own."""

    recording: bool
    training: bool
    kernel_set: str | None

    @classmethod
    def here(cls) -> _Settings:
        mode = state.mode
        return cls(state.recording, state.training, None if mode is None else mode.kernel_set)

    def apply(self) -> None:
        state.recording, state.training = self.recording, self.training
        state.mode = None if self.kernel_set is None else Mode(self.kernel_set)


class _Queue:
    """What the thread and the one who asks share: the items that are ready, and who has ended."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.ready: deque[Any] = deque()
        self.error: BaseException | None = None
        self.ended = self.stopped = False
        # Its lock can be taken twice by one thread: where garbage is collected, `stop` may be
        # called amid the methods below.
        self.changed = threading.Condition()

    def wait_for_room(self) -> bool:
        """Waits until an item has room; False once nobody wants one."""
        with self.changed:
            self.changed.wait_for(lambda: self.stopped or len(self.ready) < self.room)
            return not self.stopped

    def put(self, item: Any) -> None:
        with self.changed:
            self.ready.append(item)
            self.changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        with self.changed:
            self.ended, self.error = True, error
            self.changed.notify_all()

    def take(self) -> Any:
        """The next item; StopIteration, or what the thread raised, after the last."""
        with self.changed:
            self.changed.wait_for(lambda: self.ready or self.ended or self.stopped)
            if self.ready and not self.stopped:
                item = self.ready.popleft()
                self.changed.notify_all()
                return item
            error, self.error = self.error, None
        raise StopIteration if error is None or self.stopped else error

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.ready.clear()
            self.changed.notify_all()


def _work(items: Generator[Any, None, None], queue: _Queue, settings: _Settings) -> None:
    settings.apply()
    error = None
    try:
        while queue.wait_for_room():
            try:
                queue.put(next(items))
            except StopIteration:
                break
    except BaseException as raised:  # raised again where the item would have come
        error = raised
    try:
        items.close()
    except BaseException as raised:
        error = error or raised
    queue.end(error)


class Prefetched:
    """An iterator of the same items in the same order, of which a thread computes some ahead.

    The thread ends when the items do, at `close()`, and when the iterator is garbage. It is one
    of its own for every iterator, and computes with the settings that the caller has now:
    `no_grad`, training or prediction, the kernel set, NumPy's `errstate`.

    Arguments:
        items: a generator, which from now on belongs to the thread.
        count: how many items may be ready before they are asked for.

    Raises RuntimeError in a process that was forked after it was made: there is no thread there.

    >>> list(Prefetched((n * n for n in range(4)), 2))
    [0, 1, 4, 9]
    """

    def __init__(self, items: Generator[Any, None, None], count: int) -> None:
        self._queue = _Queue(count)
        self._process = os.getpid()
        work = (_work, items, self._queue, _Settings.here())
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=work, name="chainrule-data", daemon=True
        )
        self._thread.start()
        # The thread knows the queue, not the iterator, which can so become garbage.
        weakref.finalize(self, self._queue.stop)

    def __iter__(self) -> Prefetched:
        return self

    def __next__(self) -> Any:
        if os.getpid() != self._process:
            raise RuntimeError(
                "prefetch: the data were opened before this process was forked, and the thread "
                "that reads them is in the other; open them again here"
            )
        try:
            return self._queue.take()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the thread, once it has done with the item that it computes; none come any more."""
        if os.getpid() != self._process:
            return
        self._queue.stop()
        if self._thread is not threading.current_thread():
            self._thread.join()
