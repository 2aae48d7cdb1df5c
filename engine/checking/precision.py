"""Gradients in float32, by other kernel sets and on other devices, beside those of float64.

How far they may differ follows from machine epsilon and from how ill-conditioned the gradient is:
the inputs and the results of all operations, forward and backward, are moved by a few units in the
last place, and the largest answer to that is the measure. What is too large for float32 is noted,
and not compared.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..devices import cpu, get_device
from .differences import Array
from .recorded import TensorSubject
from .report import Report
from .subjects import filled, jittered

#: Times machine epsilon times (condition + gradient): what a chain of operations may lose.
MULTIPLE = 64.0
DRAWS = 4


def compare_precisions(
    subject: TensorSubject,
    upstream: Array,
    claimed: list[Array],
    report: Report,
    rng: np.random.Generator,
    quick: bool,
    devices: Sequence[str],
) -> None:
    """Runs the function as its users do, and compares; what is off goes into the report.

    `claimed` are the gradients in float64, for that upstream gradient.
    """
    sets = [subject.kernel_set] if quick else [*cpu.sets]
    settings: list[tuple[str, str, str | None]] = [("cpu", "float32", each) for each in sets]
    settings += [("cpu", "float64", each) for each in sets if each != subject.kernel_set]
    for name in devices:
        settings += [(name, d, s) for s in get_device(name).sets for d in ("float32", "float64")]
    measured: dict[str, _Measure] = {}
    for device, dtype, kernels in settings:
        if dtype not in measured:
            known = claimed if dtype == "float64" else None
            measured[dtype] = _Measure(subject, upstream, np.dtype(dtype), rng, known)
        before = subject.arrays
        subject.arrays = rounded(subject, np.dtype(dtype))
        try:
            if (device, dtype) == ("cpu", "float64"):
                found = subject.by_kernels(kernels, upstream)
            else:
                with np.errstate(all="ignore"):
                    found = subject.natively(np.dtype(dtype), device, kernels, upstream)
        except Exception as error:
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            text = f"does not run in {dtype} on {device}: {told[:150]}"
            if device == "cpu" and not subject.narrow:  # nobody has asked for it
                report.note(text)
                continue
            report.fail("precision", text)
            return
        finally:
            subject.arrays = before
        where = f"in {dtype}" + (f", by the kernel set {kernels!r}" if kernels else "")
        where += f" on {device}" if device != "cpu" else ""
        if not _agrees(subject, found, measured[dtype], where, report):
            return


def rounded(subject: TensorSubject, dtype: np.dtype) -> list[Array]:
    """The variables, of which the inputs, not the parameters, are rounded to a dtype."""
    count = len(subject.positions)
    inputs = [each.astype(dtype).astype(np.float64) for each in subject.arrays[:count]]
    return [*inputs, *subject.arrays[count:]]


class _Measure:
    """The gradients at the point, rounded to a dtype, and how ill-conditioned they are there."""

    def __init__(
        self,
        subject: TensorSubject,
        upstream: Array,
        dtype: np.dtype,
        rng: np.random.Generator,
        known: list[Array] | None,
    ) -> None:
        self.subject, self.upstream, self.rng = subject, upstream, rng
        self.dtype, self.epsilon = dtype, float(np.finfo(dtype).eps)
        self.start = rounded(subject, dtype)
        self.expected = self._at(self.start) if known is None else known

    def _at(self, arrays: list[Array]) -> list[Array]:
        before, self.subject.arrays = self.subject.arrays, arrays
        try:
            return filled(self.subject.gradients([self.upstream])[0], arrays)
        finally:
            self.subject.arrays = before

    @functools.cached_property
    def conditions(self) -> list[Array]:
        """For each gradient, how much it answers to moving the point, per unit."""
        found = [np.zeros(each.shape) for each in self.start]
        for _ in range(DRAWS):
            moved = [jittered(each, self.rng, 2 * self.epsilon) for each in self.start]
            with self.subject.rounded(self.rng, 8 * self.epsilon), np.errstate(all="ignore"):
                near = self._at(moved)
            triples = zip(near, self.expected, found, strict=True)
            with np.errstate(all="ignore"):
                answers = [(np.abs(a - e) / (8 * self.epsilon), c) for a, e, c in triples]
            found = [np.maximum(c, np.nan_to_num(each, nan=np.inf)) for each, c in answers]
        return found


def _agrees(
    subject: TensorSubject,
    found: Sequence[Array | None],
    measure: _Measure,
    where: str,
    report: Report,
) -> bool:
    unit = MULTIPLE * measure.epsilon
    count, limits = len(subject.positions), np.finfo(measure.dtype)
    for i, (label, got, exact) in enumerate(
        zip(subject.labels, found, measure.expected, strict=True)
    ):
        if got is None:
            got = np.zeros(exact.shape)
        elif i < count and got.dtype != measure.dtype:
            report.fail("dtype", f"the gradient of {label} is {got.dtype} {where}", input=label)
            return False
        host: Any = got
        got = np.asarray(host.get() if hasattr(host, "get") else host, np.float64)
        with np.errstate(all="ignore"):
            off = np.abs(got - exact) if got.shape == exact.shape else np.full((), np.inf)
            if got.shape == exact.shape:
                off = np.where(np.isnan(exact) | (got == exact), 0.0, off)
                beyond = np.abs(exact) > limits.max
                if np.any(beyond & (off > 0)):
                    report.note(f"the gradient of {label} is too large for {measure.dtype}")
                    off = np.where(beyond, 0.0, off)
            if np.all(off <= unit / 8 * np.abs(exact)):
                continue
            parts = measure.conditions[i] + np.abs(exact)
            allowed = unit * (parts + np.max(parts, initial=0.0) + limits.tiny)
        if np.all(off <= allowed):
            continue
        if got.shape != exact.shape:
            report.fail("shape", f"the gradient of {label} has shape {got.shape} {where}")
            return False
        index = np.unravel_index(
            int(np.argmax(np.nan_to_num(off - allowed, nan=np.inf))), off.shape
        )
        place = tuple(int(n) for n in index)
        report.fail(
            "precision",
            f"{where} the gradient is not that of float64",
            input=label,
            index=place,
            expected=float(exact[place]),
            got=float(got[place]),
            tolerance=float(allowed[place]),
        )
        return False
    return True
