"""Windows on images as the kernels take them: two axes, and their numbers as scalars."""

from __future__ import annotations

import math
from typing import Any

from chainrule.engine.windows import Windows

from .launcher import LARGEST_GRID
from .table import I32, I64, INSTANCES, Parameter, scalar

#: The parameters that every kernel with windows has.
WINDOW_SCALARS: tuple[Parameter, ...] = (
    scalar("images", I64),
    *(
        scalar(name, I32)
        for name in (
            *("height", "width", "channels", "out_height", "out_width"),
            *("window_height", "window_width", "stride_down", "stride_across"),
            *("dilation_down", "dilation_across", "top", "left"),
        )
    ),
)

#: How many elements an array has: of the images, and with one number for each window.
ELEMENTS = "images * height * width * channels"
WINDOWS = "images * out_height * out_width * channels"

#: The most that kernels count with 32 bits: numbers in an image, or in a row of its columns.
LARGEST = 2**31 - 1


def window_scalars(seen: Windows, images: int, channels: int) -> tuple[int, ...]:
    """The arguments for `WINDOW_SCALARS`; windows on one axis are those on images of height 1.

    >>> from chainrule.engine.windows import windows
    >>> window_scalars(windows((7,), 3, 2), 5, 4)
    (5, 1, 7, 4, 1, 3, 1, 3, 1, 2, 1, 1, 0, 0)
    """
    one = len(seen.sizes) == 1

    def both(values: tuple[int, ...], missing: int = 1) -> tuple[int, ...]:
        return (missing, *values) if one else values

    return (
        images,
        *both(seen.sizes),
        channels,
        *both(seen.lengths),
        *both(seen.window),
        *both(seen.strides),
        *both(seen.dilation),
        *both(tuple(before for before, _ in seen.margins), 0),
    )


def suits(dtype: Any, seen: Windows, channels: int) -> bool:
    """Do the kernels take these windows: on one or two axes, of real numbers, and not too large?"""
    row = seen.lengths[-1] * math.prod(seen.window) * channels
    image = max(math.prod(seen.outer), math.prod(seen.lengths)) * channels
    return (
        str(dtype) in INSTANCES
        and len(seen.sizes) in (1, 2)
        and max(*seen.outer, row, image) <= LARGEST
    )


def blocks(image: int, images: int, block: int = 256) -> tuple[int, int]:
    """A grid with a thread for each number of an image, and the images along its second axis.

    >>> blocks(257, 10)
    (2, 10)
    """
    return -(-image // block), min(images, LARGEST_GRID[1])
