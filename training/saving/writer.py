"""A thread that writes checkpoints while the training goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Writer:
    """A thread that does one piece of work at a time; it is there from the first on.

    Arguments: `function`, which does it.

    >>> writer = Writer(print)
    >>> writer.write("written")
    >>> writer.close()
    written
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._thread: threading.Thread | None = None
        self._given = threading.Semaphore(0)
        self._idle = threading.Event()
        self._idle.set()
        self._work: tuple[Any, ...] | None = None
        self._error: BaseException | None = None

    def write(self, *work: Any) -> None:
        """Hand it the function's arguments; `wait` has been called before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="chainrule-writer", daemon=True)
            self._thread.start()
        self._work = work
        self._idle.clear()
        self._given.release()

    def wait(self) -> None:
        """Until all is written. Raises what went wrong."""
        self._idle.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Until all is written, and the thread has ended. Raises what went wrong."""
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._work = None
                self._given.release()
                self._thread.join()
                self._thread = None

    def _run(self) -> None:
        while True:
            self._given.acquire()
            work, self._work = self._work, None
            if work is None:
                return
            try:
                self._function(*work)
            except BaseException as error:
                self._error = error
            finally:
                del work
                self._idle.set()
