"""Activations: by name, and as layers (DERIVATIONS 4.1)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from chainrule.engine.operations.activations import (
    elu,
    gelu,
    hard_sigmoid,
    hardtanh,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from chainrule.engine.operations.reductions import softmax
from chainrule.engine.tensor import Tensor

from .layer import Layer, Shape, from_config, registered


def linear(x: Tensor) -> Tensor:
    """No activation: x itself."""
    return x


#: Every activation by its name, which is Keras's.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": linear,
    "relu": relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "softmax": softmax,
    "softplus": softplus,
    "elu": elu,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid,
    "hard_tanh": hardtanh,
    "leaky_relu": functools.partial(leaky_relu, negative_slope=0.2),
    "log_sigmoid": log_sigmoid,
    "mish": mish,
    "relu6": relu6,
    "selu": selu,
    "silu": silu,
}


@registered
class Activation(Layer):
    """Applies a function to its input.

    Arguments: `activation`, a name of `ACTIVATIONS` ("relu", "gelu", "softmax", ...), None for
    "linear", or a function of a Tensor that returns one; the others are `Layer`'s. As in Keras,
    "leaky_relu" has the slope 0.2, and "gelu" is the exact function.

    Raises ValueError for a name that is unknown.

    >>> Activation("relu")([[-1.0, 2.0]]).tolist()
    [[0.0, 2.0]]
    """

    supports_masking = True

    def __init__(
        self,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        if activation is None:
            activation = "linear"
        for known, function in ACTIVATIONS.items():
            if activation is function:
                activation = known
        if isinstance(activation, str) and activation in ACTIVATIONS:
            self.function = ACTIVATIONS[activation]
        elif callable(activation):
            self.function = activation
        else:
            raise ValueError(
                f"activation: {activation!r} is unknown; known: "
                f"{', '.join(map(repr, ACTIVATIONS))}, or a function of a Tensor"
            )
        self.activation = activation
        super().__init__(name, dtype, trainable)  # after the function, which names it

    def call(self, x: Tensor) -> Tensor:
        """The function of x."""
        return self.function(x)

    @property
    def final_activation(self) -> str | None:
        """The activation's name; None for "linear", and for a function of your own."""
        name = self.activation
        return name if isinstance(name, str) and name != "linear" else None

    def logits(self, x: Any) -> Tensor:
        """Its input, if the activation has a name; otherwise the layer's result."""
        return self(x) if self.final_activation is None else self._input(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's, for a known activation; otherwise found by a trial."""
        known = isinstance(self.activation, str)
        return tuple(input_shape) if known else super().compute_output_shape(input_shape)

    def identifier(self) -> Any:
        """The activation's name, if there is nothing else to say."""
        known = isinstance(self.activation, str) and type(self) is Activation
        return self.activation if known else super().identifier()

    def _default_name(self) -> str:
        if isinstance(self.activation, str):
            return self.activation
        name = getattr(self.function, "__name__", "")
        return name if name.isidentifier() else "activation"


@registered
class ReLU(Activation):
    """max(0, x).

    >>> ReLU()([[-1.0, 2.0]]).tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__("relu", name, dtype, trainable)


@registered
class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    >>> Sigmoid()([[0.0]]).tolist()
    [[0.5]]
    """

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__("sigmoid", name, dtype, trainable)


@registered
class Tanh(Activation):
    """The hyperbolic tangent.

    >>> Tanh()([[0.0]]).tolist()
    [[0.0]]
    """

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        super().__init__("tanh", name, dtype, trainable)


@registered
class Softmax(Activation):
    """Positive numbers along an axis that sum to 1: exp(x[i]) / Σ_j exp(x[j]).

    >>> Softmax()([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """

    def __init__(
        self,
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(f"Softmax: axis must be an integer, got {axis!r}")
        self.axis = axis
        super().__init__("softmax", name, dtype, trainable)

    def call(self, x: Tensor) -> Tensor:
        """The softmax of x along the axis."""
        return softmax(x, self.axis)

    @property
    def final_activation(self) -> str | None:
        """The name "softmax", along the last axis."""
        return "softmax" if self.axis == -1 else None


def get_activation(identifier: Any, dtype: Any = None) -> Layer:
    """The activation meant by a name, None, a function, or a layer, as a layer.

    Arguments: `dtype` of a layer made here.

    Raises ValueError for a name that is unknown, listing the known.

    >>> get_activation("softmax").name
    'softmax'
    """
    if isinstance(identifier, Layer):
        return identifier
    if isinstance(identifier, dict):
        return from_config(identifier, place="activation")
    if isinstance(identifier, type) and issubclass(identifier, Layer):
        return identifier(dtype=dtype)
    return Activation(identifier, dtype=dtype)
