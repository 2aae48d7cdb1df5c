"""Layers that arrange elements anew, or put zeros around them."""

from __future__ import annotations

import math
from typing import Any

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.margins import pad
from chainrule.engine.tensor import Tensor

from .arguments import is_integer
from .layer import Layer, Shape, registered
from .spatial import Spatial


@registered
class Reshape(Layer):
    """Each sample in another shape: (batch, 784) -> (batch, 28, 28, 1).

    Arguments: `target_shape`, without the batch; one of its lengths may be -1, which is found. The
    others are `Layer`'s.

    Raises TypeError or ValueError for what is no such shape; called, ShapeError for samples that
    do not have as many elements.

    >>> import chainrule as cr
    >>> Reshape((28, 28, 1))(cr.zeros((2, 784))).shape, Reshape((4, -1))(cr.zeros((2, 8, 3))).shape
    ((2, 28, 28, 1), (2, 4, 6))
    """

    min_ndim = 1

    def __init__(
        self,
        target_shape: Any,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        if not isinstance(target_shape, (tuple, list)) or not all(map(is_integer, target_shape)):
            raise TypeError(
                f"Reshape: target_shape must be a tuple of integers, got {target_shape!r}"
            )
        lengths = tuple(map(int, target_shape))
        if any(n < 1 and n != -1 for n in lengths) or lengths.count(-1) > 1:
            raise ValueError(
                "Reshape: target_shape must be of positive lengths, without the batch, and at most "
                f"one may be -1, got {target_shape!r}"
            )
        self.target_shape = lengths

    def call(self, x: Tensor) -> Tensor:
        """A view of x as (batch, *target_shape)."""
        return x.reshape(x.shape[0], *self._target(x.shape[1:], describe(x)))

    def _target(self, sample: tuple[int, ...], told: str) -> tuple[int, ...]:
        """The target shape, with -1 found, for samples of a shape."""
        size = math.prod(sample)
        known = math.prod(n for n in self.target_shape if n != -1)
        rest, left = divmod(size, known)
        if left or (rest != 1 and -1 not in self.target_shape):
            raise ShapeError(
                f"Reshape: each sample has {size} elements, which {self.target_shape} cannot have; "
                f"got x with {told}"
            )
        return tuple(rest if n == -1 else n for n in self.target_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, ...) -> (batch, *target_shape); -1 is None if a length is."""
        sample = [n for n in input_shape[1:] if n is not None]
        if len(sample) == len(input_shape) - 1:
            return (input_shape[0], *self._target(tuple(sample), f"shape {tuple(input_shape)}"))
        return (input_shape[0], *(None if n == -1 else n for n in self.target_shape))


@registered
class ZeroPadding2D(Spatial):
    """Zeros around images: (batch, height, width, channels) -> likewise, larger.

    Arguments: `padding`, an integer for all sides, a pair (rows, columns), or
    ((top, bottom), (left, right)); the others are `Layer`'s.

    Raises TypeError or ValueError for other paddings; called, ShapeError for an x of other axes.

    >>> import chainrule as cr
    >>> ZeroPadding2D(((0, 1), (2, 0)))(cr.ones((1, 3, 3, 1))).shape
    (1, 4, 5, 1)
    """

    axes = 2

    def __init__(
        self,
        padding: Any = 1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        pairs = (padding, padding) if is_integer(padding) else padding
        if not isinstance(pairs, (tuple, list)) or len(pairs) != 2:
            raise self._refused(padding)
        pairs = tuple((each, each) if is_integer(each) else each for each in pairs)
        for pair in pairs:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise self._refused(padding)
            if not all(is_integer(each) and each >= 0 for each in pair):
                raise self._refused(padding)
        self.padding = tuple((int(before), int(after)) for before, after in pairs)

    @staticmethod
    def _refused(padding: Any) -> ValueError:
        return ValueError(
            "ZeroPadding2D: padding must be an integer of at least 0, a pair of them, or "
            f"((top, bottom), (left, right)), got {padding!r}"
        )

    def call(self, x: Tensor) -> Tensor:
        """x with its margins."""
        return pad(x, ((0, 0), *self.padding, (0, 0)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, height, width, channels) -> likewise; None stays None."""
        self._channels(input_shape)
        sizes = zip(input_shape[1:-1], self.padding, strict=True)
        outer = (None if size is None else size + sum(pair) for size, pair in sizes)
        return (input_shape[0], *outer, input_shape[-1])

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"padding": [[1, 1], [1, 1]]}
