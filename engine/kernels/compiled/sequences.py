"""Whole sequences of the recurrent cells as kernels: one call of a layer, one back.

The calls are the same for all cells; they are given the machine code of a cell's steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .cells import gru_step, gru_step_back, lstm_step, lstm_step_back, simple_step, simple_step_back
from .host import tile
from .intrinsics import address, address_of, keep, pack
from .products import part
from .recurrent import CELL, backward, chunks, forward, of_weights, turn
from .threads import fork_join, parts, pool

_lstm, _lstm_back = forward(lstm_step), backward(lstm_step_back)
_gru, _gru_back = forward(gru_step), backward(gru_step_back)
_simple, _simple_back = forward(simple_step), backward(simple_step_back)


@numba.njit
def _place(x: Any) -> int:
    """Where an array begins; 0 for an empty one, which stands for none."""
    return address(x) if x.size > 0 else 0


def _forward(
    pool: int,
    multiply: int,
    body: int,
    x: Any,
    kernel: Any,
    recurrent: Any,
    bias: Any,
    inner_bias: Any,
    mask: Any,
    gates: Any,
    hidden: Any,
    other: Any,
) -> None:
    """A sequence, by the machine code of a body and of products."""
    size, (batch, steps, features) = x.itemsize, x.shape
    units, columns = recurrent.shape
    work = batch * steps * columns * (features + units + CELL)
    count = chunks(parts(pool, work), batch)
    sizes = (multiply, size, steps, batch, features, units, columns, count)
    inputs = (address(x), x.strides[0], x.strides[1], address(kernel), address(recurrent))
    masked = (_place(mask), mask.strides[0], mask.strides[1])
    kept = (_place(gates), address(hidden), _place(other))
    target = address(gates) if gates.size > 0 else address(hidden) + hidden.strides[0]
    biases = (address(bias), _place(inner_bias), target)
    fork_join(pool, body, pack((*sizes, *inputs, *masked, *kept, *biases)), count)


def _backward(
    pool: int,
    multiply: int,
    body: int,
    kind: Any,
    add: bool,
    x: Any,
    kernel: Any,
    recurrent: Any,
    mask: Any,
    gates: Any,
    hidden: Any,
    other: Any,
    g: Any,
    slopes: Any,
    of_h: Any,
    of_c: Any,
    of_x: Any,
    of_kernel: Any,
    of_recurrent: Any,
    of_bias: Any,
    of_inner_bias: Any,
) -> None:
    """The way back through the steps, then sums over them for the weights."""
    size, (steps, batch, features) = x.itemsize, x.shape
    units, columns = recurrent.shape
    wide, turned = slopes.shape[2], np.empty(recurrent.size, recurrent.dtype)
    work = batch * steps * columns * (units + CELL)
    count = chunks(parts(pool, work), batch)
    shares = parts(pool, batch * steps * columns * (units + 2 * features))
    sizes = (multiply, size, steps, batch, features, units, columns, count)
    inputs = (address(x), x.strides[1], x.strides[0], address(kernel), address(recurrent))
    masked = (_place(mask), mask.strides[0], mask.strides[1])
    kept = (_place(gates), address(hidden), _place(other), 0, 0, 0)
    slope = (address(slopes), wide, wide - columns, address(turned))
    given = (address(g), g.strides[0], g.strides[1], address(of_h), _place(of_c), np.intp(add))
    wanted = (_place(of_x), _place(of_kernel), _place(of_recurrent))
    biases = (_place(of_bias), _place(of_inner_bias), shares)
    task = pack((*sizes, *inputs, *masked, *kept, *slope, *given, *wanted, *biases))
    turn(kind, task)
    fork_join(pool, body, task, count)
    fork_join(pool, address_of(of_weights, kind), task, shares)
    keep(turned)


# The machine code of bodies -----------------------------------------------------------------


def _lstm_code(kind: Any) -> int:
    return address_of(_lstm, kind)


def _lstm_back_code(kind: Any) -> int:
    return address_of(_lstm_back, kind)


def _gru_code(kind: Any) -> int:
    return address_of(_gru, kind)


def _gru_back_code(kind: Any) -> int:
    return address_of(_gru_back, kind)


def _simple_code(kind: Any) -> int:
    return address_of(_simple, kind)


def _simple_back_code(kind: Any) -> int:
    return address_of(_simple_back, kind)


_CODES: dict[str, tuple[Callable[[Any], int], Callable[[Any], int]]] = {
    "lstm": (_lstm_code, _lstm_back_code),
    "gru": (_gru_code, _gru_back_code),
    "simple_rnn": (_simple_code, _simple_back_code),
}


@functools.cache
def _compiled(dtype: Any, back: bool) -> Any:
    """The call of a sequence, or of a way back."""
    bytes_2, written = array(np.uint8, 2, "A"), functools.partial(array, dtype, written=True)
    start, weights = [numba.intp] * 3, [array(dtype, 2)] * 2
    if not back:
        kinds = [array(dtype, 3, "A"), *weights, *[array(dtype)] * 2, bytes_2, *[written(3)] * 3]
        return build(_forward, [*start, *kinds])
    kinds = [array(dtype, 3), *weights, bytes_2, *[array(dtype, 3)] * 3, array(dtype, 3, "A")]
    kinds += [written(ndim) for ndim in (3, 2, 2, 3, 2, 2, 1, 1)]
    return build(_backward, [*start, scalar(dtype), numba.boolean, *kinds])


@functools.cache
def sequence(name: str, dtype: Any) -> Any:
    """The function of a cell's sequence; None on an unknown processor.

    Its arguments are x, the kernels, the biases, the mask, and, written, what is kept, (time,
    batch, ...): the gates, the hidden states and what else there is. What is missing is empty.
    """
    if tile() is None:
        return None
    body = build(_CODES[name][0], (scalar(dtype),))
    call, place, multiply = _compiled(dtype, False), body(dtype.type(0)), part(dtype)

    def run(*arguments: Any) -> None:
        call(pool(), multiply, place, *arguments)

    run.body = body  # type: ignore[attr-defined] # the machine code lives as long as this
    return run


@functools.cache
def sequence_backward(name: str, dtype: Any) -> Any:
    """The function of a cell's way back; None on an unknown processor.

    Its arguments are: is a gradient of h carried past R; x, (time, batch, features); the kernels;
    the mask; what was kept; g; and, written, the slopes and the gradients, empty if not needed.
    """
    if tile() is None:
        return None
    kind = dtype.type(0)
    body = build(_CODES[name][1], (scalar(dtype),))
    call, place, multiply = _compiled(dtype, True), body(kind), part(dtype)

    def run(*arguments: Any) -> None:
        call(pool(), multiply, place, kind, *arguments)

    run.body = body  # type: ignore[attr-defined] # the machine code lives as long as this
    return run
