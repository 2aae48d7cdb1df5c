"""Gradients at kinks: what may be one, where one-sided slopes differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .differences import EPSILON, Array, Direction, Slope, moved, signed, weighed
from .oracles import Oracles
from .subjects import Subject

#: How far a neighbour lies, in units of the inputs' scales, and the step of differences there.
NEAR, STEP = 1e-5, 1e-8
#: So many neighbours are tried: of six equal elements any order may be the one that is needed. If
#: the first few have the same slope, so have all.
NEIGHBOURS, FEW = 200, 24


def between(numeric: Slope, upstream: Array) -> tuple[float, float, float]:
    """The least and the largest slope of <upstream, result>, and how far these may be off.

    Where one-sided slopes differ, each of them may be the one.
    """
    kinked = numeric.kinked
    sides = np.where(kinked, np.stack([numeric.left, numeric.right]), numeric.value) * upstream
    room = weighed(np.abs(upstream), np.where(kinked, numeric.side_error, numeric.error))
    return float(np.sum(sides.min(0))), float(np.sum(sides.max(0))), float(room)


def neighbours_allow(
    subject: Subject,
    scales: Sequence[Array],
    direction: Direction,
    upstream: Array,
    got: float,
    rng: np.random.Generator,
) -> bool:
    """Does `got`, the slope along a direction, lie between those at points near by?

    Of three equal elements the one that is sorted into the middle has the upstream gradient of the
    middle place; moved alone it goes to either end. Its neighbours, where no elements are equal,
    have the slopes of all three.
    """
    low, high, room = np.inf, -np.inf, 0.0
    for tried in range(NEIGHBOURS):
        there = [
            array + NEAR * scale * signed(rng, scale.shape)
            for array, scale in zip(subject.arrays, scales, strict=True)
        ]
        with np.errstate(all="ignore"):
            ends = [subject.value(moved(there, direction, sign * STEP)) for sign in (1, -1)]
        slope = float(upstream @ (ends[0] - ends[1])) / (2 * STEP)
        low, high = min(low, slope), max(high, slope)
        room = max(room, 4 * EPSILON / STEP * float(np.abs(upstream) @ np.abs(ends[0])))
        # Where the slopes near by are all the same there is nothing to choose between.
        if high - low > 100 * room + 1e-2 * (abs(low) + abs(high)) and (
            low - room <= got <= high + room
        ):
            return True
        if tried == FEW and not high - low > room + 1e-3 * (abs(low) + abs(high)):
            return False
    return False


def share_alike(
    oracles: Oracles,
    scales: Sequence[Array],
    upstreams: Sequence[Array],
    claimed: Sequence[Sequence[Array]],
) -> str | None:
    """What is wrong along the direction in which equal entries stay equal; None if nothing is.

    Each of two equal largest entries may get all of the gradient, or nothing; but not both all:
    along that direction the slope is 1, here and at all points near by. In clip(x, 0, 1) - relu(y)
    at 0 it is 0 here and 1 at some point near by, and so may be 1.
    """
    numeric = oracles.differences(list(scales), careful=True)
    for upstream, gradients in zip(upstreams, claimed, strict=True):
        products = [g * scale for g, scale in zip(gradients, scales, strict=True)]
        got = float(sum(np.sum(each) for each in products))
        low, high, room = between(numeric, upstream)
        # Where a second derivative jumps, differences are off by more than they estimate.
        room += 1e-6 * float(sum(np.sum(np.abs(each)) for each in products))
        if not low - room <= got <= high + room and not neighbours_allow(
            oracles.subject, scales, list(scales), upstream, got, oracles.rng
        ):
            return (
                "at ties: along the direction in which equal entries stay equal the slope lies "
                f"between {low:.10g} and {high:.10g}, and the gradient gives {got:.10g} (tolerance "
                f"{room:.1g}); equal entries do not share what there is to share"
            )
    return None
