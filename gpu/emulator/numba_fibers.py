"""Fibers, each of which runs one thread of a block after another; they are kept for later launches.

To begin and to end a fiber takes longer than most threads of a block run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .numba_threads import Run


class Abandoned(BaseException):
    """Thrown into a thread that waits for what will not come, as its launch has failed."""


class _Idle(threading.local):
    def __init__(self) -> None:
        self.fibers: list[Any] = []


_idle = _Idle()


def _work(run: Run, function: Any, arguments: Any) -> None:
    """What a fiber does: kernels, without NumPy's warnings, which CUDA does not give."""
    with np.errstate(all="ignore"):
        while True:
            error: BaseException | None = None
            try:
                function(*arguments)
            except Abandoned:
                pass
            except (Exception, KeyboardInterrupt, SystemExit) as found:
                error = found
            run.end(error)
            hub = run.hub
            del run, function, arguments, error  # not to keep them while the fiber is idle
            run, function, arguments = hub.switch()


def hub() -> Any:
    """The greenlet that launches.

    Raises ImportError if there is no greenlet.
    """
    try:
        import greenlet
    except ImportError as error:
        raise ImportError(
            "emulating a Numba kernel whose threads wait for each other needs greenlet: "
            "pip install greenlet"
        ) from error
    return greenlet.getcurrent()


def take(count: int, hub: Any) -> list[Any]:
    """That many fibers; each starts by `switch(run, function, arguments)`."""
    import greenlet

    taken, _idle.fibers = _idle.fibers[:count], _idle.fibers[count:]
    for fiber in taken:
        fiber.parent = hub
    return taken + [greenlet.greenlet(_work, hub) for _ in range(count - len(taken))]


def give_back(fibers: list[Any]) -> None:
    """Keeps fibers that have ended what they ran."""
    _idle.fibers += [fiber for fiber in fibers if fiber]
