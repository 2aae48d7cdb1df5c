"""Comparing claimed gradients with oracles, and finding the exact entry that is wrong.

A function with few variables is compared entry by entry: the whole Jacobian is known. One with
many is compared along random signed directions, input by input; in some of them each entry is
weighted by 1 / its gradient, so that every single one of them counts as much as the largest. Where
a direction disagrees, halving it leads to the entry.

What disagrees is looked at more closely before it is called wrong (`verdicts.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .differences import EPSILON, Array, scales, taylor_order
from .faults import meaning
from .kinks import share_alike
from .oracles import RELATIVE, Expected, Oracles
from .report import Report
from .subjects import Subject, answers_to_rounding
from .verdicts import CloseLooks, Index

#: With more variables, or more products of variables and results, directions are compared.
MANY_ENTRIES, MANY_PAIRS = 256, 2**16
#: Other entries that are looked at, where one of many is wrong, to tell what the fault looks like.
OTHERS = 8


class Examination:
    """One comparison of a subject's gradients with its oracles.

    Arguments: `upstreams`, signed random numbers, one array each with a number for every result;
    `claimed`, for each of them the gradients that are to be judged.
    """

    def __init__(
        self,
        subject: Subject,
        base: Array,
        upstreams: Sequence[Array],
        claimed: Sequence[Sequence[Array]],
        report: Report,
        rng: np.random.Generator,
    ) -> None:
        self.subject, self.base, self.report, self.rng = subject, base, report, rng
        self.upstreams, self.claimed = upstreams, claimed
        self.oracles = Oracles(subject, base, report, rng)
        self.scales = scales(subject.arrays)
        self.closely = CloseLooks(subject, self.oracles, report, rng)

    def run(self) -> None:
        """Compares everything; what is wrong goes into the report."""
        count = sum(each.size for each in self.subject.arrays)
        few = count <= MANY_ENTRIES and count * self.base.size <= MANY_PAIRS
        for which, label in enumerate(self.subject.labels):
            before = len(self.report.findings)
            size = self.subject.arrays[which].size
            if size == 0:
                self.report.vacuous.append(f"{label} is empty: there is nothing to compare")
                continue
            if self.base.size == 0:
                self.report.vacuous.append(f"{label}: the result is empty")
                continue
            distinct = self._entries(which) if few else self._directions(which)
            if not distinct and len(self.report.findings) == before:
                self.report.vacuous.append(
                    f"{label}: its whole gradient is within the noise, where a wrong one would be "
                    "too; make the result depend on it more strongly"
                )
        if not self.report.findings and few and self.oracles.ties:
            unfair = share_alike(self.oracles, self.scales, self.upstreams, self.claimed)
            if unfair is not None:
                self.report.fail("gradient", unfair)
        self._overall()

    # Entry by entry -------------------------------------------------------------------------

    def _entries(self, which: int) -> bool:
        """Compares every entry of one gradient; is any of them more than noise, or surely zero?"""
        shape, scale = self.subject.arrays[which].shape, self.scales[which]
        places = [*np.ndindex(shape)]
        found = [self.oracles(self.closely.coordinate(which, each)) for each in places]
        sizes = np.array([scale[each] for each in places])
        slopes = np.stack([each.value for each in found], axis=1) / sizes
        errors = np.stack([each.error for each in found], axis=1) / sizes
        still = np.array([bool(np.all(each.still)) for each in found])
        clear = np.zeros(len(places), bool)
        zero = np.ones(len(places), bool)
        for upstream, gradients in zip(self.upstreams, self.claimed, strict=True):
            got = gradients[which].reshape(-1)
            expected = upstream @ slopes
            parts = np.abs(upstream) @ np.abs(slopes)
            tolerance = np.abs(upstream) @ errors + RELATIVE * (parts + np.max(parts))
            with np.errstate(all="ignore"):
                error = np.abs(got - expected)
                wrong = ~(error <= tolerance)
                self._worst((error / tolerance)[~wrong & (tolerance > 0)])
            clear |= ~still & (np.abs(expected) > tolerance)
            zero &= still & (got == 0)
            if np.any(wrong):
                table = dict(zip(places, expected.tolist(), strict=True))
                order = np.argsort(-np.where(np.isfinite(error), error, np.inf)[wrong])
                suspects = [places[i] for i in np.flatnonzero(wrong)[order]]
                self._judge(which, suspects, upstream, gradients, table)
                if self.report.findings:
                    break
        self.report.entries += len(places)
        self.report.zeros += int(np.sum(zero))
        self.report.indistinct += int(np.sum(~clear & ~zero))
        if self.oracles.ties:
            self.closely.count_kinks(which, places)
        else:
            self.report.kinks += sum(each.kinked for each in found)
        return bool(np.any(clear) or np.all(zero))

    def _worst(self, ratios: Array) -> None:
        if ratios.size:
            self.report.worst = max(self.report.worst, float(np.max(ratios)))

    def _judge(
        self,
        which: int,
        suspects: Sequence[Index],
        upstream: Array,
        gradients: Sequence[Array],
        table: dict[Index, float],
    ) -> None:
        """Looks closely at suspected entries, the worst first; the first guilty one is reported."""
        acquitted = 0
        for index in suspects:
            verdict = self.closely.verdict(which, index, upstream, gradients[which][index])
            if verdict is None:
                acquitted += 1
                continue
            expected, tolerance, what = verdict
            wrong = len(suspects) - acquitted
            self._report(which, index, expected, tolerance, what, wrong, upstream, gradients, table)
            return

    def _report(
        self,
        which: int,
        index: Index,
        expected: float,
        tolerance: float,
        what: str,
        wrong: int | None,
        upstream: Array,
        gradients: Sequence[Array],
        table: dict[Index, float],
    ) -> None:
        """Enters a wrong entry, and what kind of fault it looks like."""
        labels, got = self.subject.labels, gradients[which]
        others = {
            label: each
            for i, (label, each) in enumerate(zip(labels, gradients, strict=True))
            if i != which
        }
        alone = len(self.subject.shapes) == 1
        shaped = upstream.reshape(self.subject.shapes[0]) if alone else None
        lengths = {*got.shape, got.size, *(n for shape in self.subject.shapes for n in shape)}
        if self.oracles.ties and not what:
            what = "at a point where operations branch: what each chooses there need not add up"
        seems = meaning(got, {**table, index: expected}, wrong, shaped, others, sorted(lengths))
        many = "" if wrong is None else f"{wrong} of {got.size} entries are wrong"
        self.report.fail(
            "gradient",
            ", ".join(each for each in (many or "an entry is wrong", what) if each),
            input=labels[which],
            index=index,
            expected=expected,
            got=float(got[index]),
            tolerance=tolerance,
            meaning=seems,
        )

    # Along directions -----------------------------------------------------------------------

    def _directions(self, which: int) -> bool:
        """Compares one gradient along directions; is any of it more than noise, or surely zero?"""
        array, scale = self.subject.arrays[which], self.scales[which]
        distinct = False
        for upstream, gradients in zip(self.upstreams, self.claimed, strict=True):
            got = gradients[which]
            if not np.all(np.isfinite(got)):
                index = tuple(int(i) for i in np.argwhere(~np.isfinite(got))[0])
                self._judge(which, [index], upstream, gradients, {})
                return True
            for way in self._ways(got, scale):
                expected, claim, tolerance = self._along(which, way, upstream, got)
                error = abs(claim - expected.value @ upstream)
                self.report.directions += 1
                still = bool(np.all(expected.still))
                if still and not np.any(got):
                    self.report.zeros += array.size
                    return True
                distinct |= bool(abs(expected.value @ upstream) > tolerance)
                if error <= tolerance:
                    self._worst(np.array([error / tolerance]) if tolerance else np.zeros(0))
                    continue
                self._locate(which, way, upstream, gradients)
                if not self.report.findings:
                    self._settle(which, way, upstream, gradients, claim)
                if self.report.findings:
                    return True
        return distinct

    def _settle(
        self, which: int, way: Array, upstream: Array, gradients: Sequence[Array], claim: float
    ) -> None:
        """A direction that is wrong, though the entry it led to is not: is it beyond rounding?"""
        numeric = self.oracles.differences(self.closely.only(which, way), careful=True)
        if self.oracles.ties or np.any(numeric.kinked):
            return
        spread = answers_to_rounding(self.subject, upstream, self.rng)[which]
        allowed = float(np.abs(upstream) @ numeric.error + 16 * np.sum(spread * np.abs(way)))
        slope = float(upstream @ numeric.value)
        if not abs(claim - slope) <= allowed:
            self.report.fail(
                "gradient",
                f"along a direction of {self.subject.labels[which]} finite differences give "
                f"{slope:.10g}, the gradient {claim:.10g} (tolerance {allowed:.1g}), though no "
                "single entry is off by more than its tolerance",
                input=self.subject.labels[which],
            )

    def _ways(self, got: Array, scale: Array) -> list[Array]:
        """Random signed directions: of even size, and such that all entries weigh the same."""
        even = [self._signed(got.shape) * scale for _ in range(2 if self.oracles.complex else 6)]
        present = np.abs(got[got != 0])
        if not self.oracles.complex or not present.size:
            return even
        least = 1e-3 * float(np.median(present))
        alike = 1 / np.maximum(np.abs(got), least)
        return [*even, self._signed(got.shape) * alike / np.max(alike / scale)]

    def _signed(self, shape: tuple[int, ...]) -> Array:
        return self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape)

    def _along(
        self, which: int, way: Array, upstream: Array, got: Array
    ) -> tuple[Expected, float, float]:
        """What is expected along a direction, what is claimed, and how far they may differ."""
        expected = self.oracles(self.closely.only(which, way))
        products = got * way
        claim = float(np.sum(products))
        rounding = 64 * EPSILON * float(np.sum(np.abs(products)))
        tolerance = float(np.abs(upstream) @ expected.error) + rounding
        return expected, claim, tolerance

    def _locate(self, which: int, way: Array, upstream: Array, gradients: Sequence[Array]) -> None:
        """Halves a direction along which a gradient is wrong until a single entry is left."""
        got = gradients[which]
        places = np.flatnonzero(way)
        for _ in range(64):
            if len(places) <= 1:
                break
            halves = [places[: len(places) // 2], places[len(places) // 2 :]]
            excess = []
            for half in halves:
                part = np.zeros(way.size)
                part[half] = way.reshape(-1)[half]
                expected, claim, tolerance = self._along(
                    which, part.reshape(way.shape), upstream, got
                )
                excess.append(abs(claim - expected.value @ upstream) / (tolerance or 1e-300))
            places = halves[int(np.argmax(excess))]
        index = tuple(int(i) for i in np.unravel_index(places[0], way.shape))
        table = {index: self._slope(which, index, upstream)}
        for other in self.rng.choice(way.size, min(way.size, OTHERS), replace=False):
            place = tuple(int(i) for i in np.unravel_index(other, way.shape))
            table[place] = self._slope(which, place, upstream)
            if len(way.shape) == 2 and way.shape[0] == way.shape[1]:
                table[place[::-1]] = self._slope(which, place[::-1], upstream)
        off = [i for i, e in table.items() if not abs(got[i] - e) <= 1e-6 * abs(e)]
        verdict = self.closely.verdict(which, index, upstream, float(got[index]))
        if verdict is None:
            return
        wrong = 1 if off == [index] else None
        self._report(which, index, *verdict, wrong, upstream, gradients, table)

    def _slope(self, which: int, index: Index, upstream: Array) -> float:
        found = self.oracles(self.closely.coordinate(which, index))
        return float(upstream @ found.value) / float(self.scales[which][index])

    # All at once ----------------------------------------------------------------------------

    def _overall(self) -> None:
        """Compares everything, along one direction, with finite differences of its own.

        This does not depend on the complex step; what the function computes outside of Tensors, and
        a wrongly detached branch, move it.
        """
        upstream, gradients = self.upstreams[0], self.claimed[0]
        count = sum(each.size for each in self.subject.arrays)
        if not count or not self.base.size:
            return
        short = 1.0 / max(1.0, count**0.5 / 8)
        pairs = zip(gradients, self.scales, strict=True)
        ways = [short * self._signed(each.shape) * scale for each, scale in pairs]
        claim = float(sum(np.sum(g * w) for g, w in zip(gradients, ways, strict=True)))
        numeric = self.oracles.differences(ways)
        noise = float(np.abs(upstream) @ self.subject.noise)
        self.report.taylor = taylor_order(numeric, upstream, claim, noise)
        if self.report.findings:
            return
        self.report.directions += 1

        def off(found: Any) -> bool:
            allowed = float(np.abs(upstream) @ found.error)
            return not abs(claim - float(upstream @ found.value)) <= allowed

        if not off(numeric):
            return
        numeric = self.oracles.differences(ways, careful=True)
        if not off(numeric) or self.oracles.ties or np.any(numeric.kinked):
            return
        spread = answers_to_rounding(self.subject, upstream, self.rng)
        for which, way in enumerate(ways):
            part = self.closely.only(which, way)
            found = self.oracles.differences(part, careful=True)
            if np.any(found.kinked):
                continue
            slope, allowed = float(upstream @ found.value), float(np.abs(upstream) @ found.error)
            allowed += 16 * float(np.sum(spread[which] * np.abs(way)))
            step, got = self.oracles.complex_step(part), float(np.sum(gradients[which] * way))
            if step is not None and abs(upstream @ step.value - got) <= allowed:
                # Of a loss of 1e-13 differences see 0: log(1 + 1e-13), within one operation.
                allowed += 64 * EPSILON * float(np.sum(np.abs(upstream))) / found.step
            if not abs(got - slope) <= allowed:
                self.report.fail(
                    "gradient",
                    f"along a direction of {self.subject.labels[which]} finite differences give "
                    f"{slope:.10g}, the gradient {got:.10g} "
                    f"(tolerance {allowed:.1g}): the result depends on it outside of what is "
                    "recorded (through .numpy(), .item() or .detach())",
                    input=self.subject.labels[which],
                )
                return
