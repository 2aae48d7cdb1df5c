"""Sums, maxima and places of maxima, along axes that lie side by side.

An array is seen as a stack of matrices, of which either the rows are reduced or the columns. A few
long ones are cut into pieces, and what comes of the pieces is reduced once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from chainrule.engine.devices import REFERENCE

from ..rows import BLOCK, MOST_BLOCKS, blocks, cut, real, row_team, tile_width
from ..table import I32, I64, REAL, Entry, entry, reads, scalar, writes

_ROWS = (scalar("rows", I64), scalar("columns", I32))
_COLUMNS = (scalar("matrices", I64), scalar("rows", I32), scalar("columns", I32))
_PIECES = (scalar("pieces", I32), scalar("length", I32))
_OF_ROWS = (*_ROWS, *_PIECES, scalar("team", I32))
_OF_COLUMNS = (*_COLUMNS, *_PIECES, scalar("width", I32))
_ROW_SIZES = ("rows * columns", "rows * pieces")
_COLUMN_SIZES = ("matrices * rows * columns", "matrices * pieces * columns")


def _entry(name: str, sizes: tuple[str, str], *numbers: Any) -> Entry:
    before, after = sizes
    arrays = reads("x", REAL, before), writes("y", REAL, after)
    return entry("reductions", name, *arrays, *numbers, block=256)


def _placed(name: str, sizes: tuple[str, str], *numbers: Any) -> Entry:
    before, after = sizes
    read = reads("x", REAL, before), reads("given", I64, before, optional=True)
    written = writes("value", REAL, after, optional=True), writes("place", I64, after)
    return entry("reductions", name, *read, *written, *numbers, block=256)


class Pair(NamedTuple):
    """What reduces rows, and what reduces columns."""

    rows: Entry
    columns: Entry


SUM = Pair(
    _entry("row_sum", _ROW_SIZES, *_OF_ROWS), _entry("column_sum", _COLUMN_SIZES, *_OF_COLUMNS)
)
MAX = Pair(
    _entry("row_max", _ROW_SIZES, *_OF_ROWS), _entry("column_max", _COLUMN_SIZES, *_OF_COLUMNS)
)
ARGMAX = Pair(
    _placed("row_argmax", _ROW_SIZES, *_OF_ROWS),
    _placed("column_argmax", _COLUMN_SIZES, *_OF_COLUMNS),
)

#: The kernels of the engine that have a version here.
REPLACES = ("sum", "max", "argmax")

#: The most numbers along an axis, or along several that are reduced at once.
LONGEST = 2**31 - 1


class Stack(NamedTuple):
    """An array as `matrices` of (rows, columns), whose columns are reduced; or rows, of one column.

    `shape` is that of the result.
    """

    matrices: int
    rows: int
    columns: int
    shape: tuple[int, ...]


def sum(k: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes."""
    stack = stacked(k, x, axis, keepdims)
    if stack is None:
        return REFERENCE["sum"](k, x, axis, keepdims)
    return _reduced(k, SUM, x, stack).reshape(stack.shape)


def max(k: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element along axes; NaN if one is."""
    stack = stacked(k, x, axis, keepdims)
    if stack is None:
        return REFERENCE["max"](k, x, axis, keepdims)
    return _reduced(k, MAX, x, stack).reshape(stack.shape)


def argmax(k: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The index of the first of the largest elements along an axis; of the first NaN, if any."""
    stack = None if isinstance(axis, tuple) else stacked(k, x, axis, keepdims)
    if stack is None:
        return REFERENCE["argmax"](k, x, axis, keepdims)
    return _first(k, x, stack).reshape(stack.shape)


def stacked(k: Any, x: Any, axis: Any, keepdims: bool) -> Stack | None:
    """How to see an array whose axes are to be reduced; None if that is left to the reference."""
    if not (isinstance(x, k.xp.ndarray) and real(x) and x.ndim and x.flags.c_contiguous):
        return None
    axes = _adjacent(axis, x.ndim)
    if not axes:
        return None
    matrices, rows, columns = (
        math.prod(x.shape[part])
        for part in (slice(axes[0]), slice(axes[0], axes[-1] + 1), slice(axes[-1] + 1, None))
    )
    if rows > LONGEST or columns > LONGEST:
        return None
    kept = [1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes]
    return Stack(matrices, rows, columns, tuple(kept))


def _adjacent(axis: Any, ndim: int) -> list[int]:
    """The axes meant by `axis`, counted from 0, if they lie side by side; else none."""
    if axis is None:
        return list(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    if not all(isinstance(each, int) and -ndim <= each < ndim for each in given):
        return []
    axes = sorted({each % ndim for each in given})
    adjacent = len(axes) == len(given) > 0 and axes[-1] - axes[0] == len(axes) - 1
    return axes if adjacent else []


def _reduced(k: Any, pair: Pair, x: Any, stack: Stack) -> Any:
    """The results, in a row."""
    for pieces, launch in _launches(k, pair, stack):
        y = k.xp.empty(stack.matrices * pieces * stack.columns, x.dtype)
        launch(x, y)
        x = y
    return x


def _first(k: Any, x: Any, stack: Stack) -> Any:
    """The places of the first of the largest, in a row."""
    given = None
    for pieces, launch in _launches(k, ARGMAX, stack):
        size = stack.matrices * pieces * stack.columns
        value = k.xp.empty(size, x.dtype) if pieces > 1 else None
        place = k.xp.empty(size, "int64")
        launch(x, given, value, place)
        x, given = value, place
    return given


def _launches(k: Any, pair: Pair, stack: Stack) -> list[tuple[int, Callable[..., None]]]:
    """The one or two launches, each with the number of pieces that it leaves."""
    matrices, rows, columns, _ = stack
    if columns == 1:
        pieces, length = cut(rows, matrices)
        made = [_of_rows(k, pair.rows, matrices, rows, pieces, length)]
        return made if pieces == 1 else [*made, _of_rows(k, pair.rows, matrices, pieces, 1, pieces)]
    width = tile_width(columns, rows)
    pieces, length = cut(rows, matrices * -(-columns // width), BLOCK // width)

    def of_columns(rows: int, pieces: int, length: int) -> tuple[int, Callable[..., None]]:
        width = tile_width(columns, length)
        numbers = (matrices, rows, columns, pieces, length, width)
        grid = min(matrices * pieces * -(-columns // width), MOST_BLOCKS)
        return pieces, lambda *arrays: pair.columns(k, *arrays, *numbers, grid=grid)

    made = [of_columns(rows, pieces, length)]
    return made if pieces == 1 else [*made, of_columns(pieces, 1, pieces)]


def put_together(k: Any, parts: Any, pieces: int) -> Any:
    """The sum of each column of (pieces, columns) numbers, in one launch: there are few."""
    if pieces == 1:
        return parts.reshape(-1)
    columns = parts.size // pieces
    sums, width = k.xp.empty(columns, parts.dtype), tile_width(columns)
    numbers = (1, pieces, columns, 1, pieces, width)
    SUM.columns(k, parts, sums, *numbers, grid=-(-columns // width))
    return sums


def _of_rows(
    k: Any, launched: Entry, rows: int, columns: int, pieces: int, length: int
) -> tuple[int, Callable[..., None]]:
    """The launch that reduces rows to `pieces` each."""
    team = row_team(length)
    grid = blocks(rows * pieces, team)
    numbers = (rows, columns, pieces, length, team)
    return pieces, lambda *arrays: launched(k, *arrays, *numbers, grid=grid)
