"""From the times of slices to a row: medians, and our time over the best peer's pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Timing:
    """What one contender took: seconds a step, the median of the slices' own medians.

    `least` is what remains on a machine that others use too: the least, over the slices, of what
    the fastest tenth of the steps took. `seconds` of what is no time (bytes, slopes) is that.
    """

    name: str
    kind: str
    seconds: float
    least: float
    slices: list[float] = field(default_factory=list, repr=False)


@dataclass
class Result:
    """One row: the workload, who took what, and our ratios to the best peer that counts.

    `ratios` holds, by the name of our install, the median over the rounds of our slice over the
    best peer's of the same round; `beside`, the same to the best of all peers, where not all count
    for the target; `least`, our least time over the least of the peers that count. `unit` is "s",
    "B" or ""; `points`, of what grows, holds what was measured at each size.
    """

    workload: str
    title: str
    target: float | None
    timings: list[Timing]
    best: str | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    best_of_all: str | None = None
    beside: dict[str, float] = field(default_factory=dict)
    least: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    unit: str = "s"
    note: str = ""
    points: dict[str, list[dict[str, float]]] = field(default_factory=dict, repr=False)

    @property
    def ours(self) -> list[Timing]:
        """Our installs."""
        return [each for each in self.timings if each.kind == "ours"]

    @property
    def figure(self) -> float | None:
        """The ratio that is held against the target: that of the better install."""
        return min(self.ratios.values(), default=None)

    @property
    def reached(self) -> bool | None:
        """Is the target reached? None if there is none, or no peer."""
        if self.target is None or self.figure is None:
            return None
        return self.figure <= self.target


def timing(name: str, kind: str, slices: Sequence[Sequence[float]]) -> Timing:
    """Of the steps of each slice the median, and the median of these.

    >>> timing("it", "eager", [[1.0, 2.0, 9.0], [4.0, 4.0, 4.0]])
    Timing(name='it', kind='eager', seconds=3.0, least=1.2)
    """
    medians = [float(np.median(each)) for each in slices]
    least = min(float(np.quantile(each, 0.1)) for each in slices)
    return Timing(name, kind, float(np.median(medians)), least, medians)


def pairwise(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of ours over theirs, slice by slice of the same round.

    >>> pairwise([1.0, 30.0, 3.0], [2.0, 60.0, 1.0])  # the second round met a slow machine
    0.5
    """
    return float(np.median(np.divide(ours, theirs)))


def best(timings: Sequence[Timing], kinds: Sequence[str]) -> Timing | None:
    """The peer of these kinds whose median is least.

    One peer for all rounds: the least of several in each round would be whoever was lucky there.
    """
    return min(
        (each for each in timings if each.kind in kinds), key=lambda t: t.seconds, default=None
    )


def result(
    workload: str,
    title: str,
    target: float | None,
    against: Sequence[str],
    timings: Sequence[Timing],
    left_out: Mapping[str, str],
    *,
    unit: str = "s",
    note: str = "",
) -> Result:
    """The row of a workload from what each contender took in the same rounds."""
    row = Result(workload, title, target, list(timings), left_out=dict(left_out), unit=unit)
    row.note = note
    peer, of_all = best(timings, against), best(timings, ("eager", "compiled"))
    fastest = min((each.least for each in timings if each.kind in against), default=None)
    for each in row.ours:
        if fastest is not None:
            row.least[each.name] = each.least / fastest
        if peer is not None:
            row.best = peer.name
            row.ratios[each.name] = pairwise(each.slices, peer.slices)
        if of_all is not None and of_all is not peer:
            row.best_of_all = of_all.name
            row.beside[each.name] = pairwise(each.slices, of_all.slices)
    return row
