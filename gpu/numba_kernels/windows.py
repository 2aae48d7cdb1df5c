"""Where windows lie on an axis, for the kernels that Numba compiles; see `Axis` in windows.cuh."""

from __future__ import annotations

from typing import Any, NamedTuple


class OnAxis(NamedTuple):
    """Device functions of one axis.

    Attributes: `seer`, which window sees an element at an offset, or -1; `count`, how many elements
    a window sees, without the margins.
    """

    seer: Any
    count: Any


def on_axis(cuda: Any) -> OnAxis:
    """The device functions, compiled by `cuda`."""

    @cuda.jit(device=True)
    def seer(element, offset, stride, dilation, before, length):  # type: ignore[no-untyped-def]
        start = element + before - offset * dilation
        if start < 0 or start % stride != 0 or start // stride >= length:
            return -1
        return start // stride

    @cuda.jit(device=True)
    def count(window, size, width, stride, before):  # type: ignore[no-untyped-def]
        start = window * stride - before
        return min(start + width, size) - max(start, 0)

    return OnAxis(seer, count)
