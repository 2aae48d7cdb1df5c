"""Convolutions on the CPU: no columns are made, and no more than the cores' caches are used.

Small convolutions, those with groups or with gaps in a row of the image, and all on a processor
whose vector registers are not known are the reference's. Which of them computes depends on the
shapes alone, except that a kernel which is not finite goes the reference's way back: zeros stand
beyond the margins here, and a zero times infinity would be NaN.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..devices import REFERENCE, get_device
from ..windows import Windows, windows
from .numba_products import DTYPES

#: Products of numbers: fewer are left to the reference.
SMALL = 262_144
#: Bytes of an image that a band of windows sees: with the kernel less than the second cache.
BAND = 131_072
#: Windows of a band at most: of what comes back to them, too, little is in the caches at once.
POSITIONS = 1024
#: Parts of a sum over the batch, and the most bytes that they take together.
PARTS, HELD = 16, 1 << 22


class Plan(NamedTuple):
    """What the compiled loops are told, in bytes where nothing else is said.

    Attributes: `image` and `row` of x, and how many rows are the `height` of an image; `top`, rows
    in the margin above; `lead`, the margin in front of a row; `copied`, is a band copied together
    with its margins? `pitch` between rows of what windows see, there or in x; `spare` memory for
    that; `segments` of a window, and the bytes from one to the next, `segment`; `span`, rows that
    a window sees, first to last; `stride`, rows from window to window, and `next`, the bytes;
    `lines` of windows and `columns`; `band`, how many lines are computed together, `bands` in an
    image and `units` in the batch; `k`, numbers in a segment; `filters`; `size` of a number;
    `parts` of a sum over the units, and into how many the rows of the kernel are cut then, `down`.
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
    y = np.empty((len(x), *seen.lengths, kernel.shape[-1]), x.dtype)
    plan = _plan(seen, len(x), *kernel.shape[-2:], x.itemsize)
    compiled(_flat(x), _flat(kernel), y.reshape(-1), False, plan)
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

    Where windows are next to each other it is a convolution with the kernel turned around.
    """
    seen = _turned(windows(size, kernel.shape[:-2], strides, padding, dilation))
    compiled = None
    if seen is not None:
        compiled = _compiled(x, kernel, seen, kernel.shape[-2:], groups)
    if seen is None or compiled is None or not np.isfinite(kernel).all():
        return _reference("conv_transpose", x, kernel, size, strides, padding, dilation, groups)
    channels, filters = kernel.shape[-2:]
    around = kernel[(slice(None, None, -1),) * len(size)].swapaxes(-1, -2)
    y = np.empty((len(x), *size, channels), x.dtype)
    plan = _plan(seen, len(x), filters, channels, x.itemsize)
    compiled(_flat(x), _flat(around), y.reshape(-1), False, plan)
    return y


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
    total = np.empty((*seen.window, channels, filters), x.dtype)
    plan = _plan(seen, len(x), channels, filters, x.itemsize)
    compiled(_flat(x), _flat(delta), total.reshape(-1), True, plan)
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
def _turned(seen: Windows) -> Windows | None:
    """The windows of the way back, if they are next to each other on the way there."""
    spans = [(n - 1) * step for n, step in zip(seen.window, seen.dilation, strict=True)]
    margins = [
        (span - before, span - after)
        for span, (before, after) in zip(spans, seen.margins, strict=True)
    ]
    if max(seen.strides) > 1 or min(before for before, _ in margins) < 0:
        return None
    return seen._replace(sizes=seen.lengths, margins=tuple(margins), lengths=seen.sizes)


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
    bands = -(-lines // band)
    bytes_of_kernel = segments * across * channels * filters * size
    parts = max(1, min(PARTS, HELD // bytes_of_kernel, batch * bands))
    plan = Plan(
        image=height * row,
        height=height,
        row=row,
        top=top,
        lead=left * channels * size,
        copied=int(copied),
        pitch=pitch,
        spare=((band - 1) * stride + span) * pitch if copied else 0,
        segments=segments,
        segment=seen.dilation[0] * pitch,
        span=span,
        stride=stride,
        next=next_column * channels * size,
        lines=lines,
        columns=columns,
        band=band,
        bands=bands,
        units=batch * bands,
        k=across * channels,
        filters=filters,
        size=size,
        parts=parts,
        down=-(-PARTS // parts),
    )
    return tuple(plan)  # a plain one, as compiled code takes it
