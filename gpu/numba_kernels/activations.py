"""Activations with a bias, forward and back; see `kernels/activations.cu`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .common import reductions

#: Threads of a block.
BLOCK = 256


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    larger = reductions(cuda, real).larger
    half, one, zero = real(0.5), real(1), real(0)
    silu_end, steep, gelu_end = real(-800), real(100), real(40)
    root_half, density = real(0.7071067811865476), real(0.3989422804014327)
    cubic, cubic_slope, twice = real(0.044715), real(0.134145), real(1.5957691216057308)

    @cuda.jit(device=True)
    def smaller(a: Any, b: Any) -> Any:
        return a if a < b or a != a else b

    @cuda.jit(device=True)
    def held(x: Any) -> Any:
        return larger(smaller(x, gelu_end), -gelu_end)

    @cuda.jit(device=True)
    def logistic(x: Any) -> Any:
        decay = math.exp(-abs(x))
        return (one if x >= zero else decay) / (one + decay)

    @cuda.jit(device=True)
    def share_of(z: Any, activation: Any) -> Any:
        if activation == 3:
            return logistic(z)
        if activation == 4:
            return half * math.erfc(z * -root_half)
        h = held(z)
        return logistic(h * (one + cubic * (h * h)) * twice)

    @cuda.jit(device=True)
    def value_of(z: Any, activation: Any) -> Any:
        if activation == 0:
            return larger(z, zero)
        if activation == 1:
            return logistic(z)
        if activation == 2:
            return math.tanh(z)
        if activation == 6:
            return math.erf(z)
        if activation == 7:
            return math.erfc(z)
        return larger(z, silu_end if activation == 3 else -gelu_end) * share_of(z, activation)

    @cuda.jit(device=True)
    def slope_of(z: Any, y: Any, activation: Any) -> Any:
        if activation == 0:
            return one if y > zero else zero
        if activation == 1:
            return y * (one - y)
        if activation == 2:
            return one - y * y
        share = share_of(z, activation)
        if activation == 3:
            return share + smaller(y, steep) * (one - share)
        h = held(z)
        if activation == 4:
            return share + h * (math.exp(h * h * -half) * density)
        return share + h * (share * (one - share)) * ((one + cubic_slope * (h * h)) * twice)

    @cuda.jit
    def bias_activation_forward(
        x: Any, bias: Any, y: Any, share: Any, size: Any, columns: Any, activation: Any
    ) -> None:
        for i in range(cuda.grid(1), size, cuda.gridsize(1)):
            z = x[i]
            if bias is not None:
                z = z + bias[i % columns]
            y[i] = value_of(z, activation)
            if share is not None:
                share[i] = share_of(z, activation)

    @cuda.jit
    def bias_activation_backward(
        g: Any,
        y: Any,
        x: Any,
        bias: Any,
        slope: Any,
        sums: Any,
        rows: Any,
        columns: Any,
        chunks: Any,
        activation: Any,
    ) -> None:
        kept, thread, width = cuda.shared.array(BLOCK, real), cuda.threadIdx.x, 1
        while width < 32 and width < columns:
            width *= 2
        across, length = (columns + width - 1) // width, (rows + chunks - 1) // chunks
        for tile in range(cuda.blockIdx.x, np.int64(across) * chunks, cuda.gridDim.x):
            chunk, column = tile // across, tile % across * width + thread % width
            total = zero
            if column < columns:
                first, last = chunk * length + thread // width, min((chunk + 1) * length, rows)
                for row in range(first, last, BLOCK // width):
                    i = np.int64(row) * columns + column
                    z = y[i]
                    if x is not None:
                        z = x[i] + bias[column]
                    result = g[i] * slope_of(z, y[i], activation)
                    slope[i] = result
                    total += result
            kept[thread] = total
            cuda.syncthreads()
            lines = BLOCK // width
            while lines > 1:
                lines //= 2
                if thread < lines * width:
                    kept[thread] += kept[thread + lines * width]
                cuda.syncthreads()
            if thread < width and column < columns:
                sums[chunk * columns + column] = kept[thread]
            cuda.syncthreads()

    return {
        "bias_activation_forward": bias_activation_forward,
        "bias_activation_backward": bias_activation_backward,
    }
