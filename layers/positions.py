"""Positions: what tells the steps of a sequence apart, for layers that see them all at once."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.tensor import Tensor

from .arguments import positive_integer
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer


def _check(where: str, x: Tensor) -> None:
    if x.ndim != 3:
        raise ShapeError(f"{where}: x must be (batch, time, width), got {describe(x)}")


@functools.lru_cache(maxsize=8)
def sinusoids(length: int, width: int) -> np.ndarray[Any, Any]:
    """The table (length, width) of `SinusoidalPositions`, in float64."""
    angles = np.arange(length)[:, None] / 10_000.0 ** (np.arange(0, width, 2) / width)
    table = np.empty((length, width))
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles[:, : width // 2])
    table.flags.writeable = False
    return table


@registered
class SinusoidalPositions(Layer):
    """Adds to each step waves of many lengths, from 2π to 10,000 times that.

    At step t features 2i and 2i + 1 get sin(a) and cos(a), with a = t / 10000^(2i / width): so the
    step k further on is a rotation, the same everywhere. There are no weights, and x may be of any
    length, (batch, time, width); the result carries its mask. The waves reach 1, where the values
    of a new `Embedding` stay below 0.05: multiply these by √width first, as the source does in
    section 3.4, or training begins with little but positions.

    Raises ShapeError, called, for an x of another number of axes.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.5.

    >>> import chainrule as cr
    >>> SinusoidalPositions(dtype="float64")(cr.zeros((1, 2, 4))).numpy().round(2).tolist()
    [[[0.0, 1.0, 0.0, 1.0], [0.84, 0.54, 0.01, 1.0]]]
    """

    min_ndim = 3
    supports_masking = True

    def call(self, x: Tensor) -> Tensor:
        """x plus the table."""
        _check("SinusoidalPositions", x)
        return x + sinusoids(x.shape[1], x.shape[2]).astype(self.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)


@registered
class LearnedPositions(Layer):
    """Adds to each step a trained vector of its own.

    The weight is `embeddings`, (max_length, width). x is (batch, time, width), of at most
    `max_length` steps; the result carries its mask.

    Arguments: `max_length`; `embeddings_initializer` and `embeddings_regularizer`, as in
    `Layer.add_weight`; the others are `Layer`'s.

    Raises TypeError or ValueError for a length that is no positive integer; called, ShapeError for
    an x that is longer, or does not fit.

    Source: Gehring et al. 2017, Convolutional Sequence to Sequence Learning, section 3.1.

    >>> import chainrule as cr
    >>> layer = LearnedPositions(8, embeddings_initializer="ones")
    >>> layer(cr.zeros((1, 2, 3))).tolist(), layer.embeddings.shape
    ([[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]], (8, 3))
    """

    min_ndim = 3
    supports_masking = True
    embeddings: Tensor

    def __init__(
        self,
        max_length: int,
        embeddings_initializer: Any = "glorot_uniform",
        embeddings_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        self.max_length = positive_integer(max_length, "max_length", "LearnedPositions")
        self.embeddings_initializer = get_initializer(embeddings_initializer)
        self.embeddings_regularizer = get_regularizer(embeddings_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Makes `embeddings` for an input of shape (None, time, width)."""
        if len(input_shape) != 3 or not input_shape[-1]:
            raise ShapeError(
                "LearnedPositions: input_shape must be (None, time, width), got "
                f"{tuple(input_shape)}"
            )
        self.add_weight(
            "embeddings",
            (self.max_length, input_shape[-1]),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )
        super().build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """x plus the first of the embeddings."""
        _check("LearnedPositions", x)
        length, width = x.shape[1:]
        if length > self.max_length:
            raise ShapeError(
                f"LearnedPositions: x has {length} steps, and there are embeddings for max_length="
                f"{self.max_length}; cut x, or make the layer longer; x has {describe(x)}"
            )
        if width != self.embeddings.shape[1]:
            raise ShapeError(
                f"LearnedPositions: expected the last axis of x to be {self.embeddings.shape[1]} "
                f"(the layer was built on it), got x with {describe(x)}"
            )
        return x + self.embeddings[:length]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)
