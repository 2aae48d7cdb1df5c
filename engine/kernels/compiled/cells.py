"""The cells of recurrent networks, for `recurrent.py`: what a step computes besides products.

The loops over units read and write many arrays, each of a place of its own: see `intrinsics.get`.
"""

from __future__ import annotations

from typing import Any

import numba

from .elementary import sigmoid, tanh
from .intrinsics import field, get, put, vector
from .memory import clear, copy
from .recurrent import (
    ADD,
    BATCH,
    COLUMNS,
    G_BATCH,
    G_STEP,
    GATES,
    HIDDEN,
    INNER_BIAS,
    OF_C,
    OF_H,
    OTHER,
    SIZE,
    UNITS,
    G,
    add_product,
    real,
    spread,
)


@numba.njit
def _at(task: int, which: int, t: int, top: int, width: int) -> int:
    """Where the rows of the samples from `top` on are, at step t of (time, batch, width)."""
    return field(task, which) + (t * field(task, BATCH) + top) * width * field(task, SIZE)


@numba.njit
def _skip(kind: Any, size: int, n: int, wide: int, slopes: int, g: int, of_h: int) -> None:
    """The way back through a padded step: no slopes, and the gradient of h is carried on."""
    clear(slopes, wide * size)
    given, carried = vector(kind, g, n), vector(kind, of_h, n)
    for j in range(n):
        carried[j] += given[j]


@numba.njit
def _given(task: int, t: int, sample: int) -> int:
    """Where the upstream gradient of the state after step t is."""
    return field(task, G) + sample * field(task, G_BATCH) + t * field(task, G_STEP)


# LSTM ---------------------------------------------------------------------------------------


@numba.njit
def _lstm_row(kind: Any, n: int, z: int, gate: int, c: int, new_c: int, new_h: int) -> None:
    """The gates of one sample, in place, and its states; `gate`, bytes from one to the next."""
    of_f, of_candidate, of_o = z + gate, z + 2 * gate, z + 3 * gate
    for j in range(n):
        i, f = sigmoid(get(kind, z, j, 0)), sigmoid(get(kind, of_f, j, 1))
        candidate, o = tanh(get(kind, of_candidate, j, 2)), sigmoid(get(kind, of_o, j, 3))
        put(z, j, i, 0)
        put(of_f, j, f, 1)
        put(of_candidate, j, candidate, 2)
        put(of_o, j, o, 3)
        new = f * get(kind, c, j, 4) + i * candidate
        put(new_c, j, new, 4)
        put(new_h, j, o * tanh(new), 5)


@numba.njit
def lstm_step(kind: Any, task: int, t: int, top: int, rows: int, z: int) -> None:
    """One step forward."""
    size, n, columns = field(task, SIZE), field(task, UNITS), field(task, COLUMNS)
    h, c = _at(task, HIDDEN, t, top, n), _at(task, OTHER, t, top, n)
    new_h, new_c = _at(task, HIDDEN, t + 1, top, n), _at(task, OTHER, t + 1, top, n)
    add_product(task, rows, h, 0, columns, z, columns * size)
    for i in range(rows):
        at = i * n * size
        _lstm_row(kind, n, z + 4 * at, n * size, c + at, new_c + at, new_h + at)
        if not real(task, t, top + i):
            copy(new_h + at, h + at, n * size)
            copy(new_c + at, c + at, n * size)


@numba.njit
def _lstm_row_back(
    kind: Any,
    n: int,
    gates: int,
    gate: int,
    c: int,
    new_c: int,
    slopes: int,
    g: int,
    of_h: int,
    of_c: int,
) -> None:
    """The slopes of one sample's gates, and the gradient of its cell state, in place."""
    one = type(kind)(1)
    f_gate, candidate_gate, o_gate = gates + gate, gates + 2 * gate, gates + 3 * gate
    of_f, of_candidate, of_o = slopes + gate, slopes + 2 * gate, slopes + 3 * gate
    for j in range(n):
        i, f = get(kind, gates, j, 0), get(kind, f_gate, j, 1)
        candidate, o = get(kind, candidate_gate, j, 2), get(kind, o_gate, j, 3)
        upstream = get(kind, of_h, j, 10) + get(kind, g, j, 9)
        squashed = tanh(get(kind, new_c, j, 4))
        of_cell = get(kind, of_c, j, 11) + upstream * o * (one - squashed * squashed)
        put(slopes, j, of_cell * candidate * (i * (one - i)), 5)
        put(of_f, j, of_cell * get(kind, c, j, 4) * (f * (one - f)), 6)
        put(of_candidate, j, of_cell * i * (one - candidate * candidate), 7)
        put(of_o, j, upstream * squashed * (o * (one - o)), 8)
        put(of_c, j, of_cell * f, 11)


@numba.njit
def lstm_step_back(kind: Any, task: int, t: int, top: int, rows: int, slopes: int) -> None:
    """One step back."""
    size, n, zero = field(task, SIZE), field(task, UNITS), field(task, ADD) != 0
    gates, c = _at(task, GATES, t, top, 4 * n), _at(task, OTHER, t, top, n)
    new_c = _at(task, OTHER, t + 1, top, n)
    of_h, of_c = _at(task, OF_H, 0, top, n), _at(task, OF_C, 0, top, n)
    for i in range(rows):
        at, g = i * n * size, _given(task, t, top + i)
        if real(task, t, top + i):
            _lstm_row_back(
                kind,
                n,
                gates + 4 * at,
                n * size,
                c + at,
                new_c + at,
                slopes + 4 * at,
                g,
                of_h + at,
                of_c + at,
            )
            if zero:
                clear(of_h + at, n * size)
        else:
            _skip(kind, size, n, 4 * n, slopes + 4 * at, g, of_h + at)


