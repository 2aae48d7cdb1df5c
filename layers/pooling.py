"""Pooling layers: the largest element, or the mean, of windows or of everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.choices import where
from chainrule.engine.operations.pooling import avg_pool, max_pool
from chainrule.engine.tensor import Tensor

from .arguments import choice, integers
from .layer import Shape, registered
from .spatial import Spatial


class Pooling(Spatial):
    """What the pools of windows are; a subclass names the operation."""

    operation: ClassVar[Callable[..., Tensor]]

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        where = type(self).__name__
        self.pool_size = integers(pool_size, self.axes, "pool_size", where)
        self.strides = None if strides is None else integers(strides, self.axes, "strides", where)
        self.padding = choice(padding, ("valid", "same"), "padding", where)

    def _windows(self, input_shape: Shape) -> tuple[int | None, ...]:
        strides = self.strides or self.pool_size
        ones = (1,) * self.axes
        return self._lengths(input_shape, self.pool_size, strides, self.padding, ones, "pool_size")

    def call(self, x: Tensor) -> Tensor:
        """The pool of every window."""
        self._windows(x.shape)
        return type(self).operation(
            x, pool_size=self.pool_size, strides=self.strides, padding=self.padding
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, ..., channels) -> (batch, windows, channels); None stays None."""
        return (input_shape[0], *self._windows(input_shape), input_shape[-1])

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"pool_size": [2] * self.axes}


@registered
class MaxPooling1D(Pooling):
    """The largest element of each window of time: (batch, time, channels) -> (.., windows, ..).

    Arguments: `pool_size` of a window and `strides` from one to the next, integers (strides None:
    the size, so that none overlap); `padding`, "valid" or "same"; the others are `Layer`'s. Equal
    largest elements share the gradient.

    Raises TypeError or ValueError for other arguments; called, ShapeError for an x that does not
    fit.

    >>> MaxPooling1D(2)([[[1.0], [3.0], [2.0], [0.0]]]).tolist()
    [[[3.0], [2.0]]]
    """

    axes = 1
    operation = max_pool


@registered
class MaxPooling2D(Pooling):
    """The largest element of each window of an image: (batch, height, width, channels) -> likewise.

    Arguments: `pool_size` of a window and `strides` from one to the next, each an integer or a
    pair (strides None: the size, so that none overlap); `padding`, "valid" or "same"; the others
    are `Layer`'s. Equal largest elements share the gradient.

    Raises TypeError or ValueError for other arguments; called, ShapeError for an x that does not
    fit.

    >>> MaxPooling2D(2)([[[[1.0], [3.0]], [[2.0], [0.0]]]]).tolist()
    [[[[3.0]]]]
    """

    axes = 2
    operation = max_pool


@registered
class AveragePooling1D(Pooling):
    """The mean of each window of time: (batch, time, channels) -> (batch, windows, channels).

    Arguments: as for `MaxPooling1D`. With padding "same" the mean is that of the true steps.

    Raises TypeError or ValueError for other arguments; called, ShapeError for an x that does not
    fit.

    >>> AveragePooling1D(2)([[[1.0], [3.0], [2.0], [0.0]]]).tolist()
    [[[2.0], [1.0]]]
    """

    axes = 1
    operation = avg_pool


@registered
class AveragePooling2D(Pooling):
    """The mean of each window of an image: (batch, height, width, channels) -> likewise.

    Arguments: as for `MaxPooling2D`. With padding "same" the mean is that of the true elements.

    Raises TypeError or ValueError for other arguments; called, ShapeError for an x that does not
    fit.

    >>> AveragePooling2D(2)([[[[1.0], [3.0]], [[2.0], [0.0]]]]).tolist()
    [[[[1.5]]]]
    """

    axes = 2
    operation = avg_pool


# Of everything ------------------------------------------------------------------------------


