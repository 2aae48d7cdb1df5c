"""Finite differences, each with a statement of how far it may be off.

A slope along a direction is taken from seven values of the function, at 0, ±t/4, ±t/2 and ±t. The
central differences are extrapolated twice (Richardson), which leaves an error of order t^6; the
last two extrapolations differ by an *estimate* of that error, which is no bound: hence the factor
SAFETY. Rounding adds ROUNDING * eps * |f| / (t/4). Where the estimate is the larger part, or a
value is not finite, a smaller step is tried. The same values give the one-sided slopes, which
differ at a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
#: A function of arrays that returns its results as one flat array of float64.
Function = Callable[[Sequence[Array]], Array]
#: One array for each argument, or None where it does not move.
Direction = Sequence["Array | None"]

EPSILON = float(np.finfo(np.float64).eps)
SAFETY = 10.0
ROUNDING = 16.0
#: The first step, in units of the direction, whose entries are of the size of the inputs'.
STEP = 1e-3
#: How often a step may be divided by SHRINK: down to 1e-3 / 8^9 = 7e-12.
TRIES, SHRINK = 10, 8.0
#: What all is below this is moved as zeros are: there is no room for steps beside smaller numbers.
LEAST_SCALE = 1e-100


@dataclass(frozen=True)
class Slope:
    """The slope of each result along a direction.

    Attributes: `value`; `error`, how far it may be off; `left` and `right`, the one-sided slopes,
    and `side_error`, how far these may be off; `still`: did the result not move by a single bit?
    `step`, the largest step taken; `ahead`, by how much the result rises on the way by that step,
    half of it, and a quarter.
    """

    value: Array
    error: Array
    left: Array
    right: Array
    side_error: Array
    still: Array
    step: float
    ahead: Array

    @property
    def kinked(self) -> Array:
        """Do the one-sided slopes differ by more than both may be off?"""
        return np.abs(self.right - self.left) > 2 * self.side_error


def signed(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Random numbers of both signs, none of them near zero."""
    return rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def weighed(weights: Array, errors: Array) -> float:
    """The weighted sum of errors, of which those with no weight may be infinite.

    >>> weighed(np.array([0.0, 2.0]), np.array([np.inf, 1.5]))
    3.0
    """
    return float(np.sum(weights * np.where(weights == 0, 0.0, errors)))


def scales(arrays: Sequence[Array]) -> list[Array]:
    """For each entry, how far it may be moved as a whole: its own size, or that of its array.

    >>> scales([np.array([0.0, -3.0]), np.zeros(1)])[1].tolist()
    [1.0]
    """
    found = []
    for each in arrays:
        with np.errstate(over="ignore"):
            typical = float(np.mean(np.abs(each))) if each.size else 0.0
        found.append(np.maximum(np.abs(each), typical if typical > LEAST_SCALE else 1.0))
    return found


def moved(arrays: Sequence[Array], direction: Direction, step: float) -> list[Array]:
    """The arrays, moved along a direction by `step` times its length."""
    return [
        each if way is None else each + step * way
        for each, way in zip(arrays, direction, strict=True)
    ]


def differences(
    function: Function,
    arrays: Sequence[Array],
    direction: Direction,
    base: Array,
    step: float,
    noise: Any = 0.0,
) -> Slope:
    """The slope along a direction from one largest step; `base` is function(arrays)."""
    with np.errstate(all="ignore"):
        steps = (step, step / 2, step / 4)
        up = [function(moved(arrays, direction, each)) for each in steps]
        down = [function(moved(arrays, direction, -each)) for each in steps]
        size = np.maximum.reduce([np.abs(base), *map(np.abs, up), *map(np.abs, down)])
        still = np.logical_and.reduce([each == base for each in (*up, *down)])
        first, second, third = (
            (a - b) / (2 * each) for a, b, each in zip(up, down, steps, strict=True)
        )
        coarse, fine = (4 * second - first) / 3, (4 * third - second) / 3
        value = (16 * fine - coarse) / 15
        # x + t v is rounded too: by eps |x|, which moves the result by eps times its slope.
        rounding = (ROUNDING * EPSILON * (size + np.abs(value)) + noise) / steps[-1]
        error = SAFETY * np.abs(value - fine) + rounding
        sides, side_errors = [], []
        for ends, sign in ((up, 1), (down, -1)):
            rough = [(end - base) / (sign * each) for end, each in zip(ends, steps, strict=True)]
            near, nearer = 2 * rough[1] - rough[0], 2 * rough[2] - rough[1]
            sides.append((4 * nearer - near) / 3)
            side_errors.append(SAFETY * np.abs(sides[-1] - nearer) + 2 * rounding)
        ahead = np.stack(up) - base
    return Slope(value, error, sides[1], sides[0], np.maximum(*side_errors), still, step, ahead)


def slope(
    function: Function,
    arrays: Sequence[Array],
    direction: Direction,
    base: Array,
    noise: Any = 0.0,
    smooth: Callable[[float], bool] | None = None,
) -> Slope:
    """The slope of a function along a direction, with the step that leaves the least error.

    Arguments: `arrays`, the point; `direction`, whose entries should be of the size of the point's;
    `base`, the function's value at the point; `noise`, what rounding leaves of it, if that is more
    than the last place; `smooth(step)`, if given, says whether the function
    takes the same branches all the way: a step is made smaller until it does.

    >>> x = np.array([0.5, 2.0])
    >>> found = slope(lambda a: a[0] ** 3, [x], [np.array([1.0, 0.0])], x**3)
    >>> found.value.round(9).tolist(), bool(found.error[0] < 1e-9), found.still.tolist()
    ([0.75, 0.0], True, [False, True])
    """
    best, least, step = None, np.inf, STEP
    for _ in range(TRIES):
        if smooth is None or smooth(step):
            found = differences(function, arrays, direction, base, step, noise)
            # At a kink, of which there is no doubt on the way of a careful look, the sides count.
            bent = found.kinked & (smooth is not None)
            total = float(np.sum(np.where(bent, 1e-3 * found.side_error, found.error)))
            if best is None or total < least or np.isnan(least):
                best, least = found, total
            scale = np.sum(np.abs(found.value)) + np.sum(np.abs(base))
            if total <= 1e-9 * scale or not scale:
                break
        step /= SHRINK
    if best is None:  # a branching point right here, or nearer than any step
        best = differences(function, arrays, direction, base, step, noise)
        best = replace(best, error=best.error + np.abs(best.right - best.left))
    return best


def taylor_order(found: Slope, weights: Array, claimed: float, noise: float) -> float | None:
    """The order at which f(x + t v) - f(x) - t (claimed slope) falls with t: 2 for a right one.

    1 for a wrong one. f is the sum of the results times `weights`. None where the remainder is
    within 16 times the `noise` of f, for f is linear, or the steps are too small.

    >>> x = np.array([0.5])
    >>> found = slope(lambda a: np.exp(a[0]), [x], [np.ones(1)], np.exp(x))
    >>> right, wrong = (taylor_order(found, np.ones(1), k * np.exp(0.5), 1e-16) for k in (1, 2))
    >>> round(right, 1), round(wrong, 1)
    (2.0, 1.0)
    """
    steps = np.array([1.0, 0.5, 0.25]) * found.step
    rest = np.abs(found.ahead @ weights - steps * claimed)
    if not np.all(np.isfinite(rest)) or not np.all(rest > 16 * noise):
        return None
    return float(np.log2(rest[0] / rest[2]) / 2)
