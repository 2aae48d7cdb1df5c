"""Products of matrices, in blocks that stay in vector registers, shared between the cores.

B is read where it lies if A has few rows. Else a panel of it, some vectors wide, is copied together
first: then all of A goes by a panel that lies in the second cache, whatever B's rows are apart.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .host import tile
from .intrinsics import address, address_of, call, field, keep, pack, read, write
from .memory import copy
from .threads import fork_join, parts, pool
from .tiles import block

_TILE = tile()
ROWS, VECTORS, WIDTH = _TILE or (1, 1, 8)

#: Rows of A for which B is read where it lies; for more, a panel of it is copied together first, of
#: so many bytes, which stays in the second cache while all of A goes by.
FEW_ROWS, PANEL = 32, 98_304
#: Rows of B for which that pays.
DEEP = 128

if _TILE is not None:
    _whole = block(VECTORS, masked=False)
    _three, _two, _one = block(3, masked=True), block(2, masked=True), block(1, masked=True)


@numba.njit
def _block(
    kind: Any,
    size: int,
    rows: int,
    columns: int,
    k: int,
    a: int,
    a_row: int,
    a_k: int,
    b: int,
    b_row: int,
    c: int,
    c_row: int,
    add: bool,
) -> None:
    """One block, as `tiles.block`, of up to ROWS rows and VECTORS vectors; `size` of a number."""
    lanes = WIDTH // size
    if columns == VECTORS * lanes:
        _whole(kind, rows, columns, k, a, a_row, a_k, b, b_row, c, c_row, add)
    elif columns > 2 * lanes:
        _three(kind, rows, columns, k, a, a_row, a_k, b, b_row, c, c_row, add)
    elif columns > lanes:
        _two(kind, rows, columns, k, a, a_row, a_k, b, b_row, c, c_row, add)
    else:
        _one(kind, rows, columns, k, a, a_row, a_k, b, b_row, c, c_row, add)


@numba.njit
def share(count: int, parts: int, part: int, unit: int) -> tuple[int, int]:
    """Where a part of `count` begins and ends, if parts are multiples of `unit`, but the last."""
    units = (count + unit - 1) // unit
    return min(count, units * part // parts * unit), min(count, units * (part + 1) // parts * unit)


@numba.njit
def _gather(
    kind: Any, size: int, rows: int, columns: int, b: int, b_row: int, b_column: int, panel: int
) -> None:
    """Copies a part of B together, row by row, `VECTORS` vectors apart."""
    step = VECTORS * WIDTH
    for top in range(0, rows, 16):  # few rows at a time, which stay in the first cache
        bottom = min(rows, top + 16)
        if b_column == size:
            for row in range(top, bottom):
                copy(panel + row * step, b + row * b_row, columns * size)
        else:
            for i in range(columns):
                for row in range(top, bottom):
                    number = read(kind, b + row * b_row + i * b_column)
                    write(panel + row * step + i * size, number)


@numba.njit
def product(
    kind: Any,
    size: int,
    rows: int,
    columns: int,
    k: int,
    a: int,
    a_row: int,
    a_k: int,
    b: int,
    b_row: int,
    b_column: int,
    c: int,
    c_row: int,
    c_column: int,
    add: bool,
) -> None:
    """C = A B, or C += A B, on the core that calls: the function for use in other kernels.

    A is (rows, k), B is (k, columns); `a`, `b` and `c` are addresses, `size` is the bytes of a
    number, the others those from an element to its neighbours, below and to the right.
    """
    wide = VECTORS * WIDTH // size
    packed = b_column != size or (rows > FEW_ROWS and k >= DEEP)
    depth = min(k, PANEL // (wide * size)) if packed else k
    panel = np.empty(depth * wide * size if packed else 0, np.uint8)
    held = np.empty(ROWS * wide * size if c_column != size else 0, np.uint8)
    for start in range(0, k, depth):
        deep, more = min(depth, k - start), add or start > 0
        for j in range(0, columns, wide):
            width, step = min(wide, columns - j), b_row
            at_b = b + start * b_row + j * b_column
            if packed:
                _gather(kind, size, deep, width, at_b, b_row, b_column, address(panel))
                at_b, step = address(panel), wide * size
            for i in range(0, rows, ROWS):
                height, at_a = min(ROWS, rows - i), a + i * a_row + start * a_k
                at_c, c_step = c + i * c_row + j * c_column, c_row
                if c_column != size:
                    at_c, c_step = address(held), wide * size
                    if more:
                        _move(
                            kind,
                            height,
                            width,
                            c + i * c_row + j * c_column,
                            c_row,
                            c_column,
                            at_c,
                            c_step,
                            size,
                        )
                _block(
                    kind,
                    size,
                    height,
                    width,
                    deep,
                    at_a,
                    a_row,
                    a_k,
                    at_b,
                    step,
                    at_c,
                    c_step,
                    more,
                )
                if c_column != size:
                    to = c + i * c_row + j * c_column
                    _move(kind, height, width, at_c, c_step, size, to, c_row, c_column)
    keep(panel)
    keep(held)


@numba.njit
def _move(
    kind: Any,
    rows: int,
    columns: int,
    source: int,
    row: int,
    column: int,
    to: int,
    to_row: int,
    to_column: int,
) -> None:
    """Copies a small matrix."""
    for j in range(columns):
        for i in range(rows):
            number = read(kind, source + i * row + j * column)
            write(to + i * to_row + j * to_column, number)


# Products that the cores share -----------------------------------------------------------------


@numba.njit
def _part(kind: Any, task: int, chunk: int) -> None:
    """Some rows and some columns of C = A B."""
    a, a_row, a_k = field(task, 0), field(task, 1), field(task, 2)
    b, b_row, b_column = field(task, 3), field(task, 4), field(task, 5)
    c, c_row, c_column = field(task, 6), field(task, 7), field(task, 8)
    size, rows, columns, k = field(task, 9), field(task, 10), field(task, 11), field(task, 12)
    down, across, add = field(task, 13), field(task, 14), field(task, 15) != 0
    top, bottom = share(rows, down, chunk // across, ROWS)
    left, right = share(columns, across, chunk % across, WIDTH // size)
    a, b, c = a + top * a_row, b + left * b_column, c + top * c_row + left * c_column
    rows, columns = bottom - top, right - left
    product(
        kind, size, rows, columns, k, a, a_row, a_k, b, b_row, b_column, c, c_row, c_column, add
    )


def _place(kind: Any) -> Any:
    """Where the machine code of `_part` lies."""
    return address_of(_part, kind)


@numba.njit
def multiply_at(
    part: int,
    size: int,
    rows: int,
    columns: int,
    k: int,
    a: int,
    a_row: int,
    a_k: int,
    b: int,
    b_row: int,
    b_column: int,
    c: int,
    c_row: int,
    c_column: int,
    add: bool,
) -> None:
    """`product`, by the machine code at an address."""
    words = (a, a_row, a_k, b, b_row, b_column, c, c_row, c_column, size)
    call(part, pack((*words, rows, columns, k, 1, 1, np.intp(add))), 0)


def _multiply(pool: int, part: int, a: Any, b: Any, c: Any, add: bool) -> None:
    """C = A B, or C += A B, of matrices in each of which rows or columns are contiguous."""
    size, rows, k, columns = a.itemsize, a.shape[0], a.shape[1], b.shape[1]
    at_a, a_row, a_k = address(a), a.strides[0], a.strides[1]
    at_b, b_row, b_column = address(b), b.strides[0], b.strides[1]
    at_c, c_row, c_column = address(c), c.strides[0], c.strides[1]
    if b_column != size and rows <= columns:  # B is the larger: Cᵀ = Bᵀ Aᵀ
        rows, columns = columns, rows
        at_a, a_row, a_k, at_b, b_row, b_column = at_b, b_column, b_row, at_a, a_k, a_row
        c_row, c_column = c_column, c_row
    down, across = 1, parts(pool, rows * columns * k)
    if rows > columns:
        down, across = across, down
    words = (at_a, a_row, a_k, at_b, b_row, b_column, at_c, c_row, c_column, size)
    task = pack((*words, rows, columns, k, down, across, np.intp(add)))
    fork_join(pool, part, task, down * across)


# Stacks of products -----------------------------------------------------------------------------


@numba.njit
def _some(kind: Any, task: int, chunk: int) -> None:
    """Some of the products of a stack, of which the axes are two."""
    part, chunks, all_, inner = field(task, 0), field(task, 1), field(task, 2), field(task, 3)
    size, rows, columns, k = field(task, 4), field(task, 5), field(task, 6), field(task, 7)
    start, stop = share(all_, chunks, chunk, 1)
    for i in range(start, stop):
        outer, within = i // inner, i % inner
        a = field(task, 8) + outer * field(task, 9) + within * field(task, 10)
        b = field(task, 13) + outer * field(task, 14) + within * field(task, 15)
        c = field(task, 18) + outer * field(task, 19) + within * field(task, 20)
        multiply_at(
            *(part, size, rows, columns, k, a, field(task, 11), field(task, 12)),
            *(b, field(task, 16), field(task, 17), c, field(task, 21), field(task, 22), False),
        )


@numba.njit
def lie(x: Any) -> Any:
    """The address and the strides of an array of four axes, as words of a task."""
    return (address(x), x.strides[0], x.strides[1], x.strides[2], x.strides[3])


def _multiply_stack(pool: int, kind: Any, part: int, a: Any, b: Any, c: Any) -> None:
    """C = A B, of stacks of matrices with two axes in front."""
    outer, inner, rows, columns = c.shape
    k = a.shape[3]
    chunks = min(outer * inner, parts(pool, c.size * k))
    sizes = (part, chunks, outer * inner, inner, a.itemsize, rows, columns, k)
    task = pack((*sizes, *lie(a), *lie(b), *lie(c)))
    fork_join(pool, address_of(_some, kind), task, chunks)


# For Python -------------------------------------------------------------------------------------


@functools.cache
def _placed(dtype: Any) -> Any:
    return build(_place, (scalar(dtype),))  # kept: the machine code is its


def part(dtype: Any) -> int:
    """The address of `_part` as machine code; 0 on an unknown processor.

    A kernel that has the product within, which is long, takes seconds to compile; one that calls
    it, by `multiply_at`, or by `call` with the task that is written there, takes a fraction.
    """
    return 0 if _TILE is None else int(_placed(dtype)(dtype.type(0)))


@functools.cache
def multiplier(dtype: Any) -> Any:
    """The function of (a, b, c, add) for matrices of a dtype; None on an unknown processor."""
    if _TILE is None:
        return None
    matrix = functools.partial(array, dtype, 2, "A")
    kinds = (numba.intp, numba.intp, matrix(), matrix(), matrix(written=True), numba.boolean)
    compiled, place = build(_multiply, kinds), part(dtype)

    def multiply(a: Any, b: Any, c: Any, add: bool) -> None:
        compiled(pool(), place, a, b, c, add)

    return multiply


@functools.cache
def stack_multiplier(dtype: Any) -> Any:
    """The function of (a, b, c) for stacks (n, m, rows, columns); None on an unknown processor."""
    if _TILE is None:
        return None
    stack = functools.partial(array, dtype, 4, "A")
    kinds = (numba.intp, numba.intp, numba.intp, stack(), stack(), stack(written=True))
    compiled, place = build(_multiply_stack, kinds), part(dtype)

    def multiply(a: Any, b: Any, c: Any) -> None:
        compiled(pool(), 0, place, a, b, c)

    return multiply
