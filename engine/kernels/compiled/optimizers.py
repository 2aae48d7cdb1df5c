"""Optimiser steps over one flat run of parameters: one pass over memory, shared by the cores.

Each element is a computation of its own, so how they are shared changes no bit.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import CONTRACTED, array, build, scalar
from .intrinsics import address, address_of, field, keep, pack, vector
from .products import share
from .threads import fork_join, parts, pool

#: What a body of a kernel is compiled with: a division by zero gives infinity, as in NumPy.
body = numba.njit(error_model="numpy", fastmath=set(CONTRACTED))

#: Elements of a part, in multiples of which runs are shared and sums are summed: of a size that
#: stays in the first cache, and is whole cache lines.
PART = 4_096


@numba.njit
def _own(kind: Any, task: int, chunk: int, position: int) -> Any:
    """The chunk's part of an array; fields 0 and 1 of a task: elements, chunks."""
    start, stop = share(field(task, 0), field(task, 1), chunk, PART)
    return vector(kind, field(task, position), field(task, 0))[start:stop]


@body
def _descent(kind: Any, task: int, chunk: int) -> None:
    numbers = vector(kind, field(task, 2), 2)
    rate, decay = numbers[0], numbers[1]
    w, g = _own(kind, task, chunk, 3), _own(kind, task, chunk, 4)
    if decay != 0:
        for i in range(w.size):
            w[i] -= rate * (g[i] + decay * w[i])
    else:
        for i in range(w.size):
            w[i] -= rate * g[i]


@body
def _momentum(kind: Any, task: int, chunk: int) -> None:
    numbers = vector(kind, field(task, 2), 4)
    rate, momentum, nesterov, decay = numbers[0], numbers[1], numbers[2], numbers[3]
    w, g = _own(kind, task, chunk, 3), _own(kind, task, chunk, 4)
    velocity = _own(kind, task, chunk, 5)
    for i in range(w.size):
        slope = g[i]
        if decay != 0:
            slope += decay * w[i]
        speed = velocity[i] * momentum + slope
        velocity[i] = speed
        if nesterov != 0:
            speed = slope + momentum * speed
        w[i] -= rate * speed


@body
def _adam(kind: Any, task: int, chunk: int) -> None:
    numbers = vector(kind, field(task, 2), 9)
    rate, keep_m, keep_v, renew_m = numbers[0], numbers[1], numbers[2], numbers[3]
    renew_v, correct_m, correct_v = numbers[4], numbers[5], numbers[6]
    epsilon, decay = numbers[7], numbers[8]
    w, g = _own(kind, task, chunk, 3), _own(kind, task, chunk, 4)
    m, v = _own(kind, task, chunk, 5), _own(kind, task, chunk, 6)
    for i in range(w.size):
        slope = g[i]
        if decay != 0:
            slope += decay * w[i]
        mean = m[i] * keep_m + renew_m * slope
        square = v[i] * keep_v + renew_v * (slope * slope)
        m[i] = mean
        v[i] = square
        w[i] -= rate * (mean * correct_m) / (np.sqrt(square * correct_v) + epsilon)


def _descend(pool: int, kind: Any, numbers: Any, w: Any, g: Any) -> None:
    chunks = parts(pool, 8 * w.size)
    task = pack((w.size, chunks, address(numbers), address(w), address(g)))
    fork_join(pool, address_of(_descent, kind), task, chunks)


def _accelerate(pool: int, kind: Any, numbers: Any, w: Any, g: Any, velocity: Any) -> None:
    chunks = parts(pool, 8 * w.size)
    task = pack((w.size, chunks, address(numbers), address(w), address(g), address(velocity)))
    fork_join(pool, address_of(_momentum, kind), task, chunks)


def _adapt(pool: int, kind: Any, numbers: Any, w: Any, g: Any, m: Any, v: Any) -> None:
    chunks = parts(pool, 8 * w.size)
    places = (address(numbers), address(w), address(g), address(m), address(v))
    fork_join(pool, address_of(_adam, kind), pack((w.size, chunks, *places)), chunks)


# The size of a gradient ---------------------------------------------------------------------


@numba.njit(error_model="numpy", fastmath={*CONTRACTED, "reassoc"})
def _square(kind: Any, g: Any) -> Any:
    """The sum of the squares of a part, in vectors."""
    total = kind
    for i in range(g.size):
        total += g[i] * g[i]
    return total


@body
def _squares(kind: Any, task: int, chunk: int) -> None:
    start, stop = share(field(task, 0), field(task, 1), chunk, PART)
    sums = vector(np.float64(0), field(task, 2), (field(task, 0) + PART - 1) // PART)
    g = vector(kind, field(task, 3), field(task, 0))
    for at in range(start, stop, PART):
        sums[at // PART] = _square(kind, g[at : min(at + PART, stop)])


def _sum_squares(pool: int, kind: Any, g: Any) -> Any:
    """Parts of one size are summed each, and their sums in float64 in their order."""
    sums = np.empty((g.size + PART - 1) // PART, np.float64)
    chunks = parts(pool, 2 * g.size)
    task = pack((g.size, chunks, address(sums), address(g)))
    fork_join(pool, address_of(_squares, kind), task, chunks)
    total = np.float64(0)
    for each in sums:
        total += each
    keep(sums)
    return total


_LOOPS = {"descend": (_descend, 2), "accelerate": (_accelerate, 3), "adapt": (_adapt, 4)}


@functools.cache
def stepper(name: str, dtype: Any) -> Any:
    """A step as a function of its numbers, a sequence, and of its arrays, flat and of one dtype.

    `name` is "descend", of (w, g), "accelerate", of (w, g, velocity), or "adapt", of (w, g, m, v).
    """
    loop, arrays = _LOOPS[name]
    read, written = array(dtype), array(dtype, written=True)
    kinds = (numba.intp, scalar(dtype), read, written, read, *[written] * (arrays - 2))
    compiled, kind = build(loop, kinds), dtype.type(0)

    def step(numbers: Any, *arrays: Any) -> None:
        compiled(pool(), kind, np.array(numbers, dtype), *arrays)

    return step


@functools.cache
def summer(dtype: Any) -> Any:
    """The sum of squares of a flat array of a dtype, as a function: a Python number."""
    compiled = build(_sum_squares, (numba.intp, scalar(dtype), array(dtype)))
    kind = dtype.type(0)
    return lambda g: compiled(pool(), kind, g)
