"""Checking an operation on all the cases of its record, and on points where it branches."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import Any

import numpy as np

from ..calls import Call, ElementwiseCall, broadcasts_of, calls_of, kinks_of
from ..record import Record
from .conduct import check_subject
from .differences import differences
from .oracles import Oracles
from .recorded import TensorSubject
from .report import Report


def check_cases(
    record: Record,
    order: int = 2,
    seed: int | None = None,
    kernels: str | None = None,
    quick: bool = False,
) -> Report:
    """The report on an operation: all its cases, and the same with ties and on kinks.

    Raises ValueError for a record that has no gradient, or no cases.
    """
    if not record.differentiable:
        raise ValueError(f"gradcheck: {record.name} has no gradient to check")
    calls: list[Call | ElementwiseCall] = [*calls_of(record), *broadcasts_of(record)]
    if not calls:
        raise ValueError(
            f"gradcheck: {record.name} has no cases; give its record cases=[case(...), ...], calls "
            "on which it is checked, or give gradcheck the inputs"
        )
    start = zlib.crc32(record.name.encode()) if seed is None else int(seed)
    whole = Report(record.name, start)
    cases = 0
    for call in calls:
        for arrays, highest in points(call, start):
            cases += 1
            report = Report(repr(call), start)
            subject = TensorSubject(call, arrays, range(len(arrays)), None, kernels, repr(call))
            check_subject(subject, report, (highest and order) or 1, quick)
            report.findings = [
                replace(each, text=f"{call!r}: {each.text}") for each in report.findings
            ]
            full = all(each.size for each in arrays) and any(map(math.prod, subject.shapes))
            # An empty array, or result, is a case for its shapes.
            report.vacuous = [f"{call!r}: {each}" for each in report.vacuous] if full else []
            report.notes = [each for each in report.notes if "float64" not in each]
            whole.include(report)
    whole.cases = cases
    return whole


def points(call: Call | ElementwiseCall, seed: int) -> list[tuple[list[Any], bool]]:
    """Where a call is checked, and whether there also to second order.

    At drawn numbers, off kinks and ties; and, where an operation branches, with many of the numbers
    equal, or on its kinks.
    """
    arrays = call.draw(seed)
    found: list[tuple[list[Any], bool]] = [(arrays, True)]
    tied = _on_kinks(call, arrays) if isinstance(call, ElementwiseCall) else _tied(call, arrays)
    if tied is not None and _branches(call, tied):
        found.append((tied, False))
    return found


def _on_kinks(call: ElementwiseCall, arrays: list[Any]) -> list[Any] | None:
    """The arrays, with kinks among the entries; or, of two arguments, with equal ones."""
    if len(arrays) == 1:
        kinks = kinks_of(call.record)
        on = arrays[0].copy()
        on.reshape(-1)[: len(kinks)] = kinks[: on.size]
        return [on] if kinks and on.size else None
    first, *rest = arrays
    if any(each.shape != first.shape for each in rest) or not first.size:
        return None
    return [
        first,
        *(np.where(np.arange(first.size).reshape(first.shape) % 2, first, each) for each in rest),
    ]


def _tied(call: Call, arrays: list[Any]) -> list[Any] | None:
    """The arrays, with only two numbers for each domain: of most entries others are equal."""
    domains = [call.record.domain.get(call.record.argument_base(i)) for i in call.variable]
    found = []
    for domain, each in zip(domains, arrays, strict=True):
        alike = [a for a, other in zip(arrays, domains, strict=True) if other == domain]
        pool = np.sort(np.concatenate([a.reshape(-1) for a in alike]))
        if not pool.size:
            return None
        low, high = pool[len(pool) // 3], pool[-1 - len(pool) // 3]
        found.append(np.where(each > np.median(pool), high, low))
    return found


def _branches(call: Call | ElementwiseCall, arrays: list[Any]) -> bool:
    """Does the operation meet ties there, and have finite one-sided slopes?"""
    try:
        with np.errstate(all="ignore"):
            subject = TensorSubject(call, arrays, range(len(arrays)))
            base = subject.value(arrays)
    except (ArithmeticError, ValueError):
        return False  # the numbers are outside of the domain
    if not np.all(np.isfinite(base)):
        return False
    if not Oracles(subject, base, Report(""), np.random.default_rng(0)).ties:
        return False
    way = [np.ones(each.shape) for each in arrays]
    near, far = (differences(subject.value, arrays, way, base, step) for step in (1e-6, 1e-3))
    return bool(np.all(np.abs(near.right) <= 10 * (1 + np.abs(far.right))))
