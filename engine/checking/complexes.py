"""The complex step: f(x + i h v) has the slope of f along v in its imaginary part, times h.

Nothing is subtracted, so nothing cancels: with h = 1e-170 the slope is right to rounding. The
code of f must run on complex numbers, and do what it does on real ones: branch on the real part,
and never conjugate. A `BranchingArray` makes NumPy do so. Exactly on a branching point f goes on as
it does right behind it in the direction v, so that the slope is the one-sided one (`abs` at 0 has
|v|; 0 + i h v is not equal to 0); only functions of steps, as `sign` and `floor`, keep the value
they have at the point. What it cannot do it refuses, with
`Unsupported`; a slope that is wrong without a word would be worse than none.

Source: Squire & Trapp 1998, Using complex variables to estimate derivatives of real functions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import describe
from .arrays import COMPLEX, BranchingArray, imaginary_part, plainly, real_part, wrapped
from .branching import Branches, watch
from .complex_kernels import complex_kernels
from .refusals import Unsupported, lost

__all__ = [
    "STEP", "Branches", "BranchingArray", "Unsupported", "complex_kernels", "complex_slope",
    "imaginary_part", "lift", "real_part", "slope_of", "strict", "watch",
]  # fmt: skip

#: The step. Its square is 0 in float64, for directions up to 1e8: so the square of a number whose
#: real part is 0 stays 0, and is not negative. On the way from arguments to result, numbers below
#: 1e-120 have no room for a step as small beside them, and lose digits of the slope.
STEP = 1e-170


def lift(values: Any, direction: Any, step: float = STEP) -> Any:
    """values + i step direction, as a new BranchingArray."""
    values = np.asarray(values, np.float64)
    result = np.empty(values.shape, COMPLEX)
    result.real, result.imag = values, np.multiply(direction, step)
    return wrapped(result)


def slope_of(x: Any, step: float = STEP) -> Any:
    """The slope that a lifted result carries, as an ordinary array of float64.

    Raises Unsupported if x carries none: the imaginary part was lost on the way.
    """
    if not isinstance(x, BranchingArray) or not np.iscomplexobj(plainly(x)):
        given = describe(x)
        raise Unsupported(
            f"complex step: the result, with {given}, has no imaginary part: it is constant, or "
            "the function lost the part on the way (by np.asarray, float() or an array of float64)"
        )
    return imaginary_part(x) / step


@contextmanager
def strict() -> Iterator[None]:
    """Raises Unsupported where NumPy would only warn that an imaginary part is discarded.

    And in place of a TypeError: what has run on real numbers does not run on these.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            yield
        except np.exceptions.ComplexWarning as warning:
            raise lost("writing into a real array, or converting to one,") from warning
        except Unsupported:
            raise
        except TypeError as error:
            raise Unsupported(f"complex step: {error}") from error


def complex_slope(
    forward: Callable[..., Any],
    arrays: Sequence[Any],
    directions: Sequence[Any],
    step: float = STEP,
) -> tuple[Any, Any]:
    """The slope of a function along directions, and its value: both ordinary arrays of float64.

    `forward` takes one array for each of `arrays`, and returns one; `directions` has an array of
    the same shape for each (None: 0). Integer and boolean arrays are given to it as they are.
    Raises Unsupported if something on the way is not known, or loses the imaginary part.

    >>> slope, value = complex_slope(lambda x: np.abs(x).max(), [np.array([1.0, -3.0])], [[5, 7]])
    >>> round(float(slope), 14), float(value)
    (-7.0, 3.0)
    """
    lifted = [
        lift(x, 0.0 if v is None else v, step) if np.asarray(x).dtype.kind == "f" else x
        for x, v in zip(arrays, directions, strict=True)
    ]
    with strict():
        result = forward(*lifted)
    return slope_of(result, step), real_part(result).copy()
