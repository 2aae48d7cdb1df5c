"""Elementwise operations on large arrays, and their sum, shared between the cores.

Both operands are read in stretches, of which an operand that is repeated has only one: a row that
is added to each row of a matrix, or a number. So there is one loop for each operation. The sum is
one of blocks of fixed length, each of which one core adds up: what comes out does not depend on the
number of cores.

NumPy warns of invalid operations, divisions by zero and overflow, of which the processor takes
note: so these kernels return what it noted.
"""

from __future__ import annotations

import functools
import platform
from typing import Any

import numba
import numpy as np
from numba.core import types

from .building import array, build, scalar
from .intrinsics import address, address_of, cast, field, keep, load, pack, store, vector, write
from .products import share
from .threads import fork_join, parts

PLUS, MINUS, TIMES, OVER, MAXIMUM, MASKED = range(6)
#: Elements in a stretch, of a number or where nothing is repeated; in a block of the sum.
STRETCH, BLOCK = 1_024, 2_048
#: What an element is worth, in the unit of `parts`. At 100,000 it is worth waking a helper: a large
#: operation is mostly one of a row of them, through which the helper stays awake.
WORK = 40

#: The C library's bits for underflow, and for all that NumPy may warn of; none are known elsewhere.
UNDERFLOW, NOTED = {
    "x86_64": (16, 1 | 4 | 8 | 16),
    "aarch64": (8, 1 | 2 | 4 | 8),
    "arm64": (8, 1 | 2 | 4 | 8),
}.get(platform.machine(), (0, 0))

#: Kernels return it, and 1 more for underflow, if the processor noted another of these.
SERIOUS = 2

_forget: Any = types.ExternalFunction("feclearexcept", types.int32(types.int32))
_noted: Any = types.ExternalFunction("fetestexcept", types.int32(types.int32))


@numba.njit
def _stretch(kind: Any, operation: int, a: int, b: int, c: int, count: int) -> None:
    """The results of `count` neighbours, at addresses."""
    left, right = vector(kind, a, count), vector(kind, b, count)
    result = vector(kind, c, count)
    zero, one = cast(kind, 0), cast(kind, 1)
    if operation == PLUS:
        for i in range(count):
            result[i] = left[i] + right[i]
    elif operation == MINUS:
        for i in range(count):
            result[i] = left[i] - right[i]
    elif operation == TIMES:
        for i in range(count):
            result[i] = left[i] * right[i]
    elif operation == OVER:
        for i in range(count):
            result[i] = left[i] / right[i]
    elif operation == MAXIMUM:
        for i in range(count):
            x, y = left[i], right[i]
            result[i] = x if x > y or x != x else y  # as in NumPy, NaN is the larger
    else:
        for i in range(count):
            result[i] = left[i] * (one if right[i] > zero else zero)


@numba.njit
def _tell(notes: int) -> None:
    """Enters what the processor of this core noted: more than underflow; underflow."""
    noted = _noted(NOTED)
    if noted & ~UNDERFLOW:
        store(notes, 0, 1)
    if noted & UNDERFLOW:
        store(notes, 1, 1)


@numba.njit
def _part(kind: Any, task: int, chunk: int) -> None:
    """Some stretches."""
    a, b, c = field(task, 0), field(task, 1), field(task, 2)
    step_a, step_b, size = field(task, 3), field(task, 4), field(task, 5)
    operation, count, length = field(task, 6), field(task, 7), field(task, 8)
    start, end = share(count, field(task, 9), chunk, length)
    _forget(NOTED)
    for at in range(start, end, length):
        stretch = min(length, end - at)
        _stretch(kind, operation, a + at * step_a, b + at * step_b, c + at * size, stretch)
    _tell(field(task, 10))


def _combine(
    pool: int, kind: Any, operation: int, repeated: int, number: Any, a: Any, b: Any, c: Any
) -> int:
    """c = a operation b, element by element; returns what was noted (see SERIOUS).

    `repeated` is 1 if a is: c is the result of one stretch after the other with all of a; 2 if b
    is. An operand that is empty is `number`. `kind` is any number of the type of the elements.
    """
    size, count, length = c.itemsize, c.size, STRETCH
    filled = np.full(STRETCH if a.size == 0 or b.size == 0 else 0, number)
    at_a, at_b = address(a), address(b)
    step_a, step_b = size, size
    if a.size == 0:
        at_a, step_a = address(filled), 0
    elif repeated == 1:
        length, step_a = a.size, 0
    if b.size == 0:
        at_b, step_b = address(filled), 0
    elif repeated == 2:
        length, step_b = b.size, 0
    chunks, notes = parts(pool, WORK * count), pack((0, 0))
    words = (at_a, at_b, address(c), step_a, step_b, size, operation, count, length, chunks)
    fork_join(pool, address_of(_part, kind), pack((*words, notes)), chunks)
    keep(filled)
    return load(notes, 0) * SERIOUS + load(notes, 1)


@numba.njit(fastmath={"contract", "reassoc"})
def _add_up(numbers: Any) -> Any:
    """The sum of a block, in as many sums as there are in some vectors."""
    found = numbers[0]
    for i in range(1, numbers.size):
        found += numbers[i]
    return found


@numba.njit
def _part_of_sum(kind: Any, task: int, chunk: int) -> None:
    """The sums of some blocks."""
    x, sums, size, count = field(task, 0), field(task, 1), field(task, 2), field(task, 3)
    start, end = share(count, field(task, 4), chunk, BLOCK)
    _forget(NOTED)
    for at in range(start, end, BLOCK):
        block = vector(kind, x + at * size, min(BLOCK, end - at))
        write(sums + at // BLOCK * size, _add_up(block))
    _tell(field(task, 5))


def _sums(pool: int, kind: Any, x: Any, sums: Any) -> int:
    """The sum of each block; returns what was noted (see SERIOUS)."""
    chunks, notes = parts(pool, WORK * x.size), pack((0, 0))
    words = (address(x), address(sums), x.itemsize, x.size, chunks, notes)
    fork_join(pool, address_of(_part_of_sum, kind), pack(words), chunks)
    return load(notes, 0) * SERIOUS + load(notes, 1)


@functools.cache
def combiner(dtype: Any) -> Any:
    """The compiled `_combine`, and a number of that dtype; None on an unknown processor."""
    kind, x = dtype.type(1), functools.partial(array, dtype)
    kinds = (numba.intp, scalar(dtype), numba.intp, numba.intp, scalar(dtype))
    signature = (*kinds, x(), x(), x(written=True))
    return (build(_combine, signature), kind) if NOTED else None


@functools.cache
def adder(dtype: Any) -> Any:
    """The compiled `_sums`, and a number of that dtype; None on an unknown processor."""
    kind, x = dtype.type(1), functools.partial(array, dtype)
    signature = (numba.intp, scalar(dtype), x(), x(written=True))
    return (build(_sums, signature), kind) if NOTED else None
