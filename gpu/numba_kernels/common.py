"""What the families' kernels share: reductions over the threads of a row.

A *team* is the threads that share a row: 1, 2, 4, ... 32 lanes of a warp, or the whole block.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

#: All lanes of a warp, as a mask.
FULL = 0xFFFFFFFF


class Reductions(NamedTuple):
    """Device functions: `larger(a, b)`, NaN if one is; and `sum` and `max`, reductions over a team.

    A reduction is a function of (value, team), to which all threads of the block come, and from
    which each returns with the result of its team.
    """

    larger: Any
    sum: Any
    max: Any


def reductions(cuda: Any, real: Any) -> Reductions:
    """The device functions for numbers of one type."""

    @cuda.jit(device=True)
    def add(a: Any, b: Any) -> Any:
        return a + b

    @cuda.jit(device=True)
    def larger(a: Any, b: Any) -> Any:
        return a if a > b or a != a else b

    return Reductions(
        larger,
        team_reduction(cuda, real, add, 0.0),
        team_reduction(cuda, real, larger, -math.inf),
    )


def team_reduction(cuda: Any, real: Any, combine: Callable[..., Any], neutral: float) -> Any:
    """A reduction over a team: by shuffles within each warp, then over the warps of the block."""
    start = real(neutral)

    @cuda.jit(device=True)
    def reduce(value: Any, team: Any) -> Any:
        spare = cuda.shared.array(32, real)
        distance = min(team, 32) // 2
        while distance > 0:
            value = combine(value, cuda.shfl_xor_sync(FULL, value, distance))
            distance //= 2
        if team > 32:
            lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
            if lane == 0:
                spare[warp] = value
            cuda.syncthreads()
            value = spare[lane] if lane < team // 32 else start
            distance = 16
            while distance > 0:
                value = combine(value, cuda.shfl_xor_sync(FULL, value, distance))
                distance //= 2
            cuda.syncthreads()
        return value

    return reduce


def powers(cuda: Any, real: Any) -> tuple[Any, Any]:
    """Device functions: the largest number x of a row, `top`; and the sum of exp(x - top)."""
    shared = reductions(cuda, real)
    larger, team_sum, team_max = shared.larger, shared.sum, shared.max
    zero, lowest = real(0), real(-math.inf)

    @cuda.jit(device=True)
    def row_max(x: Any, offset: Any, n: Any, rank: Any, team: Any) -> Any:
        top = lowest
        for j in range(rank, n, team):
            top = larger(top, x[offset + j])
        return team_max(top, team)

    @cuda.jit(device=True)
    def row_total(x: Any, top: Any, offset: Any, n: Any, rank: Any, team: Any) -> Any:
        total = zero
        for j in range(rank, n, team):
            total += math.exp(x[offset + j] - top)
        return team_sum(total, team)

    return row_max, row_total


def column_reduction(cuda: Any, real: Any) -> Any:
    """A device function of (value, width): the sum of a value in each thread at the same column.

    Thread t of a block of 256 is at column t % width; every thread gets the sum of its column.
    """

    @cuda.jit(device=True)
    def column_sum(value: Any, width: Any) -> Any:
        kept = cuda.shared.array(256, real)
        at = cuda.threadIdx.x
        kept[at] = value
        cuda.syncthreads()
        half = cuda.blockDim.x // width // 2
        while half > 0:
            if at // width < half:
                kept[at] += kept[at + half * width]
            cuda.syncthreads()
            half //= 2
        value = kept[at % width]
        cuda.syncthreads()
        return value

    return column_sum
