"""Flattening: each sample as one row."""

from __future__ import annotations

import math

from chainrule.engine.tensor import Tensor

from .layer import Layer, Shape, registered


@registered
class Flatten(Layer):
    """Each sample's axes joined into one: (batch, 28, 28) -> (batch, 784).

    >>> Flatten()([[[1, 2], [3, 4]]]).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """

    min_ndim = 1

    def call(self, x: Tensor) -> Tensor:
        """A view of x as (batch, product of the other lengths)."""
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, ...) -> (batch, product); None if a length is."""
        lengths = [each for each in input_shape[1:] if each is not None]
        known = len(lengths) == len(input_shape) - 1
        return (input_shape[0], math.prod(lengths) if known else None)
