"""In which order threads go on, and whether launches are checked: settings of this thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import EmulatorError

#: The names of the orders, in the runtime's numbering.
ORDERS = ("forward", "reverse", "shuffle")


class _Settings(threading.local):
    schedule = "forward"
    checked = False


_settings = _Settings()


def parse(schedule: str) -> tuple[int, int]:
    """The order and the seed of a schedule: "forward", "reverse" or "shuffle:SEED".

    >>> parse("reverse"), parse("shuffle:7")
    ((1, 0), (2, 7))
    """
    name, _, seed = schedule.partition(":")
    if name == "shuffle" and seed.isdecimal() and int(seed) < 2**64:
        return ORDERS.index(name), int(seed)
    if schedule in ("forward", "reverse"):
        return ORDERS.index(schedule), 0
    raise EmulatorError(
        f"schedule: {schedule!r} is none; give 'forward', 'reverse' or 'shuffle:SEED' with an "
        "integer seed of at least 0, as in 'shuffle:7'"
    )


def current_schedule() -> str:
    """The schedule of launches in this thread: what `schedule` set, or "forward"."""
    return _settings.schedule


def is_checked() -> bool:
    """Whether launches in this thread are checked: inside of `checked()`."""
    return _settings.checked


@contextmanager
def schedule(name: str) -> Iterator[None]:
    """Within the block, the threads of every launch go on in this order.

    Arguments: `name`, "forward" (the default: thread 0 first), "reverse", or "shuffle:SEED" (an
    order drawn anew whenever all threads have run up to where they wait). A kernel whose result
    depends on the schedule lacks a barrier.

    >>> with schedule("shuffle:7"):
    ...     current_schedule()
    'shuffle:7'
    """
    parse(name)
    before, _settings.schedule = _settings.schedule, name
    try:
        yield
    finally:
        _settings.schedule = before


@contextmanager
def checked(on: bool = True) -> Iterator[None]:
    """Within the block, every launch looks for races, accesses outside of arrays, and the like.

    >>> with checked():
    ...     is_checked()
    True
    """
    before, _settings.checked = _settings.checked, on
    try:
        yield
    finally:
        _settings.checked = before
