"""Normalisations, row by row in the cache: of each row, or of each feature over all rows.

The cores share rows, or features. Sums over rows that rows share are made of the sums of blocks of
rows, always the same, which are added in their order: how many cores there are changes nothing.

Sums over a row are vector instructions, for which LLVM must be allowed to reorder them (`reassoc`).
So that it cannot undo the subtraction of the first element, which keeps numbers far from 0 exact,
what is summed was written to memory before.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .intrinsics import address, address_of, field, keep, pack, read, vector
from .products import share
from .threads import fork_join, parts, pool

SUMS = {"reassoc", "contract"}
#: Operations that a number costs, for the decision whether the cores share them.
COST = 12
#: Rows in a block, at least; blocks, at most; and numbers in a line of the cache.
ROWS, BLOCKS, LINE = 32, 16, 16


# Rows ---------------------------------------------------------------------------------------


@numba.njit(fastmath=SUMS, forceinline=True)
def _normalize(x: Any, scale: Any, offset: Any, epsilon: Any, y: Any, z: Any) -> Any:
    n, number, one = x.size, x.dtype.type(x.size), x.dtype.type(1)
    first = x[0]
    for j in range(n):
        z[j] = x[j] - first
    total = x.dtype.type(0)
    for j in range(n):
        total += z[j]
    mean = total / number
    squares = x.dtype.type(0)
    for j in range(n):
        apart = z[j] - mean
        z[j] = apart
        squares += apart * apart
    factor = one / np.sqrt(squares / number + epsilon)
    for j in range(n):
        value = z[j] * factor
        z[j] = value
        y[j] = value * scale[j] + offset[j]
    return factor


@numba.njit
def _rows(kind: Any, task: int, chunk: int) -> None:
    rows, n, size = field(task, 0), field(task, 1), field(task, 2)
    scale, offset = vector(kind, field(task, 4), n), vector(kind, field(task, 5), n)
    epsilon, x, y, z = read(kind, field(task, 6)), field(task, 7), field(task, 8), field(task, 9)
    factors = vector(kind, field(task, 10), rows)
    start, stop = share(rows, field(task, 3), chunk, 1)
    for i in range(start, stop):
        row = i * n * size
        of_x, of_y = vector(kind, x + row, n), vector(kind, y + row, n)
        factors[i] = _normalize(of_x, scale, offset, epsilon, of_y, vector(kind, z + row, n))


def _layer_norm(
    pool: int, kind: Any, x: Any, scale: Any, offset: Any, epsilon: Any, y: Any, z: Any, factor: Any
) -> None:
    rows, n = x.shape
    chunks = parts(pool, COST * x.size)
    given = (address(scale), address(offset), address(epsilon), address(x))
    written = (address(y), address(z), address(factor))
    task = pack((rows, n, x.itemsize, chunks, *given, *written))
    fork_join(pool, address_of(_rows, kind), task, chunks)


@numba.njit(fastmath=SUMS, forceinline=True)
def _pull(g: Any, z: Any, factor: Any, scale: Any, result: Any, slope: Any, total: Any) -> None:
    n, number = z.size, z.dtype.type(z.size)
    mean, shared = z.dtype.type(0), z.dtype.type(0)
    for j in range(n):
        h = g[j] * scale[j]
        mean += h
        shared += h * z[j]
        slope[j] += g[j] * z[j]
        total[j] += g[j]
    mean, shared = mean / number, shared / number
    for j in range(n):
        result[j] = (g[j] * scale[j] - mean - z[j] * shared) * factor


@numba.njit
def _pull_rows(kind: Any, task: int, chunk: int) -> None:
    rows, n, size = field(task, 0), field(task, 1), field(task, 2)
    scale, g, z = vector(kind, field(task, 4), n), field(task, 5), field(task, 6)
    factors, result = vector(kind, field(task, 7), rows), field(task, 8)
    sums = field(task, 9) + 2 * chunk * n * size
    slope, total = vector(kind, sums, n), vector(kind, sums + n * size, n)
    start, stop = share(rows, field(task, 3), chunk, 1)
    for i in range(start, stop):
        row = i * n * size
        of_g, of_z = vector(kind, g + row, n), vector(kind, z + row, n)
        _pull(of_g, of_z, factors[i], scale, vector(kind, result + row, n), slope, total)


def _layer_norm_backward(
    pool: int, kind: Any, g: Any, z: Any, factor: Any, scale: Any, result: Any, sums: Any
) -> None:
    rows, n = z.shape
    blocks = max(1, min(BLOCKS, rows // ROWS))
    partial = np.zeros((blocks, 2, n), z.dtype)
    given = (address(scale), address(g), address(z), address(factor), address(result))
    task = pack((rows, n, z.itemsize, blocks, *given, address(partial)))
    alone = parts(pool, COST * z.size) == 1
    fork_join(0 if alone else pool, address_of(_pull_rows, kind), task, blocks)
    for block in range(blocks):
        for k in range(2):
            for j in range(n):
                sums[k, j] += partial[block, k, j]
    keep(partial)


# Features -----------------------------------------------------------------------------------


@numba.njit(fastmath={"contract"})
def _features(kind: Any, task: int, chunk: int) -> None:
    rows, n, size = field(task, 0), field(task, 1), field(task, 2)
    left, right = share(n, field(task, 3), chunk, LINE)
    count, at = right - left, left * size
    scale, offset = (
        vector(kind, field(task, 4) + at, count),
        vector(kind, field(task, 5) + at, count),
    )
    epsilon, x, y = read(kind, field(task, 6)), field(task, 7) + at, field(task, 8) + at
    z, factor = field(task, 9) + at, vector(kind, field(task, 10) + at, count)
    mean = vector(kind, field(task, 11) + at, count)
    variance = vector(kind, field(task, 12) + at, count)
    first = vector(kind, x, count)
    number, one = first.dtype.type(rows), first.dtype.type(1)
    for j in range(count):
        mean[j] = 0
        variance[j] = 0
    for i in range(rows):
        of_x, of_z = vector(kind, x + i * n * size, count), vector(kind, z + i * n * size, count)
        for j in range(count):
            apart = of_x[j] - first[j]
            of_z[j] = apart
            mean[j] += apart
    for j in range(count):
        mean[j] /= number
    for i in range(rows):
        of_z = vector(kind, z + i * n * size, count)
        for j in range(count):
            apart = of_z[j] - mean[j]
            of_z[j] = apart
            variance[j] += apart * apart
    for j in range(count):
        variance[j] /= number
        factor[j] = one / np.sqrt(variance[j] + epsilon)
        mean[j] += first[j]
    for i in range(rows):
        of_z, of_y = vector(kind, z + i * n * size, count), vector(kind, y + i * n * size, count)
        for j in range(count):
            value = of_z[j] * factor[j]
            of_z[j] = value
            of_y[j] = value * scale[j] + offset[j]


def _batch_norm(
    pool: int,
    kind: Any,
    x: Any,
    scale: Any,
    offset: Any,
    epsilon: Any,
    y: Any,
    z: Any,
    factor: Any,
    mean: Any,
    variance: Any,
) -> None:
    rows, n = x.shape
    chunks = min(parts(pool, COST * x.size), (n + LINE - 1) // LINE)
    given = (address(scale), address(offset), address(epsilon), address(x), address(y), address(z))
    task = pack(
        (rows, n, x.itemsize, chunks, *given, address(factor), address(mean), address(variance))
    )
    fork_join(pool, address_of(_features, kind), task, chunks)


@numba.njit(fastmath={"contract"})
def _pull_features(kind: Any, task: int, chunk: int) -> None:
    rows, n, size = field(task, 0), field(task, 1), field(task, 2)
    left, right = share(n, field(task, 3), chunk, LINE)
    count, at = right - left, left * size
    scale, g = vector(kind, field(task, 4) + at, count), field(task, 5) + at
    z, factor = field(task, 6) + at, vector(kind, field(task, 7) + at, count)
    result, sums = field(task, 8) + at, field(task, 9) + at
    slope, total = vector(kind, sums, count), vector(kind, sums + n * size, count)
    number = scale.dtype.type(rows)
    for i in range(rows):
        of_g, of_z = vector(kind, g + i * n * size, count), vector(kind, z + i * n * size, count)
        for j in range(count):
            slope[j] += of_g[j] * of_z[j]
            total[j] += of_g[j]
    for i in range(rows):
        of_g, of_z = vector(kind, g + i * n * size, count), vector(kind, z + i * n * size, count)
        out = vector(kind, result + i * n * size, count)
        for j in range(count):
            shared = (of_z[j] * slope[j] + total[j]) / number
            out[j] = (of_g[j] - shared) * (factor[j] * scale[j])


def _batch_norm_backward(
    pool: int, kind: Any, g: Any, z: Any, factor: Any, scale: Any, result: Any, sums: Any
) -> None:
    rows, n = z.shape
    chunks = min(parts(pool, COST * z.size), (n + LINE - 1) // LINE)
    given = (address(scale), address(g), address(z), address(factor), address(result))
    task = pack((rows, n, z.itemsize, chunks, *given, address(sums)))
    fork_join(pool, address_of(_pull_features, kind), task, chunks)


# For Python ---------------------------------------------------------------------------------


@functools.cache
def layer_norm(dtype: Any) -> Any:
    """The function of (x, scale, offset, epsilon, y, z, weight); it writes the last three.

    x, y and z are matrices, `epsilon` is a vector of one number.
    """
    return _made(_layer_norm, dtype, "mvvv", "mmv")


@functools.cache
def layer_norm_backward(dtype: Any) -> Any:
    """The function of (g, z, weight, scale, result, sums); it writes result, and adds to sums.

    `sums` has two rows: the gradients of scale and of offset.
    """
    return _made(_layer_norm_backward, dtype, "mmvv", "mm")


@functools.cache
def batch_norm(dtype: Any) -> Any:
    """The function of (x, scale, offset, epsilon, y, z, weight, mean, variance)."""
    return _made(_batch_norm, dtype, "mvvv", "mmvvv")


@functools.cache
def batch_norm_backward(dtype: Any) -> Any:
    """The function of (g, z, weight, scale, result, sums), as `layer_norm_backward`'s."""
    return _made(_batch_norm_backward, dtype, "mmvv", "mm")


def _made(kernel: Any, dtype: Any, given: str, written: str) -> Any:
    """A kernel of arguments that have a letter each: a matrix or a vector."""
    axes = {"v": 1, "m": 2}
    kinds = [array(dtype, axes[each]) for each in given]
    kinds += [array(dtype, axes[each], written=True) for each in written]
    compiled, kind = build(kernel, (numba.intp, scalar(dtype), *kinds)), dtype.type(0)

    def compute(*arguments: Any) -> None:
        compiled(pool(), kind, *arguments)

    return compute
