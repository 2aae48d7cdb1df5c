"""Batch normalisation: each feature with mean 0 and variance 1 over the batch."""

from __future__ import annotations

from typing import Any

from chainrule.engine.creation import zeros
from chainrule.engine.devices import state
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.arithmetic import sqrt
from chainrule.engine.operations.normalizations import batch_norm
from chainrule.engine.operations.shapes import moveaxis
from chainrule.engine.tensor import Tensor

from .arguments import fraction, is_integer, not_negative
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer


@registered
class BatchNormalization(Layer):
    """Features with mean 0 and variance 1 over the batch: gamma (x - m) / sqrt(v + epsilon) + beta.

    In training m and v are mean and (biased) variance of each feature in the batch, along all axes
    but `axis`; once for each forward pass running averages move towards them,

        moving = momentum * moving + (1 - momentum) * statistic of the batch,

    which is Keras's convention (PyTorch's momentum is 1 less this one, and its running variance is
    the unbiased one). In prediction, and in training too while `trainable` is False, m and v are
    the running averages, and these stay: a frozen layer does not change what it computes.

    The weights are `gamma` and `beta`, (features,), the state `moving_mean` and `moving_variance`,
    which is saved with them. Steps that a mask hides are left out of the statistics; in training
    the result is 0 there.

    Arguments: `axis` of the features, not the batch's; `momentum`; `epsilon`, added to the
    variance; `center`: is there a beta? `scale`: is there a gamma? Initialisers and regularisers,
    as in `Layer.add_weight`; the others are `Layer`'s.

    Raises TypeError or ValueError for an axis that is no integer, a momentum outside 0 <= momentum
    < 1, and a negative epsilon; called, ShapeError for an x that does not fit, and, in training,
    for a batch with less than two numbers of each feature: their variance would be 0, the result
    beta whatever x is.

    Source: Ioffe and Szegedy 2015, Batch Normalization, Algorithms 1 and 2.

    >>> layer = BatchNormalization(epsilon=0.0001, dtype="float64")
    >>> x = [[1.0, 10.0], [3.0, 30.0]]
    >>> layer(x, training=True).numpy().round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> layer.moving_mean.numpy().round(2).tolist(), layer.moving_variance.numpy().round(2).tolist()
    ([0.02, 0.2], [1.0, 1.99])
    """

    min_ndim = 2
    supports_masking = True
    gamma: Tensor | None
    beta: Tensor | None
    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        if not is_integer(axis):
            raise TypeError(f"BatchNormalization: axis must be an integer, got {axis!r}")
        self.axis = int(axis)
        self.momentum = fraction(momentum, "momentum", "BatchNormalization")
        self.epsilon = not_negative(epsilon, "epsilon", "BatchNormalization")
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = get_initializer(beta_initializer)
        self.gamma_initializer = get_initializer(gamma_initializer)
        self.moving_mean_initializer = get_initializer(moving_mean_initializer)
        self.moving_variance_initializer = get_initializer(moving_variance_initializer)
        self.beta_regularizer = get_regularizer(beta_regularizer)
        self.gamma_regularizer = get_regularizer(gamma_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Makes the weights for the features of an input of shape (None, ..., features)."""
        features = input_shape[self._features(tuple(input_shape))]
        if not features:
            raise ShapeError(
                "BatchNormalization: there must be at least one feature, and their number known, "
                f"got input_shape {tuple(input_shape)} for axis={self.axis}"
            )
        shape = (features,)
        self.gamma = self.beta = None
        if self.scale:
            self.add_weight(
                "gamma", shape, self.gamma_initializer, regularizer=self.gamma_regularizer
            )
        if self.center:
            self.add_weight("beta", shape, self.beta_initializer, regularizer=self.beta_regularizer)
        self.add_weight("moving_mean", shape, self.moving_mean_initializer, trainable=False)
        self.add_weight("moving_variance", shape, self.moving_variance_initializer, trainable=False)
        super().build(input_shape)

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        """The normalised x."""
        axis = self._features(x.shape)
        if x.shape[axis] != self.moving_mean.size:
            raise ShapeError(
                f"BatchNormalization: expected axis {self.axis} of x to be {self.moving_mean.size} "
                f"(the layer was built on it), got x with {describe(x)}"
            )
        last = axis == x.ndim - 1
        if not self.training or not self.trainable:
            return self._by_running_averages(x, axis)
        if mask is None:
            y = self._by_batch(x if last else moveaxis(x, axis, -1), x)
            return y if last else moveaxis(y, -1, axis)
        if axis < mask.ndim:
            raise ShapeError(
                f"BatchNormalization: axis={self.axis} lies along the mask of shape {mask.shape}; "
                f"the features of masked sequences are those of each step, axis=-1; x has "
                f"{describe(x)}"
            )
        rows = x if last else moveaxis(x, axis, -1)
        y = (
            zeros(rows.shape, rows.dtype, device=rows.device)
            .at[mask]
            .set(self._by_batch(rows[mask], x))
        )
        return y if last else moveaxis(y, -1, axis)

    def _by_batch(self, rows: Tensor, x: Tensor) -> Tensor:
        """Rows (..., features) normalised by their own statistics, which are remembered."""
        if rows.size < 2 * rows.shape[-1]:
            count = rows.size // rows.shape[-1]
            raise ShapeError(
                "BatchNormalization: in training there must be at least 2 numbers of each feature "
                f"to take a variance of, got {count}, from x with {describe(x)}; use larger "
                "batches (is the last one of an epoch a single sample?), or freeze the layer by "
                "layer.trainable = False"
            )
        gamma: Any = 1.0 if self.gamma is None else self.gamma
        beta: Any = 0.0 if self.beta is None else self.beta
        return batch_norm(rows, gamma, beta, epsilon=self.epsilon, statistics=self._remember)

    def _remember(self, mean: Any, variance: Any) -> None:
        """Moves the running averages, unless this is a second run of a checkpointed function."""
        for weight, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            # A gradient check computes with numbers of another kind, too.
            if not state.recomputing and type(value) is type(weight._data):
                weight.assign(self.momentum * weight._data + (1 - self.momentum) * value)

    def _by_running_averages(self, x: Tensor, axis: int) -> Tensor:
        shape = tuple(n if i == axis else 1 for i, n in enumerate(x.shape))
        weight = 1 / sqrt(self.moving_variance + self.epsilon)
        if self.gamma is not None:
            weight = weight * self.gamma
        y = (x - self.moving_mean.reshape(shape)) * weight.reshape(shape)
        return y if self.beta is None else y + self.beta.reshape(shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)

    def _features(self, shape: Shape) -> int:
        """The axis of the features, counted from 0."""
        axis = self.axis + len(shape) if self.axis < 0 else self.axis
        if not 0 < axis < len(shape):
            raise ShapeError(
                f"BatchNormalization: axis={self.axis} must name an axis of x after the batch, got "
                f"shape {tuple(shape)}"
            )
        return axis
