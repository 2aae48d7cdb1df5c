"""Rows looked up at an index, and rows added up at one; see `kernels/embedding.cu`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    zero, nan = real(0), real(math.nan)

    @cuda.jit(device=True)
    def lanes_for(length: Any) -> Any:
        lanes = 1
        while lanes < 32 and lanes < length:
            lanes *= 2
        return lanes

    @cuda.jit
    def gather_rows(x: Any, index: Any, y: Any, rows: Any, count: Any, length: Any) -> None:
        lanes = lanes_for(length)
        for i in range(cuda.grid(1) // lanes, count, cuda.gridsize(1) // lanes):
            row = index[i] + rows if index[i] < 0 else index[i]
            inside = row >= 0 and row < rows
            for j in range(cuda.threadIdx.x % lanes, length, lanes):
                y[i * length + j] = x[row * length + j] if inside else nan

    @cuda.jit
    def segment_pieces(
        values: Any,
        order: Any,
        sorted: Any,
        offsets: Any,
        pieces: Any,
        rows: Any,
        count: Any,
        length: Any,
        chunk: Any,
    ) -> None:
        lanes, places = lanes_for(length), (count + chunk - 1) // chunk * 2
        for place in range(cuda.grid(1) // lanes, places, cuda.gridsize(1) // lanes):
            start = np.int64(place // 2) * chunk
            stop = min(start + chunk, count)
            opens = place % 2 == 1
            row = sorted[stop - 1 if opens else start]
            if row < 0 or row >= rows:
                continue
            begin, end = offsets[row], offsets[row + 1]
            first = begin
            if not opens:
                first = begin + (start - begin + chunk - 1) // chunk * chunk
            if end - begin > chunk and start <= first and first < end:
                for j in range(cuda.threadIdx.x % lanes, length, lanes):
                    total = zero
                    for i in range(first, min(first + chunk, end)):
                        total += values[order[i] * length + j]
                    pieces[place * length + j] = total

    @cuda.jit
    def segment_sums(
        values: Any,
        order: Any,
        offsets: Any,
        pieces: Any,
        result: Any,
        rows: Any,
        count: Any,
        length: Any,
        chunk: Any,
    ) -> None:
        lanes = lanes_for(length)
        for row in range(cuda.grid(1) // lanes, rows, cuda.gridsize(1) // lanes):
            begin, end = offsets[row], offsets[row + 1]
            for j in range(cuda.threadIdx.x % lanes, length, lanes):
                total = result[row * length + j]
                if end - begin <= chunk:
                    for i in range(begin, end):
                        total += values[order[i] * length + j]
                else:
                    for first in range(begin, end, chunk):
                        place = first // chunk * 2 + (1 if first == begin else 0)
                        total += pieces[place * length + j]
                result[row * length + j] = total

    return {
        "gather_rows": gather_rows,
        "segment_pieces": segment_pieces,
        "segment_sums": segment_sums,
    }
