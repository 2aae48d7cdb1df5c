"""What convolutions and pools have in common: images, or sequences, whose channels come last."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.tensor import Tensor
from chainrule.engine.windows import windows

from .layer import Layer, Shape


class Spatial(Layer):
    """A layer of (batch, time, channels) or (batch, height, width, channels).

    Attributes: `axes`, the number of spatial axes.
    """

    axes: ClassVar[int] = 2

    @property
    def _expected(self) -> str:
        return ("(batch, time, channels)", "(batch, height, width, channels)")[self.axes - 1]

    def _input(self, x: Any) -> Tensor:
        x = super()._input(x)
        if x.ndim != self.axes + 2:
            where = type(self).__name__
            text = f"{where}: x must be {self._expected}, got x with {describe(x)}"
            if x.ndim == self.axes + 1:
                text += (
                    f"; if its channel axis is missing, x[..., None] adds it, or the layer "
                    f"Reshape({(*x.shape[1:], 1)}); if the batch is, x[None] does"
                )
            raise ShapeError(text)
        return x

    def _channels(self, input_shape: Shape) -> int:
        """The channels of an input of that shape, for which a layer is built."""
        channels = input_shape[-1] if len(input_shape) == self.axes + 2 else None
        if not channels:
            remedy = ""
            if len(input_shape) == self.axes + 1:
                remedy = (
                    "; if the channel axis is missing, x[..., None] adds it to x, or the layer "
                    f"Reshape({(*input_shape[1:], 1)}) before this one"
                )
            raise ShapeError(
                f"{type(self).__name__}: input_shape must be {self._expected}, with None for the "
                f"batch, and at least one channel, got {tuple(input_shape)}{remedy}"
            )
        return channels

    def _lengths(
        self, input_shape: Shape, window: Any, strides: Any, padding: str, dilation: Any, name: str
    ) -> tuple[int | None, ...]:
        """How many windows there are along each spatial axis; None where x may have any length.

        Raises ShapeError, naming the layer and what it is given, if they do not fit.
        """
        self._channels(input_shape)
        found: list[int | None] = []
        for axis, size in enumerate(input_shape[1:-1]):
            if size is None:
                found.append(None)
                continue
            length = _windows(size, window[axis], strides[axis], padding, dilation[axis])
            if length is None:
                spread = f", dilation_rate={dilation}" if max(dilation) > 1 else ""
                raise ShapeError(
                    f"{type(self).__name__}: {name}={window}{spread} does not fit x of shape "
                    f"{tuple(input_shape)} along axis {axis + 1}, with padding={padding!r}; "
                    "padding='same' would make room, or give larger inputs"
                )
            found.append(length)
        return tuple(found)


@functools.lru_cache(maxsize=1024)
def _windows(size: int, window: int, stride: int, padding: str, dilation: int) -> int | None:
    """How many windows there are along an axis; None if they do not fit."""
    try:
        return windows((size,), window, stride, padding, dilation).lengths[0]
    except ValueError:
        return None
