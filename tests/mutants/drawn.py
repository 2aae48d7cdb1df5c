"""The table as it is, on drawn shapes, axes and points, where a checker must find nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.engine.calls import Call, ElementwiseCall, broadcasts_of, calls_of
from chainrule.engine.cases import Case
from chainrule.engine.record import Record

from .checkers import Checker
from .plant import has_ties, records
from .sites import Site, tied_sites_of

#: Reductions and the like: operations of one array along axes, of any shape.
ALONG = ("sum", "mean", "max", "min", "prod", "logsumexp", "var", "norm", "median")
ALONG_ONE = ("softmax", "log_softmax", "cumulative_sum", "cumulative_prod", "sort", "flip")


def _shape(rng: np.random.Generator, most: int = 3, least: int = 1) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, 4, rng.integers(least, most + 1)))


def _narrowed(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to another."""
    kept = tuple(1 if rng.uniform() < 0.3 else n for n in shape)
    return kept[rng.integers(0, len(shape) + 1) :] if rng.uniform() < 0.3 else kept


def _axes(rng: np.random.Generator, ndim: int) -> Any:
    if rng.uniform() < 0.2:
        return None
    count = int(rng.integers(1, ndim + 1))
    axes = tuple(int(i) - ndim * int(rng.integers(2)) for i in rng.permutation(ndim)[:count])
    return axes[0] if count == 1 else axes


def drawn_call(record: Record, rng: np.random.Generator) -> Call | ElementwiseCall:
    """A call of the record on drawn shapes; where there is no rule for them, one of its cases."""
    calls = [*calls_of(record), *broadcasts_of(record)]
    call = calls[rng.integers(len(calls))]
    shape = _shape(rng)
    if isinstance(call, ElementwiseCall):
        shapes = [shape, *(_narrowed(rng, shape) for _ in call.shapes[1:])]
        return ElementwiseCall(record, tuple(shapes[i] for i in rng.permutation(len(shapes))))
    name = record.name
    if name in ALONG:
        static = {"axis": _axes(rng, len(shape)), "keepdims": bool(rng.integers(2))}
        return Call(record, Case((shape,), static))
    if name in ALONG_ONE:
        return Call(record, Case((shape,), {"axis": int(rng.integers(-len(shape), len(shape)))}))
    if name == "matmul":
        rows, inner, columns = (int(n) for n in rng.integers(1, 4, 3))
        batch = _shape(rng, 2, 0)
        a, b = (*_narrowed(rng, batch), rows, inner), (*_narrowed(rng, batch), inner, columns)
        return Call(record, Case((a if rng.uniform() < 0.9 else (inner,), b), {}))
    return call


def drawn_site(record: Record, seed: int) -> tuple[Site, bool]:
    """A drawn call at a drawn point, and whether it has ties there, or lies on kinks."""
    rng = np.random.default_rng(seed)
    if has_ties(record) and rng.uniform() < 0.3:
        tied = tied_sites_of(record, seed)
        if tied:
            return tied[rng.integers(len(tied))], True
    call = drawn_call(record, rng)
    return Site(f"{call!r}, seed {seed}", call, tuple(map(np.asarray, call.draw(seed)))), False


@dataclass
class Alarmed:
    """How many cases were drawn, how many of them on kinks, and which were called wrong."""

    cases: int = 0
    second: int = 0
    tied: int = 0
    by_record: Counter[str] = field(default_factory=Counter)
    alarms: list[str] = field(default_factory=list)


def sites(count: int, first_seed: int = 0) -> Iterator[tuple[Record, Site, bool]]:
    """That many drawn sites, of every record in turn; those without a variable are left out."""
    every, seed = records(), first_seed
    while count:
        record = every[seed % len(every)]
        site, tied = drawn_site(record, seed)
        seed += 1
        if site.arrays and all(each.size for each in site.arrays):
            yield record, site, tied
            count -= 1


def look_for_alarms(
    checker: Checker, count: int, first_seed: int = 0, progress: Callable[[str], None] = print
) -> Alarmed:
    """Shows a checker the right gradients of drawn cases; every fifth to second order."""
    found = Alarmed()
    for record, site, tied in sites(count, first_seed):
        order = 2 if found.cases % 5 == 4 and not tied and checker.second is not None else 1
        if checker.finds(site, order):
            found.alarms.append(f"order {order}: {site!r}")
            progress(f"FALSE ALARM {found.alarms[-1]}")
        found.cases += 1
        found.second += order == 2
        found.tied += tied
        found.by_record[record.name] += 1
    return found
