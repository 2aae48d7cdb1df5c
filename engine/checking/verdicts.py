"""A closer look at an entry of a gradient that is not what an oracle says: can it be right?

At a kink the gradient may lie anywhere between the one-sided slopes; near a singularity, and where
numbers cancel, rounding is larger than usual; and an oracle may be wrong, alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .differences import Array, Slope, moved, scales, weighed
from .kinks import between, neighbours_allow
from .oracles import RELATIVE, Oracles
from .report import Report
from .subjects import Subject, answers_to_rounding

Index = tuple[int, ...]


class CloseLooks:
    """Close looks at the entries of one subject's gradients.

    Arguments: `oracles` of the subject; `report`, for what is noted; `rng`, to draw from.
    """

    def __init__(
        self, subject: Subject, oracles: Oracles, report: Report, rng: np.random.Generator
    ) -> None:
        self.subject, self.oracles, self.report, self.rng = subject, oracles, report, rng
        self.scales = scales(subject.arrays)
        self.looked: dict[tuple[int, Index], Slope] = {}

    def coordinate(self, which: int, index: Index) -> list[Array | None]:
        """The direction that moves one entry, by its scale."""
        way = np.zeros(self.subject.arrays[which].shape)
        way[index] = self.scales[which][index]
        return self.only(which, way)

    def only(self, which: int, way: Array) -> list[Array | None]:
        """The direction that moves one input."""
        return [way if i == which else None for i in range(len(self.subject.arrays))]

    def verdict(
        self, which: int, index: Index, upstream: Array, got: float
    ) -> tuple[float, float, str] | None:
        """None if an entry can be right; else what it should be, how exactly, why."""
        direction = self.coordinate(which, index)
        size = float(self.scales[which][index])
        if not np.isfinite(got) and self._diverges(which, index):
            raise ValueError(
                f"gradcheck: the derivative of {self.subject.name} is infinite at the point, with "
                f"respect to {self.subject.labels[which]}{[*index]}; check at a point inside of "
                "the domain"
            )
        numeric = self._look_closely(which, index)
        weights = np.abs(upstream)
        noise = weighed(weights, numeric.error) / size
        central = float(upstream @ numeric.value) / size
        if np.any(numeric.kinked):
            low, high, room = (each / size for each in between(numeric, upstream))
            if low - room <= got <= high + room or neighbours_allow(
                self.subject, self.scales, direction, upstream, got * size, self.rng
            ):
                return None
            nearest = min(max(got, low), high) if np.isfinite(got) else (low + high) / 2
            return nearest, room, f"at a kink, outside of the one-sided slopes {low:.6g} {high:.6g}"
        step = self.oracles.complex_step(direction)
        # Whatever the oracle says, rounding may move the gradient itself by this.
        spread = answers_to_rounding(self.subject, upstream, self.rng)[which][index]
        allowed = 16 * float(spread)
        if step is not None:
            exact = float(upstream @ step.value) / size
            # So may it move the complex step: p d - d, within a loss, loses what 1 - p has lost.
            allowed += 16 * float(weights @ self.oracles.complex_noise(direction)) / size
            if self.subject.trusted and abs(got - exact) <= allowed:
                return None
            if abs(exact - central) <= noise + allowed + RELATIVE * abs(exact):
                allowed += RELATIVE * float(weights @ np.abs(step.value)) / size
                right = abs(got - exact) <= allowed or self._tied(direction, upstream, got * size)
                return None if right else (exact, allowed, "")
            self.report.note(
                "the complex step disagrees with finite differences, and was not used where it did"
            )
        allowed += noise
        if np.isinf(allowed):
            text = (
                f"{self.subject.labels[which]}{[*index]}: finite differences do not resolve the "
                "function, whose waves are shorter than any step"
            )
            if text not in self.report.vacuous:
                self.report.vacuous.append(text)
            return None
        if abs(got - central) <= allowed or self._tied(direction, upstream, got * size):
            return None
        return central, allowed, ""

    def _diverges(self, which: int, index: Index) -> bool:
        """Does a one-sided slope of any result grow without bound as steps shrink?"""
        way, arrays, value = self.coordinate(which, index), self.subject.arrays, self.subject.value
        steps = (1e-3, 1e-5, 1e-7)
        for sign in (1, -1):
            with np.errstate(all="ignore"):
                far, near, nearer = (
                    np.abs(value(moved(arrays, way, sign * each)) - self.oracles.base) / each
                    for each in steps
                )
                if np.any((nearer > 2 * near) & (near > 2 * far) & (far > 0)):
                    return True
        return False

    def _tied(self, direction: list[Array | None], upstream: Array, got: float) -> bool:
        """Is this the slope of points near by, of a function that chooses between equal entries?"""
        return bool(self.oracles.ties) and neighbours_allow(
            self.subject, self.scales, direction, upstream, got, self.rng
        )

    def count_kinks(self, which: int, places: Sequence[Index]) -> None:
        """Counts the entries at which the one-sided slopes differ."""
        for index in places:
            known = (which, index) in self.looked
            rough = known or np.any(self.oracles.differences(self.coordinate(which, index)).kinked)
            if rough:  # or a branch flips near by
                self.report.kinks += bool(np.any(self._look_closely(which, index).kinked))

    def _look_closely(self, which: int, index: Index) -> Slope:
        """The slopes of an entry by differences on whose way no branch flips."""
        if (which, index) not in self.looked:
            way = self.coordinate(which, index)
            self.looked[which, index] = self.oracles.differences(way, careful=True)
        return self.looked[which, index]
