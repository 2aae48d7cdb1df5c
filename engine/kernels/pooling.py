"""References of the pooling kernels: the maximum or the mean of each window, channel by channel.

The windows' elements are met offset by offset, as slices of x; no patches are copied. Both pools
are taken along one axis after the other, which is less work: rows of the image first, since what
lies in one row is read and written in one run.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..devices import reference
from ..placing import on_device
from ..windows import Windows, windows
from .convolutions import padded


def pools(x_shape: tuple[int, ...], pool_size: Any, strides: Any, padding: Any) -> Windows:
    """The windows of a pool: next to each other unless strides are given."""
    strides = pool_size if strides is None else strides
    return windows(x_shape[1:-1], pool_size, strides, padding, name="pool_size")


def _at(axis: int, which: slice) -> tuple[slice, ...]:
    """The index along a spatial axis, counted from 0."""
    return (slice(None),) * (axis + 1) + (which,)


@reference
def max_pool(xp: Any, x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The largest element of each window: (batch, *lengths, channels)."""
    seen = pools(x.shape, pool_size, strides, padding)
    y = padded(xp, x, seen, -np.inf)
    for axis, size in enumerate(seen.window):
        slices = [y[_at(axis, seen.along(axis, offset))] for offset in range(size)]
        y = slices[0]
        for each in slices[1:]:
            y = xp.maximum(y, each)
    return y.copy() if max(seen.window) == 1 else y  # else a view of x


@reference
def max_pool_backward(
    xp: Any, g: Any, y: Any, x: Any, pool_size: Any, strides: Any, padding: Any
) -> Any:
    """The gradient of x: that of each window, shared equally among its largest elements."""
    seen = pools(x.shape, pool_size, strides, padding)
    x, offsets = padded(xp, x, seen, -np.inf), [*seen.offsets()]
    is_nan = y != y
    any_nan = is_nan.any()
    no_nan = not on_device(any_nan) and not any_nan  # or the host would wait

    def hits(offset: tuple[int, ...]) -> Any:
        """Which windows have a largest element at the offset? Of NaN, NaN is the largest."""
        element = x[(slice(None), *seen.seen(offset))]
        found = element == y
        return found if no_nan else found | (is_nan & (element != element))

    hit = [hits(offset) for offset in offsets]
    count = hit[0].astype(np.uint8 if len(hit) < 256 else np.int64)  # small: quick to add up
    for each in hit[1:]:
        count += each
    share = (g / count).astype(g.dtype)
    total = xp.zeros(x.shape, dtype=g.dtype)
    apart = all(a <= b for a, b in zip(seen.window, seen.strides, strict=True))
    for offset, each in zip(offsets, hit, strict=True):
        place = total[(slice(None), *seen.seen(offset))]
        if apart:  # no element is seen twice
            xp.multiply(share, each, out=place)
        else:
            place += share * each
    return total[(slice(None), *seen.inside)].copy() if seen.padded else total


def counts(seen: Windows, dtype: Any) -> list[Any]:
    """Along each axis, how many true elements each window sees, ready to divide by."""
    found = []
    for axis, (size, (before, _)) in enumerate(zip(seen.sizes, seen.margins, strict=True)):
        starts = np.arange(seen.lengths[axis]) * seen.strides[axis] - before
        ends = np.minimum(starts + seen.window[axis], size)
        lengths = (ends - np.maximum(starts, 0)).astype(dtype)
        found.append(lengths.reshape((-1,) + (1,) * (len(seen.sizes) - axis)))
    return found


def _divided(xp: Any, x: Any, seen: Windows) -> Any:
    """x, one entry for each window, divided by how many true elements that sees."""
    if not seen.padded:
        return x / math.prod(seen.window)
    for each in counts(seen, np.float64 if x.dtype.kind == "O" else x.dtype):
        x = x / xp.asarray(each)
    return x


@reference
def avg_pool(xp: Any, x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """The mean of the true elements of each window: (batch, *lengths, channels)."""
    seen = pools(x.shape, pool_size, strides, padding)
    y = padded(xp, x, seen, 0)
    for axis, size in enumerate(seen.window):
        slices = [y[_at(axis, seen.along(axis, offset))] for offset in range(size)]
        y = slices[0]
        for each in slices[1:]:
            y = y + each
    return _divided(xp, y, seen)


@reference
def avg_pool_backward(
    xp: Any, g: Any, x_shape: tuple[int, ...], pool_size: Any, strides: Any, padding: Any
) -> Any:
    """The gradient of x: that of each window, shared equally among its true elements."""
    seen = pools(x_shape, pool_size, strides, padding)
    y = _divided(xp, g, seen)
    for axis in reversed(range(len(seen.window))):
        shape = list(y.shape)
        shape[axis + 1] = seen.outer[axis]
        total = xp.zeros(tuple(shape), dtype=y.dtype)
        for offset in range(seen.window[axis]):
            total[_at(axis, seen.along(axis, offset))] += y
        y = total
    return y[(slice(None), *seen.inside)].copy() if seen.padded else y
