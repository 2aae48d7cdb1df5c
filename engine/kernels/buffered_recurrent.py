"""The recurrent sequences on the CPU: few calls of NumPy a step, into memory made once.

They compute what the references do, in buffers (time, batch, ...), in which a step is contiguous.
A call of NumPy on the numbers of one step costs about as much as the numbers do, so:

- The sigmoid is taken of all gates together with the hyperbolic tangent, which NumPy computes many
  numbers at once: sigmoid(z) = ½ + ½ tanh(z / 2). The ½ within is multiplied into copies of the
  kernels.
- On the way back, all that does not depend on the gradients is computed for all steps at once; a
  step multiplies by it.

Measured for 2 LSTMs of 64 units, 20 steps of a batch of 32, forward and backward, on one thread:
3.5 ms, of which 2.2 are products of matrices; the references take 5.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .recurrent import parts

Array = np.ndarray[Any, Any]


def by_time(x: Any) -> Any:
    """(batch, time, ...) as (time, batch, ...), contiguous: not copied if it was made so here."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def rows(x: Any) -> Any:
    """The steps of all samples, one below the other."""
    return x.reshape(-1, x.shape[-1])


def common(*arrays: Any) -> Any:
    """The floating dtype in which arrays are computed with."""
    dtype = np.result_type(*arrays)
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


class Padding:
    """Where a mask is False: at which steps for any sample, and for which samples."""

    def __init__(self, mask: Any) -> None:
        self.at = by_time(~mask)[..., None]  # (time, batch, 1)
        self.steps = set(np.flatnonzero(self.at.any(axis=(1, 2))).tolist())

    @classmethod
    def of(cls, mask: Any) -> Padding | None:
        """None if every step is real."""
        return None if mask is None or mask.all() else cls(mask)


def carry(padding: Padding | None, t: int, *states: Any) -> None:
    """At padded steps each state, (time + 1, batch, units), is again what it was before."""
    if padding is not None and t in padding.steps:
        for state in states:
            np.copyto(state[t + 1], state[t], where=padding.at[t])


def gradients(
    needed: Sequence[bool],
    slopes: Any,
    x: Any,
    kernel: Any,
    hidden: Any,
    inner: Any,
    states: Sequence[Any],
) -> list[Any]:
    """As the reference's, of buffers (time, batch, ...); x is (batch, time, features)."""
    batch, steps, features = x.shape
    count, flat, flat_inner = len(states), rows(slopes), rows(inner)
    result: list[Any] = [None] * len(needed)
    if needed[0]:
        of_x = np.dot(flat, kernel.T).reshape(steps, batch, features)
        result[0] = of_x.swapaxes(0, 1)
    for i, each in enumerate(states, 1):
        result[i] = each if needed[i] else None
    if needed[count + 1]:
        result[count + 1] = np.dot(rows(by_time(x)).T, flat)
    if needed[count + 2]:
        result[count + 2] = np.dot(rows(hidden).T, flat_inner)
    if needed[count + 3]:
        result[count + 3] = flat.sum(axis=0)
        if inner is not slopes:
            result[count + 3] = np.stack([result[count + 3], flat_inner.sum(axis=0)])
    return result


# LSTM ---------------------------------------------------------------------------------------


