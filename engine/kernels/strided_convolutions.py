"""im2col as one copy of a view, where what a window sees of a row lies together in memory.

Measured on images of (28, 28) with windows of 2 to 5: with two channels or more it takes between a
quarter and a half of the time of the reference, which copies offset by offset, in runs as long as
there are channels. With one channel the reference's runs are whole rows of the result, and this is
slower unless it copies 5 numbers at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import REFERENCE, get_device
from ..windows import Windows
from .convolutions import padded

#: Numbers in a row: windows that see fewer together, of one channel, are left to the reference.
RUN = 5


def im2col(x: Any, seen: Windows) -> Any:
    """What each window sees, in one place: (..., *lengths, *window, channels)."""
    xp = get_device("cpu").sets["reference"]
    channels, run = x.shape[-1], seen.window[-1] * x.shape[-1]
    if seen.dilation[-1] != 1 or (channels == 1 and run < RUN):
        return REFERENCE["im2col"](xp, x, seen)
    x = np.ascontiguousarray(padded(xp, x, seen, 0))
    x = x.reshape(-1).reshape(x.shape)  # along an axis of length 1 strides may be anything: 0, say
    count = len(seen.sizes)
    lead, steps = x.shape[: -count - 1], x.strides[-count - 1 : -1]
    apart = [n * step for n, step in zip(seen.strides, steps, strict=True)]
    within = [n * step for n, step in zip(seen.dilation[:-1], steps[:-1], strict=True)]
    view = np.ndarray(
        (*lead, *seen.lengths, *seen.window[:-1], run),
        x.dtype,
        x,
        0,
        (*x.strides[: -count - 1], *apart, *within, x.strides[-1]),
    )
    return view.copy().reshape(*lead, *seen.lengths, *seen.window, channels)