# GRU ----------------------------------------------------------------------------------------


@numba.njit
def _gru_row(kind: Any, n: int, z: int, gate: int, inner: int, h: int, new_h: int) -> None:
    """The gates of one sample, in place, and its state."""
    one = type(kind)(1)
    of_r, of_candidate = z + gate, z + 2 * gate
    for j in range(n):
        keep, r = sigmoid(get(kind, z, j, 0)), sigmoid(get(kind, of_r, j, 1))
        candidate = tanh(get(kind, of_candidate, j, 2) + r * get(kind, inner, j, 3))
        put(z, j, keep, 0)
        put(of_r, j, r, 1)
        put(of_candidate, j, candidate, 2)
        put(new_h, j, keep * get(kind, h, j, 4) + (one - keep) * candidate, 4)


@numba.njit
def gru_step(kind: Any, task: int, t: int, top: int, rows: int, z: int) -> None:
    """One step forward; the biases of z and r within R's product are in those of the inputs'."""
    size, n = field(task, SIZE), field(task, UNITS)
    h, new_h = _at(task, HIDDEN, t, top, n), _at(task, HIDDEN, t + 1, top, n)
    inner = _at(task, OTHER, t, top, n)
    spread(field(task, INNER_BIAS) + 2 * n * size, n * size, rows, inner, n * size)
    add_product(task, rows, h, 0, 2 * n, z, 3 * n * size)
    add_product(task, rows, h, 2 * n, n, inner, n * size)
    for i in range(rows):
        at = i * n * size
        _gru_row(kind, n, z + 3 * at, n * size, inner + at, h + at, new_h + at)
        if not real(task, t, top + i):
            copy(new_h + at, h + at, n * size)


@numba.njit
def _gru_row_back(
    kind: Any, n: int, gates: int, gate: int, inner: int, h: int, slopes: int, g: int, of_h: int
) -> None:
    """The slopes of the candidate's part from R, of z, r and the candidate; and h's, in part."""
    one = type(kind)(1)
    r_gate, candidate_gate = gates + gate, gates + 2 * gate
    of_z, of_r, of_candidate = slopes + gate, slopes + 2 * gate, slopes + 3 * gate
    for j in range(n):
        keep, r = get(kind, gates, j, 0), get(kind, r_gate, j, 1)
        candidate = get(kind, candidate_gate, j, 2)
        upstream = get(kind, of_h, j, 10) + get(kind, g, j, 9)
        slope = upstream * (one - keep) * (one - candidate * candidate)
        put(slopes, j, slope * r, 5)
        put(of_z, j, upstream * (get(kind, h, j, 4) - candidate) * (keep * (one - keep)), 6)
        put(of_r, j, slope * get(kind, inner, j, 3) * (r * (one - r)), 7)
        put(of_candidate, j, slope, 8)
        put(of_h, j, upstream * keep, 10)


@numba.njit
def gru_step_back(kind: Any, task: int, t: int, top: int, rows: int, slopes: int) -> None:
    """One step back."""
    size, n = field(task, SIZE), field(task, UNITS)
    gates, inner = _at(task, GATES, t, top, 3 * n), _at(task, OTHER, t, top, n)
    h, of_h = _at(task, HIDDEN, t, top, n), _at(task, OF_H, 0, top, n)
    for i in range(rows):
        at, g = i * n * size, _given(task, t, top + i)
        if real(task, t, top + i):
            _gru_row_back(
                kind,
                n,
                gates + 3 * at,
                n * size,
                inner + at,
                h + at,
                slopes + 4 * at,
                g,
                of_h + at,
            )
        else:
            _skip(kind, size, n, 4 * n, slopes + 4 * at, g, of_h + at)


# The simple cell ----------------------------------------------------------------------------


@numba.njit
def simple_step(kind: Any, task: int, t: int, top: int, rows: int, new_h: int) -> None:
    """One step forward."""
    size, n = field(task, SIZE), field(task, UNITS)
    h = _at(task, HIDDEN, t, top, n)
    add_product(task, rows, h, 0, n, new_h, n * size)
    states = vector(kind, new_h, rows * n)
    for j in range(rows * n):
        states[j] = tanh(states[j])
    for i in range(rows):
        if not real(task, t, top + i):
            copy(new_h + i * n * size, h + i * n * size, n * size)


@numba.njit
def _simple_row_back(kind: Any, n: int, h: int, slopes: int, g: int, of_h: int) -> None:
    one = type(kind)(1)
    for j in range(n):
        state = get(kind, h, j, 4)
        upstream = get(kind, of_h, j, 10) + get(kind, g, j, 9)
        put(slopes, j, upstream * (one - state * state), 5)


@numba.njit
def simple_step_back(kind: Any, task: int, t: int, top: int, rows: int, slopes: int) -> None:
    """One step back."""
    size, n, zero = field(task, SIZE), field(task, UNITS), field(task, ADD) != 0
    h, of_h = _at(task, HIDDEN, t + 1, top, n), _at(task, OF_H, 0, top, n)
    for i in range(rows):
        at, g = i * n * size, _given(task, t, top + i)
        if real(task, t, top + i):
            _simple_row_back(kind, n, h + at, slopes + at, g, of_h + at)
            if zero:
                clear(of_h + at, n * size)
        else:
            _skip(kind, size, n, n, slopes + at, g, of_h + at)
