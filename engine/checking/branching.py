"""Which branches a computation took: where it lay on a kink, and where two computations parted.

A *branching point* is where a function is not smooth, or jumps: 0 for `abs`, `sign` and `sqrt`,
equal numbers for `maximum`, a comparison and a sort, whole numbers for `floor`. Decisions are made
on real parts; a tie of real parts is broken by the imaginary parts, as NumPy orders complex
numbers, which is how the function goes on in the direction of the complex step.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Branches:
    """The branches that were taken while a `watch` lasted.

    Attributes: `ties`, how many elements lay exactly on a branching point; `moving`, how many of
    those are left in the direction of the imaginary parts (all, if there are none), and so may
    have two one-sided slopes; `decisions`, an array for each branching function that was called.
    """

    def __init__(self) -> None:
        self.ties, self.moving = 0, 0
        self.decisions: list[Array] = []

    @property
    def size(self) -> int:
        """How many decisions were made."""
        return sum(each.size for each in self.decisions)

    def add(self, decision: Any, tied: Any = (), moving: Any = None) -> None:
        """Enters the decisions of one function, where it was tied, and which ties are left."""
        self.decisions.append(np.asarray(decision))
        self.ties += int(np.count_nonzero(tied))
        self.moving += int(np.count_nonzero(tied if moving is None else moving))

    def flips(self, other: Branches) -> int:
        """How many decisions differ from those of another run; all, if it ran differently.

        >>> with watch() as here:
        ...     _ = np.maximum(watched([1.0, -1.0, 2.0]), 0.0)
        >>> with watch() as there:
        ...     _ = np.maximum(watched([1.0, 1.0, -2.0]), 0.0)
        >>> here.flips(there), here.flips(here)
        (2, 0)
        """
        mine, others = self.decisions, other.decisions
        if [each.shape for each in mine] != [each.shape for each in others]:
            return max(self.size, other.size, 1)
        return sum(int(np.count_nonzero(a != b)) for a, b in zip(mine, others, strict=True))


class _Thread(threading.local):
    branches: Branches | None = None


thread = _Thread()


@contextmanager
def watch() -> Iterator[Branches]:
    """Keeps which branches are taken by what this thread computes with BranchingArrays.

    >>> with watch() as seen:
    ...     _ = abs(watched([1.0, 0.0, -2.0]))
    >>> seen.ties, seen.decisions[0].tolist()
    (1, [False, False, True])
    """
    before, thread.branches = thread.branches, Branches()
    try:
        yield thread.branches
    finally:
        thread.branches = before


def watched(values: Any) -> Any:
    """Values as a BranchingArray of float64: a real computation whose branches are to be seen."""
    from .arrays import BranchingArray

    return np.array(values, np.float64).view(BranchingArray)


def real(x: Any) -> Any:
    """The real part, of a plain array or number."""
    return x.real if isinstance(x, (np.ndarray, np.generic)) else x


def note_pair(seen: Branches, a: Any, b: Any, decide: Callable[..., Any] = np.greater) -> None:
    """Enters a comparison of plain arrays."""
    tied = np.equal(real(a), real(b))
    left = tied & np.not_equal(a, b) if np.iscomplexobj(a) or np.iscomplexobj(b) else tied
    with np.errstate(invalid="ignore"):
        seen.add(decide(a, b), tied, left)


def note_zero(seen: Branches, x: Any, decide: Callable[..., Any] = np.less) -> None:
    """Enters a function that branches at 0."""
    note_pair(seen, x, 0.0, decide)


def note_point(seen: Branches, tied: Any) -> None:
    """Enters a function that has no derivative at a point, but does not branch there."""
    seen.add(tied, tied)


def note_steps(seen: Branches, steps: Any, tied: Any) -> None:
    """Enters a function of steps: on which step each element is, and where it is at an edge."""
    seen.add(steps, tied)


def reduced(ndim: int, axis: Any) -> list[int]:
    """The axes that `axis` means, as NumPy takes it, counted from 0."""
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return [each % ndim for each in axes] if ndim else []


def rows(x: Array, axis: Any) -> Array:
    """x with the axes that are to be reduced made one, and put last."""
    axes = reduced(x.ndim, axis)
    rest = [i for i in range(x.ndim) if i not in axes]
    return x.transpose([*rest, *axes]).reshape(
        [x.shape[i] for i in rest] + [math.prod(x.shape[i] for i in axes)]
    )


def note_extreme(seen: Branches, x: Array, axis: Any, largest: bool) -> None:
    """Enters a maximum, or minimum, along axes."""
    lanes = rows(x, axis)
    if not lanes.size:
        return
    place = (lanes.argmax if largest else lanes.argmin)(-1)
    best = np.take_along_axis(lanes, place[..., None], -1)
    tied = lanes.real == best.real
    np.put_along_axis(tied, place[..., None], False, -1)
    seen.add(place, tied, tied & (lanes != best) if np.iscomplexobj(x) else tied)


def note_order(seen: Branches, x: Array, axis: int | None) -> None:
    """Enters a sort along an axis."""
    lanes = rows(x, axis)
    order = lanes.argsort(-1, kind="stable")
    ordered = np.take_along_axis(lanes, order, -1)
    after, before = ordered[..., 1:], ordered[..., :-1]
    tied = after.real == before.real
    seen.add(order, tied, tied & (after != before) if np.iscomplexobj(x) else tied)
