"""Windows that slide over the spatial axes of an array: where each lies, and how many there are.

Window `o` of an axis sees its elements `o * stride + i * dilation - before`, for `i` from 0 to the
window's size, where `before` is the margin in front of the axis.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .errors import describe

PADDINGS = ("valid", "same", "causal")


class Windows(NamedTuple):
    """Windows on one or two axes; each field has an entry for each axis.

    Attributes: `sizes` of the array, `window`, how many elements one sees, `strides` between
    windows, `dilation`, between the elements of one, `margins` (before, after) of the array, and
    `lengths`, how many windows there are.
    """

    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    margins: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]

    @property
    def trivial(self) -> bool:
        """Is there one window for each element, which sees just that?"""
        return self.window == self.strides == (1,) * len(self.window) and not self.padded

    @property
    def padded(self) -> bool:
        """Are there any margins?"""
        return any(map(any, self.margins))

    @property
    def outer(self) -> tuple[int, ...]:
        """The sizes of the array with its margins."""
        return tuple(
            size + sum(margin) for size, margin in zip(self.sizes, self.margins, strict=True)
        )

    @property
    def inside(self) -> tuple[slice, ...]:
        """The index of the array in one with its margins."""
        pairs = zip(self.sizes, self.margins, strict=True)
        return tuple(slice(before, before + size) for size, (before, _) in pairs)

    @property
    def of_images(self) -> Windows:
        """The same on two axes: a sequence is an image one element wide."""
        if len(self.sizes) == 2:
            return self
        one = (1,)
        return Windows(
            self.sizes + one,
            self.window + one,
            self.strides + one,
            self.dilation + one,
            (*self.margins, (0, 0)),
            self.lengths + one,
        )

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """The places within a window, in order."""
        return itertools.product(*map(range, self.window))

    def seen(self, offset: tuple[int, ...]) -> tuple[slice, ...]:
        """The index, in the array with its margins, of what all windows see at an offset."""
        return tuple(self.along(axis, each) for axis, each in enumerate(offset))

    def along(self, axis: int, offset: int) -> slice:
        """The same along one axis."""
        start, stride = offset * self.dilation[axis], self.strides[axis]
        return slice(start, start + (self.lengths[axis] - 1) * stride + 1, stride)


def windows(
    sizes: tuple[int, ...],
    window: Any,
    strides: Any = 1,
    padding: Any = "valid",
    dilation: Any = 1,
    *,
    name: str = "kernel_size",
) -> Windows:
    """The windows on axes of these sizes.

    Arguments: `window`, `strides`, `dilation`, an integer or one for each axis; `padding`:
    "valid" (windows see true elements only), "same" (as many windows as strides fit into the
    size, rounded up; an odd margin is longer at the end), "causal" (one axis: no window sees
    beyond the element where it stands), an int, or a pair (before, after) for each axis; `name`,
    what errors call the window.

    Raises ValueError or TypeError, to be retold by whoever has the array.

    >>> windows((5,), 3, 2, "same")[4:]
    (((1, 1),), (3,))
    """
    count = len(sizes)
    window = per_axis(window, count, name)
    strides = per_axis(strides, count, "strides")
    dilation = per_axis(dilation, count, "dilation")
    if not isinstance(padding, str):
        padding = _pairs(padding, count)
    elif padding not in PADDINGS:
        raise ValueError(
            f"padding must be one of {', '.join(map(repr, PADDINGS))}, or a pair (before, after) "
            f"for each spatial axis, got {padding!r}"
        )
    elif padding == "causal" and count != 1:
        raise ValueError(f"padding 'causal' is for one spatial axis, and there are {count}")
    return _windows(tuple(sizes), window, strides, padding, dilation, name)


@functools.lru_cache(maxsize=1024)
def _windows(
    sizes: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Any,
    dilation: tuple[int, ...],
    name: str,
) -> Windows:
    margins, lengths = [], []
    for axis, (size, length, stride, step) in enumerate(
        zip(sizes, window, strides, dilation, strict=True)
    ):
        span = (length - 1) * step + 1
        if padding == "valid":
            margin = (0, 0)
        elif padding == "causal":
            margin = (span - 1, 0)
        elif padding == "same":
            total = max(((size - 1) // stride) * stride + span - size, 0)
            margin = (total // 2, total - total // 2)
        else:
            margin = padding[axis]
        room = size + sum(margin) - span
        if room < 0 or size < 1:
            spread = f" (spread over {span} by dilation {step})" if step > 1 else ""
            with_margins = f" with a padding of {margin}" if any(margin) else ""
            remedy = "; padding='same' makes room" if size > 0 and not with_margins else ""
            raise ValueError(
                f"{name} {window} does not fit: along spatial axis {axis} it is {length} long"
                f"{spread}, and x {size}{with_margins}{remedy}"
            )
        margins.append(margin)
        lengths.append(room // stride + 1)
    return Windows(sizes, window, strides, dilation, tuple(margins), tuple(lengths))


def per_axis(value: Any, count: int, name: str, at_least: int = 1) -> tuple[int, ...]:
    """A static argument: an integer for each of `count` axes, or one for all.

    Raises TypeError, ValueError for anything else.

    >>> per_axis(3, 2, "strides"), per_axis((1, 2), 2, "strides")
    ((3, 3), (1, 2))
    """
    entries = value if isinstance(value, tuple) else (value,) * count
    for each in entries:
        if isinstance(each, (bool, np.bool_)) or not isinstance(each, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, or one for each axis, got {_told(value)}")
    if len(entries) != count:
        raise ValueError(
            f"{name} must be an integer, or one for each of {count} spatial axes, got {value!r}"
        )
    if min(entries) < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value!r}")
    return tuple(map(int, entries))


def _pairs(padding: Any, count: int) -> tuple[tuple[int, ...], ...]:
    """Explicit padding: margins before and after each axis."""
    if not isinstance(padding, tuple):
        return (per_axis(padding, 2, "padding", 0),) * count
    if len(padding) != count or not all(isinstance(each, tuple) for each in padding):
        raise ValueError(
            f"padding must be a pair (before, after) for each of {count} spatial axes, such as "
            f"{((1, 1),) * count}, got {padding!r}"
        )
    return tuple(per_axis(each, 2, "padding", 0) for each in padding)


def _told(value: Any) -> str:
    return f"{describe(value)} of type {type(value).__name__}"
