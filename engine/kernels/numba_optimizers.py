"""Optimiser steps compiled by Numba: one pass over memory, in vector instructions.

Numba is loaded when the first run comes that is long enough to pay for it. Measured on one core
of an AVX-512 machine in float32, in µs a step, NumPy's reference against these loops:

    elements     1,000    10,000   306,010    1,000,000     10,000,000
    Adam        10 / 4    23 / 6  483 / 90  9,700 / 291   64,000 / 5,600
    SGD          1 / 2     3 / 2   54 / 28     188 / 88    8,400 / 2,600
    momentum     3 / 2     5 / 3   93 / 41    350 / 142   12,500 / 3,900

Short runs of Adam are stepped by other calls of NumPy, in 4 µs for 1,000 elements (see
`buffered_optimizers`), those of SGD by the reference.

NumPy's times double, and worse, where its temporary arrays are fresh pages each time. Loading
Numba and the compiled loop takes 0.6 s: Adam earns that back in 1,500 steps at 306,010 elements,
SGD in 5,600 at 1,000,000 and in 100 at 10,000,000. Whether a run is compiled depends on its length
alone, so that a program computes the same bits whatever came before.

The loops are serial. They are bound by memory, and a second pool of threads would fight with that
of the matrix products. They vectorise (512-bit divisions and square roots in the machine code)
because `error_model="numpy"` makes a division by zero infinity, as in NumPy, rather than an
exception: with it, Adam takes 149 µs for 306,010 elements, without it 1,270. No fast-math flag is
set, so NaN, infinities and the order of roundings are the reference's; but Adam multiplies
by the reciprocals of 1 - beta^t rather than dividing (89 instead of 149 µs). Denormal numbers make
Adam up to 1.6 times slower.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from ..devices import REFERENCE, get_device
from .buffered_optimizers import adam_step as short_adam_step

#: Bytes of parameters: shorter runs are left to the reference.
THRESHOLDS = {"adam_step": 524_288, "sgd_step": 4_194_304}


def sgd_step(
    w: Any,
    g: Any,
    velocity: Any,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """w <- w - learning_rate * g; with momentum, velocity takes the place of g."""
    if w.nbytes < THRESHOLDS["sgd_step"]:
        rest = (velocity, learning_rate, momentum, nesterov, weight_decay)
        REFERENCE["sgd_step"](_reference_set(), w, g, *rest)
    elif momentum:
        _run(_momentum, (w, g, velocity), (learning_rate, momentum, nesterov, weight_decay))
    else:
        _run(_descent, (w, g), (learning_rate, weight_decay))


def adam_step(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    t: int,
) -> None:
    """Algorithm 1 of Kingma and Ba (2015), step t = 1, 2, ..."""
    if w.nbytes < THRESHOLDS["adam_step"]:
        rest = (learning_rate, beta_1, beta_2, epsilon, weight_decay, t)
        short_adam_step(w, g, m, v, *rest)
        return
    keep, renew = (beta_1, beta_2), (1 - beta_1, 1 - beta_2)
    correct = (1 / (1 - beta_1**t), 1 / (1 - beta_2**t))
    _run(_adam, (w, g, m, v), (learning_rate, *keep, *renew, *correct, epsilon, weight_decay))


def _descent(w: Any, g: Any, learning_rate: Any, weight_decay: Any) -> None:
    for i in range(w.size):
        slope = g[i]
        if weight_decay != 0:
            slope += weight_decay * w[i]
        w[i] -= learning_rate * slope


def _momentum(
    w: Any, g: Any, velocity: Any, learning_rate: Any, momentum: Any, nesterov: Any, decay: Any
) -> None:
    for i in range(w.size):
        slope = g[i]
        if decay != 0:
            slope += decay * w[i]
        speed = velocity[i] * momentum + slope
        velocity[i] = speed
        if nesterov != 0:
            speed = slope + momentum * speed
        w[i] -= learning_rate * speed


def _adam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    learning_rate: Any,
    keep_m: Any,
    keep_v: Any,
    renew_m: Any,
    renew_v: Any,
    correct_m: Any,
    correct_v: Any,
    epsilon: Any,
    decay: Any,
) -> None:
    for i in range(w.size):
        slope = g[i]
        if decay != 0:
            slope += decay * w[i]
        mean = m[i] * keep_m + renew_m * slope
        square = v[i] * keep_v + renew_v * (slope * slope)
        m[i] = mean
        v[i] = square
        w[i] -= learning_rate * (mean * correct_m) / (np.sqrt(square * correct_v) + epsilon)


def _run(loop: Callable[..., None], arrays: tuple[Any, ...], scalars: tuple[float, ...]) -> None:
    """Runs a loop in machine code; scalars in the arrays' dtype, or float32 would be widened."""
    dtype = arrays[0].dtype
    _compiled(loop, dtype, len(arrays))(*arrays, *map(dtype.type, scalars))


@functools.cache
def _compiled(loop: Callable[..., None], dtype: Any, arrays: int) -> Callable[..., None]:
    """A loop as machine code for arrays of one dtype: compiled once, then kept on disk."""
    import numba

    scalar = numba.from_dtype(dtype)
    signature = (scalar[::1],) * arrays + (scalar,) * (loop.__code__.co_argcount - arrays)

    def compiled(cache: bool) -> Any:
        machine = numba.njit(error_model="numpy", nogil=True, cache=cache)(loop)
        machine.compile(signature)
        return machine

    try:
        return compiled(cache=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        # No folder for the cache can be written, the disk is full, or a file in it is damaged:
        # then every process compiles for itself, in about a second.
        return compiled(cache=False)


@functools.cache
def _reference_set() -> Any:
    return get_device("cpu").sets["reference"]
