"""The cells of recurrent networks, and their sequences: a product and a kernel for each step.

What is kept of a sequence is (time, batch, ...), so that each step is a piece of memory of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.kernels.recurrent import gradients

from ..table import I32, I64, REAL, U8, entry, reads, scalar, updates, writes

_FOUR, _THREE, _STATE = "4 * batch * units", "3 * batch * units", "batch * units"

lstm_forward = entry(
    "recurrent",
    "lstm_cell_forward",
    reads("z", REAL, _FOUR),
    reads("product", REAL, _FOUR, optional=True),
    reads("h", REAL, _STATE, optional=True),
    reads("c", REAL, _STATE),
    reads("mask", U8, "batch", optional=True),
    writes("new_h", REAL, _STATE),
    writes("new_c", REAL, _STATE),
    writes("gates", REAL, _FOUR),
    scalar("batch", I64),
    scalar("units", I32),
)

lstm_backward = entry(
    "recurrent",
    "lstm_cell_backward",
    reads("g", REAL, _STATE),
    reads("product", REAL, _STATE, optional=True),
    updates("carried", REAL, _STATE, optional=True),
    reads("g_cell", REAL, _STATE),
    reads("gates", REAL, _FOUR),
    reads("before", REAL, _STATE),
    reads("after", REAL, _STATE),
    reads("mask", U8, "batch", optional=True),
    writes("slopes", REAL, _FOUR),
    writes("back", REAL, _STATE),
    scalar("batch", I64),
    scalar("units", I32),
)

gru_forward = entry(
    "recurrent",
    "gru_cell_forward",
    reads("inputs", REAL, _THREE),
    reads("inner", REAL, _THREE),
    reads("bias", REAL, "3 * units", optional=True),
    reads("h", REAL, _STATE),
    reads("mask", U8, "batch", optional=True),
    writes("new_h", REAL, _STATE),
    writes("gates", REAL, _THREE),
    writes("inside", REAL, _STATE, optional=True),
    scalar("batch", I64),
    scalar("units", I32),
)

gru_backward = entry(
    "recurrent",
    "gru_cell_backward",
    reads("g", REAL, _STATE),
    reads("product", REAL, _STATE, optional=True),
    reads("carried", REAL, _STATE, optional=True),
    reads("gates", REAL, _THREE),
    reads("inside", REAL, _STATE),
    reads("h", REAL, _STATE),
    reads("mask", U8, "batch", optional=True),
    writes("of_inputs", REAL, _THREE),
    writes("of_inner", REAL, _THREE),
    writes("back", REAL, _STATE),
    scalar("batch", I64),
    scalar("units", I32),
)


def _suit(*arrays: Any) -> bool:
    """Are they of one real dtype, and none empty?"""
    kind = arrays[0].dtype
    return kind.name in ("float32", "float64") and all(
        each.size > 0 and each.dtype == kind for each in arrays
    )


def _grid(batch: int, units: int) -> int:
    return min(-(-batch * units // 256), 65_536)


def _states(k: Any, like: Any, *lead: int) -> Any:
    """Memory for states, or for blocks of them, of the shape (..., batch, units)."""
    return k.xp.empty((*lead, *like.shape), like.dtype)


# Cells --------------------------------------------------------------------------------------


def lstm_cell(k: Any, z: Any, c: Any) -> Any:
    """One step: the new hidden and cell state, and the gates i, f, c, o side by side."""
    if not _suit(z, c):
        return REFERENCE["lstm_cell"](k, z, c)
    z, c = map(k.xp.ascontiguousarray, (z, c))
    h, new_c, gates = _states(k, c), _states(k, c), k.xp.empty(z.shape, z.dtype)
    lstm_forward(k, z, None, None, c, None, h, new_c, gates, *c.shape, grid=_grid(*c.shape))
    return h, new_c, gates


def lstm_cell_backward(k: Any, g: Any, g_cell: Any, gates: Any, before: Any, after: Any) -> Any:
    """The gradients of z and of the cell state before the step."""
    if not _suit(g, g_cell, gates, before, after):
        return REFERENCE["lstm_cell_backward"](k, g, g_cell, gates, before, after)
    g, *rest = map(k.xp.ascontiguousarray, (g, g_cell, gates, before, after))
    slopes, back = k.xp.empty(gates.shape, g.dtype), _states(k, g)
    given = (g, None, None, *rest, None, slopes, back)
    lstm_backward(k, *given, *g.shape, grid=_grid(*g.shape))
    return slopes, back


def gru_cell(k: Any, inputs: Any, inner: Any, h: Any) -> Any:
    """One step: the new state, and the gates z, r and the candidate side by side."""
    if not _suit(inputs, inner, h):
        return REFERENCE["gru_cell"](k, inputs, inner, h)
    inputs, inner, h = map(k.xp.ascontiguousarray, (inputs, inner, h))
    new_h, gates = _states(k, h), k.xp.empty(inputs.shape, h.dtype)
    given = (inputs, inner, None, h, None, new_h, gates, None)
    gru_forward(k, *given, *h.shape, grid=_grid(*h.shape))
    return new_h, gates


def gru_cell_backward(k: Any, g: Any, gates: Any, inner_candidate: Any, h: Any) -> Any:
    """The gradients of `inputs` and of `inner`, and the part of h's that does not go through R."""
    if not _suit(g, gates, inner_candidate, h):
        return REFERENCE["gru_cell_backward"](k, g, gates, inner_candidate, h)
    g, *rest = map(k.xp.ascontiguousarray, (g, gates, inner_candidate, h))
    of_inputs, of_inner = (k.xp.empty(gates.shape, g.dtype) for _ in range(2))
    back = _states(k, g)
    given = (g, None, None, *rest, None, of_inputs, of_inner, back)
    gru_backward(k, *given, *g.shape, grid=_grid(*g.shape))
    return of_inputs, of_inner, back


