"""What a watch is told of each ufunc, before it runs: on which branches, and where on a kink."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .analytic import CLIP
from .branching import note_pair, note_point, note_steps, note_zero, real


def _both_signs(seen: Any, a: Any, b: Any) -> None:
    note_zero(seen, a)
    note_zero(seen, b)


def _truths(seen: Any, *operands: Any) -> None:
    for each in operands:
        if isinstance(each, np.ndarray) and each.dtype.kind in "fc":
            note_zero(seen, each, np.not_equal)


def _quotient(seen: Any, a: Any, b: Any) -> None:
    with np.errstate(all="ignore"):
        quotient = np.floor_divide(real(a), real(b))
        note_steps(seen, quotient, np.equal(np.remainder(real(a), real(b)), 0))


def _power(seen: Any, a: Any, b: Any) -> None:
    smooth = np.equal(real(b), np.rint(real(b))) & np.greater_equal(real(b), 0)
    note_point(seen, np.equal(real(a), 0) & ~smooth)


def _clip(seen: Any, x: Any, low: Any, high: Any) -> None:
    note_pair(seen, x, low, np.less)
    note_pair(seen, x, high)


def _floor(seen: Any, x: Any) -> None:
    note_steps(seen, np.floor(real(x)), real(x) == np.floor(real(x)))


def _rint(seen: Any, x: Any) -> None:
    note_steps(seen, np.rint(real(x)), abs(real(x) - np.rint(real(x))) == 0.5)


def _trunc(seen: Any, x: Any) -> None:
    whole = np.trunc(real(x))
    note_steps(seen, whole, (real(x) == whole) & (whole != 0))


def _at(size: float) -> Callable[..., None]:
    """For a function that has no derivative where |x| is this."""
    return lambda seen, x: note_point(seen, abs(real(x)) == size)


_COMPARISONS: tuple[Any, ...] = (
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal,
)  # fmt: skip

#: ufunc -> function of (branches, *plain arrays).
NOTES: dict[Any, Callable[..., None]] = {
    **dict.fromkeys((np.absolute, np.fabs, np.sign, np.signbit), note_zero),
    **dict.fromkeys((np.maximum, np.minimum, np.fmax, np.fmin), note_pair),
    **{ufunc: partial(note_pair, decide=ufunc) for ufunc in _COMPARISONS},
    **dict.fromkeys((np.logical_and, np.logical_or, np.logical_xor, np.logical_not), _truths),
    **dict.fromkeys((np.floor_divide, np.remainder, np.fmod, np.divmod), _quotient),
    **dict.fromkeys((np.floor, np.ceil), _floor),
    **dict.fromkeys((np.power, np.float_power), _power),
    **dict.fromkeys((np.sqrt, np.cbrt), _at(0)),
    **dict.fromkeys((np.arcsin, np.arccos), _at(1)),
    np.arccosh: _at(1),
    np.hypot: lambda seen, a, b: note_point(seen, np.equal(real(a), 0) & np.equal(real(b), 0)),
    np.heaviside: lambda seen, x, _: note_zero(seen, x),
    np.copysign: _both_signs,
    np.rint: _rint,
    np.trunc: _trunc,
    CLIP: _clip,
}
