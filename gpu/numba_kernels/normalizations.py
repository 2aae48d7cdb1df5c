"""Normalisation of rows, each by a team of threads, and of features, some columns by a block.

A row or column is read for its mean, then for its variance, then for the result.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .common import column_reduction, reductions


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    return {**row_kernels(cuda, real), **feature_kernels(cuda, real)}


def row_kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels that normalise rows."""
    team_sum = reductions(cuda, real).sum
    zero, one = real(0), real(1)

    @cuda.jit
    def layer_norm_forward(
        x: Any,
        scale: Any,
        offset: Any,
        y: Any,
        z: Any,
        weight: Any,
        rows: Any,
        columns: Any,
        epsilon: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        number = real(columns)
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            at, n = np.int64(row) * columns, columns if row < rows else 0
            first = x[at] if row < rows else zero
            mean = zero
            for j in range(rank, n, team):
                mean += x[at + j] - first
            mean = team_sum(mean, team) / number
            squares = zero
            for j in range(rank, n, team):
                apart = x[at + j] - first - mean
                squares += apart * apart
            squares = team_sum(squares, team)
            factor = one / math.sqrt(squares / number + epsilon)
            if rank == 0 and row < rows:
                weight[row] = factor
            for j in range(rank, n, team):
                normal = (x[at + j] - first - mean) * factor
                z[at + j] = normal
                y[at + j] = normal * scale[j] + offset[j]

    @cuda.jit
    def layer_norm_backward(
        g: Any,
        z: Any,
        weight: Any,
        scale: Any,
        dx: Any,
        rows: Any,
        columns: Any,
        team: Any,
        kept: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        number = real(columns)
        for start in range(cuda.blockIdx.x * teams, rows, cuda.gridDim.x * teams):
            row = start + cuda.threadIdx.x // team
            at, n = np.int64(row) * columns, columns if row < rows else 0
            mean, slope = zero, zero
            for j in range(rank, n, team):
                h = g[at + j] * scale[j]
                mean += h
                slope += h * z[at + j]
            mean = team_sum(mean, team) / number
            slope = team_sum(slope, team) / number
            for j in range(rank, n, team):
                h = g[at + j] * scale[j]
                dx[at + j] = (h - mean - z[at + j] * slope) * weight[row]

    return {"layer_norm_forward": layer_norm_forward, "layer_norm_backward": layer_norm_backward}


def feature_kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels that normalise the columns of a batch."""
    column_sum = column_reduction(cuda, real)
    zero, one = real(0), real(1)

    @cuda.jit
    def feature_moments(
        x: Any,
        sums: Any,
        means: Any,
        squares: Any,
        rows: Any,
        columns: Any,
        pieces: Any,
        length: Any,
        width: Any,
    ) -> None:
        lane, lanes = cuda.threadIdx.x // width, cuda.blockDim.x // width
        across = (columns + width - 1) // width
        for tile in range(cuda.blockIdx.x, np.int64(pieces) * across, cuda.gridDim.x):
            column = tile % across * width + cuda.threadIdx.x % width
            piece = tile // across
            first, last = piece * length, min(rows, (piece + 1) * length)
            if column >= columns:
                last = first
            base = x[column] if column < columns else zero
            total = zero
            for row in range(first + lane, last, lanes):
                total += x[np.int64(row) * columns + column] - base
            total = column_sum(total, width)
            mean = total / real(max(last - first, 1))
            around = zero
            for row in range(first + lane, last, lanes):
                apart = x[np.int64(row) * columns + column] - base - mean
                around += apart * apart
            around = column_sum(around, width)
            if lane == 0 and column < columns:
                to = np.int64(piece) * columns + column
                sums[to], means[to], squares[to] = total, mean, around

    @cuda.jit
    def feature_statistics(
        x: Any,
        sums: Any,
        means: Any,
        squares: Any,
        apart: Any,
        mean: Any,
        variance: Any,
        weight: Any,
        rows: Any,
        columns: Any,
        pieces: Any,
        length: Any,
        width: Any,
        epsilon: Any,
    ) -> None:
        lane, lanes = cuda.threadIdx.x // width, cuda.blockDim.x // width
        across = (columns + width - 1) // width
        number = real(rows)
        for tile in range(cuda.blockIdx.x, across, cuda.gridDim.x):
            column = np.int64(tile) * width + cuda.threadIdx.x % width
            count = pieces if column < columns else 0
            whole = zero
            for piece in range(lane, count, lanes):
                whole += sums[np.int64(piece) * columns + column]
            whole = column_sum(whole, width) / number
            around = zero
            for piece in range(lane, count, lanes):
                at = np.int64(piece) * columns + column
                off = means[at] - whole
                around += squares[at] + real(min(length, rows - piece * length)) * (off * off)
            around = column_sum(around, width) / number
            if lane == 0 and column < columns:
                apart[column] = whole
                mean[column] = x[column] + whole
                variance[column] = around
                weight[column] = one / math.sqrt(around + epsilon)

    @cuda.jit
    def feature_apply(
        x: Any,
        apart: Any,
        weight: Any,
        scale: Any,
        offset: Any,
        y: Any,
        z: Any,
        rows: Any,
        columns: Any,
        team: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        first = np.int64(cuda.blockIdx.x) * teams + cuda.threadIdx.x // team
        for row in range(first, rows, cuda.gridDim.x * teams):
            for j in range(rank, columns, team):
                at = np.int64(row) * columns + j
                normal = (x[at] - x[j] - apart[j]) * weight[j]
                z[at] = normal
                y[at] = normal * scale[j] + offset[j]

    @cuda.jit
    def feature_sums(
        g: Any,
        z: Any,
        sums: Any,
        rows: Any,
        columns: Any,
        pieces: Any,
        length: Any,
        width: Any,
    ) -> None:
        lane, lanes = cuda.threadIdx.x // width, cuda.blockDim.x // width
        across = (columns + width - 1) // width
        for tile in range(cuda.blockIdx.x, np.int64(pieces) * across, cuda.gridDim.x):
            column = tile % across * width + cuda.threadIdx.x % width
            piece = tile // across
            first, last = piece * length, min(rows, (piece + 1) * length)
            if column >= columns:
                last = first
            slope, total = zero, zero
            for row in range(first + lane, last, lanes):
                at = np.int64(row) * columns + column
                slope += g[at] * z[at]
                total += g[at]
            slope = column_sum(slope, width)
            total = column_sum(total, width)
            if lane == 0 and column < columns:
                to = np.int64(piece) * 2 * columns + column
                sums[to], sums[to + columns] = slope, total

    @cuda.jit
    def feature_pull(
        g: Any,
        z: Any,
        sums: Any,
        weight: Any,
        scale: Any,
        dx: Any,
        rows: Any,
        columns: Any,
        team: Any,
    ) -> None:
        rank, teams = cuda.threadIdx.x % team, cuda.blockDim.x // team
        first = np.int64(cuda.blockIdx.x) * teams + cuda.threadIdx.x // team
        number = real(rows)
        for row in range(first, rows, cuda.gridDim.x * teams):
            for j in range(rank, columns, team):
                at = np.int64(row) * columns + j
                share = (z[at] * sums[j] + sums[columns + j]) / number
                dx[at] = (g[at] - share) * (weight[j] * scale[j])

    return {
        "feature_moments": feature_moments,
        "feature_statistics": feature_statistics,
        "feature_apply": feature_apply,
        "feature_sums": feature_sums,
        "feature_pull": feature_pull,
    }
