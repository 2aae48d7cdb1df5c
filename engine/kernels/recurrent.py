"""References of the recurrent kernels: the cells, and whole sequences of steps.

Sequences are (batch, time, features), states (batch, units). The products with the inputs of all
steps are one; so are, on the way back, those that give the gradients of the parameters. What is
kept for the way back grows with the number of steps, not with its square.

A mask, (batch, time), is True at the real steps; where it is False the state is carried on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..devices import reference


def parts(z: Any, count: int) -> list[Any]:
    """The blocks of the last axis, of equal length: one for each gate."""
    units = z.shape[-1] // count
    return [z[..., i * units : (i + 1) * units] for i in range(count)]


def flat(xp: Any, x: Any) -> Any:
    """The steps of all samples, one below the other."""
    batch, steps, width = x.shape
    return xp.reshape(x, (batch * steps, width))


def chosen(xp: Any, mask: Any, t: int, real: Any, other: Any) -> Any:
    """One thing at the real steps, another at the others."""
    return real if mask is None else xp.where(mask[:, t : t + 1], real, other)


def gradients(
    xp: Any,
    needed: Sequence[bool],
    slopes: Any,
    x: Any,
    kernel: Any,
    hidden: Any,
    inner: Any,
    states: Sequence[Any],
) -> list[Any]:
    """Those that are needed, in the order of the arguments; None for the others.

    Arguments: `slopes`, the gradient of x K + b at every step; `inner`, that of h R; `hidden`, the
    state before each step; `states`, the gradients of the initial states.
    """
    rows, inner_rows = flat(xp, slopes), flat(xp, inner)
    count = len(states)
    of_x = xp.reshape(xp.matmul(rows, kernel.T), x.shape) if needed[0] else None
    of_kernel = xp.matmul(flat(xp, x).T, rows) if needed[count + 1] else None
    of_recurrent = xp.matmul(flat(xp, hidden).T, inner_rows) if needed[count + 2] else None
    of_bias = None
    if needed[count + 3]:
        of_bias = xp.sum(rows, axis=0)
        if inner is not slopes:
            of_bias = xp.stack([of_bias, xp.sum(inner_rows, axis=0)])
    of_states = [each if wanted else None for each, wanted in zip(states, needed[1:])]  # noqa: B905
    return [of_x, *of_states, of_kernel, of_recurrent, of_bias]


# LSTM ---------------------------------------------------------------------------------------


@reference
def lstm_cell(xp: Any, z: Any, c: Any) -> Any:
    """One step: the new hidden and cell state, and the gates i, f, c, o side by side.

    Arguments: `z`, (batch, 4 units), what the gates are functions of; `c`, the cell state before.
    """
    i, f, candidate, o = parts(z, 4)
    i, f, candidate, o = xp.sigmoid(i), xp.sigmoid(f), xp.tanh(candidate), xp.sigmoid(o)
    c = f * c + i * candidate
    return o * xp.tanh(c), c, xp.concat([i, f, candidate, o], axis=-1)


@reference
def lstm_cell_backward(xp: Any, g: Any, g_cell: Any, gates: Any, before: Any, after: Any) -> Any:
    """The gradients of z and of the cell state before the step.

    Arguments: `g` and `g_cell`, the gradients of the new hidden and cell state; `before` and
    `after`, the cell state.
    """
    i, f, candidate, o = parts(gates, 4)
    squashed = xp.tanh(after)
    g_cell = g_cell + g * o * (1 - squashed * squashed)
    slopes = [
        g_cell * candidate * (i * (1 - i)),
        g_cell * before * (f * (1 - f)),
        g_cell * i * (1 - candidate * candidate),
        g * squashed * (o * (1 - o)),
    ]
    return xp.concat(slopes, axis=-1), g_cell * f


@reference
def lstm_sequence(
    xp: Any, x: Any, h0: Any, c0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """The hidden states and the last cell state, (batch, time + 1, units); and what is kept.

    That is the gates of each step, and the hidden and the cell states from the initial ones on.
    """
    inputs, h, c = xp.matmul(x, kernel) + bias, h0, c0
    gates, hidden, cells = [], [h], [c]
    for t in range(x.shape[1]):
        z = inputs[:, t] + xp.matmul(h, recurrent_kernel)
        new_h, new_c, each = xp.lstm_cell(z, c)
        h, c = chosen(xp, mask, t, new_h, h), chosen(xp, mask, t, new_c, c)
        gates.append(each)
        hidden.append(h)
        cells.append(c)
    y = xp.stack([*hidden[1:], c], axis=1)
    return y, xp.stack(gates, axis=1), xp.stack(hidden, axis=1), xp.stack(cells, axis=1)


@reference
def lstm_sequence_backward(
    xp: Any,
    needed: Sequence[bool],
    g: Any,
    gates: Any,
    hidden: Any,
    cells: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> Any:
    """The gradients of the arguments that need one, None for the others."""
    steps = x.shape[1]
    of_h, of_c, slopes = 0.0 * g[:, 0], g[:, steps], []
    for t in reversed(range(steps)):
        of_h = of_h + g[:, t]
        slope, back = xp.lstm_cell_backward(of_h, of_c, gates[:, t], cells[:, t], cells[:, t + 1])
        slope = chosen(xp, mask, t, slope, 0.0)
        of_h = xp.matmul(slope, recurrent_kernel.T) + chosen(xp, mask, t, 0.0, of_h)
        of_c = chosen(xp, mask, t, back, of_c)
        slopes.append(slope)
    all_slopes = xp.stack(slopes[::-1], axis=1)
    return gradients(xp, needed, all_slopes, x, kernel, hidden[:, :-1], all_slopes, [of_h, of_c])


# GRU ----------------------------------------------------------------------------------------


@reference
def gru_cell(xp: Any, inputs: Any, inner: Any, h: Any) -> Any:
    """One step: the new state, and the gates z, r and the candidate side by side.

    Arguments: `inputs`, x K + b, and `inner`, h R + b, (batch, 3 units); `h`, the state before.
    """
    (z, r, candidate), (inner_z, inner_r, inner_candidate) = parts(inputs, 3), parts(inner, 3)
    z, r = xp.sigmoid(z + inner_z), xp.sigmoid(r + inner_r)
    candidate = xp.tanh(candidate + r * inner_candidate)
    return z * h + (1 - z) * candidate, xp.concat([z, r, candidate], axis=-1)


@reference
def gru_cell_backward(xp: Any, g: Any, gates: Any, inner_candidate: Any, h: Any) -> Any:
    """The gradients of `inputs` and of `inner`, and the part of h's that does not go through R."""
    z, r, candidate = parts(gates, 3)
    of_z = g * (h - candidate) * (z * (1 - z))
    of_candidate = g * (1 - z) * (1 - candidate * candidate)
    of_r = of_candidate * inner_candidate * (r * (1 - r))
    of_inputs = xp.concat([of_z, of_r, of_candidate], axis=-1)
    return of_inputs, xp.concat([of_z, of_r, of_candidate * r], axis=-1), g * z


