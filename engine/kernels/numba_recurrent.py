"""The recurrent sequences on the CPU: one compiled call of a layer, one back.

What is kept, and returned, is views of memory in the order (time, batch, ...). Short sequences of
small layers are left to the references, for which Numba is not loaded; whether a call is compiled
depends on shapes and dtypes alone.

Measured on one core of a Zen 5 in float32, for 2 LSTMs of 64 units, 20 steps of a batch of 32, of
32 and 64 features: 0.20 + 0.25 ms forward, 0.31 + 0.44 back. The products of matrices alone, 110
million products of numbers, take 0.88 ms at the 250 GFLOP/s that large ones reach. NumPy, step by
step into memory made once, takes 3.5 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import offers
from ..devices import REFERENCE, get_device
from .blocks import empty

#: Products of numbers in products of matrices: fewer are left to the reference.
THRESHOLDS = {
    f"{cell}_sequence{way}": 262_144
    for cell in ("lstm", "gru", "simple_rnn")
    for way in ("", "_backward")
}
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_NO_MASK = np.zeros((0, 0), np.uint8)


def lstm_sequence(
    x: Any, h0: Any, c0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """See the reference."""
    run = _suited("lstm", x, h0, c0, kernel, recurrent_kernel, bias)
    if run is None:
        return _reference(
            "lstm_sequence", _in_rows(x), h0, c0, kernel, recurrent_kernel, bias, mask
        )
    (batch, steps, _), units = x.shape, h0.shape[1]
    gates = empty((steps, batch, 4 * units), x.dtype)
    cells = empty((steps + 1, batch, units), x.dtype)
    hidden = empty((steps + 2, batch, units), x.dtype)  # h0, h1, ..., and the last c
    hidden[0], cells[0] = h0, c0
    none = bias[:0]
    weights = (*map(np.ascontiguousarray, (kernel, recurrent_kernel, bias)), none)
    run(_along_features(x), *weights, _bytes(mask), gates, hidden, cells)
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
) -> Any:
    """See the reference."""
    kept, weights = (gates, hidden, cells), (kernel, recurrent_kernel)
    run = _suited("lstm", x, *weights, g, *kept, back=True)
    if run is None:
        arguments = (needed, g, *kept, x, *weights, mask)
        return _reference("lstm_sequence_backward", *arguments)
    (batch, steps, _), units = x.shape, recurrent_kernel.shape[0]
    of_h, of_c = np.zeros((batch, units), x.dtype), np.array(g[:, steps], order="C")
    slopes = empty((steps, batch, 4 * units), x.dtype)
    states = (of_h, of_c)
    return _back(run, needed, mask is not None, x, weights, mask, kept, g, slopes, states)


def gru_sequence(x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any) -> Any:
    """See the reference."""
    run = _suited("gru", x, h0, kernel, recurrent_kernel, bias)
    if run is None:
        return _reference("gru_sequence", _in_rows(x), h0, kernel, recurrent_kernel, bias, mask)
    (batch, steps, _), units = x.shape, h0.shape[1]
    gates = empty((steps, batch, 3 * units), x.dtype)
    candidates = empty((steps, batch, units), x.dtype)
    hidden = empty((steps + 1, batch, units), x.dtype)
    hidden[0] = h0
    of_inputs = bias[0].copy()
    of_inputs[: 2 * units] += bias[1, : 2 * units]
    weights = map(np.ascontiguousarray, (kernel, recurrent_kernel, of_inputs, bias[1]))
    run(_along_features(x), *weights, _bytes(mask), gates, hidden, candidates)
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
) -> Any:
    """See the reference."""
    weights = (kernel, recurrent_kernel)
    run = _suited("gru", x, *weights, g, gates, candidates, hidden, back=True)
    if run is None:
        arguments = (needed, g, gates, candidates, hidden, x, *weights, mask)
        return _reference("gru_sequence_backward", *arguments)
    (batch, steps, _), units = x.shape, recurrent_kernel.shape[0]
    slopes = empty((steps, batch, 4 * units), x.dtype)
    states, kept = (np.zeros((batch, units), x.dtype),), (gates, hidden, candidates)
    return _back(run, needed, True, x, weights, mask, kept, g, slopes, states)


def simple_rnn_sequence(
    x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """See the reference."""
    run = _suited("simple_rnn", x, h0, kernel, recurrent_kernel, bias)
    if run is None:
        return _reference(
            "simple_rnn_sequence", _in_rows(x), h0, kernel, recurrent_kernel, bias, mask
        )
    (batch, steps, _), units = x.shape, h0.shape[1]
    hidden, none = empty((steps + 1, batch, units), x.dtype), np.empty((0, 0, 0), x.dtype)
    hidden[0] = h0
    weights = (*map(np.ascontiguousarray, (kernel, recurrent_kernel, bias)), bias[:0])
    run(_along_features(x), *weights, _bytes(mask), none, hidden, none)
    return hidden[1:].swapaxes(0, 1), hidden.swapaxes(0, 1)


def simple_rnn_sequence_backward(
    needed: Sequence[bool],
    g: Any,
    hidden: Any,
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    mask: Any,
) -> Any:
    """See the reference."""
    weights = (kernel, recurrent_kernel)
    run = _suited("simple_rnn", x, *weights, g, hidden, back=True)
    if run is None:
        arguments = (needed, g, hidden, x, *weights, mask)
        return _reference("simple_rnn_sequence_backward", *arguments)
    (batch, steps, _), units = x.shape, recurrent_kernel.shape[0]
    slopes, none = empty((steps, batch, units), x.dtype), np.empty((0, 0, 0), x.dtype)
    states, kept = (np.zeros((batch, units), x.dtype),), (none, hidden, none)
    return _back(run, needed, mask is not None, x, weights, mask, kept, g, slopes, states)


# Arguments ----------------------------------------------------------------------------------


def _suited(name: str, x: Any, *others: Any, back: bool = False) -> Any:
    """The compiled function; None where the reference computes."""
    dtype, (batch, steps, features) = x.dtype, x.shape
    kernel = others[0 if back else -3]
    recurrent = others[1 if back else -2]
    units, columns = recurrent.shape
    work = batch * steps * columns * (features + units)
    least = THRESHOLDS[f"{name}_sequence{'_backward' if back else ''}"]
    if work < max(1, least) or dtype not in DTYPES:
        return None
    if not all(each.dtype == dtype and each.flags.aligned for each in (x, kernel, *others)):
        return None
    return compiled(name, dtype, back)


@functools.cache
def compiled(name: str, dtype: Any, back: bool) -> Any:
    """The function of a cell's sequence, or of its way back; None on an unknown processor."""
    from .compiled import sequences

    return (sequences.sequence_backward if back else sequences.sequence)(name, dtype)


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](get_device("cpu").sets["numba"], *arguments)


