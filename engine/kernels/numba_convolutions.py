"""Convolutions on the CPU: no columns are made, and no more than the cores' caches are used.

Small convolutions, those with groups or with gaps in a row of the image, and all on a processor
whose vector registers are not known are the reference's. Which of them computes depends on the
shapes alone, except that a kernel which is not finite goes the reference's way back: zeros stand
beyond the margins here, and a zero times infinity would be NaN.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from .. import offers
from ..devices import REFERENCE, get_device
from ..windows import Windows, windows
from .blocks import empty
from .numba_products import DTYPES

#: Products of numbers: fewer are left to the reference.
SMALL = 262_144
#: Bytes of an image that a band of windows sees: with the kernel less than the second cache.
BAND = 131_072
#: Windows of a band at most: of what comes back to them, too, little is in the caches at once.
#: Fewer than the second are taken together with those of other images.
POSITIONS, TOGETHER = 1024, 256
#: Parts of a sum over the batch, and the most bytes that they take together.
PARTS, HELD = 16, 1 << 22
#: What the compiled loops are asked for: a convolution, one with the kernel turned around, or the
#: gradient of the kernel.
AHEAD, TURNED, BACK = range(3)


class Plan(NamedTuple):
    """What the compiled loops are told, in bytes where nothing else is said.

    Attributes: `image` and `row` of x, and how many rows are the `height` of an image; `top`, rows
    in the margin above; `lead`, the margin in front of a row; `copied`, is a band copied together
    with its margins? `pitch` between rows of what windows see, there or in x; `spare` memory for
    that; `segments` of a window, and the bytes from one to the next, `segment`; `span`, rows that
    a window sees, first to last; `stride`, rows from window to window, and `next`, the bytes;
    `lines` of windows and `columns`; `band`, how many lines are computed together, and `bands` in
    an image; of the `batch`, how many images are computed together, `stack`, and the bytes
    `between` them in what is seen; `units`, bands of stacks; `k`, numbers in a segment; `filters`;
    `size` of a number; `parts` of a sum over the units, and into how many the rows of the kernel
    are cut then, `down`.
    """

    image: int
    height: int
    row: int
    top: int
    lead: int
    copied: int
    pitch: int
    spare: int
    segments: int
    segment: int
    span: int
    stride: int
    next: int
    lines: int
    columns: int
    band: int
    bands: int
    batch: int
    stack: int
    between: int
    units: int
    k: int
    filters: int
    size: int
    parts: int
    down: int


def conv(x: Any, kernel: Any, strides: Any, padding: Any, dilation: Any, groups: int) -> Any:
    """Every window's product with the kernel, as the reference."""
    seen = windows(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    compiled = _compiled(x, kernel, seen, kernel.shape[-2:], groups)
    if compiled is None:
        return _reference("conv", x, kernel, strides, padding, dilation, groups)
    y = empty((len(x), *seen.lengths, kernel.shape[-1]), x.dtype)
    plan = _plan(seen, len(x), *kernel.shape[-2:], x.itemsize)
    compiled(_flat(x), _flat(kernel), y.reshape(-1), AHEAD, plan)
    return y


def conv_transpose(
    x: Any,
    kernel: Any,
    size: tuple[int, ...],
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """The gradient of a convolution of this kernel, x, pulled back to its input, as the reference.

    Where windows are next to each other it is a convolution with the kernel turned around; where
    they are `strides` apart it is one for each remainder by these, of the offsets that meet there.
    """
    seen = windows(size, kernel.shape[:-2], strides, padding, dilation)
    found = _ways_back(seen)
    compiled = _compiled(x, kernel, seen, kernel.shape[-2:], groups) if found else None
    channels, filters = kernel.shape[-2:]
    y, given = None, x
    if compiled is not None:
        x = _flat(x)
        for places, offsets, way in found:
            part = empty((len(given), *way.lengths, channels), given.dtype)
            plan = _plan(way, len(given), filters, channels, given.itemsize)
            if not compiled(x, _flat(kernel[offsets]), part.reshape(-1), TURNED, plan):
                break
            if len(found) == 1 and part.shape[1:-1] == tuple(size):
                return part
            if y is None:  # where no window sees anything, zeros
                y = np.zeros((len(given), *size, channels), given.dtype)
            y[places] = part
        else:
            return y
    return _reference("conv_transpose", given, kernel, size, strides, padding, dilation, groups)


def conv_kernel_gradient(
    x: Any,
    delta: Any,
    kernel_size: tuple[int, ...],
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    """The gradient of a convolution of x, `delta`, pulled back to its kernel, as the reference."""
    seen = windows(x.shape[1:-1], kernel_size, strides, padding, dilation)
    channels, filters = x.shape[-1] // groups, delta.shape[-1]
    compiled = _compiled(x, delta, seen, (channels, filters), groups)
    if compiled is None:
        return _reference(
            "conv_kernel_gradient", x, delta, kernel_size, strides, padding, dilation, groups
        )
    total = offers.empty((*seen.window, channels, filters), x.dtype)
    plan = _plan(seen, len(x), channels, filters, x.itemsize)
    compiled(_flat(x), _flat(delta), total.reshape(-1), BACK, plan)
    return total


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](get_device("cpu").sets["numba"], *arguments)


def _flat(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1)


def _compiled(x: Any, other: Any, seen: Windows, features: tuple[int, int], groups: int) -> Any:
    """The compiled loops, if they compute this one; `features` are channels and filters."""
    work = len(x) * math.prod((*seen.lengths, *seen.window, *features))
    if work <= SMALL or groups != 1 or x.dtype != other.dtype or x.dtype not in DTYPES:
        return None
    if len(seen.sizes) == 2 and seen.dilation[1] != 1 and seen.window[1] != 1:
        return None
    return _kernel(x.dtype) if x.flags.aligned and other.flags.aligned else None


@functools.cache
def _kernel(dtype: Any) -> Any:
    from .compiled.convolutions import convolution

    return convolution(dtype)


@functools.lru_cache(maxsize=1024)
def _ways_back(seen: Windows) -> tuple[tuple[Any, Any, Windows], ...]:
    """The convolutions that a transposed one is made of; none if it is none of such.

    For each: the index of what it computes, that of its part of the kernel, and its windows. At
    position `first`, and at those a multiple of the stride further, every stride-th offset from
    `offset` on is met, the one at `offset` by window (first + before) // stride.
    """
    along: list[list[tuple[Any, ...]]] = []
    for axis, (before, _) in enumerate(seen.margins):
        size, window, stride = seen.sizes[axis], seen.window[axis], seen.strides[axis]
        step = seen.dilation[axis]
        if step > 1 and stride > 1:
            return ()
        found = []
        for first in range(min(stride, size)):
            offset = (first + before) % stride
            count = len(range(offset, window, stride))
            front = (count - 1) * step - (first + before) // stride
            if count and front < 0:
                return ()
            if count:
                length = len(range(first, size, stride))
                back = length + (count - 1) * step - front - seen.lengths[axis]
                ends = slice(first, None, stride), slice(offset, None, stride)
                found.append((*ends, count, (front, back), length))
        along.append(found)
    ways = []
    ones = (1,) * len(along)
    for each in itertools.product(*along):
        places, offsets, counts, margins, lengths = zip(*each, strict=True)
        way = Windows(seen.lengths, counts, ones, seen.dilation, margins, lengths)
        ways.append(((slice(None), *places), offsets, way))
    return tuple(ways)


@functools.lru_cache(maxsize=1024)
def _plan(seen: Windows, batch: int, channels: int, filters: int, size: int) -> tuple[int, ...]:
    seen = seen.of_images
    (height, width), (segments, across) = seen.sizes, seen.window
    (stride, next_column), (lines, columns) = seen.strides, seen.lengths
    (top, _), (left, _) = seen.margins
    row, copied = width * channels * size, seen.padded
    pitch = ((columns - 1) * next_column + across) * channels * size if copied else row
    span = (segments - 1) * seen.dilation[0] + 1
    band = min(
        (BAND // pitch - span) // stride + 1, POSITIONS // columns, -(-lines * batch // PARTS)
    )
    band = min(lines, max(1, band))
    bands, rows = -(-lines // band), (band - 1) * stride + span
    between = rows * pitch if copied else height * row
    stack = 1
    if bands == 1:  # of small images some share what they read of the kernel
        stack = min(TOGETHER // (lines * columns), 4 * BAND // between, batch // 4)
        stack = max(1, stack)
    units = -(-batch // stack) * bands
    bytes_of_kernel = segments * across * channels * filters * size
    parts = max(1, min(PARTS, HELD // bytes_of_kernel, units))
    plan = Plan(
        image=height * row,
        height=height,
        row=row,
        top=top,
        lead=left * channels * size,
        copied=int(copied),
        pitch=pitch,
        spare=stack * between if copied else 0,
        segments=segments,
        segment=seen.dilation[0] * pitch,
        span=span,
        stride=stride,
        next=next_column * channels * size,
        lines=lines,
        columns=columns,
        band=band,
        bands=bands,
        batch=batch,
        stack=stack,
        between=between,
        units=units,
        k=across * channels,
        filters=filters,
        size=size,
        parts=parts,
        down=-(-PARTS // parts),
    )
    return tuple(plan)  # a plain one, as compiled code takes it
