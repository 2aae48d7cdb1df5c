"""Measuring two things in one run, so that a ratio holds when the machine's speed drifts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds are medians; `ratio` is the median of pairwise ratios.

    `target`, if there is one, is what the ratio should not exceed. `seconds` is None where nothing
    was timed; `moved` and `operations` are the bytes and operations of a GPU's kernel.
    """

    workload: str
    seconds: float | None
    peer: str = ""
    peer_seconds: float | None = None
    ratio: float | None = None
    target: float | None = None
    note: str = ""
    moved: int | None = None
    operations: int | None = None


def interleave(
    functions: dict[str, Callable[[], object]], repeats: int, inner: int = 1
) -> dict[str, np.ndarray]:
    """The seconds per call of each function, in `repeats` rounds of A B A B ..., after a warm-up.

    Each measurement is the mean of `inner` calls.
    """
    for function in functions.values():
        function()
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(inner):
                function()
            times[name].append((time.perf_counter() - start) / inner)
    return {name: np.array(each) for name, each in times.items()}


def compare(
    workload: str,
    ours: Callable[[], object],
    peer: str,
    theirs: Callable[[], object],
    *,
    repeats: int,
    inner: int = 1,
    target: float | None = None,
    note: str = "",
) -> Row:
    """The row that compares our function with a peer's."""
    times = interleave({"ours": ours, "theirs": theirs}, repeats, inner)
    return Row(
        workload,
        float(np.median(times["ours"])),
        peer,
        float(np.median(times["theirs"])),
        float(np.median(times["ours"] / times["theirs"])),
        target,
        note,
    )
