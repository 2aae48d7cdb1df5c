"""Softmax along rows, with and without a mask, its logarithm, and the gradients."""

from __future__ import annotations

from typing import Any

from chainrule.engine.devices import REFERENCE

from ..rows import one_axis, plan, real
from ..table import I32, I64, REAL, U8, Entry, entry, reads, scalar, writes

_SHAPE = (scalar("rows", I64), scalar("columns", I32))
_MASK = reads("mask", U8, "rows // repeats * columns")
_REPEATED = (scalar("repeats", I64), scalar("inner", I64))
_TEAM = (scalar("team", I32), scalar("kept", I32))


def _entry(name: str, *parameters: Any) -> Entry:
    return entry("softmax", name, *parameters, block=256, dynamic=True)


def _reads(name: str) -> Any:
    return reads(name, REAL, "rows * columns")


def _writes(name: str) -> Any:
    return writes(name, REAL, "rows * columns")


softmax_forward = _entry("softmax_forward", _reads("x"), _writes("y"), *_SHAPE, *_TEAM)
log_softmax_forward = _entry("log_softmax_forward", _reads("x"), _writes("y"), *_SHAPE, *_TEAM)
masked_softmax_forward = _entry(
    "masked_softmax_forward", _reads("x"), _MASK, _writes("y"), *_SHAPE, *_REPEATED, *_TEAM
)
softmax_pull = _entry("softmax_backward", _reads("g"), _reads("y"), _writes("dx"), *_SHAPE, *_TEAM)
masked_softmax_pull = _entry(
    "masked_softmax_backward",
    *(_reads("g"), _reads("y"), _MASK, _writes("dx"), *_SHAPE, *_REPEATED, *_TEAM),
)

#: The kernels of the engine that have a version here.
REPLACES = (
    "softmax",
    "softmax_backward",
    "log_softmax",
    "masked_softmax",
    "masked_softmax_backward",
)


def softmax(k: Any, x: Any, axis: Any) -> Any:
    """exp(x) / sum(exp(x)) along an axis, shifted by its maximum so that it cannot overflow."""
    return _of_rows(k, "softmax", softmax_forward, (x,), axis)


def log_softmax(k: Any, x: Any, axis: Any) -> Any:
    """log(softmax(x)) along an axis: finite wherever the logits are finite."""
    return _of_rows(k, "log_softmax", log_softmax_forward, (x,), axis)


def softmax_backward(k: Any, g: Any, y: Any, axis: Any) -> Any:
    """The gradient of x: y * (g - sum(g * y))."""
    return _of_rows(k, "softmax_backward", softmax_pull, (g, y), axis)


def _of_rows(k: Any, name: str, launched: Entry, arrays: tuple[Any, ...], axis: Any) -> Any:
    """What a kernel makes of the rows of one or two arrays, which lie along any one axis."""
    x = arrays[-1]
    place = one_axis(x, axis)
    if place is None or not real(*arrays) or any(each.shape != x.shape for each in arrays):
        return REFERENCE[name](k, *arrays, axis)
    xp, last = k.xp, place == x.ndim - 1
    moved = arrays if last else [xp.moveaxis(each, place, -1) for each in arrays]
    result = xp.empty(moved[0].shape, x.dtype)
    _launch(k, launched, (*map(xp.ascontiguousarray, moved), result), ())
    return result if last else xp.moveaxis(result, -1, place)


def _launch(k: Any, launched: Entry, arrays: tuple[Any, ...], numbers: tuple[int, ...]) -> None:
    """Launches a kernel on arrays of one shape, the first and others among them."""
    x = arrays[0]
    columns = x.shape[-1]
    rows = x.size // columns
    team, kept, grid, shared = plan(rows, columns, x.dtype.itemsize, arrays=len(arrays) - 1)
    launched(k, *arrays, rows, columns, *numbers, team, kept, grid=grid, shared=shared)


def masked_softmax(k: Any, x: Any, mask: Any, axis: Any) -> Any:
    """softmax along the last axis of the elements where mask holds; 0 elsewhere."""
    if one_axis(x, axis) != x.ndim - 1 or not real(x):
        return REFERENCE["masked_softmax"](k, x, mask, axis)
    x, y = k.xp.ascontiguousarray(x), k.xp.empty(x.shape, x.dtype)
    mask, repeats, inner = _repeated(k.xp, mask, x.shape)
    columns = x.shape[-1]
    rows = x.size // columns
    team, kept, grid, shared = plan(rows, columns, x.dtype.itemsize)
    masked_softmax_forward(
        k, x, mask, y, rows, columns, repeats, inner, team, kept, grid=grid, shared=shared
    )
    return y


def masked_softmax_backward(k: Any, g: Any, y: Any, mask: Any, axis: Any) -> Any:
    """The gradient of x: y * (g - sum(g * y)). A hidden element's g, even if NaN, takes no part."""
    if one_axis(y, axis) != y.ndim - 1 or not real(y, g) or g.shape != y.shape:
        return REFERENCE["masked_softmax_backward"](k, g, y, mask, axis)
    g, y = k.xp.ascontiguousarray(g), k.xp.ascontiguousarray(y)
    dx = k.xp.empty(y.shape, y.dtype)
    mask, repeats, inner = _repeated(k.xp, mask, y.shape)
    columns = y.shape[-1]
    rows = y.size // columns
    team, kept, grid, shared = plan(rows, columns, y.dtype.itemsize, arrays=2)
    masked_softmax_pull(
        k, g, y, mask, dx, rows, columns, repeats, inner, team, kept, grid=grid, shared=shared
    )
    return dx


def _repeated(xp: Any, mask: Any, shape: tuple[int, ...]) -> tuple[Any, int, int]:
    """A mask that is broadcast to `shape`, as (outer, 1, inner, columns) bytes, and how it repeats.

    Masks are the same for all heads, or for all queries: of such a one no copies are made. Its
    rows repeat along one stretch of axes; any other mask is written out in full.
    """
    mask = xp.asarray(mask, dtype=bool)
    mask = mask.reshape((1,) * (len(shape) - mask.ndim) + mask.shape)
    lead = [i for i, n in enumerate(shape[:-1]) if n > 1]
    along = [i for i in lead if mask.shape[i] == 1]
    stretch = [i for i in lead if along and along[0] <= i <= along[-1]]
    if along != stretch:
        mask, along = xp.broadcast_to(mask, shape), []
    repeats = inner = 1
    for i in lead:
        if i in along:
            repeats *= shape[i]
        elif along and i > along[-1]:
            inner *= shape[i]
    mask = xp.broadcast_to(mask, (*mask.shape[:-1], shape[-1]))
    return xp.ascontiguousarray(mask).view("uint8").reshape(-1), repeats, inner