@reference
def gru_sequence(
    xp: Any, x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """The states, (batch, time, units); and what is kept.

    That is the gates of each step, what r multiplies, and the states from the initial one on.
    """
    inputs, h = xp.matmul(x, kernel) + bias[0], h0
    gates, candidates, hidden = [], [], [h]
    for t in range(x.shape[1]):
        inner = xp.matmul(h, recurrent_kernel) + bias[1]
        new, each = xp.gru_cell(inputs[:, t], inner, h)
        h = chosen(xp, mask, t, new, h)
        gates.append(each)
        candidates.append(parts(inner, 3)[2])
        hidden.append(h)
    y = xp.stack(hidden[1:], axis=1)
    return y, xp.stack(gates, axis=1), xp.stack(candidates, axis=1), xp.stack(hidden, axis=1)


@reference
def gru_sequence_backward(
    xp: Any,
    needed: Sequence[bool],
    g: Any,
    gates: Any,
    candidates: Any,
    hidden: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> Any:
    """The gradients of the arguments that need one, None for the others."""
    of_h, slopes, inner = 0.0 * g[:, 0], [], []
    for t in reversed(range(x.shape[1])):
        of_h = of_h + g[:, t]
        each, within, back = xp.gru_cell_backward(of_h, gates[:, t], candidates[:, t], hidden[:, t])
        each, within = chosen(xp, mask, t, each, 0.0), chosen(xp, mask, t, within, 0.0)
        of_h = xp.matmul(within, recurrent_kernel.T) + chosen(xp, mask, t, back, of_h)
        slopes.append(each)
        inner.append(within)
    of_inputs, of_inner = xp.stack(slopes[::-1], axis=1), xp.stack(inner[::-1], axis=1)
    return gradients(xp, needed, of_inputs, x, kernel, hidden[:, :-1], of_inner, [of_h])


# The simple cell ----------------------------------------------------------------------------


@reference
def simple_rnn_sequence(
    xp: Any, x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """The states, (batch, time, units); and, kept, the states from the initial one on."""
    inputs, h = xp.matmul(x, kernel) + bias, h0
    hidden = [h]
    for t in range(x.shape[1]):
        new = xp.tanh(inputs[:, t] + xp.matmul(h, recurrent_kernel))
        h = chosen(xp, mask, t, new, h)
        hidden.append(h)
    return xp.stack(hidden[1:], axis=1), xp.stack(hidden, axis=1)


@reference
def simple_rnn_sequence_backward(
    xp: Any,
    needed: Sequence[bool],
    g: Any,
    hidden: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> Any:
    """The gradients of the arguments that need one, None for the others."""
    of_h, slopes = 0.0 * g[:, 0], []
    for t in reversed(range(x.shape[1])):
        of_h = of_h + g[:, t]
        slope = of_h * (1 - hidden[:, t + 1] * hidden[:, t + 1])
        slope = chosen(xp, mask, t, slope, 0.0)
        of_h = xp.matmul(slope, recurrent_kernel.T) + chosen(xp, mask, t, 0.0, of_h)
        slopes.append(slope)
    all_slopes = xp.stack(slopes[::-1], axis=1)
    return gradients(xp, needed, all_slopes, x, kernel, hidden[:, :-1], all_slopes, [of_h])
