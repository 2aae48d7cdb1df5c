"""Recurrent networks: a cell that reads a sequence step by step, and carries a state along.

Each is one operation on a whole sequence. Its definition, step by step, is a composition of other
operations, which other activations than the usual ones use too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from ..placing import beside, constant, on_device
from ..record import tensor_functions as F
from ..tensor import Tensor
from .activations import sigmoid, tanh
from .choices import where
from .joining import stack

Activation = Callable[[Any], Any]

#: Constants of cases.
ZERO, ONES = np.zeros((1, 1)), np.ones((1, 4))
MASKS = (np.array([[True, False, True], [True, True, False]]), np.array([[False, True]]))


def raw_mask(name: str, mask: Any) -> Any:
    """A mask as an array of its own, if it is one of booleans.

    Raises DtypeError for anything else.
    """
    if mask is None:
        return None
    raw = mask._data if isinstance(mask, Tensor) else mask
    raw = raw.copy() if on_device(raw) else np.array(raw)
    if raw.dtype.kind != "b":
        raise DtypeError(
            f"{name}: mask must be booleans, True at the real steps, got {describe(raw)}; for "
            "zeros and ones use mask != 0"
        )
    return raw


def check_sequence(
    name: str, x: Any, states: dict[str, Any], weights: dict[str, Any], gates: int, mask: Any
) -> None:
    """Raises ShapeError unless sequence, states, weights and mask fit together.

    `weights` are the kernel, the recurrent kernel, which says how many units there are, and the
    bias; the kernels have a block of columns for each of `gates`.
    """
    recurrent_kernel = weights["recurrent_kernel"]
    if x.ndim != 3 or not x.shape[1]:
        raise ShapeError(
            f"{name}: x must be (batch, time, features), with at least one step, got x with "
            f"{describe(x)}"
        )
    units = recurrent_kernel.shape[0] if recurrent_kernel.ndim else 0
    columns = "units" if gates == 1 else f"{gates} units"
    bias = (2, 3 * units) if name == "gru" else (gates * units,)
    expected = [
        ("kernel", weights["kernel"], (x.shape[2], gates * units), f"(features, {columns})"),
        ("recurrent_kernel", recurrent_kernel, (units, gates * units), f"(units, {columns})"),
        ("bias", weights["bias"], bias, f"({'2, ' if len(bias) == 2 else ''}{columns})"),
        *((key, each, (x.shape[0], units), "(batch, units)") for key, each in states.items()),
    ]
    if mask is not None:
        expected.append(("mask", mask, x.shape[:2], "(batch, time)"))
    for key, each, shape, meaning in expected:
        if tuple(each.shape) != tuple(shape):
            raise ShapeError(
                f"{name}: {key} must be {meaning}, here {tuple(shape)}, got {describe(each)}; x "
                f"has {describe(x)}, recurrent_kernel has {describe(recurrent_kernel)}"
            )


def _step(mask: Any, t: int, new: Any, before: Any) -> Any:
    """The new state, or at padded steps the one before."""
    return new if mask is None else where(beside(new, mask[:, t : t + 1]), new, before)


def _sent(k: Any, mask: Any) -> Any:
    """The mask, if there is one, on the device that k computes on."""
    return None if mask is None else constant(k, mask)


def _gates(z: Any, count: int) -> list[Any]:
    units = z.shape[-1] // count
    return [z[..., i * units : (i + 1) * units] for i in range(count)]


def _products(y: Any, x: Any, *shapes: Any, mask: Any = None) -> dict[str, int]:
    """Multiplications and additions in products, of the shapes of a sequence and its weights.

    On its way back through time a gradient meets the recurrent kernel at every step, whichever
    argument it is meant for: that stands under "".
    """
    (batch, steps, features), (units, columns) = x, shapes[-2]
    inputs, inner = (2 * batch * steps * columns * n for n in (features, units))
    found = {"y": inputs + inner, "x": inputs, "kernel": inputs, "recurrent_kernel": inner}
    return found | {"": inner}


_NOTES = """
Arguments: `x`, (batch, time, features), with at least one step; {states}; `kernel`, (features,
{gates}units), and `recurrent_kernel`, (units, {gates}units){order}; `bias`, {bias}; `mask`,
booleans (batch, time), True at the real steps: at the others the state is carried on.

