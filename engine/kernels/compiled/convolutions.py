"""Convolutions as products with a matrix of windows that is nowhere written down.

A *band* is some rows of windows of one image. What its windows see is multiplied where it lies, or,
if there are margins, from a copy with margins that stays in the second cache. Bands are shared
between the cores. The gradient of the kernel is summed over a part of the bands at a time, and the
parts are added in order; how many there are depends on shapes alone, and so do all sums.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .intrinsics import address, address_of, field, keep, pack
from .memory import clear, copy
from .products import _TILE, ROWS, VECTORS, WIDTH, share
from .threads import fork_join, parts, pool
from .window_tiles import window_block

#: Bytes of the kernel that the windows of a band meet before they meet its next part.
PANEL = 262_144
#: Positions of a task's words: those of a `Plan` in `numba_convolutions`, and six more.
(
    IMAGE, HEIGHT, ROW, TOP, LEAD, COPIED, PITCH, SPARE, SEGMENTS, SEGMENT, SPAN, STRIDE, NEXT,
    LINES, COLUMNS, BAND, BANDS, UNITS, K, FILTERS, SIZE,
    X, B, C, TABLE, HELD, BACK, PARTS, DOWN,
) = range(29)  # fmt: skip

if _TILE is not None:
    _three, _two, _one = [window_block(n, masked=False) for n in (3, 2, 1)]
    _less = window_block(1, masked=True)


@numba.njit
def _block(
    kind: Any,
    size: int,
    rows: int,
    columns: int,
    segments: int,
    k: int,
    a: int,
    table: int,
    a_segment: int,
    a_k: int,
    b: int,
    b_row: int,
    c: int,
    c_row: int,
    add: bool,
) -> None:
    """One block, as `window_tiles.window_block`: 3, 2 or 1 vectors wide, or less than 1."""
    lanes = WIDTH // size
    if columns == 3 * lanes:
        _three(kind, rows, columns, segments, k, a, table, a_segment, a_k, b, b_row, c, c_row, add)
    elif columns == 2 * lanes:
        _two(kind, rows, columns, segments, k, a, table, a_segment, a_k, b, b_row, c, c_row, add)
    elif columns == lanes:
        _one(kind, rows, columns, segments, k, a, table, a_segment, a_k, b, b_row, c, c_row, add)
    else:
        _less(kind, rows, columns, segments, k, a, table, a_segment, a_k, b, b_row, c, c_row, add)


@numba.njit
def _product(
    kind: Any,
    size: int,
    rows: int,
    columns: int,
    segments: int,
    k: int,
    a: int,
    table: int,
    a_segment: int,
    a_k: int,
    b: int,
    b_row: int,
    c: int,
    add: bool,
) -> None:
    """C = A B, or C += A B; the rows of B and C are `columns` numbers, one after the other."""
    lanes, c_row = WIDTH // size, columns * size
    if k == 1:
        segments, k, a_k = 1, segments, a_segment
    elif a_segment == k * a_k:
        segments, k = 1, segments * k
    deep = max(1, PANEL // (k * VECTORS * WIDTH))
    for first in range(0, segments, deep):
        some, at_a = min(deep, segments - first), a + first * a_segment
        j = 0
        while j < columns:
            width, whole = columns - j, (columns - j) // lanes
            if whole:  # 4 vectors are two times 2, not 3 and 1
                panels = (whole + VECTORS - 1) // VECTORS
                width = (whole + panels - 1) // panels * lanes
            at_b, at_c = b + first * k * b_row + j * size, c + j * size
            for i in range(0, rows, ROWS):
                _block(
                    kind,
                    size,
                    min(ROWS, rows - i),
                    width,
                    some,
                    k,
                    at_a,
                    table + 8 * i,
                    a_segment,
                    a_k,
                    at_b,
                    b_row,
                    at_c + i * c_row,
                    c_row,
                    add or first > 0,
                )
            j += width


# Bands --------------------------------------------------------------------------------------


@numba.njit
def _place(task: int, unit: int) -> tuple[int, int, int]:
    """The image of a band, the first row of windows of it, and how many there are."""
    first = unit % field(task, BANDS) * field(task, BAND)
    return unit // field(task, BANDS), first, min(field(task, BAND), field(task, LINES) - first)


@numba.njit
def _seen(task: int, unit: int, spare: int) -> int:
    """Where the first window of a band begins: in x, or in a copy with margins.

    `spare` is the address of memory for the copy, in which the margins at the sides are zero.
    """
    image, first, lines = _place(task, unit)
    top = first * field(task, STRIDE) - field(task, TOP)
    x, row, pitch = (
        field(task, X) + image * field(task, IMAGE),
        field(task, ROW),
        field(task, PITCH),
    )
    if not field(task, COPIED):
        return x + top * row
    lead = field(task, LEAD)
    size = min(row, pitch - lead)
    for i in range((lines - 1) * field(task, STRIDE) + field(task, SPAN)):
        to = spare + i * pitch + lead
        if 0 <= top + i < field(task, HEIGHT):
            copy(to, x + (top + i) * row, size)
        else:
            clear(to, size)
    return spare


# Both ways ----------------------------------------------------------------------------------


@numba.njit
def _bands(kind: Any, task: int, chunk: int) -> None:
    """Every window's product with the kernel, in some bands; on the way back, their part of a sum.

    That is some rows of the gradient of the kernel, from these bands.
    """
    back, down = field(task, BACK) != 0, field(task, DOWN)
    lines, columns, size = field(task, LINES), field(task, COLUMNS), field(task, SIZE)
    filters, pitch, table = field(task, FILTERS), field(task, PITCH), field(task, TABLE)
    part, k = chunk // down, field(task, K)
    rows = field(task, SEGMENTS) * k
    top, bottom = share(rows, down, chunk % down, ROWS)
    spare = np.zeros(field(task, SPARE), np.uint8)
    begin, end = share(field(task, UNITS), field(task, PARTS), part, 1)
    for unit in range(begin, end):
        image, first, some = _place(task, unit)
        here = (image * lines + first) * columns * filters * size
        if back:
            height, segments, length = bottom - top, some, columns
            to_segment, to_next = field(task, STRIDE) * pitch, field(task, NEXT)
            b, c = field(task, B) + here, top * filters * size
            c += field(task, HELD) + (part - 1) * rows * filters * size if part else field(task, C)
        else:
            height, segments, length = some * columns, field(task, SEGMENTS), k
            to_segment, to_next = field(task, SEGMENT), size
            b, c = field(task, B), field(task, C) + here
        _product(
            kind,
            size,
            height,
            filters,
            segments,
            length,
            _seen(task, unit, address(spare)),
            table + 8 * top if back else table,
            to_segment,
            to_next,
            b,
            filters * size,
            c,
            back and unit > begin,
        )
    keep(spare)


def _convolve(pool: int, kind: Any, x: Any, b: Any, c: Any, back: bool, plan: Any) -> None:
    """c = the convolution of x with a kernel, b; on the way `back`, the gradient of that kernel.

    There b is the gradient of the result. All are contiguous.
    """
    columns, k, chunks, down = plan[COLUMNS], plan[K], plan[X], plan[X + 1]
    table = np.empty(plan[SEGMENTS] * k if back else plan[BAND] * columns, np.intp)
    for i in range(table.size):
        if back:  # where the first window has each of its numbers
            table[i] = i // k * plan[SEGMENT] + i % k * plan[SIZE]
        else:  # where the windows of a band begin
            table[i] = i // columns * plan[STRIDE] * plan[PITCH] + i % columns * plan[NEXT]
    held = np.empty(((chunks - 1) * c.size if back else 0), c.dtype)  # all parts but the first
    if not back:
        work = c.size * plan[SEGMENTS] * k
        chunks, down = min(plan[UNITS], 4 * parts(pool, work)), np.intp(1)
    at = (address(x), address(b), address(c), address(table), address(held), np.intp(back))
    task = pack(plan[:X] + at + (np.intp(chunks), np.intp(down)))
    fork_join(pool, address_of(_bands, kind), task, chunks * down)
    keep(table)
    for start in range(0, held.size, c.size):
        for i in range(c.size):
            c[i] += held[start + i]
    keep(held)


@functools.cache
def convolution(dtype: Any) -> Any:
    """The function of (x, b, c, back, plan) for arrays of a dtype; None on an unknown processor."""
    if _TILE is None:
        return None
    plan, given = numba.types.UniTuple(numba.intp, X + 2), array(dtype)
    kinds = (numba.intp, scalar(dtype), given, given, array(dtype, written=True), numba.boolean)
    compiled, kind = build(_convolve, (*kinds, plan)), dtype.type(0)

    def convolve(*arguments: Any) -> None:
        compiled(pool(), kind, *arguments)

    return convolve
