"""References of division that leaves a remainder, and what a device's library lacks of powers.

CuPy's quotient is floor(a / b), which rounding makes too large where a / b is just below a whole
number (1 // 0.1 is 9), and a - b * floor(a / b) is NaN where b is infinite. Here, as in NumPy, both
come of the remainder that is exact, C's fmod.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import reference


@reference
def floor_divide(xp: Any, a: Any, b: Any) -> Any:
    """The largest whole number that is not above a / b."""
    return xp.xp.floor_divide(a, b) if _left_to_library(xp, a, b) else _divided(xp.xp, a, b)[0]


@reference
def remainder(xp: Any, a: Any, b: Any) -> Any:
    """What is left of a after that; it has the sign of b."""
    return xp.xp.remainder(a, b) if _left_to_library(xp, a, b) else _divided(xp.xp, a, b)[1]


@reference
def power(xp: Any, a: Any, b: Any) -> Any:
    """a to the power of b, which is no negative whole number where a is one.

    An exponent on a GPU is not read: a whole number to a negative one is 0 there, or 1 or -1.
    """
    if xp.xp is not np and type(b) is int and b < 0 and _kind(a) in "iu":
        raise ValueError("Integers to negative integer powers are not allowed.")
    return xp.xp.power(a, b)


def _kind(x: Any) -> str:
    kind: str = np.asarray(x).dtype.kind if isinstance(x, (bool, int, float)) else x.dtype.kind
    return kind


def _left_to_library(xp: Any, a: Any, b: Any) -> bool:
    return xp.xp is np or "f" not in (_kind(a), _kind(b))


def _divided(xp: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Quotient and remainder of arrays of real numbers, or numbers."""
    left = xp.fmod(a, b)
    a, b = (xp.asarray(each, left.dtype) for each in (a, b))
    # fmod has the sign of a.
    opposed = xp.logical_and(left != 0, (left < 0) != (b < 0))
    quotient = (a - left) / b - opposed  # a whole number, but for rounding
    whole = xp.floor(quotient)
    whole = whole + (quotient - whole > 0.5)
    whole = xp.where(quotient != 0, whole, xp.copysign(0 * whole, a / b))
    left = xp.where(left != 0, xp.where(opposed, left + b, left), xp.copysign(left, b))
    return xp.where(b == 0, a / b, whole).astype(left.dtype), left
