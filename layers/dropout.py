"""Dropout: in training, some of the inputs are set to 0 at random."""

from __future__ import annotations

from typing import Any

from chainrule.engine.creation import ones
from chainrule.engine.devices import state
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.dropout import dropout
from chainrule.engine.tensor import Tensor

from .arguments import fraction, is_integer
from .layer import Layer, Shape, registered


def drop(x: Tensor, rate: float, noise_shape: Shape | None = None) -> Tensor:
    """x with a share `rate` of it set to 0 and the rest divided by 1 - rate; x itself outside of
    training.

    Arguments: `noise_shape`, the shape of the mask, where it is not that of x: axes of length 1
    share one decision, and None means the length that x has.
    """
    if not rate or not state.training:
        return x
    if noise_shape is None:
        return dropout(x, rate)
    filled = (a if n is None else n for n, a in zip(noise_shape, x.shape, strict=True))
    return x * dropout(ones(tuple(filled), x.dtype, device=x.device), rate)


@registered
class Dropout(Layer):
    """In training, sets each input to 0 with probability `rate` and divides the others by 1 - rate.

    So the mean of the result is the input (Srivastava et al. 2014). In prediction it does nothing.
    The mask comes from numbered random words (`cr.dropout`): with the same seed it is the same on
    every device, and it is made again, not kept, for the gradient.

    Arguments: `rate`, at least 0 and less than 1; `noise_shape`, the shape of the mask where it is
    not that of the input: axes of length 1 share one decision, None is the input's length.

    Raises TypeError or ValueError for other rates; called, ShapeError for a noise shape that does
    not fit.

    >>> import chainrule as cr
    >>> cr.seed(0)
    >>> layer = Dropout(0.5)
    >>> layer([[1.0, 1.0, 1.0, 1.0]]).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    >>> sorted(set(layer(cr.ones((1, 50)), training=True).numpy().ravel().tolist()))
    [0.0, 2.0]
    """

    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        self.rate = fraction(rate, "rate", "Dropout")
        if noise_shape is not None and not (
            isinstance(noise_shape, (tuple, list))
            and all(each is None or (is_integer(each) and each > 0) for each in noise_shape)
        ):
            raise TypeError(
                "Dropout: noise_shape must be a tuple of positive integers and None, got "
                f"{noise_shape!r}"
            )
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def call(self, x: Tensor) -> Tensor:
        """x, with some of it dropped in training."""
        noise = self.noise_shape
        if noise is not None and (
            len(noise) != x.ndim
            or any(n not in (None, 1, a) for n, a in zip(noise, x.shape, strict=True))
        ):
            raise ShapeError(
                f"Dropout: noise_shape {noise} does not fit x with {describe(x)}; each of its "
                "numbers must be 1, None or the length of that axis"
            )
        return drop(x, self.rate, noise)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)
