"""gelu and its gradient, in vector instructions, shared between the cores."""

from __future__ import annotations

import functools
from typing import Any

import numba

from ..activations import GELU_CUBIC, GELU_DENSITY, GELU_END, GELU_SQUARE, GELU_TWICE
from .building import array, build, scalar
from .elementary import exp, sigmoid
from .intrinsics import address, address_of, cast, field, pack, vector
from .products import share
from .special import normal
from .threads import fork_join, parts, pool

#: Operations that one number costs, for the decision whether the cores share them.
COST = 30
#: Chunks are multiples of so many numbers: no two cores write to one line of the cache.
LINE = 16


@numba.njit
def _numbers(kind: Any, task: int, chunk: int, position: int) -> Any:
    """A chunk's part of the array whose address is at a position of the task."""
    start, stop = share(field(task, 0), field(task, 1), chunk, LINE)
    return vector(kind, field(task, position) + start * field(task, 2), stop - start)


@numba.njit(fastmath={"contract"})
def _forward(kind: Any, task: int, chunk: int) -> None:
    x, y = _numbers(kind, task, chunk, 4), _numbers(kind, task, chunk, 5)
    kept = _numbers(kind, task, chunk, 6)
    end, one = cast(kind, GELU_END), cast(kind, 1)
    cubic, twice = cast(kind, GELU_CUBIC), cast(kind, GELU_TWICE)
    if field(task, 3):
        for i in range(x.size):
            number = -end if x[i] < -end else x[i]
            h = end if number > end else number
            p = sigmoid(h * (one + cubic * (h * h)) * twice)
            kept[i] = p
            y[i] = number * p
    else:
        for i in range(x.size):
            p = normal(x[i])
            kept[i] = p
            y[i] = (-end if x[i] < -end else x[i]) * p


@numba.njit(fastmath={"contract"})
def _back(kind: Any, task: int, chunk: int) -> None:
    g, x = _numbers(kind, task, chunk, 4), _numbers(kind, task, chunk, 5)
    kept, result = _numbers(kind, task, chunk, 6), _numbers(kind, task, chunk, 7)
    end, one, half = cast(kind, GELU_END), cast(kind, 1), cast(kind, -0.5)
    square, twice, density = (
        cast(kind, GELU_SQUARE),
        cast(kind, GELU_TWICE),
        cast(kind, GELU_DENSITY),
    )
    if field(task, 3):
        for i in range(x.size):
            h = -end if x[i] < -end else x[i]
            h = end if h > end else h
            p = kept[i]
            result[i] = g[i] * (p + h * (p * (one - p)) * ((one + square * (h * h)) * twice))
    else:
        for i in range(x.size):
            h = -end if x[i] < -end else x[i]
            h = end if h > end else h
            result[i] = g[i] * (kept[i] + h * (exp(h * h * half) * density))


def _gelu(pool: int, kind: Any, x: Any, y: Any, kept: Any, approximate: bool) -> None:
    chunks = parts(pool, COST * x.size)
    arrays = (address(x), address(y), address(kept))
    task = pack((x.size, chunks, x.itemsize, numba.intp(approximate), *arrays))
    fork_join(pool, address_of(_forward, kind), task, chunks)


def _gelu_backward(
    pool: int, kind: Any, g: Any, x: Any, kept: Any, result: Any, approximate: bool
) -> None:
    chunks = parts(pool, COST * x.size)
    arrays = (address(g), address(x), address(kept), address(result))
    task = pack((x.size, chunks, x.itemsize, numba.intp(approximate), *arrays))
    fork_join(pool, address_of(_back, kind), task, chunks)


@functools.cache
def gelu(dtype: Any) -> Any:
    """The function of (x, y, kept, approximate), contiguous vectors of a dtype; it writes two."""
    read, written = array(dtype), array(dtype, written=True)
    kinds = (numba.intp, scalar(dtype), read, written, written, numba.boolean)
    compiled, kind = build(_gelu, kinds), dtype.type(0)

    def compute(x: Any, y: Any, kept: Any, approximate: bool) -> None:
        compiled(pool(), kind, x, y, kept, approximate)

    return compute


@functools.cache
def gelu_backward(dtype: Any) -> Any:
    """The function of (g, x, kept, result, approximate), contiguous vectors; it writes result."""
    read, written = array(dtype), array(dtype, written=True)
    kinds = (numba.intp, scalar(dtype), read, read, read, written, numba.boolean)
    compiled, kind = build(_gelu_backward, kinds), dtype.type(0)

    def compute(g: Any, x: Any, kept: Any, result: Any, approximate: bool) -> None:
        compiled(pool(), kind, g, x, kept, result, approximate)

    return compute
