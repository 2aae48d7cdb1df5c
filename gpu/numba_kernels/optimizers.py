"""Steps of optimisers, and the size of a gradient; see `kernels/optimizers.cu`."""

from __future__ import annotations

import math
from typing import Any

from .common import reductions


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    shared = reductions(cuda, real)
    larger, block_sum, zero, one = shared.larger, shared.sum, real(0), real(1)

    @cuda.jit
    def sgd_step(
        w: Any,
        g: Any,
        velocity: Any,
        size: Any,
        rate: Any,
        momentum: Any,
        nesterov: Any,
        decay: Any,
    ) -> None:
        for i in range(cuda.grid(1), size, cuda.gridsize(1)):
            step = g[i]
            if decay != zero:
                step += decay * w[i]
            if velocity is not None:
                speed = velocity[i] * momentum + step
                velocity[i] = speed
                step = step + momentum * speed if nesterov != 0 else speed
            w[i] -= rate * step

    @cuda.jit
    def adam_step(
        w: Any,
        g: Any,
        m: Any,
        v: Any,
        size: Any,
        rate: Any,
        keep_m: Any,
        keep_v: Any,
        renew_m: Any,
        renew_v: Any,
        correct_m: Any,
        correct_v: Any,
        epsilon: Any,
        decay: Any,
        as_printed: Any,
    ) -> None:
        for i in range(cuda.grid(1), size, cuda.gridsize(1)):
            slope = g[i]
            if decay != zero:
                slope += decay * w[i]
            mean = m[i] * keep_m + renew_m * slope
            square = v[i] * keep_v + renew_v * (slope * slope)
            m[i] = mean
            v[i] = square
            step = rate * (mean * correct_m)
            if as_printed != 0:
                w[i] -= step * correct_v
            else:
                w[i] -= step / (math.sqrt(square * correct_v) + epsilon)

    @cuda.jit
    def square_sums(x: Any, sums: Any, size: Any, parts: Any) -> None:
        for part in range(cuda.blockIdx.x, parts, cuda.gridDim.x):
            value, first = zero, part * cuda.blockDim.x + cuda.threadIdx.x
            for i in range(first, size, parts * cuda.blockDim.x):
                value += x[i] * x[i]
            value = block_sum(value, cuda.blockDim.x)
            if cuda.threadIdx.x == 0:
                sums[part] = value

    @cuda.jit
    def odd_parts(x: Any, odd: Any, size: Any, parts: Any) -> None:
        for part in range(cuda.blockIdx.x, parts, cuda.gridDim.x):
            found, first = 0, part * cuda.blockDim.x + cuda.threadIdx.x
            for i in range(first, size, parts * cuda.blockDim.x):
                if x[i] - x[i] != zero:
                    found = 1
            found = cuda.syncthreads_or(found)
            if cuda.threadIdx.x == 0:
                odd[part] = 1 if found != 0 else 0

    @cuda.jit
    def none_odd(odd: Any, result: Any, count: Any) -> None:
        found = 0
        for i in range(cuda.threadIdx.x, count, cuda.blockDim.x):
            if odd[i] != 0:
                found = 1
        found = cuda.syncthreads_or(found)
        if cuda.threadIdx.x == 0:
            result[0] = 1 if found == 0 else 0

    @cuda.jit
    def clip_to_norm(g: Any, norm: Any, size: Any, limit: Any) -> None:
        factor = limit / larger(norm[0], limit)
        if factor != one:
            for i in range(cuda.grid(1), size, cuda.gridsize(1)):
                g[i] *= factor

    return {
        "sgd_step": sgd_step,
        "adam_step": adam_step,
        "square_sums": square_sums,
        "odd_parts": odd_parts,
        "none_odd": none_odd,
        "clip_to_norm": clip_to_norm,
    }
