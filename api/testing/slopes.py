"""Slopes by finite differences, each with an estimate of its error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

#: The first step; each further one is half as long.
START, LEVELS = 2.0**-6, 9
#: An error of this size, relative to the slope, ends the search.
ENOUGH = 1e-8


class Slope(NamedTuple):
    """A slope, and how far it may be off: by the steps' disagreement, and by rounding."""

    value: float
    error: float


def slope(function: Callable[[float], float], noise: float, start: float = START) -> Slope:
    """The derivative of a function of one number at 0, by differences in a Richardson tableau.

    Central differences with steps h, h/2, h/4, ... are extrapolated to step 0; the entry of the
    tableau with the smallest error is taken: how far it is from its two neighbours, and `noise`,
    the error of the function's values, over the step. A kink within reach of the longer steps
    makes their entries disagree, so that those of shorter steps are taken.

    Source: Ridders 1982, Accurate computation of F'(x) and F'(x) F''(x).

    >>> found = slope(lambda t: math.exp(2 * t), 1e-16)
    >>> abs(found.value - 2) < found.error < 1e-7
    True
    """
    best, above = Slope(math.nan, math.inf), list[float]()
    for level in range(LEVELS):
        step = start / 2**level
        row = [(function(step) - function(-step)) / (2 * step)]
        for order, left in enumerate(above, 1):
            row.append(row[-1] + (row[-1] - left) / (4**order - 1))
            off = max(abs(row[order] - row[order - 1]), abs(row[order] - left))
            if off + noise / step < best.error:
                best = Slope(row[order], off + noise / step)
        if best.error < ENOUGH * abs(best.value):
            break
        above = row
    return best
