"""Layer normalisation: each sample, at each step, with mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.normalizations import layer_norm
from chainrule.engine.tensor import Tensor

from .arguments import is_integer, not_negative
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer


@registered
class LayerNormalization(Layer):
    """Features with mean 0 and variance 1 in each sample: gamma (x - m) / sqrt(v + epsilon) + beta.

    m and v are mean and variance along `axis`. The weights `gamma` and `beta` have the lengths of
    these axes. No sample sees another, so that training and prediction are the same; of a sequence
    no step sees another, and the result carries the mask of x.

    Arguments: `axis`, one or several, not the batch; `epsilon`, added to the variance; `center`:
    is there a beta? `scale`: is there a gamma? `beta_initializer`, `gamma_initializer`,
    `beta_regularizer` and `gamma_regularizer`, as in `Layer.add_weight`; the others are `Layer`'s.

    Raises TypeError or ValueError for an axis that is no integer and for a negative epsilon;
    called, ShapeError for an x that does not fit.

    Source: Ba, Kiros and Hinton 2016, Layer Normalization, eq. 4.

    >>> layer = LayerNormalization(epsilon=0.0001)
    >>> layer([[1.0, 3.0], [-10.0, 10.0]]).numpy().round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    >>> [(name, weight.shape) for name, weight in layer.named_parameters()]
    [('gamma', (2,)), ('beta', (2,))]
    """

    min_ndim = 2
    supports_masking = True
    gamma: Tensor | None
    beta: Tensor | None

    def __init__(
        self,
        axis: int | tuple[int, ...] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
        if not axes or not all(map(is_integer, axes)):
            raise TypeError(f"LayerNormalization: axis must be integers, got {axis!r}")
        self.axis = axes if isinstance(axis, (tuple, list)) else int(axis)
        self.epsilon = not_negative(epsilon, "epsilon", "LayerNormalization")
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = get_initializer(beta_initializer)
        self.gamma_initializer = get_initializer(gamma_initializer)
        self.beta_regularizer = get_regularizer(beta_regularizer)
        self.gamma_regularizer = get_regularizer(gamma_regularizer)
        self._lengths: Shape = ()

    def build(self, input_shape: Shape) -> None:
        """Makes `gamma` and `beta` for an input of shape (None, ..., features)."""
        self._lengths = tuple(input_shape[i] for i in self._normalized(tuple(input_shape)))
        shape = tuple(n for n in self._lengths if n is not None)
        if len(shape) < len(self._lengths) or 0 in shape:
            raise ShapeError(
                "LayerNormalization: the normalised axes must have known lengths, not 0, got "
                f"input_shape {tuple(input_shape)} for axis={self.axis}"
            )
        self.gamma = self.beta = None
        if self.scale:
            self.add_weight(
                "gamma", shape, self.gamma_initializer, regularizer=self.gamma_regularizer
            )
        if self.center:
            self.add_weight("beta", shape, self.beta_initializer, regularizer=self.beta_regularizer)
        super().build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """The normalised x."""
        axes = self._normalized(x.shape)
        if tuple(x.shape[i] for i in axes) != self._lengths:
            raise ShapeError(
                f"LayerNormalization: expected x with lengths {self._lengths} along axis="
                f"{self.axis} (the layer was built on it), got x with {describe(x)}"
            )
        gamma: Any = 1.0 if self.gamma is None else self.gamma
        beta: Any = 0.0 if self.beta is None else self.beta
        if axes != tuple(range(x.ndim - len(axes), x.ndim)):
            shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
            gamma = gamma if self.gamma is None else self.gamma.reshape(shape)
            beta = beta if self.beta is None else self.beta.reshape(shape)
        return layer_norm(x, gamma, beta, axis=axes, epsilon=self.epsilon)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)

    def _normalized(self, shape: Shape) -> tuple[int, ...]:
        """The axes, counted from 0, in their order."""
        ndim = len(shape)
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        found = tuple(sorted(each + ndim if each < 0 else each for each in axes))
        if len(set(found)) != len(found) or any(not 0 < each < ndim for each in found):
            raise ShapeError(
                f"LayerNormalization: axis={self.axis} must name different axes of x after the "
                f"batch, got shape {tuple(shape)}"
            )
        return found
