"""What layers have in common that add a bias to a product of weights, and apply an activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.devices import cpu
from chainrule.engine.errors import DtypeError
from chainrule.engine.masks import mask_of
from chainrule.engine.operations.biased import BIASED, BY_RESULT
from chainrule.engine.tensor import Tensor

from .activations import Activation, get_activation
from .initializers import get_initializer
from .layer import Layer
from .regularizers import get_regularizer

#: Elements of a result, from which on the CPU adds the bias and applies the activation in one.
FUSED = 16_384


class Affine(Layer):
    """activation(product of x and `kernel` + `bias`): the base of Dense and the convolutions.

    A subclass defines `_affine(x, biased)`, which gives its product to `_biased`, and calls
    `_add_weights` in `build`. The arguments are those of `Dense`.
    """

    kernel: Tensor
    bias: Tensor | None

    def __init__(
        self,
        activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        bias_regularizer: Any,
        name: str | None,
        dtype: Any,
        trainable: bool,
    ) -> None:
        super().__init__(name, dtype, trainable)
        self.activation = get_activation(activation, self.dtype)
        if self.activation.dtype != self.dtype:
            raise DtypeError(
                f"{type(self).__name__}: the activation {self.activation!r} has dtype "
                f"{self.activation.dtype}, the layer {self.dtype}; give both the same dtype="
            )
        self.use_bias = bool(use_bias)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)

    def _add_weights(self, kernel_shape: tuple[int, ...]) -> None:
        """Makes `kernel`, and `bias`, for each number along the kernel's last axis."""
        self.add_weight(
            "kernel", kernel_shape, self.kernel_initializer, regularizer=self.kernel_regularizer
        )
        if self.use_bias:
            self.add_weight(
                "bias", kernel_shape[-1:], self.bias_initializer, regularizer=self.bias_regularizer
            )
        else:
            self.bias = None

    def call(self, x: Tensor) -> Tensor:
        """The activation of the affine part."""
        biased = self._fused(x)
        return self.activation(self._affine(x)) if biased is None else self._affine(x, biased)

    def _fused(self, x: Tensor) -> Callable[[Any, Any], Any] | None:
        """The operation that is sum with the bias and activation in one, where that pays.

        On the CPU that is where the sum is large. There the graph of a small model shows the two.
        """
        if self.bias is None:
            return None
        name = known_name(self.activation) or ""
        if x._device is not cpu:
            return BIASED.get(name)
        return self._from_size if name in BY_RESULT else None

    def _from_size(self, z: Tensor, bias: Tensor) -> Tensor:
        """The activation of z + bias: one operation for a large z, two for a small one."""
        result: Tensor
        if z.size < FUSED:
            result = self.activation(z + bias)
        else:
            result = BIASED[self.activation.final_activation or ""](z, bias)
        return result

    def _biased(self, z: Tensor, biased: Callable[[Any, Any], Any] | None) -> Tensor:
        """The product z with the bias added, or with what `biased` makes of both."""
        if self.bias is None:
            return z
        result: Tensor = z + self.bias if biased is None else biased(z, self.bias)
        return result

    @property
    def final_activation(self) -> str | None:
        """The name of the activation; None for "linear", and for a function of your own."""
        return self.activation.final_activation

    def logits(self, x: Any) -> Tensor:
        """The affine part, if the activation has a name; otherwise the layer's result."""
        x = self._prepared(x)
        return self._carrying(self.activation.logits(self._affine(x)), x, mask_of(x))

    def _affine(self, x: Tensor, biased: Callable[[Any, Any], Any] | None = None) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}: define _affine(self, x, biased)")

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"activation": "linear"}


def known_name(activation: Layer) -> str | None:
    """The name of an activation, "" of "linear"; None for a function or a layer of your own.

    >>> known_name(Activation("relu")), known_name(Activation()), known_name(Activation(abs))
    ('relu', '', None)
    """
    if not isinstance(activation, Activation) or type(activation).call is not Activation.call:
        return None
    name = activation.activation
    return None if not isinstance(name, str) else "" if name == "linear" else name
