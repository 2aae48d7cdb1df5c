"""The fully connected layer (DERIVATIONS 4.1)."""

from __future__ import annotations

from typing import Any

from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.masks import mask_of
from chainrule.engine.tensor import Tensor

from .activations import get_activation
from .arguments import positive_integer
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer


@registered
class Dense(Layer):
    """Every unit sees every feature: activation(x W + b) (DERIVATIONS 4.1).

    Its weights are `kernel` W, (features, units), and `bias` b, (units,), None without bias. The
    input x is (batch, features), or has more axes before the last; the result is (batch, units).

    Arguments: `units`, how many; `activation`, a name, a function or a layer (see `Activation`),
    kept as a layer in the attribute; `use_bias`; `kernel_initializer` and `bias_initializer`, as
    in `Layer.add_weight`; `kernel_regularizer` and `bias_regularizer`, "l1", "l2" or a
    `Regularizer`, whose penalty is added to the loss; the others are `Layer`'s.

    Raises TypeError or ValueError for units that are no positive integer, and for names that are
    unknown; called, ShapeError for an x that does not fit.

    >>> import chainrule as cr
    >>> layer = Dense(2, activation="relu", kernel_initializer="ones")
    >>> layer([[1.0, 2.0, 3.0]]).tolist()
    [[6.0, 6.0]]
    >>> layer.kernel.shape, layer.count_params()
    ((3, 2), 8)
    """

    min_ndim = 2
    supports_masking = True
    kernel: Tensor
    bias: Tensor | None

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        self.units = positive_integer(units, "units", "Dense")
        self.activation = get_activation(activation, self.dtype)
        if self.activation.dtype != self.dtype:
            raise DtypeError(
                f"Dense: the activation {self.activation!r} has dtype {self.activation.dtype}, the "
                f"layer {self.dtype}; give both the same dtype="
            )
        self.use_bias = bool(use_bias)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)

    def build(self, input_shape: Shape) -> None:
        """Makes `kernel` and `bias` for an input of shape (None, ..., features)."""
        features = input_shape[-1] if len(input_shape) >= self.min_ndim else None
        if not features:
            raise ShapeError(
                "Dense: input_shape must be (None, ..., features) with at least one feature, got "
                f"{tuple(input_shape)}"
            )
        self.add_weight(
            "kernel",
            (features, self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        if self.use_bias:
            self.add_weight(
                "bias", (self.units,), self.bias_initializer, regularizer=self.bias_regularizer
            )
        else:
            self.bias = None
        super().build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """The activation of x W + b."""
        return self.activation(self._affine(x))

    @property
    def final_activation(self) -> str | None:
        """The name of the activation; None for "linear", and for a function of your own."""
        return self.activation.final_activation

    def logits(self, x: Any) -> Tensor:
        """The affine part x W + b, if the activation has a name; otherwise the layer's result."""
        x = self._prepared(x)
        return self._carrying(self.activation.logits(self._affine(x)), x, mask_of(x))

    def _affine(self, x: Tensor) -> Tensor:
        """The affine part x W + b, as one product of matrices however many axes x has."""
        features = self.kernel.shape[0]
        if x.shape[-1] != features:
            raise ShapeError(
                f"Dense: expected the last axis of x to be {features} (the layer was built on "
                f"it), got x with {describe(x)}"
            )
        rows = x if x.ndim == 2 else x.reshape(x.size // features, features)
        z = rows @ self.kernel
        if self.bias is not None:
            z = z + self.bias
        return z if x.ndim == 2 else z.reshape(*x.shape[:-1], self.units)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., features) -> (..., units)"""
        return (*input_shape[:-1], self.units)

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"activation": "linear"}
