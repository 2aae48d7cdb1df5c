"""Cross-entropy along rows, each by a team of threads that finds the softmax of its row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .common import powers, reductions


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    row_max, row_total = powers(cuda, real)
    team_sum = reductions(cuda, real).sum
    zero, one, nothing = real(0), real(1), real(math.nan)

    @cuda.jit
    def sparse_cross_entropy(
        x: Any,
        labels: Any,
        loss: Any,
        slopes: Any,
        rows: Any,
        columns: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            top = row_max(x, offset, n, rank, team)
            total = row_total(x, top, offset, n, rank, team)
            if row < rows:
                label = labels[row]
                is_class = label >= 0 and label < columns
                if not is_class:
                    total = nothing
                for j in range(rank, n, team):
                    y = math.exp(x[offset + j] - top) / total
                    slopes[offset + j] = y - one if j == label else y
                if rank == 0:
                    picked = x[offset + label] - top if is_class else zero
                    loss[row] = math.log(total) - picked

    @cuda.jit
    def dense_cross_entropy(
        x: Any,
        targets: Any,
        loss: Any,
        logarithms: Any,
        rows: Any,
        columns: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            top = row_max(x, offset, n, rank, team)
            total = row_total(x, top, offset, n, rank, team)
            share = math.log(total) if n > 0 else zero
            terms = zero
            for j in range(rank, n, team):
                y = (x[offset + j] - top) - share
                logarithms[offset + j] = y
                target = targets[offset + j]
                if target != zero:
                    terms += target * y
            terms = team_sum(terms, team)
            if rank == 0 and row < rows:
                loss[row] = -terms

    @cuda.jit
    def dense_cross_entropy_backward(
        g: Any,
        logarithms: Any,
        targets: Any,
        dx: Any,
        rows: Any,
        columns: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            offset, n = np.int64(row) * columns, columns if row < rows else 0
            mass = zero
            for j in range(rank, n, team):
                mass += targets[offset + j]
            mass = team_sum(mass, team)
            for j in range(rank, n, team):
                slope = math.exp(logarithms[offset + j]) * mass - targets[offset + j]
                dx[offset + j] = g[row] * slope

    return {
        "sparse_cross_entropy": sparse_cross_entropy,
        "dense_cross_entropy": dense_cross_entropy,
        "dense_cross_entropy_backward": dense_cross_entropy_backward,
    }
