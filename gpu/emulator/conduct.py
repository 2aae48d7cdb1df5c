"""How a thread's launches are emulated: in which order threads run, and whether they are checked.

Both emulators, of CUDA C and of Numba kernels, read it at each launch.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from chainrule.engine.errors import DeviceError


class Conduct(NamedTuple):
    """How launches are emulated: `schedule`, the order of threads; `checked`, in checked mode?"""

    schedule: str = "forward"
    checked: bool = False


class _State(threading.local):
    conduct: Conduct = Conduct()


_state = _State()


def current() -> Conduct:
    """The schedule and the mode of this thread's launches.

    >>> current()
    Conduct(schedule='forward', checked=False)
    """
    return _state.conduct


@contextmanager
def _conducting(conduct: Conduct) -> Iterator[None]:
    before = _state.conduct
    _state.conduct = conduct
    try:
        yield
    finally:
        _state.conduct = before


@contextmanager
def schedule(name: str) -> Iterator[None]:
    """Runs the threads of emulated blocks in an order, for the length of a `with` block.

    "forward" starts with thread 0, "reverse" with the last; "shuffle:7" draws the order anew after
    every barrier, from the seed 7. A kernel whose result depends on it lacks a barrier.

    Raises DeviceError for another name.

    >>> with schedule("shuffle:7"):
    ...     current().schedule
    'shuffle:7'
    """
    seed_of(name)
    with _conducting(_state.conduct._replace(schedule=name)):
        yield


@contextmanager
def checked(on: bool = True) -> Iterator[None]:
    """Checks every emulated launch, for the length of a `with` block.

    A race, an index out of bounds, a read of what was never written, a barrier that not all
    threads reach: each is an EmulatorError that names file, line and thread. Slower by far.

    >>> with checked():
    ...     current().checked
    True
    """
    with _conducting(_state.conduct._replace(checked=on)):
        yield


def seed_of(name: str) -> int | None:
    """The seed of a schedule that shuffles; None for one that does not.

    Raises DeviceError for a name that is no schedule's.
    """
    if name in ("forward", "reverse"):
        return None
    kind, _, seed = name.partition(":")
    if kind != "shuffle" or not seed.isascii() or not seed.isdigit():
        raise DeviceError(
            f"schedule: {name!r} is unknown; known: 'forward', 'reverse', 'shuffle:SEED', as in "
            "'shuffle:7'"
        )
    return int(seed)


class Orders:
    """The orders that a schedule gives, one after the other."""

    def __init__(self, name: str) -> None:
        seed = seed_of(name)
        self._reverse = name == "reverse"
        self._draw = None if seed is None else random.Random(seed)

    def next(self, count: int) -> list[int]:
        """The numbers 0 ... count - 1 in the next order.

        >>> Orders("reverse").next(3)
        [2, 1, 0]
        """
        order = list(range(count))
        if self._reverse:
            order.reverse()
        elif self._draw is not None:
            self._draw.shuffle(order)
        return order
