"""Recurrent layers: they read a sequence step by step, and carry a state along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from chainrule.engine.creation import zeros
from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.operations.choices import where
from chainrule.engine.operations.recurrent import simple_rnn, simple_rnn_steps
from chainrule.engine.tensor import Tensor

from .activations import Activation, get_activation
from .arguments import fraction, positive_integer
from .dropout import drop
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer


class Recurrent(Layer):
    """What the recurrent layers have in common.

    A subclass says what its operation is, `fused` and `stepwise`, and how many gates and states it
    has. Activations other than tanh (and sigmoid, for the gates) run step by step. Arguments are
    as in `SimpleRNN`.
    """

    min_ndim = 3
    gates: ClassVar[int] = 1
    state_count: ClassVar[int] = 1
    fused: ClassVar[Callable[..., Tensor]]
    stepwise: ClassVar[Callable[..., Tensor]]
    kernel: Tensor
    recurrent_kernel: Tensor
    bias: Tensor | None

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        where = type(self).__name__
        self.units = positive_integer(units, "units", where)
        self.activation = self._activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.recurrent_initializer = get_initializer(recurrent_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.recurrent_regularizer = get_regularizer(recurrent_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)
        self.dropout = fraction(dropout, "dropout", where)
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)

    def _activation(self, identifier: Any) -> Layer:
        """An activation as a layer of this layer's dtype."""
        layer = get_activation(identifier, self.dtype)
        if layer.dtype != self.dtype:
            raise DtypeError(
                f"{type(self).__name__}: the activation {layer!r} has dtype {layer.dtype}, the "
                f"layer {self.dtype}; give both the same dtype="
            )
        return layer

    def build(self, input_shape: Shape) -> None:
        """Makes the weights for an input of shape (None, time, features)."""
        if len(input_shape) != 3 or not input_shape[-1]:
            remedy = ""
            if len(input_shape) == 2:
                remedy = (
                    "; return_sequences=True keeps the steps of a recurrent layer before this one, "
                    "x[..., None] makes sequences of numbers ones of one feature"
                )
            raise ShapeError(
                f"{type(self).__name__}: input_shape must be (None, time, features) with at least "
                f"one feature, got {tuple(input_shape)}{remedy}"
            )
        columns = self.gates * self.units
        self.add_weight(
            "kernel",
            (input_shape[-1], columns),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.add_weight(
            "recurrent_kernel",
            (self.units, columns),
            self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
        )
        if self.use_bias:
            self.add_weight(
                "bias", self._bias_shape(), self._bias_start, regularizer=self.bias_regularizer
            )
        else:
            self.bias = None
        super().build(input_shape)

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _bias_start(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """The initialiser of the bias."""
        return self.bias_initializer(shape, dtype)

    def call(self, x: Tensor, initial_state: Any = None, mask: Any = None) -> Any:
        """The last state, or those of all steps; and, with `return_state`, the last states.

        Arguments: `initial_state`, a Tensor (batch, units), or a list of them, by default zeros;
        `mask`, booleans (batch, time): where it is False the state is carried on, and the result
        repeats the one before, zeros before the first.
        """
        self._check(x, mask)
        states = self._initial(initial_state, x)
        # At padded steps a gradient of 0, times NaN, would be NaN. Only the host can look first.
        if mask is not None and not (x._device.on_host and np.isfinite(x.numpy()[~mask]).all()):
            x = where(mask[..., None], x, 0.0)
        x = drop(x, self.dropout, (None, 1, None))
        if self.go_backwards:
            x, mask = x[:, ::-1], None if mask is None else mask[:, ::-1]
        bias = self.bias
        if bias is None:
            bias = zeros(self._bias_shape(), self.dtype, device=x.device)
        found = self._sequence(x, *states, self.kernel, self.recurrent_kernel, bias, mask=mask)
        steps = x.shape[1]
        last = None if self.return_sequences and not self.return_state else found[:, steps - 1]
        result = last
        if self.return_sequences:
            result = found if found.shape[1] == steps else found[:, :steps]
        if mask is not None and initial_state is not None:
            begun = np.logical_or.accumulate(mask, axis=1)[..., None]
            result = where(begun if self.return_sequences else begun[:, -1], result, 0.0)
        if not self.return_state:
            return result
        return [result, last, *(found[:, steps] for _ in range(self.state_count - 1))]

    def _sequence(self, *arguments: Any, mask: Any) -> Tensor:
        """The operation, or its definition with the layer's own activations."""
        activations = self._activations()
        usual = ("tanh", "sigmoid")
        names = [each.activation if isinstance(each, Activation) else "" for each in activations]
        if all(name == known for name, known in zip(names, usual, strict=False)):
            return type(self).fused(*arguments, mask=mask)
        return type(self).stepwise(*arguments, mask, *activations)

    def _activations(self) -> list[Layer]:
        """That of the candidate, and that of the gates if there are any."""
        return [self.activation]

    def _check(self, x: Tensor, mask: Any) -> None:
        name, features = type(self).__name__, self.kernel.shape[0]
        if x.ndim != 3 or not x.shape[1]:
            raise ShapeError(
                f"{name}: x must be (batch, time, features) with at least one step, got x with "
                f"{describe(x)}"
            )
        if x.shape[-1] != features:
            raise ShapeError(
                f"{name}: expected the last axis of x to be {features} (the layer was built on "
                f"it), got x with {describe(x)}"
            )
        if mask is not None and mask.shape != x.shape[:2]:
            raise ShapeError(
                f"{name}: mask must be (batch, time), here {x.shape[:2]}, got {describe(mask)}"
            )

    def _initial(self, given: Any, x: Tensor) -> list[Any]:
        """The initial states, zeros where none are given."""
        shape, count, name = (x.shape[0], self.units), self.state_count, type(self).__name__
        if given is None:
            return [zeros(shape, self.dtype, device=x.device) for _ in range(count)]
        states = list(given) if isinstance(given, (list, tuple)) else [given]
        wanted = "one Tensor" if count == 1 else f"a list of {count} Tensors"
        if len(states) != count:
            raise ShapeError(
                f"{name}: initial_state must be {wanted} (batch, units), got {len(states)}"
            )
        for i, each in enumerate(states):
            if not isinstance(each, Tensor) or each.shape != shape:
                raise ShapeError(
                    f"{name}: initial_state must be {wanted} (batch, units), here {shape}, got "
                    f"{describe(each)} at position {i}"
                )
        return states

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """The mask of the states of all steps, in their order; None for the last state."""
        if mask is None or not self.return_sequences:
            return None
        return mask[:, ::-1] if self.go_backwards else mask

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, time, features) -> (batch, units), or (batch, time, units) for all steps."""
        if self.return_sequences:
            return (*input_shape[:2], self.units)
        return (input_shape[0], self.units)


@registered
class SimpleRNN(Recurrent):
    """The simple recurrent network (Elman 1990): h[t] = activation(x[t] K + h[t-1] R + b).

    Its weights are `kernel` K, (features, units), `recurrent_kernel` R, (units, units), and `bias`
    b, (units,), None without bias. The input x is (batch, time, features); the result is the last
    state, (batch, units), or with `return_sequences` those of all steps, (batch, time, units); with
    `return_state` it is the list [result, last state].

    Arguments: `units`, how many; `activation`, a name, a function or a layer; `use_bias`; the
    initialisers and regularisers of the weights, as in `Dense`; `dropout`, the share of the
    features that is dropped in training, for a sequence the same ones at all its steps;
    `return_sequences` and `return_state`; `go_backwards`: are the steps taken, and returned, from
    the last to the first? The others are `Layer`'s. Called, it takes `initial_state`, a Tensor
    (batch, units), by default zeros, and `mask`, booleans (batch, time), by default the one that x
    carries: where it is False the state is carried on, and the result repeats the one before.

    Raises TypeError or ValueError for units that are no positive integer, for a dropout outside of
    0 <= dropout < 1 and for unknown names; called, ShapeError for x, state or mask that do not fit.

    >>> import chainrule as cr
    >>> layer = SimpleRNN(4, return_sequences=True)
    >>> layer(cr.zeros((2, 5, 3))).shape, layer.count_params()
    ((2, 5, 4), 32)
    """

    fused = staticmethod(simple_rnn)
    stepwise = staticmethod(simple_rnn_steps)
