"""How rows are dealt out to the threads of a GPU: what the families of kernels on rows share.

A *team* of threads shares a row: a few lanes of a warp, or a block. While a row is worked on it is
kept in shared memory if it fits there, so that it is read once; see `kernels/rows.cuh`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .table import INSTANCES

#: Threads of a block.
BLOCK = 256
#: Bytes of shared memory for rows, of the 48 KB of a block. For the rows of the teams of a block
#: less, so that several blocks run on a multiprocessor.
MOST_KEPT, MOST_KEPT_BY_TEAMS = 47 * 1024, 32 * 1024
#: Blocks of a grid, which goes on with further rows when it is through.
MOST_BLOCKS = 2**31 - 1
#: Longer rows belong to a block, if they are not kept.
LONGEST_OF_WARP = 1024
#: Pieces of all that a launch reduces, and numbers of a piece for each thread: a few blocks for
#: every multiprocessor of a large GPU, each with enough to do.
MOST_PIECES, LEAST_OF_LANE = 1024, 16
#: The dtypes of numbers that kernels take.
_REAL = tuple(map(np.dtype, INSTANCES))


class Plan(NamedTuple):
    """How one launch deals out its rows.

    `team`, threads of a row: 1, 2, 4, ... 32, or the block; `kept`, are rows kept in shared
    memory? `grid`, blocks; `shared`, bytes of shared memory of a block.
    """

    team: int
    kept: bool
    grid: int
    shared: int


def plan(rows: int, columns: int, itemsize: int, arrays: int = 1) -> Plan:
    """The plan for `rows` of `columns` numbers, of which `arrays` rows are kept at a time.

    >>> plan(100, 10, 4), plan(100, 1000, 4).team, plan(1, 1_000_000, 4).kept
    (Plan(team=4, kept=True, grid=2, shared=4096), 32, False)
    """
    team = min(row_team(columns), 32)
    shared = _kept(columns, itemsize, team) * arrays
    if shared > MOST_KEPT_BY_TEAMS:
        team, shared = BLOCK, _kept(columns, itemsize, BLOCK) * arrays
    kept = shared <= MOST_KEPT
    return Plan(team, kept, blocks(rows, team), shared if kept else 0)


def row_team(columns: int) -> int:
    """How many threads share a row that is not kept."""
    if columns > LONGEST_OF_WARP:
        return BLOCK
    return min(32, 2 ** math.ceil(math.log2(-(-columns // 4))))


def blocks(rows: int, team: int) -> int:
    """How many blocks a launch has for rows, each with a team of threads."""
    return min(-(-rows // (BLOCK // team)), MOST_BLOCKS)


def tile_width(columns: int, rows: int = BLOCK) -> int:
    """How many columns, side by side in memory, a block works on, that have so many rows to reduce.

    As many as a warp reads at once, or more, where rows are so few that threads would be idle.

    >>> tile_width(1000), tile_width(1000, 3), tile_width(10, 3)
    (32, 64, 16)
    """
    widest = max(32, BLOCK // 2 ** math.ceil(math.log2(rows)))
    return min(widest, 2 ** math.ceil(math.log2(columns)))


def cut(n: int, others: int, lanes: int = BLOCK) -> tuple[int, int]:
    """Into how many pieces to cut n numbers that a block is to reduce, and how long these are.

    `others` are as many numbers each, reduced in the same launch; `lanes`, the threads of a block
    that share them. The answer does not depend on the GPU, so that sums are the same on all.

    >>> cut(1000, 1), cut(1_000_000, 1), cut(1_000_000, 5000)
    ((1, 1000), (244, 4100), (1, 1000000))
    """
    pieces = max(1, min(MOST_PIECES // others, n // (lanes * LEAST_OF_LANE)))
    length = -(-n // pieces)
    length = length if pieces == 1 else -(-length // 4) * 4  # so that a piece starts at 16 bytes
    return -(-n // length), length


def _kept(columns: int, itemsize: int, team: int) -> int:
    """Bytes of the rows of a block: each thread's numbers are rounded up to 16 bytes."""
    step = team * (16 // itemsize)
    return -(-columns // step) * step * itemsize * (BLOCK // team)


def real(*arrays: Any) -> bool:
    """Are all of one dtype, float32 or float64, and is there an element?"""
    first = arrays[0]
    return (
        getattr(first, "size", 0) > 0
        and first.dtype in _REAL
        and all(getattr(each, "dtype", None) == first.dtype for each in arrays)
    )


def one_axis(x: Any, axis: Any) -> int | None:
    """The one axis meant by an int or a tuple, counted from 0; None if it is not one."""
    if isinstance(axis, tuple):
        if len(axis) != 1:
            return None
        axis = axis[0]
    if not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        return None
    return axis % x.ndim
