"""The fully connected layer (DERIVATIONS 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.devices import cpu
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.biased import AFFINE
from chainrule.engine.tensor import Tensor

from .affine import Affine, known_name
from .arguments import positive_integer
from .layer import Shape, registered

#: Products of numbers in a layer, from which on the CPU computes it as one operation.
FUSED = 131_072


@registered
class Dense(Affine):
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
        super().__init__(
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            name,
            dtype,
            trainable,
        )
        self.units = positive_integer(units, "units", "Dense")

    def build(self, input_shape: Shape) -> None:
        """Makes `kernel` and `bias` for an input of shape (None, ..., features)."""
        features = input_shape[-1] if len(input_shape) >= self.min_ndim else None
        if not features:
            raise ShapeError(
                "Dense: input_shape must be (None, ..., features) with at least one feature, got "
                f"{tuple(input_shape)}"
            )
        self._add_weights((features, self.units))
        super().build(input_shape)

    def call(self, x: Tensor) -> Tensor:
        """The activation of the affine part; of a large one on the CPU, as one operation."""
        if self._whole(x):
            name = known_name(self.activation)
            if name in AFFINE:
                return self._by_rows(x, AFFINE[name])
        return super().call(x)

    def _whole(self, x: Tensor) -> bool:
        """Is the layer, for that x, one operation with its bias?"""
        return x._device is cpu and x.size * self.units >= FUSED and self.bias is not None

    def _affine(self, x: Tensor, biased: Callable[[Any, Any], Any] | None = None) -> Tensor:
        """The affine part x W + b, as one product of matrices however many axes x has."""
        if biased is None and self._whole(x):
            return self._by_rows(x, AFFINE[""])
        return self._by_rows(x, lambda rows, kernel, bias: self._biased(rows @ kernel, biased))

    def _by_rows(self, x: Tensor, function: Callable[[Any, Any, Any], Any]) -> Tensor:
        """The function of x as a matrix, of the kernel and of the bias."""
        features = self.kernel.shape[0]
        if x.shape[-1] != features:
            raise ShapeError(
                f"Dense: expected the last axis of x to be {features} (the layer was built on "
                f"it), got x with {describe(x)}"
            )
        rows = x if x.ndim == 2 else x.reshape(x.size // features, features)
        z: Tensor = function(rows, self.kernel, self.bias)
        return z if x.ndim == 2 else z.reshape(*x.shape[:-1], self.units)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., features) -> (..., units)"""
        return (*input_shape[:-1], self.units)
