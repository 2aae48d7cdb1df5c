"""Pools on the CPU, in one pass over memory; small ones are left to the reference."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..devices import REFERENCE, get_device
from ..windows import Windows
from .blocks import empty
from .numba_products import DTYPES
from .pooling import pools

#: Numbers to be pooled: fewer are left to the reference.
SMALL = 32_768
#: Bands of windows that a batch is cut into, if there are not as many images.
BANDS = 16


class Plan(NamedTuple):
    """What the compiled loops are told.

    Attributes: `largest`, is it the largest element, or the mean? `height` and `width` of an image
    of so many `channels` of `size` bytes; `tall` and `wide`, the lengths of a window, `down` and
    `across`, the strides; `top` and `left`, the margins; `lines` of windows, and `columns`;
    `band`, how many lines are computed together, `bands` in an image and `units` in the batch;
    `apart`, do no two windows see the same? `covered`, does each element lie in a window?
    """

    largest: int
    height: int
    width: int
    channels: int
    size: int
    tall: int
    wide: int
    down: int
    across: int
    top: int
    left: int
    lines: int
    columns: int
    band: int
    bands: int
    units: int
    apart: int
    covered: int


def max_pool(x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The largest element of each window, as the reference."""
    return _pooled("max_pool", x, pool_size, strides, padding)


def avg_pool(x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The mean of the true elements of each window, as the reference."""
    return _pooled("avg_pool", x, pool_size, strides, padding)


def _pooled(name: str, x: Any, *options: Any) -> Any:
    compiled = _compiled(x.shape, x)
    if compiled is None:
        return _reference(name, x, *options)
    seen = pools(x.shape, *options)
    y = empty((len(x), *seen.lengths, x.shape[-1]), x.dtype)
    plan = _plan(seen, len(x), x.shape[-1], x.itemsize, name == "max_pool", False)
    compiled[0](_flat(x), y.reshape(-1), plan)
    return y


def max_pool_backward(g: Any, y: Any, x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The gradient of x: that of each window, shared equally among its largest elements."""
    compiled = _compiled(x.shape, g, y, x)
    if compiled is None:
        return _reference("max_pool_backward", g, y, x, pool_size, strides, padding)
    seen = pools(x.shape, pool_size, strides, padding)
    total = empty(x.shape, g.dtype)
    plan = _plan(seen, len(x), x.shape[-1], x.itemsize, True, True)
    compiled[1](_flat(g), _flat(y), _flat(x), total.reshape(-1), plan)
    return total


def avg_pool_backward(
    g: Any, x_shape: tuple[int, ...], pool_size: Any, strides: Any, padding: Any
) -> Any:
    """The gradient of x: that of each window, shared equally among its true elements."""
    compiled = _compiled(x_shape, g)
    if compiled is None:
        return _reference("avg_pool_backward", g, x_shape, pool_size, strides, padding)
    seen = pools(x_shape, pool_size, strides, padding)
    total, flat = empty(x_shape, g.dtype), _flat(g)
    plan = _plan(seen, x_shape[0], x_shape[-1], g.itemsize, False, True)
    compiled[1](flat, flat, flat, total.reshape(-1), plan)
    return total


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](get_device("cpu").sets["numba"], *arguments)


def _flat(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1)


def _compiled(x_shape: tuple[int, ...], *arrays: Any) -> tuple[Any, Any] | None:
    """The compiled loops there and back, if they compute this one."""
    if math.prod(x_shape) < SMALL:
        return None
    dtype = arrays[0].dtype
    if dtype not in DTYPES or any(x.dtype != dtype or not x.flags.aligned for x in arrays):
        return None
    return _kernels(dtype)


@functools.cache
def _kernels(dtype: Any) -> Any:
    from .compiled.pooling import kernels

    return kernels(dtype)


@functools.lru_cache(maxsize=1024)
def _plan(
    seen: Windows, batch: int, channels: int, size: int, largest: bool, back: bool
) -> tuple[int, ...]:
    seen = seen.of_images
    pairs = [(window, stride) for window, stride in zip(seen.window, seen.strides, strict=True)]
    apart = all(window <= stride for window, stride in pairs)
    covered = apart and all(
        window == stride and length * stride - before >= extent
        for (window, stride), length, (before, _), extent in zip(
            pairs, seen.lengths, seen.margins, seen.sizes, strict=True
        )
    )
    lines = seen.lengths[0]
    band = lines if back and not apart else min(lines, max(1, -(-lines * batch // BANDS)))
    bands = -(-lines // band)
    plan = Plan(
        largest=int(largest),
        height=seen.sizes[0],
        width=seen.sizes[1],
        channels=channels,
        size=size,
        tall=seen.window[0],
        wide=seen.window[1],
        down=seen.strides[0],
        across=seen.strides[1],
        top=seen.margins[0][0],
        left=seen.margins[1][0],
        lines=lines,
        columns=seen.lengths[1],
        band=band,
        bands=bands,
        units=batch * bands,
        apart=int(apart),
        covered=int(covered),
    )
    return tuple(plan)  # a plain one, as compiled code takes it
