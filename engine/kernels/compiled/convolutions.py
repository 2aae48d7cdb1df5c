"""Convolutions as products with a matrix of windows that is nowhere written down.

A *unit* is a *band*, some rows of windows, of one image, or some small images. What its windows see
is multiplied where it lies, or, if there are margins, from a copy with margins that stays in the
second cache. Units are shared between the cores. The gradient of the kernel is summed over a part
of them at a time, and the parts are added in order; how many there are depends on shapes alone, and
so do all sums.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from ..numba_convolutions import BACK, TURNED
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
    LINES, COLUMNS, BAND, BANDS, BATCH, STACK, BETWEEN, UNITS, K, FILTERS, SIZE,
    X, B, C, TABLE, HELD, IS_BACK, PARTS, DOWN,
) = range(32)  # fmt: skip

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
    whole, unit, step = (k, 1, a_k) if segments == 1 else (segments, k, a_segment)
    most = max(1, PANEL // (unit * VECTORS * WIDTH))
    for first in range(0, whole, most):
        some, at_a = min(most, whole - first), a + first * step
        segments_now, k_now = (1, some) if segments == 1 else (some, k)
        j = 0
        while j < columns:
            width, vectors = columns - j, (columns - j) // lanes
            if vectors:  # 4 vectors are two times 2, not 3 and 1
                panels = (vectors + VECTORS - 1) // VECTORS
                width = (vectors + panels - 1) // panels * lanes
            at_b, at_c = b + first * unit * b_row + j * size, c + j * size
            for i in range(0, rows, ROWS):
                _block(
                    kind,
                    size,
                    min(ROWS, rows - i),
                    width,
                    segments_now,
                    k_now,
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
def _place(task: int, unit: int) -> tuple[int, int, int, int]:
    """The first image of a unit, how many there are, the first line of windows, and how many."""
    image = unit // field(task, BANDS) * field(task, STACK)
    first = unit % field(task, BANDS) * field(task, BAND)
    lines = min(field(task, BAND), field(task, LINES) - first)
    return image, min(field(task, STACK), field(task, BATCH) - image), first, lines


@numba.njit
def _seen(task: int, image: int, count: int, first: int, lines: int, spare: int) -> int:
    """Where the first window of a unit begins: in x, or in a copy with margins.

    `spare` is the address of memory for the copy, in which the margins at the sides are zero.
    """
    top = first * field(task, STRIDE) - field(task, TOP)
    x, row, pitch = (
        field(task, X) + image * field(task, IMAGE),
        field(task, ROW),
        field(task, PITCH),
    )
    if not field(task, COPIED):
        return x + top * row
    size = min(row, pitch - field(task, LEAD))
    for each in range(count):
        to = spare + each * field(task, BETWEEN) + field(task, LEAD)
        for i in range(top, top + (lines - 1) * field(task, STRIDE) + field(task, SPAN)):
            if 0 <= i < field(task, HEIGHT):
                copy(to, x + each * field(task, IMAGE) + i * row, size)
            else:
                clear(to, size)
            to += pitch
    return spare


# Both ways ----------------------------------------------------------------------------------


@numba.njit
def _units(kind: Any, task: int, chunk: int) -> None:
    """Every window's product with the kernel, in some units; on the way back, their part of a sum.

    That is some rows of the gradient of the kernel, from these units.
    """
    back, down = field(task, IS_BACK) != 0, field(task, DOWN)
    lines, columns, size = field(task, LINES), field(task, COLUMNS), field(task, SIZE)
    filters, pitch, table = field(task, FILTERS), field(task, PITCH), field(task, TABLE)
    part, k, line = chunk // down, field(task, K), columns * filters * size
    rows = field(task, SEGMENTS) * k
    top, bottom = share(rows, down, chunk % down, ROWS)
    spare = np.zeros(field(task, SPARE), np.uint8)
    begin, end = share(field(task, UNITS), field(task, PARTS), part, 1)
    for unit in range(begin, end):
        image, count, first, some = _place(task, unit)
        a = _seen(task, image, count, first, some, address(spare))
        here = (image * lines + first) * line
        if back:
            height, segments, length = bottom - top, some, columns
            to_segment, to_next = field(task, STRIDE) * pitch, field(task, NEXT)
            b, c = field(task, B) + here, top * filters * size
            c += field(task, HELD) + (part - 1) * rows * filters * size if part else field(task, C)
        else:
            height, segments, length = count * some * columns, field(task, SEGMENTS), k
            to_segment, to_next = field(task, SEGMENT), size
            b, c, count = field(task, B), field(task, C) + here, 1
        for each in range(count):
            _product(
                kind,
                size,
                height,
                filters,
                segments,
                length,
                a + each * field(task, BETWEEN),
                table + 8 * top if back else table,
                to_segment,
                to_next,
                b + each * lines * line,
                filters * size,
                c,
                back and (unit > begin or each > 0),
            )
    keep(spare)


@numba.njit
def _turn(kind: Any, kernel: Any, around: Any, channels: int, filters: int) -> bool:
    """The kernel with its offsets in reverse, channels for filters; is all of it finite?"""
    taps, finite, largest = kernel.size // (channels * filters), True, type(kind)(np.inf)
    for tap in range(taps):
        start, to = tap * channels * filters, (taps - 1 - tap) * channels * filters
        for left in range(0, filters, 16):  # a few rows at a time, which stay in the first cache
            for c in range(channels):
                for f in range(left, min(filters, left + 16)):
                    number = kernel[start + c * filters + f]
                    around[to + f * channels + c] = number
                    finite &= abs(number) < largest  # NaN is not less
    return finite


def _convolve(pool: int, kind: Any, x: Any, b: Any, c: Any, way: int, plan: Any) -> bool:
    """c = the convolution of x with a kernel, b; or with b turned around, unless it is not finite.

    On the way BACK c is the gradient of the kernel, and b that of the result. All are contiguous.
    Returns whether it was computed.
    """
    columns, k, chunks, down = plan[COLUMNS], plan[K], plan[X], plan[X + 1]
    back = way == BACK
    around = np.empty(b.size if way == TURNED else 0, b.dtype)
    if way == TURNED and not _turn(kind, b, around, plan[FILTERS], plan[NEXT] // plan[SIZE]):
        return False
    band = plan[BAND] * columns
    table = np.empty(plan[SEGMENTS] * k if back else plan[STACK] * band, np.intp)
    for i in range(table.size):
        if back:  # where the first window has each of its numbers
            table[i] = i // k * plan[SEGMENT] + i % k * plan[SIZE]
        else:  # where the windows of a unit begin
            line, column = i % band // columns, i % columns
            table[i] = line * plan[STRIDE] * plan[PITCH] + column * plan[NEXT]
            table[i] += i // band * plan[BETWEEN]
    held = np.empty(((chunks - 1) * c.size if back else 0), c.dtype)  # all parts but the first
    if not back:
        work = c.size * plan[SEGMENTS] * k
        chunks, down = min(plan[UNITS], 4 * parts(pool, work)), np.intp(1)
    kernel = address(around) if way == TURNED else address(b)
    at = (address(x), kernel, address(c), address(table), address(held), np.intp(back))
    task = pack(plan[:X] + at + (np.intp(chunks), np.intp(down)))
    fork_join(pool, address_of(_units, kind), task, chunks * down)
    keep(table)
    keep(around)
    for start in range(0, held.size, c.size):
        for i in range(c.size):
            c[i] += held[start + i]
    keep(held)
    return True


@functools.cache
def convolution(dtype: Any) -> Any:
    """The function of (x, b, c, way, plan) for arrays of a dtype; None on an unknown processor."""
    if _TILE is None:
        return None
    plan, given = numba.types.UniTuple(numba.intp, X + 2), array(dtype)
    kinds = (numba.intp, scalar(dtype), given, given, array(dtype, written=True), numba.intp)
    compiled, kind = build(_convolve, (*kinds, plan)), dtype.type(0)

    def convolve(*arguments: Any) -> Any:
        return compiled(pool(), kind, *arguments)

    return convolve
