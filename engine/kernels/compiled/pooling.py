"""Pools: windows are read where they lie, some channels at a time, in one pass there and back.

Lines of windows are shared between the cores; where windows overlap, images are.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .intrinsics import address, address_of, field, pack
from .memory import clear
from .products import _TILE, share
from .threads import fork_join, parts, pool
from .vectors import WIDTH, add, alike, divide, full, larger, load, multiply, store

#: Positions of a task's words: those of a `Plan` in `numba_pooling`, and five more.
(
    LARGEST, HEIGHT, WIDTH_OF_X, CHANNELS, SIZE, TALL, WIDE, DOWN, ACROSS, TOP, LEFT, LINES,
    COLUMNS, BAND, BANDS, UNITS, APART, COVERED,
    X, Y, G, TOTAL, CHUNKS,
) = range(23)  # fmt: skip


@numba.njit
def _inside(start: int, length: int, size: int) -> tuple[int, int]:
    """Which elements of a window that begins at `start` are within the size: first and end."""
    return max(0, -start), min(length, size - start)


@numba.njit
def _lines(task: int, unit: int) -> tuple[int, int, int]:
    """The image of a band, its first line of windows, and where it ends."""
    first = unit % field(task, BANDS) * field(task, BAND)
    return unit // field(task, BANDS), first, min(field(task, LINES), first + field(task, BAND))


@numba.njit
def _pool_bands(kind: Any, task: int, chunk: int) -> None:
    """The largest element, or the mean, of each window of some bands."""
    size, channels, largest = field(task, SIZE), field(task, CHANNELS), field(task, LARGEST) != 0
    height, width, columns = field(task, HEIGHT), field(task, WIDTH_OF_X), field(task, COLUMNS)
    tall, wide, lanes, pixel = field(task, TALL), field(task, WIDE), WIDTH // size, channels * size
    none = full(type(kind)(-np.inf if largest else 0))
    begin, end = share(field(task, UNITS), field(task, CHUNKS), chunk, 1)
    for unit in range(begin, end):
        image, first, last = _lines(task, unit)
        y = field(task, Y) + (image * field(task, LINES) + first) * columns * pixel
        for line in range(first, last):
            row = line * field(task, DOWN) - field(task, TOP)
            above, below = _inside(row, tall, height)
            for column in range(columns):
                place = column * field(task, ACROSS) - field(task, LEFT)
                before, behind = _inside(place, wide, width)
                x = field(task, X) + ((image * height + row) * width + place) * pixel
                number = full(type(kind)((below - above) * (behind - before)))
                for c in range(0, channels, lanes):
                    total = none
                    for i in range(above, below):
                        for j in range(before, behind):
                            at = x + (i * width + j) * pixel + c * size
                            each = load(kind, at, channels - c)
                            total = larger(total, each) if largest else add(total, each)
                    if not largest:
                        total = divide(total, number)
                    store(y + c * size, total, channels - c)
                y += pixel


@numba.njit
def _pull_bands(kind: Any, task: int, chunk: int) -> None:
    """The gradient of x, from that of each window in some bands: to its largest, or to all."""
    size, channels, largest = field(task, SIZE), field(task, CHANNELS), field(task, LARGEST) != 0
    height, width, columns = field(task, HEIGHT), field(task, WIDTH_OF_X), field(task, COLUMNS)
    tall, wide, lanes, pixel = field(task, TALL), field(task, WIDE), WIDTH // size, channels * size
    apart, margin = field(task, APART) != 0, full(type(kind)(-np.inf))
    begin, end = share(field(task, UNITS), field(task, CHUNKS), chunk, 1)
    for unit in range(begin, end):
        image, first, last = _lines(task, unit)
        if not field(task, COVERED):
            _clear(task, image, first, last)
        window = (image * field(task, LINES) + first) * columns * pixel
        for line in range(first, last):
            row = line * field(task, DOWN) - field(task, TOP)
            above, below = _inside(row, tall, height)
            for column in range(columns):
                place = column * field(task, ACROSS) - field(task, LEFT)
                before, behind = _inside(place, wide, width)
                corner = ((image * height + row) * width + place) * pixel
                seen = (below - above) * (behind - before)
                for c in range(0, channels, lanes):
                    left, part = channels - c, full(type(kind)(seen))
                    g = load(kind, field(task, G) + window + c * size, left)
                    y = g
                    if largest:
                        y = load(kind, field(task, Y) + window + c * size, left)
                        outside = full(type(kind)(tall * wide - seen))
                        part = multiply(alike(margin, y), outside)
                        for i in range(above, below):
                            for j in range(before, behind):
                                at = corner + (i * width + j) * pixel + c * size
                                part = add(part, alike(load(kind, field(task, X) + at, left), y))
                    each = divide(g, part)
                    for i in range(above, below):
                        for j in range(before, behind):
                            at = corner + (i * width + j) * pixel + c * size
                            given = each
                            if largest:
                                x = load(kind, field(task, X) + at, left)
                                given = multiply(each, alike(x, y))
                            if not apart:
                                given = add(load(kind, field(task, TOTAL) + at, left), given)
                            store(field(task, TOTAL) + at, given, left)
                window += pixel


@numba.njit
def _clear(task: int, image: int, first: int, last: int) -> None:
    """Writes zeros to the rows of an image up to where the next band's begin."""
    height, row = field(task, HEIGHT), field(task, WIDTH_OF_X) * field(task, CHANNELS)
    row *= field(task, SIZE)
    begin = max(0, first * field(task, DOWN) - field(task, TOP)) if first > 0 else 0
    end = last * field(task, DOWN) - field(task, TOP) if last < field(task, LINES) else height
    clear(field(task, TOTAL) + (image * height + begin) * row, max(0, end - begin) * row)


def _pool(pool: int, kind: Any, x: Any, y: Any, plan: Any) -> None:
    chunks = min(plan[UNITS], 4 * parts(pool, x.size))
    at = (address(x), address(y), np.intp(0), np.intp(0), np.intp(chunks))
    fork_join(pool, address_of(_pool_bands, kind), pack(plan + at), chunks)


def _pull(pool: int, kind: Any, g: Any, y: Any, x: Any, total: Any, plan: Any) -> None:
    chunks = min(plan[UNITS], 4 * parts(pool, total.size))
    at = (address(x), address(y), address(g), address(total), np.intp(chunks))
    fork_join(pool, address_of(_pull_bands, kind), pack(plan + at), chunks)


@functools.cache
def kernels(dtype: Any) -> Any:
    """The functions of (x, y, plan) and of (g, y, x, total, plan) for arrays of a dtype.

    For means y and x are not read. None on an unknown processor.
    """
    if _TILE is None:
        return None
    kind, number = dtype.type(0), scalar(dtype)
    plan = numba.types.UniTuple(numba.intp, X)
    given, made = array(dtype), array(dtype, written=True)
    ahead = build(_pool, (numba.intp, number, given, made, plan))
    back = build(_pull, (numba.intp, number, given, given, given, made, plan))

    def forward(*arguments: Any) -> None:
        ahead(pool(), kind, *arguments)

    def backward(*arguments: Any) -> None:
        back(pool(), kind, *arguments)

    return forward, backward
