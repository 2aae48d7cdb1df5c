"""Files that are damaged in every way: each must be an error, at once, and take little memory.

The kinds of damage are those of the tests: `tests/training/saving/corruption.py`.
"""

from __future__ import annotations

import time

from benchmarks.reliability.figures import Figure, Found


def measure(cases: int = 2000, seed: int = 0) -> Found:
    """Damage so many bundles and files of weights, as the seed draws, and read each."""
    from tests.training.saving import corruption

    begin = time.perf_counter()
    found = list(corruption.cases(cases, seed))
    seconds = time.perf_counter() - begin
    faults = [
        f"{each.verdict}: {each.kind} of {each.file}: {each.error!r}"[:400]
        for each in found
        if each.verdict
    ]
    kinds = sorted({each.kind for each in found})
    loaded = sum(each.error is None for each in found)
    figures = [
        Figure("damaged bundles and files of weights", len(found)),
        Figure("kinds of damage", len(kinds)),
        Figure("loaded all the same", loaded, most=0),
        Figure("other errors, or late, or in much memory", len(faults) - loaded, most=0),
        Figure("the slowest", 1e3 * max(each.seconds for each in found), "ms"),
        Figure("duration", seconds, "s"),
    ]
    return Found("corrupt", figures, {"kinds": kinds}, faults)
