"""What the windows of convolutions see, as rows, and the sum of such rows at each element."""

from __future__ import annotations

import math
from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.windows import Windows

from ..rows import MOST_PIECES
from ..table import REAL, entry, reads, writes
from ..windows import ELEMENTS, LARGEST, WINDOW_SCALARS, WINDOWS, blocks, suits, window_scalars

#: Numbers of a row of windows for which another block is worth while: 8 for each thread.
LEAST_OF_BLOCK = 2048

_COLUMNS = f"{WINDOWS} * window_height * window_width"

im2col_entry = entry(
    "convolutions",
    "im2col",
    reads("x", REAL, ELEMENTS),
    writes("columns", REAL, _COLUMNS),
    *WINDOW_SCALARS,
)

col2im_entry = entry(
    "convolutions",
    "col2im",
    reads("columns", REAL, _COLUMNS),
    writes("x", REAL, ELEMENTS),
    *WINDOW_SCALARS,
)


def im2col(k: Any, x: Any, seen: Windows) -> Any:
    """What each window sees, in one place.

    x is (..., *sizes, channels), the result (..., *lengths, *window, channels).
    """
    if not suits(x.dtype, seen, x.shape[-1]):
        return REFERENCE["im2col"](k, x, seen)
    lead, channels = x.shape[: x.ndim - len(seen.sizes) - 1], x.shape[-1]
    columns = k.xp.empty((*lead, *seen.lengths, *seen.window, channels), dtype=x.dtype)
    if columns.size > 0:
        given = window_scalars(seen, math.prod(lead), channels)
        rows = math.prod(lead) * math.prod(seen.lengths[:-1])
        x = k.xp.ascontiguousarray(x)
        im2col_entry(k, x, columns, *given, grid=_grid(rows, columns.size // rows))
    return columns


def _grid(rows: int, length: int) -> tuple[int, int]:
    """Blocks for rows of windows, of whose result each has `length` numbers: one for each, or more
    where there are few rows, as of one long sequence, so that the whole GPU has something to do.

    >>> _grid(5000, 100_000), _grid(32, 192_000), _grid(1, 300)
    ((5000, 1), (32, 32), (1, 1))
    """
    return min(rows, LARGEST), max(1, min(-(-MOST_PIECES // rows), length // LEAST_OF_BLOCK))


def col2im(k: Any, columns: Any, seen: Windows) -> Any:
    """Adds up, at each element, what was meant for it: the transpose of `im2col`, but for order.

    The columns are (*window, ..., *lengths, channels), the result is (..., *sizes, channels). The
    offsets are added in order, so that the sums are the same every time.
    """
    if not suits(columns.dtype, seen, columns.shape[-1]):
        return REFERENCE["col2im"](k, columns, seen)
    count = len(seen.sizes)
    lead, channels = columns.shape[count : -count - 1], columns.shape[-1]
    x = k.xp.empty((*lead, *seen.sizes, channels), dtype=columns.dtype)
    if x.size > 0:
        given = window_scalars(seen, math.prod(lead), channels)
        columns = k.xp.ascontiguousarray(columns)
        col2im_entry(k, columns, x, *given, grid=blocks(math.prod(x.shape[-count - 1 :]), given[0]))
    return x


REPLACES = ("im2col", "col2im")
