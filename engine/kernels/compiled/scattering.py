"""Rows added up at places, one after the other: the cores share the columns."""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .host import tile
from .intrinsics import address, address_of, field, pack, read
from .products import WIDTH, share
from .threads import fork_join, parts, pool
from .vectors import add, load, store


@numba.njit
def _columns(kind: Any, task: int, chunk: int) -> None:
    """Some columns of all rows."""
    values, outer, inner, size = field(task, 0), field(task, 1), field(task, 2), field(task, 3)
    places, place_outer, place_inner = field(task, 4), field(task, 5), field(task, 6)
    result, row, many, each = field(task, 7), field(task, 8), field(task, 9), field(task, 10)
    left, right = share(field(task, 11), field(task, 12), chunk, WIDTH // size)
    for i in range(many):
        for j in range(each):
            place = read(np.int64(0), places + i * place_outer + j * place_inner)
            source, to = values + i * outer + j * inner, result + place * row
            for k in range(left, right, WIDTH // size):
                count, at = right - k, k * size
                total = add(load(kind, to + at, count), load(kind, source + at, count))
                store(to + at, total, count)


def _add_rows(pool: int, kind: Any, values: Any, places: Any, result: Any) -> bool:
    """result[places[i, j]] += values[i, j], unless a place is none: then nothing, and False."""
    many, each, width = values.shape
    for i in range(many):
        for j in range(each):
            if not 0 <= places[i, j] < result.shape[0]:
                return False
    size, count = values.itemsize, parts(pool, 20 * values.size)
    source = (address(values), values.strides[0], values.strides[1], size)
    where = (address(places), places.strides[0], places.strides[1])
    target = (address(result), result.strides[0])
    task = pack((*source, *where, *target, many, each, width, count))
    fork_join(pool, address_of(_columns, kind), task, count)
    return True


@functools.cache
def add_rows(dtype: Any) -> Any:
    """The function of values, (n, m, width), places, (n, m), and the result, which is written.

    The numbers of a row of values are neighbours. None on an unknown processor.
    """
    if tile() is None:
        return None
    kinds = (array(dtype, 3, "A"), array(np.int64, 2, "A"), array(dtype, 2, written=True))
    compiled = build(_add_rows, (numba.intp, scalar(dtype), *kinds))
    kind = dtype.type(0)

    def run(values: Any, places: Any, result: Any) -> bool:
        return bool(compiled(pool(), kind, values, places, result))

    return run
