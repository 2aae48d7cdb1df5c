"""Normalisation of rows (layer norm) and of features (batch norm), and the gradients."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from chainrule.engine.devices import REFERENCE
from chainrule.engine.kernels.normalizations import trailing

from ..rows import BLOCK, MOST_BLOCKS, blocks, cut, plan, real, row_team, tile_width
from ..table import I32, I64, REAL, Entry, Parameter, entry, reads, scalar, writes
from .reductions import put_together

_SHAPE = (scalar("rows", I64), scalar("columns", I32))
_PIECES = (scalar("pieces", I32), scalar("length", I64), scalar("width", I32))
_TEAM = scalar("team", I32)
_EPSILON = scalar("epsilon", REAL)
_MATRIX, _PARTS = "rows * columns", "pieces * columns"


def _reads(size: str, *names: str) -> list[Parameter]:
    return [reads(name, REAL, size) for name in names]


def _writes(size: str, *names: str) -> list[Parameter]:
    return [writes(name, REAL, size) for name in names]


def _entry(name: str, *parameters: Parameter, dynamic: bool = False) -> Entry:
    return entry("normalizations", name, *parameters, block=256, dynamic=dynamic)


layer_norm_forward = _entry(
    "layer_norm_forward",
    *_reads(_MATRIX, "x"),
    *_reads("columns", "scale", "offset"),
    *_writes(_MATRIX, "y", "z"),
    *_writes("rows", "weight"),
    *(*_SHAPE, _EPSILON, _TEAM, scalar("kept", I32)),
    dynamic=True,
)
layer_norm_pull = _entry(
    "layer_norm_backward",
    *_reads(_MATRIX, "g", "z"),
    *_reads("rows", "weight"),
    *_reads("columns", "scale"),
    *_writes(_MATRIX, "dx"),
    *(*_SHAPE, _TEAM, scalar("kept", I32)),
    dynamic=True,
)
feature_moments = _entry(
    "feature_moments",
    *_reads(_MATRIX, "x"),
    *_writes(_PARTS, "sums", "means", "squares"),
    *(*_SHAPE, *_PIECES),
)
feature_statistics = _entry(
    "feature_statistics",
    *_reads(_MATRIX, "x"),
    *_reads(_PARTS, "sums", "means", "squares"),
    *_writes("columns", "apart", "mean", "variance", "weight"),
    *(*_SHAPE, *_PIECES, _EPSILON),
)
feature_apply = _entry(
    "feature_apply",
    *_reads(_MATRIX, "x"),
    *_reads("columns", "apart", "weight", "scale", "offset"),
    *_writes(_MATRIX, "y", "z"),
    *(*_SHAPE, _TEAM),
)
feature_sums = _entry(
    "feature_sums",
    *_reads(_MATRIX, "g", "z"),
    *_writes("2 * pieces * columns", "sums"),
    *(*_SHAPE, *_PIECES),
)
feature_pull = _entry(
    "feature_pull",
    *_reads(_MATRIX, "g", "z"),
    *_reads("2 * columns", "sums"),
    *_reads("columns", "weight", "scale"),
    *_writes(_MATRIX, "dx"),
    *(*_SHAPE, _TEAM),
)

#: The kernels of the engine that have a version here.
REPLACES = ("layer_norm", "layer_norm_backward", "batch_norm", "batch_norm_backward")


def layer_norm(
    k: Any, x: Any, scale: Any, offset: Any, axes: tuple[int, ...], epsilon: float
) -> tuple[Any, Any, Any]:
    """scale * z + offset, where z is x normalised along axes; z; and its weight."""
    if not _fit(x, (scale, offset), axes):
        result: tuple[Any, Any, Any] = REFERENCE["layer_norm"](k, x, scale, offset, axes, epsilon)
        return result
    xp = k.xp
    x, scale, offset = (xp.ascontiguousarray(each) for each in (x, scale, offset))
    y, z = xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype)
    weight = xp.empty(x.shape[: axes[0]] + (1,) * len(axes), x.dtype)
    rows, columns = weight.size, scale.size
    team, kept, grid, shared = plan(rows, columns, x.dtype.itemsize)
    arrays = (x, scale, offset, y, z, weight)
    layer_norm_forward(k, *arrays, rows, columns, epsilon, team, kept, grid=grid, shared=shared)
    return y, z, weight


def layer_norm_backward(
    k: Any, g: Any, z: Any, weight: Any, scale: Any, offset: Any, axes: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """The gradients of x, scale and offset."""
    if not (real(z, g) and g.shape == z.shape and _fit(z, (scale, offset), axes)):
        result: tuple[Any, Any, Any] = REFERENCE["layer_norm_backward"](
            k, g, z, weight, scale, offset, axes
        )
        return result
    xp = k.xp
    g, z, weight, scale = (xp.ascontiguousarray(each) for each in (g, z, weight, scale))
    dx = xp.empty(z.shape, z.dtype)
    rows, columns = weight.size, scale.size
    team, kept, grid, shared = plan(rows, columns, z.dtype.itemsize, arrays=2)
    layer_norm_pull(k, g, z, weight, scale, dx, rows, columns, team, kept, grid=grid, shared=shared)
    sums = _sums(k, g, z, rows, columns)
    return dx, sums[:columns].reshape(scale.shape), sums[columns:].reshape(scale.shape)


def batch_norm(k: Any, x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, ...]:
    """scale * z + offset, with z normalised over the batch; z; its weight; means; variances."""
    if not _fit(x, (scale, offset), (x.ndim - 1,)):
        result: tuple[Any, ...] = REFERENCE["batch_norm"](k, x, scale, offset, epsilon)
        return result
    xp = k.xp
    x, scale, offset = (xp.ascontiguousarray(each) for each in (x, scale, offset))
    rows, columns = x.size // scale.size, scale.size
    pieces, length, width, grid = _tiled(rows, columns)
    parts = [xp.empty(pieces * columns, x.dtype) for _ in range(3)]
    feature_moments(k, x, *parts, rows, columns, pieces, length, width, grid=grid)
    found = [xp.empty(columns, x.dtype) for _ in range(4)]
    numbers = (rows, columns, pieces, length, width, epsilon)
    feature_statistics(k, x, *parts, *found, *numbers, grid=-(-columns // width))
    apart, mean, variance, weight = found
    y, z = xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype)
    team = row_team(columns)
    arrays = (x, apart, weight, scale, offset, y, z)
    feature_apply(k, *arrays, rows, columns, team, grid=blocks(rows, team))
    return y, z, weight.reshape((1,) * (x.ndim - 1) + (-1,)), mean, variance


def batch_norm_backward(k: Any, g: Any, z: Any, weight: Any, scale: Any) -> tuple[Any, Any, Any]:
    """The gradients of x, and of scale and offset as vectors of the features."""
    if not (real(z, g) and g.shape == z.shape and _fit(z, (scale,), (z.ndim - 1,))):
        result: tuple[Any, Any, Any] = REFERENCE["batch_norm_backward"](k, g, z, weight, scale)
        return result
    xp = k.xp
    g, z, weight, scale = (xp.ascontiguousarray(each) for each in (g, z, weight, scale))
    rows, columns = z.size // scale.size, scale.size
    sums, dx = _sums(k, g, z, rows, columns), xp.empty(z.shape, z.dtype)
    team = row_team(columns)
    arrays = (g, z, sums, weight, scale, dx)
    feature_pull(k, *arrays, rows, columns, team, grid=blocks(rows, team))
    return dx, sums[:columns], sums[columns:]


def _fit(x: Any, parameters: tuple[Any, ...], axes: tuple[int, ...]) -> bool:
    """Are these the last axes of x, and the parameters along them, of its dtype?"""
    return (
        real(x)
        and x.ndim > 0
        and trailing(x, axes)
        and len(axes) > 0
        and all(
            getattr(each, "shape", None) == x.shape[axes[0] :] and each.dtype == x.dtype
            for each in parameters
        )
        and math.prod(x.shape[axes[0] :]) <= MOST_COLUMNS
    )


#: Twice as many are sums of two kinds, whose number is an int32.
MOST_COLUMNS = 2**30 - 1


class Tiles(NamedTuple):
    """How columns are cut: the number and length of pieces, columns of a block, and blocks."""

    pieces: int
    length: int
    width: int
    grid: int


def _tiled(rows: int, columns: int) -> Tiles:
    width = tile_width(columns)
    across = -(-columns // width)
    pieces, length = cut(rows, across, BLOCK // width)
    return Tiles(pieces, length, width, min(across * pieces, MOST_BLOCKS))


def _sums(k: Any, g: Any, z: Any, rows: int, columns: int) -> Any:
    """Σ g z of each column, and then Σ g of each."""
    pieces, length, width, grid = _tiled(rows, columns)
    parts = k.xp.empty(2 * pieces * columns, g.dtype)
    feature_sums(k, g, z, parts, rows, columns, pieces, length, width, grid=grid)
    return put_together(k, parts, pieces)
