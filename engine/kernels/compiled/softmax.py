"""Softmax of rows, of what a mask shows, and its gradient; rows are shared between the cores."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .building import array, build, scalar
from .elementary import exp
from .intrinsics import address, address_of, field, pack, vector
from .products import share
from .threads import fork_join, parts, pool

#: Operations that one number costs, for the decision whether the cores share the rows.
COST = 20
#: Numbers that are computed at a time: they stay in the first cache.
BLOCK = 4096


# An array that is read and written is given once in what follows: given twice, it looks to LLVM
# like two that may overlap, for which it has no vector instructions.


def _turned(builder: Any, bits: Any) -> Any:
    """The bits of a number as an integer that is in the same order as it, and back again."""
    word = bits.type
    sign = builder.ashr(bits, ir.Constant(word, word.width - 1))
    rest = ir.Constant(word, (1 << (word.width - 1)) - 1)
    return builder.xor(bits, builder.and_(sign, rest))


@intrinsic
def _order(typing: Any, x: Any) -> Any:
    """An integer, the larger the larger x is; NaN comes last or first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(x.bitwidth))
        return _turned(builder, bits)

    return (types.int32 if x.bitwidth == 32 else types.int64)(x), generate


@intrinsic
def _ordered(typing: Any, kind: Any, place: Any) -> Any:
    """The number whose `_order` it is."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(_turned(builder, arguments[1]), context.get_value_type(kind))

    return kind(kind, place), generate


@numba.njit(forceinline=True)
def largest(x: Any) -> Any:
    """The largest number of a vector that is not empty; NaN may count as any.

    Of numbers LLVM makes vector instructions only where it may forget NaN, of integers always.
    """
    top = _order(x[0])
    for j in range(x.size):  # from 0: vectors are to be read as they were written
        place = _order(x[j])
        top = place if place > top else top
    return _ordered(x[0], top)


@numba.njit(forceinline=True)
def shifted(x: Any, out: Any) -> None:
    """A row less its largest number."""
    top = largest(x)
    for j in range(x.size):
        out[j] = x[j] - top


@numba.njit(forceinline=True)
def shift(x: Any, masked: bool) -> None:
    """The same, in place; with `masked` a row of -inf stays."""
    top = largest(x)
    if masked and top == x.dtype.type(-np.inf):
        top = x.dtype.type(0)
    for j in range(x.size):
        x[j] -= top


@numba.njit(forceinline=True)
def shown(x: Any, seen: Any, out: Any) -> None:
    """A row, with -inf where a row of a mask is false."""
    nothing = x.dtype.type(-np.inf)
    for j in range(x.size):
        value = x[j]
        out[j] = value if seen[j] else nothing


@numba.njit(forceinline=True)
def hide(x: Any, seen: Any) -> None:
    """The same, in place."""
    nothing = x.dtype.type(-np.inf)
    for j in range(x.size):
        value = x[j]
        x[j] = value if seen[j] else nothing


@numba.njit(fastmath={"reassoc", "contract"})
def weights(x: Any, n: int, masked: bool) -> None:
    """exp(x) / sum(exp(x)) of shifted rows of n, in place; with `masked` 0 / 0 is 0.

    A NaN makes the sum NaN, and so all of its row.
    """
    for j in range(x.size):  # all rows in one loop: short ones take twice as long one by one
        x[j] = exp(x[j])
    for start in range(0, x.size, n):
        row = x[start : start + n]
        total = x.dtype.type(0)
        for j in range(n):
            total += row[j]
        if masked and total == 0:
            total = x.dtype.type(1)
        for j in range(n):
            row[j] /= total


@numba.njit(fastmath={"reassoc", "contract"}, forceinline=True)
def pull_row(g: Any, y: Any, result: Any, seen: Any, masked: bool) -> None:
    """y (g - sum(g y)): what is hidden takes no part."""
    total = y.dtype.type(0)
    if masked:
        nothing = y.dtype.type(0)
        for j in range(y.size):
            part = g[j] * y[j]
            part = part if seen[j] else nothing
            result[j] = part
            total += part
    else:
        for j in range(y.size):
            part = g[j] * y[j]
            result[j] = part
            total += part
    for j in range(y.size):
        result[j] -= y[j] * total


@numba.njit(forceinline=True)
def mask_row(seen: int, which: int, rows: int, i: int, n: int) -> int:
    """Where the row of a mask lies for row i of a stack of matrices; see `numba_attention`."""
    return seen + (field(which, i // rows) * rows + i % rows) * n


@numba.njit
def _forward(kind: Any, task: int, chunk: int) -> None:
    count, chunks, n, size = field(task, 0), field(task, 1), field(task, 2), field(task, 3)
    rows, masked, x, out = field(task, 4), field(task, 5) != 0, field(task, 6), field(task, 7)
    start, stop = share(count, chunks, chunk, 1)
    step = max(1, BLOCK // n)
    for top in range(start, stop, step):
        bottom = min(stop, top + step)
        for i in range(top, bottom):
            given, row = vector(kind, x + i * n * size, n), vector(kind, out + i * n * size, n)
            if masked:
                at = mask_row(field(task, 8), field(task, 9), rows, i, n)
                shown(given, vector(np.uint8(0), at, n), row)
                shift(row, masked)
            else:
                shifted(given, row)
        weights(vector(kind, out + top * n * size, (bottom - top) * n), n, masked)


@numba.njit
def _back(kind: Any, task: int, chunk: int) -> None:
    count, chunks, n, size = field(task, 0), field(task, 1), field(task, 2), field(task, 3)
    rows, masked, g, y = field(task, 4), field(task, 5) != 0, field(task, 6), field(task, 7)
    out, seen, which = field(task, 10), field(task, 8), field(task, 9)
    start, stop = share(count, chunks, chunk, 1)
    for i in range(start, stop):
        at = mask_row(seen, which, rows, i, n) if masked else seen
        pull_row(
            vector(kind, g + i * n * size, n),
            vector(kind, y + i * n * size, n),
            vector(kind, out + i * n * size, n),
            vector(np.uint8(0), at, n),
            masked,
        )


def _softmax(pool: int, kind: Any, x: Any, out: Any, seen: Any, which: Any, masked: bool) -> None:
    stack, rows, n = x.shape
    chunks = parts(pool, COST * x.size)
    about = (stack * rows, chunks, n, x.itemsize, rows, numba.intp(masked))
    task = pack((*about, address(x), address(out), address(seen), address(which)))
    fork_join(pool, address_of(_forward, kind), task, chunks)


def _softmax_backward(
    pool: int, kind: Any, g: Any, y: Any, out: Any, seen: Any, which: Any, masked: bool
) -> None:
    stack, rows, n = y.shape
    chunks = parts(pool, COST * y.size)
    about = (stack * rows, chunks, n, y.itemsize, rows, numba.intp(masked))
    arrays = (address(g), address(y), address(seen), address(which), address(out))
    task = pack((*about, *arrays))
    fork_join(pool, address_of(_back, kind), task, chunks)


def _made(kernel: Any, dtype: Any, read: int) -> Any:
    """A kernel of `read` stacks of matrices, one that it writes, a mask, and whether it counts."""
    stack = functools.partial(array, dtype, 3)
    mask = (array(bool, 3), array(np.int64), numba.boolean)
    kinds = (numba.intp, scalar(dtype), *[stack()] * read, stack(written=True), *mask)
    compiled, kind = build(kernel, kinds), dtype.type(0)

    def compute(*arguments: Any) -> None:
        compiled(pool(), kind, *arguments)

    return compute


@functools.cache
def softmax(dtype: Any) -> Any:
    """The function of (x, out, seen, which, masked), stacks of matrices; it writes out."""
    return _made(_softmax, dtype, 1)


@functools.cache
def softmax_backward(dtype: Any) -> Any:
    """The function of (g, y, out, seen, which, masked), stacks of matrices; it writes out."""
    return _made(_softmax_backward, dtype, 2)
