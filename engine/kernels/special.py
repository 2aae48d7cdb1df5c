"""References of the special functions that NumPy lacks: erf and erfc.

No coefficient here was fitted or copied. Both functions obey a differential equation, from which
all coefficients of their Taylor series at a point follow: with w(x) = exp(x²) erfc(x),

    erf'(x) = 2/√π exp(-x²)        erf''(x) = -2 x erf'(x)
    w'(x) = 2 x w(x) - 2/√π

At the first use a table is made of the series at 0, 1/64, 2/64, ..., in 40-digit decimals: w is
followed from its asymptotic series at the right end down to 0 (a direction in which errors
shrink; in the other they grow like exp(x²)). Every x is within 1/128 of a point of the table,
where the terms left out, from the eighth on, are below 2**-60 of the value.

Errors measured against mpmath (`scripts/measure_special.py`), in units in the last place:

                    float64    float32
    erf               1.19      0.50
    erfc              3.39      0.50

For erfc, exp(-x²) is taken apart at the nearest point r of the table: with d = x - r it is
exp(-r²), in the table, times exp(-d (x + r)), whose exponent is small; x² itself, rounded, would be
off by up to 745 half units.
"""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..devices import reference

#: Points of the table for each unit of x, and the coefficients of each series.
DENSITY, TERMS = 64, 8
#: From here on erf is 1 and erfc is 0 in float64, to the nearest number.
ERF_END, ERFC_END = 6.0, 27.3125
#: Elements computed at a time: those and what is made of them stay in a core's own cache.
BLOCK = 8192

TWO_OVER_ROOT_PI = decimal.Decimal("1.1283791670955125738961589031215451716881012586579977")  # 2/√π


@functools.cache
def tables() -> tuple[Any, Any]:
    """The coefficients of erf, (points, 8); those of w, and last exp(-r²), (points, 9)."""
    with decimal.localcontext(decimal.Context(prec=40)):
        count = int(ERFC_END * DENSITY)
        step = decimal.Decimal(1) / DENSITY
        r = count * step
        # w = (2/√π) / (2 r) * (1 - 1/(2r²) + 1*3/(2r²)² - 1*3*5/(2r²)³ + ...)
        term = total = TWO_OVER_ROOT_PI / (2 * r)
        for n in range(1, 30):
            term *= -(2 * n - 1) / (2 * r * r)
            total += term
        of_w = np.empty((count + 1, TERMS + 1))
        of_erf = np.empty((int(ERF_END * DENSITY) + 1, TERMS))
        for i in range(count, -1, -1):
            r = i * step
            series = [total, 2 * r * total - TWO_OVER_ROOT_PI]
            for n in range(1, 13):
                series.append(2 * (r * series[n] + series[n - 1]) / (n + 1))
            gauss = (-r * r).exp()
            of_w[i] = [*map(float, series[:TERMS]), float(gauss)]
            if i < len(of_erf):
                slopes = [1 - gauss * total, TWO_OVER_ROOT_PI * gauss]
                for n in range(TERMS - 2):
                    rise = r * (n + 1) * slopes[n + 1] + n * slopes[n]
                    slopes.append(-2 * rise / ((n + 1) * (n + 2)))
                of_erf[i] = [*map(float, slopes)]
            total = functools.reduce(lambda rest, each: each - step * rest, reversed(series))
    of_erf[0, 0] = 0.0
    return of_erf, of_w


@reference
def erf(xp: Any, x: Any) -> Any:
    """The error function 2/√π ∫ exp(-t²) dt from 0 to x."""
    return _by_blocks(xp, _erf, x)


@reference
def erfc(xp: Any, x: Any) -> Any:
    """1 - erf(x), with full relative accuracy where it is small."""
    return _by_blocks(xp, _erfc, x)


def _by_blocks(xp: Any, function: Callable[[Any, Any], Any], x: Any) -> Any:
    """A function of float64, of the elements of x; the result has the dtype of x, if floating."""
    array = xp.xp
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    if type(x) is not np.ndarray or x.size <= BLOCK:
        return function(array, array.asarray(x, np.float64)).astype(dtype, copy=False)
    flat, result = x.reshape(-1), np.empty(x.size, dtype)
    for start in range(0, x.size, BLOCK):
        block = flat[start : start + BLOCK].astype(np.float64, copy=False)
        result[start : start + BLOCK] = function(array, block)
    return result.reshape(x.shape)


def _nearest(xp: Any, x: Any, end: float) -> tuple[Any, Any, Any]:
    """|x|, held below the end of the table; the nearest point's number; and the distance to it.

    NaN stays NaN, beside some number of a point.
    """
    x = xp.minimum(abs(x), end)
    point = xp.rint(xp.fmin(x, end) * DENSITY)
    return x, point.astype(np.intp), x - point * (1 / DENSITY)


@functools.cache
def _columns(xp: Any, which: int) -> list[Any]:
    """The columns of a table as arrays of a library: sent to a GPU once."""
    return [xp.asarray(each) for each in tables()[which].T]


def _series(columns: list[Any], point: Any, d: Any) -> Any:
    """The first coefficient, and the sum of the rest of the series at a distance d."""
    rest = columns[-1].take(point)
    for column in columns[-2:0:-1]:
        rest *= d
        rest += column.take(point)
    rest *= d
    rest += columns[0].take(point)
    return rest


def _erf(xp: Any, x: Any) -> Any:
    _, point, d = _nearest(xp, x, ERF_END)
    return xp.copysign(_series(_columns(xp, 0), point, d), x)


def _erfc(xp: Any, x: Any) -> Any:
    size, point, d = _nearest(xp, x, ERFC_END)
    *columns, gauss = _columns(xp, 1)
    result = _series(columns, point, d)
    result *= xp.exp(d * (d - 2 * size))  # r = x - d, so that d (x + r) = d (2 x - d)
    result *= gauss.take(point)
    # 2 - result for negative x; exact, and quicker than a choice by `where`.
    twice = 2.0 * (x < 0)
    return result * (1 - twice) + twice
