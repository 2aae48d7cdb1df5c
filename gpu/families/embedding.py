"""Rows looked up at an index, and sums of rows at one, in the same order in every run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.engine.devices import REFERENCE
from chainrule.engine.kernels.arrays import positions

from ..table import I32, I64, REAL, entry, reads, scalar, updates, writes

#: Values that one team of threads adds up; what has more is cut into pieces. Up to so many, sums
#: are those of a loop, to the bit. A million ids of padding are 2,000 pieces.
CHUNK = 512

_PLACES = "(count + chunk - 1) // chunk * 2 * length"

gather = entry(
    "embedding",
    "gather_rows",
    reads("x", REAL, "rows * length"),
    reads("index", I64, "count"),
    writes("y", REAL, "count * length"),
    scalar("rows", I64),
    scalar("count", I64),
    scalar("length", I64),
)

segment_pieces = entry(
    "embedding",
    "segment_pieces",
    reads("values", REAL, "count * length"),
    reads("order", I64, "count"),
    reads("sorted", I64, "count"),
    reads("offsets", I64, "rows + 1"),
    updates("pieces", REAL, _PLACES),  # written where there is a piece
    scalar("rows", I64),
    scalar("count", I64),
    scalar("length", I64),
    scalar("chunk", I32),
)

segment_sums = entry(
    "embedding",
    "segment_sums",
    reads("values", REAL, "count * length"),
    reads("order", I64, "count"),
    reads("offsets", I64, "rows + 1"),
    reads("pieces", REAL, _PLACES),
    updates("result", REAL, "rows * length"),
    scalar("rows", I64),
    scalar("count", I64),
    scalar("length", I64),
    scalar("chunk", I32),
)


def _blocks(count: int, length: int) -> int:
    """Blocks of teams for `count` rows; the kernels stride if there are more."""
    teams = 256 // max(1, min(32, 1 << (max(1, length // 4) - 1).bit_length()))
    return min(-(-count // teams), 65_536)


def _plain(index: Any) -> bool:
    """Is it made of slices, integers, None and ... only?"""
    parts = index if isinstance(index, tuple) else (index,)
    kinds = (type(None), type(Ellipsis), slice, int, np.integer)
    return all(isinstance(each, kinds) and not isinstance(each, bool) for each in parts)


def _of_rows(index: Any) -> Any:
    """The array of integers that picks rows, if the index is nothing else; otherwise None."""
    first, *rest = index if isinstance(index, tuple) else (index,)
    if any(not isinstance(each, slice) or each != slice(None) for each in rest):
        return None
    rows = hasattr(first, "dtype") and first.ndim and first.dtype.kind in "iu"
    return first if rows else None


# Looking up ---------------------------------------------------------------------------------


def gather_rows(k: Any, x: Any, index: Any) -> Any:
    """x[index] for an array of integers, which pick rows; NaN for one that is out of bounds."""
    xp, index = k.xp, k.xp.asarray(index)
    if not x.size or not index.size or x.dtype.name not in ("float32", "float64"):
        return REFERENCE["gather_rows"](k, x, index)
    shape, index = index.shape, xp.ascontiguousarray(index.astype("int64", copy=False))
    y = xp.empty(shape + x.shape[1:], x.dtype)
    numbers = (x.shape[0], index.size, x.size // x.shape[0])
    gather(k, xp.ascontiguousarray(x), index, y, *numbers, grid=_blocks(*numbers[1:]))
    return y


# Adding up ----------------------------------------------------------------------------------


def scatter_index(k: Any, values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape`, to which values are added at an index; repeated indices add up."""
    if _plain(index) or not _fits(values, values.dtype):
        return REFERENCE["scatter_index"](k, values, index, shape)
    return _added(k, k.xp.zeros(shape, values.dtype), values, index)


def index_add(k: Any, x: Any, values: Any, index: Any) -> Any:
    """A copy of x, to which values are added at an index; repeated indices add up."""
    if _plain(index) or not _fits(values, x.dtype):
        return REFERENCE["index_add"](k, x, values, index)
    return _added(k, k.xp.array(x, order="C"), values, index)


def _fits(values: Any, dtype: Any) -> bool:
    return values.size > 0 and values.dtype == dtype and dtype.name in ("float32", "float64")


def _added(k: Any, result: Any, values: Any, index: Any) -> Any:
    """The result, to which values are added at an index, in place."""
    xp, shape = k.xp, result.shape
    picked = _of_rows(index)
    if picked is None:  # of whatever form: where each value's element lies in memory
        picked, shape = positions(xp, index, shape), (result.size,)
    else:
        picked = picked.astype("int64")
        picked = picked + shape[0] * (picked < 0)
    values = xp.ascontiguousarray(xp.broadcast_to(values, picked.shape + shape[1:]))
    rows, count, length = shape[0], picked.size, math.prod(shape[1:])
    where = xp.ascontiguousarray(xp.asarray(picked, "int64").reshape(-1))
    order = xp.argsort(where, kind="stable")
    where = where[order]
    offsets = xp.searchsorted(where, xp.arange(rows + 1))
    places = -(-count // CHUNK) * 2
    pieces = xp.empty(places * length, values.dtype)
    numbers = (rows, count, length, CHUNK)
    if count > CHUNK:
        given = (values, order, where, offsets, pieces)
        segment_pieces(k, *given, *numbers, grid=_blocks(places, length))
    given = (values, order, offsets, pieces, result)
    segment_sums(k, *given, *numbers, grid=_blocks(rows, length))
    return result


REPLACES = ("gather_rows", "scatter_index", "index_add")
