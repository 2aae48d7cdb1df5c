"""Where the boxes of a picture go: in ranks from top to bottom, with few crossings.

Every box is one rank below its lowest input. An edge that passes through ranks in between has a
place there as boxes have, shared by all edges from the same box; so no line ever crosses a box.
(Sugiyama, Tagawa and Toda 1981, in its simplest form: ranks by longest paths, order by barycentres,
places by least squares.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP, RANK_GAP, LANE, MARGIN = 24.0, 40.0, 14.0, 16.0
SWEEPS = 12


@dataclass(eq=False)
class Place:
    """A box, or (with `box` None) the way of an edge through a rank; `x` is its middle."""

    box: int | None
    width: float
    height: float
    rank: int
    x: float = 0.0
    y: float = 0.0
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)


@dataclass
class Layout:
    """The places of the boxes, the lines between them, and the size of the whole.

    `lines` go from place to place: from the rank above to the one below it. `bottoms` and `tops`
    are those of the ranks.
    """

    boxes: list[Place]
    lines: list[tuple[Place, Place]]
    tops: list[float]
    bottoms: list[float]
    width: float
    height: float


def arrange(sizes: Sequence[tuple[float, float]], inputs: Sequence[Sequence[int]]) -> Layout:
    """Places for boxes of these widths and heights, of which each has the given inputs.

    A box must come after its inputs.

    >>> layout = arrange([(80, 20), (60, 20), (90, 20)], [[], [], [0, 1]])
    >>> [(place.rank, place.x, place.y) for place in layout.boxes]
    [(0, 56.0, 16.0), (0, 150.0, 16.0), (1, 103.0, 76.0)]
    """
    users: list[list[int]] = [[] for _ in sizes]
    for box, given in enumerate(inputs):
        for each in dict.fromkeys(given):
            users[each].append(box)
    places = [Place(box, *sizes[box], rank) for box, rank in enumerate(_ranks(inputs, users))]
    ranks: list[list[Place]] = [[] for _ in range(max(each.rank for each in places) + 1)]
    for place in places:
        ranks[place.rank].append(place)
    lines: list[tuple[Place, Place]] = []
    for box, place in enumerate(places):
        way = place
        for rank in range(place.rank + 1, max([places[u].rank for u in users[box]], default=0) + 1):
            for user in users[box]:
                if places[user].rank == rank:
                    lines.append((way, places[user]))
            if any(places[user].rank > rank for user in users[box]):
                lane = Place(None, LANE, 0.0, rank)
                ranks[rank].append(lane)
                lines.append((way, lane))
                way = lane
    for upper, lower in lines:
        upper.below.append(lower)
        lower.above.append(upper)
    _order(ranks)
    _spread(ranks)
    left = min(each.x - each.width / 2 for rank in ranks for each in rank) - MARGIN
    top, tops, bottoms = MARGIN, [], []
    for rank_ in ranks:
        tops.append(top)
        bottoms.append(top + max(each.height for each in rank_))
        for place in rank_:
            place.x, place.y = place.x - left, top
        top = bottoms[-1] + RANK_GAP
    right = max(each.x + each.width / 2 for rank in ranks for each in rank)
    return Layout(places, lines, tops, bottoms, right + MARGIN, bottoms[-1] + MARGIN)


def _ranks(inputs: Sequence[Sequence[int]], users: Sequence[Sequence[int]]) -> list[int]:
    """The longest path to each box; boxes that read nothing, or only such, right above a user."""
    ranks: list[int] = []
    for given in inputs:
        ranks.append(max((ranks[each] for each in given), default=-1) + 1)
    for box in reversed(range(len(ranks))):
        if users[box] and not any(inputs[each] for each in inputs[box]):
            ranks[box] = min(ranks[user] for user in users[box]) - 1
    return ranks


def _order(ranks: list[list[Place]]) -> None:
    """Sorts each rank by the means of its neighbours' positions, down and up by turns."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for rank in ranks if down else ranks[::-1]:
            index = {}
            for side in {each.rank + (-1 if down else 1) for each in rank}:
                if 0 <= side < len(ranks):
                    index = {id(each): i for i, each in enumerate(ranks[side])}
            own = {id(each): float(i) for i, each in enumerate(rank)}
            for each in rank:
                near = [index[id(other)] for other in (each.above if down else each.below)]
                if near:
                    own[id(each)] = sum(near) / len(near)
            rank.sort(key=lambda each: own[id(each)])


def _spread(ranks: list[list[Place]]) -> None:
    """Gives each place its x: as near as can be to its neighbours, in order, without overlaps."""
    for rank in ranks:
        for each, offset in zip(rank, _offsets(rank), strict=True):
            each.x = offset - _offsets(rank)[-1] / 2
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for rank in ranks if down else ranks[::-1]:
            offsets = _offsets(rank)
            wanted = []
            for each, offset in zip(rank, offsets, strict=True):
                pulls = [(_pull(each, o), o.x) for o in (each.above if down else each.below)]
                weight = sum(pull for pull, _ in pulls) or 1.0
                mean = sum(pull * x for pull, x in pulls) / weight if pulls else each.x
                wanted.append((mean - offset, weight))
            for each, x, offset in zip(rank, _rising(wanted), offsets, strict=True):
                each.x = x + offset


def _pull(one: Place, other: Place) -> float:
    """How much a line wants to be straight: a long one within its lanes most, an input's least."""
    upper = min(one, other, key=lambda place: place.rank)
    if not upper.above:
        return 0.3
    return {0: 3.0, 1: 1.0, 2: 8.0}[(one.box is None) + (other.box is None)]


def _offsets(rank: list[Place]) -> list[float]:
    """How far each place is from the first at least."""
    offsets = [0.0]
    for left, right in pairwise(rank):
        offsets.append(offsets[-1] + left.width / 2 + GAP + right.width / 2)
    return offsets


def _rising(values: list[tuple[float, float]]) -> list[float]:
    """The rising numbers nearest to the given ones, which have weights: least squares.

    >>> _rising([(1.0, 1.0), (3.0, 1.0), (2.0, 3.0), (5.0, 1.0)])
    [1.0, 2.25, 2.25, 5.0]
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in values:
        mean, heavy, count = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            before, size, members = blocks.pop()
            mean = (mean * heavy + before * size) / (heavy + size)
            heavy, count = heavy + size, count + members
        blocks.append((mean, heavy, count))
    return [mean for mean, _, count in blocks for _ in range(count)]
