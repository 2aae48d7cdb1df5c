"""What gradients are compared with: slopes of the forward function along directions.

The complex step f'(x) v = Im f(x + i h v) / h has no cancellation, and so is good to rounding. It
is used where the function can be run on complex numbers; for what is not made of operations of
the table alone, only as far as finite differences agree with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .branching import watch, watched
from .complexes import complex_slope
from .differences import EPSILON, Array, Direction, Slope, moved, signed, slope
from .report import Report
from .subjects import Subject, answers_to_rounding

#: Relative error allowed to a gradient that is computed along another way than the oracle's.
RELATIVE = 2.0**-40
#: Slopes along a direction of the inputs' own size are noise below this share of the result.
NOISE = 16 * EPSILON


@dataclass(frozen=True)
class Expected:
    """What the slope of each result along a direction is.

    Attributes: `value`; `error`, how far it may be off; `still`: does the result not move at all?
    `kinked`: do one-sided slopes differ, so that the value is but their mean?
    """

    value: Array
    error: Array
    still: Array
    kinked: bool = False


class Oracles:
    """The slopes of one subject at its point.

    Arguments: `subject`, whose value there is `base`; `report`, for what is noted on
    the way; `rng`, to draw from.
    """

    def __init__(
        self, subject: Subject, base: Array, report: Report, rng: np.random.Generator
    ) -> None:
        self.subject, self.base, self.report, self.rng = subject, base, report, rng
        self.ties = 0
        self.complex = self._try_complex()
        names = ["complex step"] if self.complex else []
        if not (self.complex and subject.trusted):
            names.append("finite differences")
        report.oracle = ", ".join(names)

    def _try_complex(self) -> bool:
        """Can the function be run on complex numbers, and are the real parts then its values?"""
        arrays = self.subject.arrays
        ways = [signed(self.rng, each.shape) for each in arrays]
        try:
            with watch() as seen:
                _, value = complex_slope(self._lifted, arrays, ways)
        except NotImplementedError:
            return False
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self.report.note(f"no complex step: {text[:150]}")
            return False
        self.ties = seen.moving
        scale = float(np.max(np.abs(self.base), initial=0.0))
        if value.shape == self.base.shape and np.all(
            np.abs(value - self.base) <= RELATIVE * (scale + np.abs(self.base)) + NOISE
        ):
            return True
        self.report.note("no complex step: on complex numbers the function gives other values")
        return False

    def complex_step(self, direction: Direction) -> Expected | None:
        """The slopes by the complex step; None where it cannot be had."""
        if not self.complex:
            return None
        try:
            value, _ = complex_slope(self._lifted, self.subject.arrays, direction)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            self.report.note(f"no complex step: {text[:150]}")
            self.complex = False
            return None
        # What is lost when the values themselves are rounded is noise in either derivative.
        off = RELATIVE * np.abs(value) + self.subject.noise
        return Expected(value, off, value == 0)

    def complex_noise(self, direction: Direction) -> Array:
        """How far rounding moves the complex step: its spread over lengths of the direction."""
        found = []
        for by in self.rng.uniform(1.0, 2.0, 8):
            ways = [None if each is None else by * each for each in direction]
            step = self.complex_step(ways)
            if step is not None:
                found.append(step.value / by)
        return np.ptp(np.stack(found), axis=0) if found else np.zeros(self.base.shape)

    def _lifted(self, *arrays: Any) -> Any:
        return self.subject.lifted(arrays)

    def differences(self, direction: Direction, careful: bool = False) -> Slope:
        """The slopes by finite differences; if `careful`, with no branch flipped on the way."""
        value, arrays, noise = self.subject.value, self.subject.arrays, self.subject.noise
        if not careful:
            return slope(value, arrays, direction, self.base, noise)
        found = slope(value, arrays, direction, self.base, noise, self.smooth(direction))
        # What the function itself loses to rounding may be more than the last place of its result.
        noise = 16 * self._spread / found.step
        if not np.any(found.kinked):
            noise = noise + 16 * self._steps_of(direction) / found.step
        return replace(found, error=found.error + noise, side_error=found.side_error + 2 * noise)

    def _steps_of(self, direction: Direction) -> Array:
        """How far the values lie from a smooth curve: fourth differences, where nothing branches.

        They show what is lost within one operation, where 1 - p is rounded as 1 is.
        """
        smooth, found = self.smooth(direction), [np.zeros(self.base.shape)]
        if self.ties or smooth is None or not smooth(2e-5):
            return found[0]
        for by in self.rng.uniform(0.5e-5, 1e-5, 6):
            points = [moved(self.subject.arrays, direction, k * by) for k in (-2, -1, 0, 1, 2)]
            with np.errstate(all="ignore"):
                a, b, c, d, e = (self.subject.value(each) for each in points)
                found.append(np.abs(a - 4 * b + 6 * c - 4 * d + e) / 8)
        off = np.max(np.nan_to_num(np.stack(found), nan=np.inf), axis=0)
        # sin(1e8 x) has many waves within any step: nothing can be told of its slope.
        return np.where(off > 1e-3 * np.abs(self.base) + self.subject.noise, np.inf, off)

    @functools.cached_property
    def _spread(self) -> Array:
        return answers_to_rounding(self.subject, None, self.rng)[0]

    def smooth(self, direction: Direction) -> Callable[[float], bool] | None:
        """A function that says whether no branch flips within a step along a direction.

        None if the branches cannot be watched. What lies on a branching point itself is no flip:
        its one-sided slopes are looked at.
        """
        here = self._branches(0.0, direction)
        if here is None:
            return None

        def smooth(step: float) -> bool:
            there = [self._branches(sign * step, direction) for sign in (1, -1)]
            flips = max(here.flips(each) if each is not None else 0 for each in there)
            flips = max(0, flips - here.ties)
            self.report.flips = max(self.report.flips, flips)
            return not flips

        return smooth

    def _branches(self, step: float, direction: Direction) -> Any:
        arrays = moved(self.subject.arrays, direction, step)
        try:
            with watch() as seen, np.errstate(all="ignore"):
                self.subject.lifted([watched(each) for each in arrays])
        except Exception:
            return None  # it cannot be watched: then the error estimate alone is relied upon
        return seen

    def __call__(self, direction: Direction) -> Expected:
        """The slopes, by the best means there is."""
        step = self.complex_step(direction)
        if step is not None and self.subject.trusted:
            return step
        numeric = self.differences(direction)
        if step is not None:
            if np.all(np.abs(step.value - numeric.value) <= numeric.error + step.error):
                return step
            careful = self.differences(direction, careful=True)
            if np.all(np.abs(step.value - careful.value) <= careful.error + step.error):
                return step
            self.report.note(
                "the complex step disagrees with finite differences, and was not used where it did"
            )
            numeric = careful
        kinked = bool(np.any(numeric.kinked))
        return Expected(numeric.value, numeric.error, numeric.still, kinked)