# Sequences ----------------------------------------------------------------------------------


def _together(k: Any, *arrays: Any) -> Sequence[Any] | None:
    """All in the dtype that they have together; None if it is not real, or if one is empty.

    The way back decides by the same question, since it must know in which order all was kept.
    """
    kind = k.xp.result_type(*arrays)
    if kind.name not in ("float32", "float64") or not all(each.size for each in arrays):
        return None
    return [each.astype(kind, copy=False) for each in arrays]


def _by_steps(k: Any, x: Any) -> Any:
    """(batch, time, ...) as (time, batch, ...), in memory of that order."""
    return k.xp.ascontiguousarray(k.xp.swapaxes(x, 0, 1))


def _real_steps(k: Any, mask: Any, steps: int) -> Any:
    """Of each step, which samples are not padded: arrays of bytes, or None for all."""
    if mask is None:
        return [None] * steps
    return _by_steps(k, k.xp.asarray(mask)).view("uint8")


def lstm_sequence(
    k: Any, x: Any, h0: Any, c0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """The hidden states and the last cell state, (batch, time + 1, units); and what is kept."""
    arrays = (x, h0, c0, kernel, recurrent_kernel, bias)
    together = _together(k, *arrays)
    if together is None:
        return REFERENCE["lstm_sequence"](k, *arrays, mask)
    x, h0, c0, kernel, recurrent_kernel, bias = together
    xp, steps = k.xp, x.shape[1]
    inputs = xp.matmul(_by_steps(k, x), kernel)
    inputs += bias
    hidden, cells = _states(k, h0, steps + 1), _states(k, c0, steps + 1)
    hidden[0], cells[0] = h0, c0
    gates, product = xp.empty(inputs.shape, x.dtype), xp.empty(inputs.shape[1:], x.dtype)
    for t, real in enumerate(_real_steps(k, mask, steps)):
        xp.matmul(hidden[t], recurrent_kernel, out=product)
        before, after = (hidden[t], cells[t]), (hidden[t + 1], cells[t + 1])
        given = (inputs[t], product, *before, real, *after, gates[t])
        lstm_forward(k, *given, *h0.shape, grid=_grid(*h0.shape))
    y = xp.swapaxes(xp.concatenate([hidden[1:], cells[-1:]]), 0, 1)
    return xp.ascontiguousarray(y), gates, hidden, cells


def lstm_sequence_backward(
    k: Any,
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
    together = _together(k, g, x, kernel, recurrent_kernel)
    if together is None:
        rest = (gates, hidden, cells, x, kernel, recurrent_kernel, mask)
        return REFERENCE["lstm_sequence_backward"](k, needed, g, *rest)
    g, x, kernel, recurrent_kernel = together
    xp, steps = k.xp, x.shape[1]
    of_h, across = _by_steps(k, g), xp.ascontiguousarray(recurrent_kernel.T)
    slopes, of_c, back = xp.empty(gates.shape, g.dtype), of_h[steps], _states(k, hidden[0])
    product = None
    carried = None if mask is None else xp.zeros(back.shape, g.dtype)
    reals = _real_steps(k, mask, steps)
    for t in reversed(range(steps)):
        kept = (of_c, gates[t], cells[t], cells[t + 1], reals[t])
        given = (of_h[t], product, carried, *kept, slopes[t], back)
        lstm_backward(k, *given, *back.shape, grid=_grid(*back.shape))
        of_c, back = back, (_states(k, back) if t == steps - 1 else of_c)
        product = xp.matmul(slopes[t], across, out=product)
    of_h0 = product if carried is None else product + carried
    return _gradients(k, needed, slopes, x, kernel, hidden, slopes, [of_h0, of_c])


def gru_sequence(
    k: Any, x: Any, h0: Any, kernel: Any, recurrent_kernel: Any, bias: Any, mask: Any
) -> Any:
    """The states, (batch, time, units); and what is kept."""
    arrays = (x, h0, kernel, recurrent_kernel, bias)
    together = _together(k, *arrays)
    if together is None:
        return REFERENCE["gru_sequence"](k, *arrays, mask)
    x, h0, kernel, recurrent_kernel, bias = together
    xp, steps = k.xp, x.shape[1]
    inputs = xp.matmul(_by_steps(k, x), kernel)
    inputs += bias[0]
    inner_bias = xp.ascontiguousarray(bias[1])
    hidden, inside = _states(k, h0, steps + 1), _states(k, h0, steps)
    hidden[0] = h0
    gates, inner = xp.empty(inputs.shape, x.dtype), xp.empty(inputs.shape[1:], x.dtype)
    for t, real in enumerate(_real_steps(k, mask, steps)):
        xp.matmul(hidden[t], recurrent_kernel, out=inner)
        given = (inputs[t], inner, inner_bias, hidden[t], real, hidden[t + 1], gates[t], inside[t])
        gru_forward(k, *given, *h0.shape, grid=_grid(*h0.shape))
    return xp.ascontiguousarray(xp.swapaxes(hidden[1:], 0, 1)), gates, inside, hidden


def gru_sequence_backward(
    k: Any,
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
    together = _together(k, g, x, kernel, recurrent_kernel)
    if together is None:
        rest = (gates, candidates, hidden, x, kernel, recurrent_kernel, mask)
        return REFERENCE["gru_sequence_backward"](k, needed, g, *rest)
    g, x, kernel, recurrent_kernel = together
    xp, steps = k.xp, x.shape[1]
    of_h, across = _by_steps(k, g), xp.ascontiguousarray(recurrent_kernel.T)
    slopes, within = (xp.empty(gates.shape, g.dtype) for _ in range(2))
    product: Any = None
    carried: Any = None
    spare = [_states(k, hidden[0]) for _ in range(2)]
    reals = _real_steps(k, mask, steps)
    for t in reversed(range(steps)):
        back = spare[t % 2]
        kept = (gates[t], candidates[t], hidden[t], reals[t])
        given = (of_h[t], product, carried, *kept, slopes[t], within[t], back)
        gru_backward(k, *given, *back.shape, grid=_grid(*back.shape))
        carried, product = back, xp.matmul(within[t], across, out=product)
    return _gradients(k, needed, slopes, x, kernel, hidden, within, [product + carried])


def _gradients(
    k: Any,
    needed: Sequence[bool],
    slopes: Any,
    x: Any,
    kernel: Any,
    hidden: Any,
    inner: Any,
    states: Sequence[Any],
) -> list[Any]:
    """What the reference makes of the slopes, of arrays whose first axis is time."""
    of_x, *rest = gradients(k, needed, slopes, _by_steps(k, x), kernel, hidden[:-1], inner, states)
    return [None if of_x is None else k.xp.ascontiguousarray(k.xp.swapaxes(of_x, 0, 1)), *rest]


REPLACES = (
    "lstm_cell",
    "lstm_cell_backward",
    "gru_cell",
    "gru_cell_backward",
    "lstm_sequence",
    "lstm_sequence_backward",
    "gru_sequence",
    "gru_sequence_backward",
)