def _in_rows(x: Any) -> Any:
    """x as it lies in memory when it is made: NumPy sums what lies back to front in another way."""
    return np.ascontiguousarray(x)


def _along_features(x: Any) -> Any:
    """x, the elements of its last axis neighbours."""
    return x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)


def _by_time(x: Any) -> Any:
    """(batch, time, ...) as (time, batch, ...), contiguous: not copied if it was made so here."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def _bytes(mask: Any) -> Any:
    return _NO_MASK if mask is None else mask.view(np.uint8)


def _back(
    run: Any,
    needed: Sequence[bool],
    add: bool,
    x: Any,
    weights: tuple[Any, ...],
    mask: Any,
    kept: tuple[Any, ...],
    g: Any,
    slopes: Any,
    states: tuple[Any, ...],
) -> list[Any]:
    """Runs the way back; the gradients that are needed, None for the others."""
    (batch, steps, features), dtype, count = x.shape, x.dtype, len(states)
    (units, columns) = weights[1].shape
    twice = slopes.shape[2] != columns  # GRU: a bias of its own for the product with R
    shapes = [(steps, batch, features), weights[0].shape, (units, columns), (columns,), (columns,)]
    wanted = [needed[0], *needed[count + 1 :], twice and needed[count + 3]]
    found = [
        offers.empty(shape, dtype) if each else np.empty((0,) * len(shape), dtype)
        for shape, each in zip(shapes, wanted, strict=True)
    ]
    of_bias = found[3]
    if twice and needed[count + 3]:
        of_bias = np.empty((2, columns), dtype)
        found[3:] = of_bias
    of_c = states[1] if count == 2 else np.empty((0, 0), dtype)
    read = (*map(np.ascontiguousarray, weights), _bytes(mask), *map(_by_time, kept))
    run(add, _by_time(x), *read, _along_features(g), slopes, states[0], of_c, *found)
    gradients = [found[0].swapaxes(0, 1), *states, *found[1:3], of_bias]
    return [each if wanted else None for each, wanted in zip(gradients, needed, strict=True)]