Raises ShapeError for what does not fit, DtypeError for a mask that is not boolean.

Source: {source}
"""

# LSTM ---------------------------------------------------------------------------------------


def lstm_steps(
    x: Any,
    h0: Any,
    c0: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    mask: Any = None,
    activation: Activation = tanh,
    recurrent_activation: Activation = sigmoid,
) -> Tensor:
    """What `lstm` computes, step by step, with any activations."""
    inputs, h, c, hidden = F.matmul(x, kernel) + bias, h0, c0, []
    for t in range(x.shape[1]):
        i, f, candidate, o = _gates(inputs[:, t] + F.matmul(h, recurrent_kernel), 4)
        i, f, o = recurrent_activation(i), recurrent_activation(f), recurrent_activation(o)
        new = f * c + i * activation(candidate)
        h, c = _step(mask, t, o * activation(new), h), _step(mask, t, new, c)
        hidden.append(h)
    result: Tensor = stack([*hidden, c], axis=1)
    return result


def _lstm(
    k: Any, x: Any, h0: Any, c0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    check_sequence("lstm", x, {"h0": h0, "c0": c0}, weights, 4, mask)
    y, *kept = k.lstm_sequence(x, h0, c0, kernel, recurrent_kernel, bias, _sent(k, mask))
    return y, kept


lstm = operation(
    "lstm",
    summary="Long short-term memory: the hidden states of all steps, and the last cell state.",
    formula="i, f, c̃, o = σ, σ, tanh, σ of x[t] K + h[t-1] R + b; c[t] = f c[t-1] + i c̃; "
    "h[t] = o tanh(c[t]); y = [h[1], ..., h[T], c[T]]",
    derivative={
        "x": "δ[t] Kᵀ, with δ[t] the gradient of x[t] K + h[t-1] R + b",
        "h0": "δ[1] Rᵀ",
        "c0": "f[1] times the gradient of c[1]",
        "kernel": "Σ_t x[t]ᵀ δ[t]",
        "recurrent_kernel": "Σ_t h[t-1]ᵀ δ[t]",
        "bias": "Σ_t δ[t]",
    },
    notes=_NOTES.format(
        states="`h0` and `c0`, the initial states, (batch, units)",
        gates="4 ",
        order=", whose columns are those of the gates i, f, c, o",
        bias="(4 units,)",
        source="Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000.",
    )
    + """
    The result is (batch, time + 1, units): `y[:, :-1]` are the hidden states, `y[:, -1]` is the
    last cell state.
    """,
    example="""
    >>> import chainrule as cr
    >>> kernel, recurrent, zero = cr.ones((1, 4)), cr.zeros((1, 4)), cr.zeros((1, 1))
    >>> y = cr.lstm([[[0.0], [100.0]]], zero, zero, kernel, recurrent, cr.zeros(4))
    >>> y[:, :-1].round(4).tolist(), y[:, -1].tolist()
    ([[[0.0], [0.7616]]], [[1.0]])
    """,
    forward=lambda k, x, h0, c0, kernel, recurrent_kernel, bias, *, mask=None: _lstm(
        k, x, h0, c0, kernel, recurrent_kernel, bias, mask
    ),
    joint=lambda k, g, needed, y, residuals, x, kernel, recurrent_kernel, mask: (
        k.lstm_sequence_backward(needed, g, *residuals, x, kernel, recurrent_kernel, _sent(k, mask))
    ),
    definition=lstm_steps,
    freeze={"mask": partial(raw_mask, "lstm")},
    products=_products,
    cases=[
        # On symbols in parts: expressions of all arguments at once take SymPy six minutes.
        case(np.zeros((1, 1, 1)), ZERO, (1, 1), ONES, ONES, (4,)),
        case((1, 1, 1), (1, 1), ZERO + 1, ONES, ONES, np.zeros(4)),
        case(np.ones((1, 1, 1)), ZERO + 1, ZERO + 1, (1, 4), (1, 4), np.zeros(4)),
        case((2, 3, 1), (2, 2), (2, 2), (1, 8), (2, 8), (8,), symbolic=False),
        case((2, 3, 2), (2, 1), (2, 1), (2, 4), (1, 4), (4,), mask=MASKS[0], symbolic=False),
        case((1, 2, 1), (1, 2), (1, 2), (1, 8), (2, 8), (8,), mask=MASKS[1], symbolic=False),
    ],
)

# GRU ----------------------------------------------------------------------------------------


def gru_steps(
    x: Any,
    h0: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    mask: Any = None,
    activation: Activation = tanh,
    recurrent_activation: Activation = sigmoid,
) -> Tensor:
    """What `gru` computes, step by step, with any activations."""
    inputs, h, hidden = F.matmul(x, kernel) + bias[0], h0, []
    for t in range(x.shape[1]):
        z, r, candidate = _gates(inputs[:, t], 3)
        inner_z, inner_r, inner = _gates(F.matmul(h, recurrent_kernel) + bias[1], 3)
        z, r = recurrent_activation(z + inner_z), recurrent_activation(r + inner_r)
        candidate = activation(candidate + r * inner)
        h = _step(mask, t, z * h + (1 - z) * candidate, h)
        hidden.append(h)
    result: Tensor = stack(hidden, axis=1)
    return result


def _gru(k: Any, x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any) -> Any:
    weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    check_sequence("gru", x, {"h0": h0}, weights, 3, mask)
    y, *kept = k.gru_sequence(x, h0, kernel, recurrent_kernel, bias, _sent(k, mask))
    return y, kept


gru = operation(
    "gru",
    summary="Gated recurrent units: the hidden states of all steps.",
    formula="with u = x[t] K + b[0] and v = h[t-1] R + b[1]: z, r = σ(u + v); "
    "h̃ = tanh(u + r v); h[t] = z h[t-1] + (1 - z) h̃; y = [h[1], ..., h[T]]",
    derivative={
        "x": "δ[t] Kᵀ, with δ[t] the gradient of u, and ε[t] that of v",
        "h0": "ε[1] Rᵀ, and z[1] times the gradient of h[1]",
        "kernel": "Σ_t x[t]ᵀ δ[t]",
        "recurrent_kernel": "Σ_t h[t-1]ᵀ ε[t]",
        "bias": "Σ_t δ[t] and Σ_t ε[t]",
    },
    notes=_NOTES.format(
        states="`h0`, the initial state, (batch, units)",
        gates="3 ",
        order=", whose columns are those of z, r and the candidate h̃",
        bias="(2, 3 units)",
        source="Cho et al. 2014; r is applied after the product, as in Keras (reset_after=True).",
    ),
    example="""
    >>> import chainrule as cr
    >>> kernel, recurrent, zero = cr.ones((1, 3)), cr.zeros((1, 3)), cr.zeros((1, 1))
    >>> cr.gru([[[0.0], [-100.0]]], zero, kernel, recurrent, cr.zeros((2, 3))).tolist()
    [[[0.0], [-1.0]]]
    """,
    forward=lambda k, x, h0, kernel, recurrent_kernel, bias, *, mask=None: _gru(
        k, x, h0, kernel, recurrent_kernel, bias, mask
    ),
    joint=lambda k, g, needed, y, residuals, x, kernel, recurrent_kernel, mask: (
        k.gru_sequence_backward(needed, g, *residuals, x, kernel, recurrent_kernel, _sent(k, mask))
    ),
    definition=gru_steps,
    freeze={"mask": partial(raw_mask, "gru")},
    products=_products,
    cases=[
        case(np.zeros((1, 1, 1)), (1, 1), ONES[:, :3], ONES[:, :3], (2, 3)),
        case((1, 1, 1), (1, 1), ONES[:, :3], (1, 3), np.zeros((2, 3))),
        case((1, 1, 1), ZERO + 1, (1, 3), ONES[:, :3], np.zeros((2, 3))),
        case((2, 3, 1), (2, 2), (1, 6), (2, 6), (2, 6), symbolic=False),
        case((2, 3, 2), (2, 1), (2, 3), (1, 3), (2, 3), mask=MASKS[0], symbolic=False),
        case((1, 2, 1), (1, 2), (1, 6), (2, 6), (2, 6), mask=MASKS[1], symbolic=False),
    ],
)

# The simple cell ----------------------------------------------------------------------------


def simple_rnn_steps(
    x: Any,
    h0: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    mask: Any = None,
    activation: Activation = tanh,
) -> Tensor:
    """What `simple_rnn` computes, step by step, with any activation."""
    inputs, h, hidden = F.matmul(x, kernel) + bias, h0, []
    for t in range(x.shape[1]):
        h = _step(mask, t, activation(inputs[:, t] + F.matmul(h, recurrent_kernel)), h)
        hidden.append(h)
    result: Tensor = stack(hidden, axis=1)
    return result


def _simple_rnn(
    k: Any, x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    weights = {"kernel": kernel, "recurrent_kernel": recurrent_kernel, "bias": bias}
    check_sequence("simple_rnn", x, {"h0": h0}, weights, 1, mask)
    y, *kept = k.simple_rnn_sequence(x, h0, kernel, recurrent_kernel, bias, _sent(k, mask))
    return y, kept


simple_rnn = operation(
    "simple_rnn",
    summary="The simple recurrent network of Elman: the hidden states of all steps.",
    formula="h[t] = tanh(x[t] K + h[t-1] R + b); y = [h[1], ..., h[T]]",
    derivative={
        "x": "δ[t] Kᵀ, with δ[t] the gradient of x[t] K + h[t-1] R + b",
        "h0": "δ[1] Rᵀ",
        "kernel": "Σ_t x[t]ᵀ δ[t]",
        "recurrent_kernel": "Σ_t h[t-1]ᵀ δ[t]",
        "bias": "Σ_t δ[t]",
    },
    notes=_NOTES.format(
        states="`h0`, the initial state, (batch, units)",
        gates="",
        order="",
        bias="(units,)",
        source="Elman 1990, Finding structure in time.",
    ),
    example="""
    >>> import chainrule as cr
    >>> kernel, recurrent, h0 = cr.zeros((1, 1)), cr.ones((1, 1)), cr.ones((1, 1))
    >>> cr.simple_rnn(cr.zeros((1, 2, 1)), h0, kernel, recurrent, cr.zeros(1)).round(4).tolist()
    [[[0.7616], [0.642]]]
    """,
    forward=lambda k, x, h0, kernel, recurrent_kernel, bias, *, mask=None: _simple_rnn(
        k, x, h0, kernel, recurrent_kernel, bias, mask
    ),
    joint=lambda k, g, needed, y, residuals, x, kernel, recurrent_kernel, mask: (
        k.simple_rnn_sequence_backward(
            needed, g, *residuals, x, kernel, recurrent_kernel, _sent(k, mask)
        )
    ),
    definition=simple_rnn_steps,
    freeze={"mask": partial(raw_mask, "simple_rnn")},
    products=_products,
    cases=[
        case((1, 1, 1), (1, 1), (1, 1), (1, 1), (1,)),
        case((2, 3, 1), (2, 2), (1, 2), (2, 2), (2,), symbolic=False),
        case((2, 3, 2), (2, 1), (2, 1), (1, 1), (1,), mask=MASKS[0], symbolic=False),
        case((1, 2, 1), (1, 2), (1, 2), (2, 2), (2,), mask=MASKS[1], symbolic=False),
    ],
)
