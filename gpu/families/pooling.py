"""The maximum or the mean of each window, channel by channel, and their gradients."""

from __future__ import annotations

from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.kernels.pooling import pools
from chainrule.engine.windows import Windows

from ..table import REAL, entry, reads, writes
from ..windows import ELEMENTS, WINDOW_SCALARS, WINDOWS, blocks, suits, window_scalars

max_pool_entry = entry(
    "pooling", "max_pool", reads("x", REAL, ELEMENTS), writes("y", REAL, WINDOWS), *WINDOW_SCALARS
)

max_pool_shares = entry(
    "pooling",
    "max_pool_shares",
    reads("g", REAL, WINDOWS),
    reads("y", REAL, WINDOWS),
    reads("x", REAL, ELEMENTS),
    writes("shares", REAL, WINDOWS),
    *WINDOW_SCALARS,
)

max_pool_gather = entry(
    "pooling",
    "max_pool_gather",
    reads("shares", REAL, WINDOWS),
    reads("y", REAL, WINDOWS),
    reads("x", REAL, ELEMENTS),
    writes("gradient", REAL, ELEMENTS),
    *WINDOW_SCALARS,
)

max_pool_backward_apart = entry(
    "pooling",
    "max_pool_backward_apart",
    reads("g", REAL, WINDOWS),
    reads("y", REAL, WINDOWS),
    reads("x", REAL, ELEMENTS),
    writes("gradient", REAL, ELEMENTS),
    *WINDOW_SCALARS,
)

avg_pool_entry = entry(
    "pooling", "avg_pool", reads("x", REAL, ELEMENTS), writes("y", REAL, WINDOWS), *WINDOW_SCALARS
)

avg_pool_backward_entry = entry(
    "pooling",
    "avg_pool_backward",
    reads("g", REAL, WINDOWS),
    writes("gradient", REAL, ELEMENTS),
    *WINDOW_SCALARS,
)


def _suit(dtype: Any, seen: Windows, channels: int) -> bool:
    """Do the kernels take these windows, each of which sees true elements?"""
    margins = zip(seen.margins, seen.window, strict=True)
    return suits(dtype, seen, channels) and all(max(each) < size for each, size in margins)


def _grid(result: Any) -> tuple[int, int]:
    return blocks(result.size // result.shape[0], result.shape[0])


def max_pool(k: Any, x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The largest element of each window: (batch, *lengths, channels)."""
    seen = pools(x.shape, pool_size, strides, padding)
    if not _suit(x.dtype, seen, x.shape[-1]):
        return REFERENCE["max_pool"](k, x, pool_size, strides, padding)
    return _pooled(k, max_pool_entry, x, seen)


def avg_pool(k: Any, x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The mean of the true elements of each window: (batch, *lengths, channels)."""
    seen = pools(x.shape, pool_size, strides, padding)
    if not _suit(x.dtype, seen, x.shape[-1]):
        return REFERENCE["avg_pool"](k, x, pool_size, strides, padding)
    return _pooled(k, avg_pool_entry, x, seen)


def _pooled(k: Any, launch: Any, x: Any, seen: Windows) -> Any:
    y = k.xp.empty((x.shape[0], *seen.lengths, x.shape[-1]), dtype=x.dtype)
    if y.size > 0:
        x = k.xp.ascontiguousarray(x)
        launch(k, x, y, *window_scalars(seen, x.shape[0], x.shape[-1]), grid=_grid(y))
    return y


def max_pool_backward(
    k: Any, g: Any, y: Any, x: Any, pool_size: Any, strides: Any, padding: Any
) -> Any:
    """The gradient of x: that of each window, shared equally among its largest elements."""
    seen = pools(x.shape, pool_size, strides, padding)
    if not (_suit(x.dtype, seen, x.shape[-1]) and g.dtype == y.dtype == x.dtype):
        return REFERENCE["max_pool_backward"](k, g, y, x, pool_size, strides, padding)
    gradient = k.xp.empty(x.shape, dtype=g.dtype)
    if gradient.size == 0:
        return gradient
    g, y, x = (k.xp.ascontiguousarray(each) for each in (g, y, x))
    given = window_scalars(seen, x.shape[0], x.shape[-1])
    if all(size <= stride for size, stride in zip(seen.window, seen.strides, strict=True)):
        max_pool_backward_apart(k, g, y, x, gradient, *given, grid=_grid(y))
    else:
        shares = k.xp.empty(y.shape, dtype=y.dtype)
        max_pool_shares(k, g, y, x, shares, *given, grid=_grid(y))
        max_pool_gather(k, shares, y, x, gradient, *given, grid=_grid(x))
    return gradient


def avg_pool_backward(
    k: Any, g: Any, x_shape: tuple[int, ...], pool_size: Any, strides: Any, padding: Any
) -> Any:
    """The gradient of x: that of each window, shared equally among its true elements."""
    seen = pools(x_shape, pool_size, strides, padding)
    if not _suit(g.dtype, seen, x_shape[-1]):
        return REFERENCE["avg_pool_backward"](k, g, x_shape, pool_size, strides, padding)
    gradient = k.xp.empty(x_shape, dtype=g.dtype)
    if gradient.size > 0:
        g = k.xp.ascontiguousarray(g)
        given = window_scalars(seen, x_shape[0], x_shape[-1])
        avg_pool_backward_entry(k, g, gradient, *given, grid=_grid(gradient))
    return gradient


REPLACES = ("max_pool", "max_pool_backward", "avg_pool", "avg_pool_backward")
