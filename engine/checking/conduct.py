"""Every check that a subject is put to, in order: what must hold before the next makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..devices import get_device
from ..errors import describe
from .differences import Array, scales, signed
from .examine import Examination
from .oracles import NOISE, RELATIVE
from .precision import compare_precisions
from .recorded import GradientSubject, RecordedSubject, TensorSubject
from .report import Report
from .subjects import Subject, answers_to_rounding, filled, flat

#: A Jacobian with at most so many results is compared row by row, too.
MANY_ROWS, MANY_PAIRS = 16, 1024


def check_subject(
    subject: Subject,
    report: Report,
    order: int = 1,
    quick: bool = False,
    devices: Sequence[str] = (),
) -> None:
    """Every check, up to derivatives of some order; what is found goes into the report."""
    rng = np.random.default_rng(report.seed)
    for each in subject.notes:
        report.note(each)
    checked = _first_order(subject, report, rng)
    if checked is None:
        return
    upstreams, claimed = checked
    if isinstance(subject, TensorSubject) and report.ok:
        names = [get_device(each).name for each in devices]
        compare_precisions(subject, upstreams[0], claimed, report, rng, quick, names)
    if order == 1 or not report.ok:
        return
    assert isinstance(subject, RecordedSubject)
    above: RecordedSubject = subject
    for level in range(2, order + 1):
        if report.kinks:
            report.note(f"order {level} is not checked: on a kink there is no such derivative")
            report.order = level - 1
            return
        further = Report(report.name, report.seed, level)
        noise = flat(_noise(above, upstreams[0]))
        above = GradientSubject(above, upstreams[0])
        above.noise = noise
        base = above.value(above.arrays)
        recorded = above.recorded_value()
        off = np.abs(recorded - base)
        allowed = RELATIVE * np.max(np.abs(base), initial=0.0) + noise
        if not np.all(off <= allowed):
            allowed = allowed + 16 * answers_to_rounding(above, None, rng)[0]
        if not np.all(off <= allowed):
            worst = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
            further.fail(
                "second order",
                f"a gradient that is recorded (create_graph=True) is not that of backward(): "
                f"{recorded[worst]:.10g} instead of {base[worst]:.10g}; a definition= that is not "
                "the operation's, or a VJP that does not compute with k",
            )
        else:
            found = _first_order(above, further, rng)
            further.findings = [
                replace(each, kind=f"order {level}: {each.kind}") for each in further.findings
            ]
            upstreams = upstreams if found is None else found[0]
        report.include(further)
        if not report.ok:
            return


def _first_order(
    subject: Subject, report: Report, rng: np.random.Generator
) -> tuple[list[Array], list[Array]] | None:
    """Checks the gradients of a subject.

    Returns the upstream gradients, and the subject's gradients for the first of them; None if
    there is no sense in going on.
    """
    copies = [each.copy() for each in subject.arrays]
    base = subject.value(subject.arrays)
    if not _unchanged(subject, copies, "the function", report):
        return None
    if any(each.size for each in copies) and not np.all(np.isfinite(base)):
        place = int(np.flatnonzero(~np.isfinite(base))[0])
        raise ValueError(
            f"gradcheck: {subject.name} gives {base[place]} at the point (result entry {place} of "
            f"{base.size}); check at a point inside of the domain"
        )
    if not np.array_equal(subject.value(subject.arrays), base):
        report.fail(
            "repeatability",
            "the function is not deterministic: two calls with the same inputs differ; draw its "
            "random numbers from cr.random, or outside of it",
        )
        return None
    subject.noise = NOISE * np.abs(base) + subject.noise
    upstreams = [signed(rng, base.shape) for _ in range(2)]
    if base.size and upstreams[0][0] * upstreams[1][0] > 0:
        upstreams[1] *= -1  # both signs, also of a single number
    pairs = base.size * sum(each.size for each in subject.arrays)
    if 1 < base.size <= MANY_ROWS and pairs <= MANY_PAIRS:
        upstreams += [*(np.diag(signed(rng, base.shape)))]
    kept = [each.copy() for each in upstreams]
    found = subject.gradients(upstreams)
    claimed = [filled(each, subject.arrays) for each in found]
    if not (
        _unchanged(subject, copies, "the gradient", report)
        and _upstream_unchanged(upstreams, kept, report)
        and _well_formed(subject, found, upstreams, report)
        and _steady(subject, upstreams, claimed, report, rng)
    ):
        return None
    if not np.all(np.isfinite(base)):  # of nothing, as the logarithm of an empty sum
        report.vacuous += [
            f"{label} is empty: there is nothing to compare" for label in subject.labels
        ]
        return upstreams, claimed[0]
    Examination(subject, base, upstreams, claimed, report, rng).run()
    return upstreams, claimed[0]


def _unchanged(subject: Subject, copies: Sequence[Array], who: str, report: Report) -> bool:
    for label, now, before in zip(subject.labels, subject.arrays, copies, strict=True):
        if not np.array_equal(now, before, equal_nan=True):
            now[...] = before
            report.fail("mutation", f"{who} changes {label} in place", input=label)
            return False
    return True


def _upstream_unchanged(upstreams: Sequence[Array], kept: Sequence[Array], report: Report) -> bool:
    for now, before in zip(upstreams, kept, strict=True):
        if not np.array_equal(now, before):
            report.fail("mutation", "the gradient changes the upstream gradient in place")
            return False
    return True


def _well_formed(
    subject: Subject, found: Sequence[Sequence[Any]], upstreams: Sequence[Array], report: Report
) -> bool:
    """Shapes and dtypes of gradients; and that they share no memory with inputs or each other."""
    for gradients in found:
        for i, (label, each) in enumerate(zip(subject.labels, gradients, strict=True)):
            array = subject.arrays[i]
            if each is None:
                continue
            if not hasattr(each, "shape") or each.shape != array.shape:
                told = describe(each)
                report.fail(
                    "shape", f"the gradient has {told}, {label} has {describe(array)}", input=label
                )
                return False
            if each.dtype != array.dtype:
                report.fail("dtype", f"the gradient of {label} is {each.dtype}", input=label)
                return False
            for other_label, other in zip(subject.labels, subject.arrays, strict=True):
                if each.size and np.shares_memory(each, other):
                    report.fail(
                        "aliasing",
                        f"the gradient of {label} shares the memory of {other_label}; copy it",
                        input=label,
                    )
                    return False
            if any(each.size and np.shares_memory(each, other) for other in upstreams):
                report.note(f"the gradient of {label} shares the memory of the upstream gradient")
    return True


def _noise(subject: Subject, upstream: Array) -> list[Array]:
    """How large entries of gradients are that come from rounding the result alone."""
    return [np.abs(upstream) @ subject.noise / each for each in scales(subject.arrays)]


def _steady(
    subject: Subject,
    upstreams: Sequence[Array],
    claimed: Sequence[Sequence[Array]],
    report: Report,
    rng: np.random.Generator,
) -> bool:
    """Are gradients the same again, bit for bit; linear in the upstream; and whatever it lies like?

    Near zero they are the same, here, if they differ by no more than rounding would move them.
    """
    (first, second), (a, b) = upstreams[:2], (-0.75, 0.5)
    # What sum() hands back: the same number everywhere, and in memory only once.
    ones = np.broadcast_to(1.0, first.shape)
    noise = _noise(subject, np.abs(first) + np.abs(second) + ones)

    def close(which: int, got: Array, expected: Array, parts: Array) -> bool:
        allowed = RELATIVE * (parts + np.max(parts, initial=0.0)) + noise[which]
        with np.errstate(invalid="ignore"):
            off = np.abs(got - expected)
        if np.any(off > allowed):
            allowed = allowed + 16 * np.max(answers_to_rounding(subject, first, rng)[which])
        return bool(np.all((off <= allowed) | ~np.isfinite(expected)))

    again = filled(subject.gradients([first])[0], subject.arrays)
    spaced = filled(subject.gradients([first], spaced=True)[0], subject.arrays)
    for which, label in enumerate(subject.labels):
        one = claimed[0][which]
        if not np.array_equal(again[which], one, equal_nan=True):
            text = f"the gradient of {label} is not the same the second time"
            report.fail("repeatability", text, input=label)
            return False
        if not close(which, spaced[which], one, np.abs(one)):
            text = f"the gradient of {label} is another for an upstream that is spaced in memory"
            report.fail("repeatability", text, input=label)
            return False
    mixed, zeros = a * first + b * second + ones, np.zeros(first.shape)
    constant, combined, nothing = (
        filled(g, subject.arrays) for g in subject.gradients([ones, mixed, zeros])
    )
    for which, label in enumerate(subject.labels):
        if np.any((nothing[which] != 0) & np.isfinite(nothing[which])):
            text = f"the gradient of {label} is not 0 for an upstream gradient of zeros"
            report.fail("linearity", text, input=label)
            return False
        one, two, rest = claimed[0][which], claimed[1][which], constant[which]
        parts = np.abs(a * one) + np.abs(b * two) + np.abs(rest)
        if not close(which, combined[which], a * one + b * two + rest, parts):
            report.fail(
                "linearity",
                f"the gradient of {label} is not linear in the upstream gradient: that of "
                f"{a} g + {b} h + 1 is not {a} times that of g plus {b} times that of h plus that "
                "of ones",
                input=label,
            )
            return False
    return True
