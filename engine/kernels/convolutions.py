"""References of the convolution kernels: windows laid out as rows, and products of matrices.

The three bilinear forms are the convolution, its transpose, and the gradient of its kernel. Groups
are a leading axis: x is (groups, batch, *sizes, channels), and every product is one for each group.
The columns that `im2col` makes are larger than x by the size of a window: they are made, used and
dropped for a part of the batch at a time, and never kept for the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..devices import reference
from ..windows import Windows, windows

#: Bytes of columns that are made at once. Measured on 64 images of (28, 28, 16) and smaller ones:
#: from 2 MB on the time is that of making all at once; with 0.25 MB it is half as long again.
BLOCK = 1 << 23
#: The same on a GPU, which writes some 15 MB in the time that the launch of a kernel takes.
DEVICE_BLOCK = 1 << 27


@reference
def im2col(xp: Any, x: Any, seen: Windows) -> Any:
    """What each window sees, in one place.

    x is (..., *sizes, channels), the result (..., *lengths, *window, channels).
    """
    x = padded(xp, x, seen, 0)
    lead, channels = x.shape[: x.ndim - len(seen.sizes) - 1], x.shape[-1]
    columns = xp.empty((*lead, *seen.lengths, *seen.window, channels), dtype=x.dtype)
    for offset in seen.offsets():
        columns[(..., *offset, slice(None))] = x[(..., *seen.seen(offset), slice(None))]
    return columns


@reference
def col2im(xp: Any, columns: Any, seen: Windows) -> Any:
    """Adds up, at each element, what was meant for it: the transpose of `im2col`, but for order.

    The columns are (*window, ..., *lengths, channels): of each offset they lie together, as the
    products make them, and are added in long runs. The result is (..., *sizes, channels). The
    offsets are added in order, so that the sums are the same every time.
    """
    count = len(seen.sizes)
    lead, channels = columns.shape[count : -count - 1], columns.shape[-1]
    total = xp.zeros((*lead, *seen.outer, channels), dtype=columns.dtype)
    for offset in seen.offsets():
        total[(..., *seen.seen(offset), slice(None))] += columns[offset]
    return total[(..., *seen.inside, slice(None))].copy() if seen.padded else total


def padded(xp: Any, x: Any, seen: Windows, value: float) -> Any:
    """x (..., *sizes, channels) with its margins, filled with a number; x itself without any."""
    if not seen.padded:
        return x
    lead = x.shape[: x.ndim - len(seen.sizes) - 1]
    result = xp.full((*lead, *seen.outer, x.shape[-1]), value, dtype=x.dtype)
    result[(..., *seen.inside, slice(None))] = x
    return result


@reference
def conv(
    xp: Any, x: Any, kernel: Any, strides: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Every window's product with the kernel: (batch, *lengths, filters)."""
    seen = windows(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    matrices = _apart(kernel, groups)
    matrices = matrices.reshape(groups, -1, matrices.shape[-1])  # (groups, taps channels, filters)
    channels = x.shape[-1]
    parts = [
        xp.matmul(_rows(xp, part, seen), matrices)
        for (part,) in _parts(xp, seen, groups, channels, x)
    ]
    y = parts[0] if len(parts) == 1 else xp.concat(parts, axis=1)
    return _together(y.reshape(groups, x.shape[0], *seen.lengths, y.shape[-1]))


@reference
def conv_transpose(
    xp: Any,
    x: Any,
    kernel: Any,
    size: tuple[int, ...],
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """The gradient of a convolution of this kernel, x, pulled back to its input, of `size`."""
    seen = windows(size, kernel.shape[:-2], strides, padding, dilation)
    taps, (channels, filters) = math.prod(seen.window), kernel.shape[-2:]
    cut = kernel.reshape(taps, channels, groups, filters // groups)
    matrices = cut.transpose(0, 2, 3, 1)  # (taps, groups, filters, channels)
    parts = []
    for (part,) in _parts(xp, seen, groups, channels * groups, x):
        batch, rows = part.shape[1], part.reshape(groups, -1, part.shape[-1])
        columns = xp.matmul(rows, matrices)
        columns = columns.reshape(*seen.window, groups, batch, *seen.lengths, channels)
        parts.append(
            columns.reshape(columns.shape[len(size) :]) if seen.trivial
            else xp.col2im(columns, seen)
        )  # fmt: skip
    return _together(parts[0] if len(parts) == 1 else xp.concat(parts, axis=1))


@reference
def conv_kernel_gradient(
    xp: Any,
    x: Any,
    delta: Any,
    kernel_size: tuple[int, ...],
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """The gradient of a convolution of x, `delta`, pulled back to its kernel."""
    seen = windows(x.shape[1:-1], kernel_size, strides, padding, dilation)
    products = [
        xp.matmul(
            _rows(xp, part, seen).swapaxes(-1, -2), given.reshape(groups, -1, given.shape[-1])
        )
        for part, given in _parts(xp, seen, groups, x.shape[-1], x, delta)
    ]
    total = products[0]
    for each in products[1:]:
        total = total + each
    channels = x.shape[-1] // groups
    return _together(total.reshape(groups, *seen.window, channels, total.shape[-1]))


def _apart(x: Any, groups: int) -> Any:
    """(..., groups channels) as (groups, ..., channels)."""
    if groups == 1:
        return x.reshape(1, *x.shape)
    x = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    return x.transpose(x.ndim - 2, *range(x.ndim - 2), x.ndim - 1)


def _together(x: Any) -> Any:
    """(groups, ..., channels) as (..., groups channels), in order in memory."""
    if x.shape[0] == 1:
        return x.reshape(x.shape[1:])
    merged = (*x.shape[1:-1], x.shape[0] * x.shape[-1])
    return x.transpose(*range(1, x.ndim - 1), 0, x.ndim - 1).reshape(merged)


def _parts(
    xp: Any, seen: Windows, groups: int, channels: int, *arrays: Any
) -> Iterator[tuple[Any, ...]]:
    """The arrays, groups apart, for as many images at once as have BLOCK bytes of columns."""
    on_host = getattr(getattr(xp, "device", None), "on_host", True)
    # A gradient that was broadcast has strides of 0, and NumPy does without BLAS there: measured
    # 1.7 in place of 0.5 ms.
    arrays = tuple([x if x.flags.c_contiguous else x.copy() for x in arrays])
    batch, bytes_each = arrays[0].shape[0], arrays[0].dtype.itemsize
    image = math.prod(seen.lengths) * math.prod(seen.window) * channels * bytes_each
    count = max(1, (BLOCK if on_host else DEVICE_BLOCK) // image)
    arrays = tuple([_apart(x, groups) for x in arrays])
    for start in range(0, max(1, batch), count):
        yield tuple([each[:, start : start + count] for each in arrays])


def _rows(xp: Any, x: Any, seen: Windows) -> Any:
    """What each window sees as one row: (groups, batch lengths, taps channels)."""
    columns = x if seen.trivial else xp.im2col(x, seen)
    rows = x.shape[1] * math.prod(seen.lengths)
    return columns.reshape(x.shape[0], rows, math.prod(seen.window) * x.shape[-1])
