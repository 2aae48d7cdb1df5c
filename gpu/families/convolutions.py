"""What the windows of convolutions see, as rows, and the sum of such rows at each element."""

from __future__ import annotations

import math
from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.windows import Windows

from ..table import REAL, entry, reads, writes
from ..windows import ELEMENTS, LARGEST, WINDOW_SCALARS, WINDOWS, blocks, suits, window_scalars

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
        rows = math.prod(lead) * math.prod(seen.lengths[:-1])  # a block has a row of windows
        x = k.xp.ascontiguousarray(x)
        im2col_entry(k, x, columns, *given, grid=min(rows, LARGEST))
    return columns


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
