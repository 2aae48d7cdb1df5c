"""Softmax along rows, each by a team of threads that reads its row for maximum, sum and result.

Unlike the kernels in CUDA C these keep nothing on the chip but what its caches hold.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .common import powers, reductions


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    row_max, row_total = powers(cuda, real)
    shared = reductions(cuda, real)
    larger, team_sum, team_max = shared.larger, shared.sum, shared.max
    zero, one, lowest = real(0), real(1), real(-math.inf)

    @cuda.jit
    def softmax_forward(x: Any, y: Any, rows: Any, columns: Any, team: Any, kept: Any) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            top = row_max(x, offset, n, rank, team)
            total = row_total(x, top, offset, n, rank, team)
            for j in range(rank, n, team):
                y[offset + j] = math.exp(x[offset + j] - top) / total

    @cuda.jit
    def log_softmax_forward(x: Any, y: Any, rows: Any, columns: Any, team: Any, kept: Any) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            top = row_max(x, offset, n, rank, team)
            total = row_total(x, top, offset, n, rank, team)  # all threads take part in it
            share = math.log(total) if n > 0 else zero
            for j in range(rank, n, team):
                y[offset + j] = (x[offset + j] - top) - share

    @cuda.jit
    def softmax_backward(
        g: Any, y: Any, dx: Any, rows: Any, columns: Any, team: Any, kept: Any
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            total = zero
            for j in range(rank, n, team):
                total += g[offset + j] * y[offset + j]
            total = team_sum(total, team)
            for j in range(rank, n, team):
                dx[offset + j] = y[offset + j] * (g[offset + j] - total)

    @cuda.jit(device=True)
    def mask_offset(row: Any, columns: Any, repeats: Any, inner: Any) -> Any:
        return (row // inner // repeats * inner + row % inner) * np.int64(columns)

    @cuda.jit
    def masked_softmax_forward(
        x: Any,
        mask: Any,
        y: Any,
        rows: Any,
        columns: Any,
        repeats: Any,
        inner: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            hides = mask_offset(row, columns, repeats, inner)
            top = lowest
            for j in range(rank, n, team):
                if mask[hides + j]:
                    top = larger(top, x[offset + j])
            top = team_max(top, team)
            if top == lowest:
                top = zero
            total = zero
            for j in range(rank, n, team):
                if mask[hides + j]:
                    total += math.exp(x[offset + j] - top)
            total = team_sum(total, team)
            if total == zero:
                total = one
            for j in range(rank, n, team):
                # What is hidden is 0, or NaN where all of the row is.
                power = math.exp(x[offset + j] - top) if mask[hides + j] else zero
                y[offset + j] = power / total

    @cuda.jit
    def masked_softmax_backward(
        g: Any,
        y: Any,
        mask: Any,
        dx: Any,
        rows: Any,
        columns: Any,
        repeats: Any,
        inner: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            hides = mask_offset(row, columns, repeats, inner)
            total = zero
            for j in range(rank, n, team):
                if mask[hides + j]:
                    total += g[offset + j] * y[offset + j]
            total = team_sum(total, team)
            for j in range(rank, n, team):
                upstream = g[offset + j] if mask[hides + j] else zero
                dx[offset + j] = y[offset + j] * (upstream - total)

    return {
        "softmax_forward": softmax_forward,
        "log_softmax_forward": log_softmax_forward,
        "softmax_backward": softmax_backward,
        "masked_softmax_forward": masked_softmax_forward,
        "masked_softmax_backward": masked_softmax_backward,
    }
