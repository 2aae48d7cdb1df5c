"""A thread that writes checkpoints while the training goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any


class _Job:
    """A piece of work: the function's arguments, and what became of it."""

    def __init__(self, work: tuple[Any, ...]) -> None:
        self.work: tuple[Any, ...] | None = work
        self.error: BaseException | None = None
        self.done = threading.Event()


class Writer:
    """A thread that does one piece of work after the other; it is there from the first on.

    An interrupt (Ctrl-C) may come between any two instructions. So work counts as given once it is
    in the queue, which is a single instruction, and nothing is waited for that is not there.

    Arguments: `function`, which does it.

    >>> writer = Writer(print)
    >>> writer.write("written")
    >>> writer.close()
    written
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._last: _Job | None = None

    def write(self, *work: Any) -> None:
        """Hand it the function's arguments; `wait` has been called before."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="chainrule-writer", daemon=True)
            thread.start()
            self._thread = thread
        job = _Job(work)
        self._jobs.put(job)
        self._last = job

    def wait(self) -> None:
        """Until all is written. Raises what went wrong, once."""
        if self._last is None:
            return
        self._last.done.wait()
        error, self._last = self._last.error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Until all is written, and the thread has ended. Raises what went wrong."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        self.wait()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, job.work = job.work, None
            assert work is not None, "a job is taken once"
            try:
                self._function(*work)
            except BaseException as error:
                job.error = error
            finally:
                del work
                job.done.set()
