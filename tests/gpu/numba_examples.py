"""Kernels in the form of the project's own, of what Numba's simulator knows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels for one type of numbers, by name."""

    @cuda.jit(device=True)
    def squashed(value: Any) -> Any:
        return real(0.5) * math.tanh(value) + math.exp(-value * value) * math.erf(value)

    @cuda.jit
    def elementwise(x: Any, mask: Any, y: Any, n: Any, scale: Any) -> None:
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            y[i] = scale * squashed(x[i]) if mask[i] else max(x[i], real(0))

    @cuda.jit
    def row_sums(x: Any, y: Any, columns: Any) -> None:
        parts = cuda.shared.array(64, real)
        rank, row = cuda.threadIdx.x, cuda.blockIdx.x
        total = real(0)
        for column in range(rank, columns, cuda.blockDim.x):
            total += x[np.int64(row) * columns + column]
        parts[rank] = total
        cuda.syncthreads()
        half = 32
        while half > 0:
            if rank < half:
                parts[rank] += parts[rank + half]
            cuda.syncthreads()
            half //= 2
        if rank == 0:
            y[row] = parts[0]

    @cuda.jit
    def transpose(x: Any, y: Any, rows: Any, columns: Any) -> None:
        tile = cuda.shared.array((8, 9), real)
        down, across = cuda.threadIdx.x // 8, cuda.threadIdx.x % 8
        row, column = cuda.blockIdx.y * 8 + down, cuda.blockIdx.x * 8 + across
        if row < rows and column < columns:
            tile[down, across] = x[row * columns + column]
        cuda.syncthreads()
        row, column = cuda.blockIdx.y * 8 + across, cuda.blockIdx.x * 8 + down
        if row < rows and column < columns:
            y[column * rows + row] = tile[across, down]

    @cuda.jit
    def histogram(values: Any, counts: Any, n: Any) -> None:
        own = cuda.shared.array(16, np.int32)
        rank = cuda.threadIdx.x
        if rank < 16:
            own[rank] = 0
        cuda.syncthreads()
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            cuda.atomic.add(own, values[i] % 16, 1)
        cuda.syncthreads()
        if rank < 16:
            cuda.atomic.add(counts, rank, own[rank])

    @cuda.jit
    def scrambled(words: Any, n: Any, key: Any) -> None:
        i = cuda.grid(1)
        if i < n:
            product = np.uint64(np.uint64(0xD2511F53) * np.uint64(i)) ^ key
            words[i] = (product >> np.uint64(32)) ^ (product & np.uint64(0xFFFFFFFF))

    return {
        "elementwise": elementwise,
        "row_sums": row_sums,
        "transpose": transpose,
        "histogram": histogram,
        "scrambled": scrambled,
    }