def lstm_sequence(
    x: Any, h0: Any, c0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> tuple[Any, ...]:
    """See the reference."""
    (batch, steps, _), units = x.shape, h0.shape[-1]
    dtype = common(x, h0, c0, kernel, recurrent_kernel, bias)
    half = np.full((batch, 4 * units), 0.5, dtype)
    parts(half, 4)[2][...] = 1.0
    rest = 1 - half
    scale = half[0] if batch else np.ones(4 * units, dtype)
    gates = np.empty((steps, batch, 4 * units), dtype)
    hidden = np.empty((steps + 2, batch, units), dtype)  # h0, h1, ..., and the last c
    cells = np.empty((steps + 1, batch, units), dtype)
    hidden[0], cells[0] = h0, c0
    np.dot(rows(by_time(x)).astype(dtype, copy=False), kernel * scale, out=rows(gates))
    gates += bias * scale
    recurrent, padding = recurrent_kernel.astype(dtype, copy=False) * scale, Padding.of(mask)
    product, share = np.empty((batch, 4 * units), dtype), np.empty((batch, units), dtype)
    views = zip(gates, *parts(gates, 4), hidden, hidden[1:], cells, cells[1:], strict=False)
    for t, (z, i, f, candidate, o, h, new_h, c, new_c) in enumerate(views):
        np.dot(h, recurrent, out=product)
        np.add(z, product, out=z)
        np.tanh(z, out=z)
        np.multiply(z, half, out=z)
        np.add(z, rest, out=z)
        np.multiply(i, candidate, out=share)
        np.multiply(f, c, out=new_c)
        np.add(new_c, share, out=new_c)
        np.tanh(new_c, out=share)
        np.multiply(o, share, out=new_h)
        carry(padding, t, hidden, cells)
    hidden[steps + 1] = cells[steps]
    results = (hidden[1:], gates, hidden[: steps + 1], cells)
    return tuple([each.swapaxes(0, 1) for each in results])


def lstm_sequence_backward(
    needed: Sequence[bool],
    g: Any,
    gates: Any,
    hidden: Any,
    cells: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> list[Any]:
    """See the reference."""
    gates, hidden, cells = by_time(gates), by_time(hidden), by_time(cells)
    (steps, batch, _), units = gates.shape, cells.shape[-1]
    i, f, candidate, o = parts(gates, 4)
    before, squashed, padding = cells[:-1], np.tanh(cells[1:]), Padding.of(mask)
    # The slopes of the gates, times what multiplies a gate; a step multiplies by the gradients.
    slopes = np.multiply(gates, gates)
    np.subtract(gates, slopes, out=slopes)
    of_i, of_f, of_candidate, of_o = parts(slopes, 4)
    np.multiply(candidate, candidate, out=of_candidate)
    np.subtract(1, of_candidate, out=of_candidate)
    of_i *= candidate
    of_f *= before
    of_candidate *= i
    of_o *= squashed
    through = np.multiply(squashed, squashed, out=squashed)
    np.subtract(1, through, out=through)
    through *= o
    if padding is not None:
        slopes[padding.at[..., 0]] = 0
        through[padding.at[..., 0]] = 0
        f = np.where(padding.at, 1, f)
    across = np.ascontiguousarray(recurrent_kernel.T)
    of_h, of_c = np.zeros((batch, units), g.dtype), np.array(g[:, steps], order="C")
    share, given = np.empty_like(of_c), g.swapaxes(0, 1)
    first_three, by_gate = of_c[:, None], slopes.reshape(steps, batch, 4, units)
    carried: Any = 0
    for t in range(steps - 1, -1, -1):
        of_h += given[t]
        np.multiply(of_h, through[t], out=share)
        of_c += share
        by_gate[t, :, :3] *= first_three
        of_o[t] *= of_h
        of_c *= f[t]
        if padding is not None:
            carried = np.where(padding.at[t], of_h, 0)
        np.dot(slopes[t], across, out=of_h)
        if padding is not None:
            of_h += carried
    return gradients(needed, slopes, x, kernel, hidden[:-1], slopes, [of_h, of_c])


# GRU ----------------------------------------------------------------------------------------


def gru_sequence(
    x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> tuple[Any, ...]:
    """See the reference."""
    (batch, steps, _), units = x.shape, h0.shape[-1]
    dtype = common(x, h0, kernel, recurrent_kernel, bias)
    scale = np.repeat(np.array([0.5, 0.5, 1.0], dtype), units)
    gates = np.empty((steps, batch, 3 * units), dtype)
    candidates = np.empty((steps, batch, units), dtype)  # what r multiplies
    hidden = np.empty((steps + 1, batch, units), dtype)
    hidden[0] = h0
    np.dot(rows(by_time(x)).astype(dtype, copy=False), kernel * scale, out=rows(gates))
    both = bias * scale
    both[0, : 2 * units] += both[1, : 2 * units]
    gates += both[0]
    recurrent = recurrent_kernel.astype(dtype, copy=False) * scale
    inner = np.empty((batch, 3 * units), dtype)
    of_gates, of_candidate = inner[:, : 2 * units], inner[:, 2 * units :]
    offset = np.broadcast_to(both[1, 2 * units :], (batch, units)).copy()
    pairs, last, padding = gates[..., : 2 * units], gates[..., 2 * units :], Padding.of(mask)
    z, r, _ = parts(gates, 3)
    for t in range(steps):
        h, new, zr, candidate = hidden[t], hidden[t + 1], pairs[t], last[t]
        np.dot(h, recurrent, out=inner)
        np.add(zr, of_gates, out=of_gates)
        np.tanh(of_gates, out=of_gates)
        np.multiply(of_gates, 0.5, out=of_gates)
        np.add(of_gates, 0.5, out=zr)
        np.add(of_candidate, offset, out=candidates[t])
        np.multiply(r[t], candidates[t], out=new)
        np.add(new, candidate, out=new)
        np.tanh(new, out=candidate)
        np.subtract(h, candidate, out=new)  # h' = candidate + z (h - candidate)
        np.multiply(new, z[t], out=new)
        np.add(new, candidate, out=new)
        carry(padding, t, hidden)
    return tuple([each.swapaxes(0, 1) for each in (hidden[1:], gates, candidates, hidden)])


def gru_sequence_backward(
    needed: Sequence[bool],
    g: Any,
    gates: Any,
    candidates: Any,
    hidden: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> list[Any]:
    """See the reference."""
    gates, hidden, candidates = by_time(gates), by_time(hidden), by_time(candidates)
    (steps, batch, units), padding = candidates.shape, Padding.of(mask)
    z, r, candidate = parts(gates, 3)
    # Of the candidate's inner part, of z and of r, of the candidate: the first three are what goes
    # through the recurrent kernel, the last three what goes through the other.
    slopes = np.empty((steps, batch, 4 * units), gates.dtype)
    of_inner, of_z, of_r, of_candidate = parts(slopes, 4)
    np.multiply(candidate, candidate, out=of_candidate)
    np.subtract(1, of_candidate, out=of_candidate)
    rest = np.subtract(1, z)
    of_candidate *= rest
    np.multiply(of_candidate, r, out=of_inner)
    np.subtract(hidden[:-1], candidate, out=of_z)
    rest *= z
    of_z *= rest
    np.subtract(1, r, out=of_r)
    of_r *= of_inner
    of_r *= candidates
    if padding is not None:
        slopes[padding.at[..., 0]] = 0
        z = np.where(padding.at, 1, z)
    turned = np.ascontiguousarray(np.roll(recurrent_kernel, units, axis=1).T)
    of_h, through = np.zeros((batch, units), g.dtype), np.empty((batch, units), g.dtype)
    given, by_gate, inner = g.swapaxes(0, 1), slopes.reshape(steps, batch, 4, units), 3 * units
    spread = of_h[:, None]
    for t in range(steps - 1, -1, -1):
        of_h += given[t]
        by_gate[t] *= spread
        np.multiply(of_h, z[t], out=through)
        np.dot(slopes[t, :, :inner], turned, out=of_h)
        of_h += through
    of_x, of_states, of_kernel, of_recurrent, of_bias = gradients(
        needed, slopes[..., units:], x, kernel, hidden[:-1], slopes[..., :inner], [of_h]
    )
    if of_recurrent is not None:
        of_recurrent = np.roll(of_recurrent, -units, axis=1)
    if of_bias is not None:
        of_bias[1] = np.roll(of_bias[1], -units)
    return [of_x, of_states, of_kernel, of_recurrent, of_bias]


# The simple cell ----------------------------------------------------------------------------


def simple_rnn_sequence(
    x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> tuple[Any, ...]:
    """See the reference."""
    (batch, steps, _), units = x.shape, h0.shape[-1]
    dtype = common(x, h0, kernel, recurrent_kernel, bias)
    hidden = np.empty((steps + 1, batch, units), dtype)
    hidden[0] = h0
    states = hidden[1:]
    np.dot(rows(by_time(x)).astype(dtype, copy=False), kernel.astype(dtype), out=rows(states))
    states += bias
    recurrent, padding = recurrent_kernel.astype(dtype, copy=False), Padding.of(mask)
    product = np.empty((batch, units), dtype)
    for t in range(steps):
        np.dot(hidden[t], recurrent, out=product)
        np.add(product, states[t], out=product)
        np.tanh(product, out=states[t])
        carry(padding, t, hidden)
    return states.swapaxes(0, 1), hidden.swapaxes(0, 1)


def simple_rnn_sequence_backward(
    needed: Sequence[bool],
    g: Any,
    hidden: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> list[Any]:
    """See the reference."""
    hidden, padding = by_time(hidden), Padding.of(mask)
    slopes = np.multiply(hidden[1:], hidden[1:])
    np.subtract(1, slopes, out=slopes)
    if padding is not None:
        slopes[padding.at[..., 0]] = 0
    across, given = np.ascontiguousarray(recurrent_kernel.T), g.swapaxes(0, 1)
    of_h, carried = np.zeros(hidden.shape[1:], g.dtype), None
    for t in range(len(slopes) - 1, -1, -1):
        of_h += given[t]
        slopes[t] *= of_h
        if padding is not None:
            carried = np.where(padding.at[t], of_h, 0)
        np.dot(slopes[t], across, out=of_h)
        if carried is not None:
            of_h += carried
    return gradients(needed, slopes, x, kernel, hidden[:-1], slopes, [of_h])
