"""Recurrent layers with gates: LSTM and GRU."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.operations.recurrent import gru, gru_steps, lstm, lstm_steps

from .layer import Layer, registered
from .recurrent import Recurrent


@registered
class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997): a cell state behind gates.

    With [i, f, c̃, o] the gates, σ, σ, activation, σ of x[t] K + h[t-1] R + b, the cell state is
    c[t] = f c[t-1] + i c̃, the hidden state h[t] = o activation(c[t]); σ is the recurrent activation
    (DERIVATIONS 5.2). Its weights are `kernel` K, (features, 4 units), `recurrent_kernel` R,
    (units, 4 units), and `bias` b, (4 units,), None without bias; the columns are those of the
    gates in that order. The input x is (batch, time, features); the result is the last hidden
    state, (batch, units), or with `return_sequences` those of all steps, (batch, time, units); with
    `return_state` it is the list [result, last hidden state, last cell state].

    Arguments: `units`, how many; `activation` and `recurrent_activation`, names, functions or
    layers; `use_bias`; the initialisers and regularisers of the weights, as in `Dense`;
    `unit_forget_bias`: does the forget gate's bias start at 1 (Jozefowicz et al. 2015)? `dropout`,
    the share of the features that is dropped in training, for a sequence the same ones at all its
    steps; `return_sequences` and `return_state`; `go_backwards`: are the steps taken, and returned,
    from the last to the first? The others are `Layer`'s. Called, it takes `initial_state`, a list
    [h, c] of Tensors (batch, units), by default zeros, and `mask`, booleans (batch, time), by
    default the one that x carries: where it is False the states are carried on, and the result
    repeats the one before.

    Raises TypeError or ValueError for units that are no positive integer, for a dropout outside of
    0 <= dropout < 1 and for unknown names; called, ShapeError for x, states or mask that do not
    fit.

    >>> import chainrule as cr
    >>> layer = LSTM(4, return_sequences=True)
    >>> layer(cr.zeros((2, 5, 3))).shape, layer.count_params()
    ((2, 5, 4), 128)
    """

    gates = 4
    state_count = 2
    fused = staticmethod(lstm)
    stepwise = staticmethod(lstm_steps)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            dropout,
            return_sequences,
            return_state,
            go_backwards,
            name,
            dtype,
            trainable,
        )
        self.recurrent_activation = self._activation(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    def _activations(self) -> list[Layer]:
        return [self.activation, self.recurrent_activation]

    def _bias_start(self, shape: tuple[int, ...], dtype: Any) -> Any:
        if not self.unit_forget_bias:
            return super()._bias_start(shape, dtype)
        n = self.units
        start = [self.bias_initializer((n,), dtype), np.ones(n, dtype)]
        return np.concatenate([*start, self.bias_initializer((2 * n,), dtype)])


@registered
class GRU(Recurrent):
    """Gated recurrent units (Cho et al. 2014): the new state is between the old and a candidate.

    With u = x[t] K + b[0] and v = h[t-1] R + b[1], in three parts each, the gates are
    z, r = σ(u + v), the candidate is h̃ = activation(u + r v), and the state is
    h[t] = z h[t-1] + (1 - z) h̃; σ is the recurrent activation. That is Keras's `reset_after=True`,
    the only form here. Its weights are `kernel` K, (features, 3 units), `recurrent_kernel` R,
    (units, 3 units), and `bias` b, (2, 3 units), None without bias; the columns are those of z, r
    and the candidate. The input x is (batch, time, features); the result is the last state, (batch,
    units), or with `return_sequences` those of all steps, (batch, time, units); with `return_state`
    it is the list [result, last state].

    Arguments, what it takes when called, and what is raised are as in `LSTM`, but that there is no
    `unit_forget_bias`, and `initial_state` is one Tensor (batch, units).

    >>> import chainrule as cr
    >>> layer = GRU(4, return_sequences=True)
    >>> layer(cr.zeros((2, 5, 3))).shape, layer.count_params()
    ((2, 5, 4), 108)
    """

    gates = 3
    fused = staticmethod(gru)
    stepwise = staticmethod(gru_steps)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
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
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            dropout,
            return_sequences,
            return_state,
            go_backwards,
            name,
            dtype,
            trainable,
        )
        self.recurrent_activation = self._activation(recurrent_activation)

    def _activations(self) -> list[Layer]:
        return [self.activation, self.recurrent_activation]

    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units)
