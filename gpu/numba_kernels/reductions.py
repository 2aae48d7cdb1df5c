"""Sums, maxima and places of maxima, along rows and along columns of matrices.

A team of threads reduces a row by shuffles, the threads of a block a few columns by shared memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .common import FULL, reductions


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    shared = reductions(cuda, real)

    @cuda.jit(device=True)
    def add(a: Any, b: Any) -> Any:
        return a + b

    return {
        "row_sum": row_reduction(cuda, add, shared.sum, real(0)),
        "row_max": row_reduction(cuda, shared.larger, shared.max, real(-math.inf)),
        "column_sum": column_reduction(cuda, real, add, real(0)),
        "column_max": column_reduction(cuda, real, shared.larger, real(-math.inf)),
        **places(cuda, real),
    }


def row_reduction(cuda: Any, combine: Any, reduce: Any, neutral: Any) -> Any:
    """The kernel that reduces rows: `combine` two numbers, `reduce` one of each thread."""

    @cuda.jit
    def reduce_rows(
        x: Any, y: Any, rows: Any, columns: Any, pieces: Any, length: Any, team: Any
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        tasks = rows * pieces
        for start in range(cuda.blockIdx.x * teams, tasks, cuda.gridDim.x * teams):
            task = start + cuda.threadIdx.x // team
            first = task % pieces * length
            n = min(length, columns - first) if task < tasks else 0
            offset = np.int64(task // pieces) * columns + first
            value = neutral
            for j in range(rank, n, team):
                value = combine(value, x[offset + j])
            value = reduce(value, team)
            if rank == 0 and task < tasks:
                y[task] = value

    return reduce_rows


def column_reduction(cuda: Any, real: Any, combine: Any, neutral: Any) -> Any:
    """The kernel that reduces columns."""

    @cuda.jit
    def reduce_columns(
        x: Any,
        y: Any,
        matrices: Any,
        rows: Any,
        columns: Any,
        pieces: Any,
        length: Any,
        width: Any,
    ) -> None:
        kept = cuda.shared.array(256, real)
        at, lanes = cuda.threadIdx.x, cuda.blockDim.x // width
        lane = at // width
        across = (columns + width - 1) // width
        count = np.int64(matrices) * pieces * across
        for tile in range(cuda.blockIdx.x, count, cuda.gridDim.x):
            column, part = tile % across * width + at % width, tile // across
            matrix, first = part // pieces, part % pieces * length
            value = neutral
            if column < columns:
                for row in range(first + lane, min(rows, first + length), lanes):
                    value = combine(value, x[(np.int64(matrix) * rows + row) * columns + column])
            kept[at] = value
            cuda.syncthreads()
            half = lanes // 2
            while half > 0:
                if lane < half:
                    kept[at] = combine(kept[at], kept[at + half * width])
                cuda.syncthreads()
                half //= 2
            if lane == 0 and column < columns:
                y[np.int64(part) * columns + column] = kept[at]
            cuda.syncthreads()

    return reduce_columns


def places(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels that find the first of the largest numbers, of rows and of columns."""
    lowest: Any = real(-math.inf)
    nowhere: Any = 2**63 - 1

    @cuda.jit(device=True)
    def wins(value: Any, place: Any, best: Any, best_place: Any) -> Any:
        # The larger number, NaN before all others, and of equals the first.
        if value == best or (value != value and best != best):
            return place < best_place
        return best == best if value != value else value > best

    @cuda.jit(device=True)
    def warp_first(best: Any, best_place: Any, lanes: Any) -> Any:
        distance = lanes // 2
        while distance > 0:
            value = cuda.shfl_xor_sync(FULL, best, distance)
            place = cuda.shfl_xor_sync(FULL, best_place, distance)
            if wins(value, place, best, best_place):
                best, best_place = value, place
            distance //= 2
        return best, best_place

    @cuda.jit
    def row_argmax(
        x: Any,
        given: Any,
        value: Any,
        place: Any,
        rows: Any,
        columns: Any,
        pieces: Any,
        length: Any,
        team: Any,
    ) -> None:
        values, chosen = cuda.shared.array(32, real), cuda.shared.array(32, np.int64)
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        tasks = rows * pieces
        for start in range(cuda.blockIdx.x * teams, tasks, cuda.gridDim.x * teams):
            task = start + cuda.threadIdx.x // team
            first = task % pieces * length
            n = min(length, columns - first) if task < tasks else 0
            offset = np.int64(task // pieces) * columns + first
            best, best_place = lowest, nowhere
            for j in range(rank, n, team):
                there = np.int64(first + j) if given is None else given[offset + j]
                if wins(x[offset + j], there, best, best_place):
                    best, best_place = x[offset + j], there
            best, best_place = warp_first(best, best_place, min(team, 32))
            if team > 32:
                if lane == 0:
                    values[warp], chosen[warp] = best, best_place
                cuda.syncthreads()
                best, best_place = lowest, nowhere
                if lane < cuda.blockDim.x // 32:
                    best, best_place = values[lane], chosen[lane]
                best, best_place = warp_first(best, best_place, 32)
                cuda.syncthreads()
            if rank == 0 and task < tasks:
                if value is not None:
                    value[task] = best
                place[task] = best_place

    @cuda.jit
    def column_argmax(
        x: Any,
        given: Any,
        value: Any,
        place: Any,
        matrices: Any,
        rows: Any,
        columns: Any,
        pieces: Any,
        length: Any,
        width: Any,
    ) -> None:
        values, chosen = cuda.shared.array(256, real), cuda.shared.array(256, np.int64)
        at, lanes = cuda.threadIdx.x, cuda.blockDim.x // width
        lane = at // width
        across = (columns + width - 1) // width
        count = np.int64(matrices) * pieces * across
        for tile in range(cuda.blockIdx.x, count, cuda.gridDim.x):
            column, part = tile % across * width + at % width, tile // across
            matrix, first = part // pieces, part % pieces * length
            best, best_place = lowest, nowhere
            if column < columns:
                for row in range(first + lane, min(rows, first + length), lanes):
                    here = (np.int64(matrix) * rows + row) * columns + column
                    there = np.int64(row) if given is None else given[here]
                    if wins(x[here], there, best, best_place):
                        best, best_place = x[here], there
            values[at], chosen[at] = best, best_place
            cuda.syncthreads()
            half = lanes // 2
            while half > 0:
                if lane < half:
                    other = at + half * width
                    if wins(values[other], chosen[other], values[at], chosen[at]):
                        values[at], chosen[at] = values[other], chosen[other]
                cuda.syncthreads()
                half //= 2
            if lane == 0 and column < columns:
                if value is not None:
                    value[np.int64(part) * columns + column] = values[at]
                place[np.int64(part) * columns + column] = chosen[at]
            cuda.syncthreads()

    return {"row_argmax": row_argmax, "column_argmax": column_argmax}