class GlobalPooling(Spatial):
    """What the pools of all spatial axes are."""

    def __init__(
        self,
        keepdims: bool = False,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        if not isinstance(keepdims, bool):
            raise TypeError(
                f"{type(self).__name__}: keepdims must be True or False, got {keepdims!r}"
            )
        self.keepdims = keepdims

    @property
    def _pooled(self) -> tuple[int, ...]:
        return tuple(range(1, self.axes + 1))

    def _some(self, x: Tensor) -> None:
        if 0 in x.shape[1:-1]:
            raise ShapeError(
                f"{type(self).__name__}: there is nothing to pool in x with {describe(x)}"
            )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, ..., channels) -> (batch, channels), or with 1 for each spatial axis."""
        self._channels(input_shape)
        ones = (1,) * self.axes if self.keepdims else ()
        return (input_shape[0], *ones, input_shape[-1])


def _real(mask: Any, x: Tensor) -> Any:
    """A mask as (batch, time, 1), to be broadcast over the channels."""
    mask = mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
    return np.broadcast_to(mask, (*x.shape[:2], mask.shape[-1]))


@registered
class GlobalAveragePooling1D(GlobalPooling):
    """The mean over time: (batch, time, channels) -> (batch, channels).

    Steps that a mask says are not real do not count; the mean of none is 0.

    Arguments: `keepdims`: does the result keep the axis of time, of length 1? The others are
    `Layer`'s.

    Raises ShapeError for an x of other axes, or without any steps.

    >>> import numpy as np
    >>> layer, x = GlobalAveragePooling1D(), [[[1.0], [3.0], [8.0]]]
    >>> layer(x).tolist(), layer(x, mask=np.array([[True, True, False]])).tolist()
    ([[4.0]], [[2.0]])
    """

    axes = 1

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        """The mean of the steps that are real."""
        self._some(x)
        if mask is None:
            return x.mean(axis=1, keepdims=self.keepdims)
        real = _real(mask, x)
        total = where(real, x, 0.0).sum(axis=1, keepdims=self.keepdims)
        count = real.sum(axis=1, keepdims=self.keepdims)
        return total / count.clip(1, None).astype(x.dtype)


@registered
class GlobalMaxPooling1D(GlobalPooling):
    """The largest element over time: (batch, time, channels) -> (batch, channels).

    Steps that a mask says are not real do not count; of none it is 0.

    Arguments: `keepdims`: does the result keep the axis of time, of length 1? The others are
    `Layer`'s.

    Raises ShapeError for an x of other axes, or without any steps.

    >>> GlobalMaxPooling1D()([[[1.0], [3.0], [2.0]]]).tolist()
    [[3.0]]
    """

    axes = 1

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        """The largest of the steps that are real."""
        self._some(x)
        if mask is None:
            return x.max(axis=1, keepdims=self.keepdims)
        real = _real(mask, x)
        # Not -inf, at which `cr.detect_anomaly` would stop.
        lowest = np.where(real.any(axis=1, keepdims=True), np.finfo(self.dtype).min, 0.0)
        kept = where(real, x, lowest.astype(self.dtype))
        return kept.max(axis=1, keepdims=self.keepdims)


@registered
class GlobalAveragePooling2D(GlobalPooling):
    """The mean over an image: (batch, height, width, channels) -> (batch, channels).

    Arguments: `keepdims`: does the result keep the spatial axes, of length 1? The others are
    `Layer`'s.

    Raises ShapeError for an x of other axes, or of images without elements.

    Source: Lin et al. 2014, Network in network.

    >>> GlobalAveragePooling2D()([[[[1.0], [3.0]], [[2.0], [0.0]]]]).tolist()
    [[1.5]]
    """

    axes = 2

    def call(self, x: Tensor) -> Tensor:
        """The mean of each channel."""
        self._some(x)
        return x.mean(axis=self._pooled, keepdims=self.keepdims)


@registered
class GlobalMaxPooling2D(GlobalPooling):
    """The largest element of an image: (batch, height, width, channels) -> (batch, channels).

    Arguments: `keepdims`: does the result keep the spatial axes, of length 1? The others are
    `Layer`'s.

    Raises ShapeError for an x of other axes, or of images without elements.

    >>> GlobalMaxPooling2D()([[[[1.0], [3.0]], [[2.0], [0.0]]]]).tolist()
    [[3.0]]
    """

    axes = 2

    def call(self, x: Tensor) -> Tensor:
        """The largest element of each channel."""
        self._some(x)
        return x.max(axis=self._pooled, keepdims=self.keepdims)
