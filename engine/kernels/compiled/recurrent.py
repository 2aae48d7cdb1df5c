"""What the recurrent sequences have in common: each core takes samples through all steps.

All that is kept is (time, batch, ...), so that the samples of a step lie together; the inputs are
read, and gradients given, where they are. A core never waits for another: it computes the products
of its samples and, while they are in its cache, the gates. What is computed does not depend on how
the samples are shared. On the way back the gradients of the weights, sums over all steps and
samples, follow: each core sums for some columns.

Addresses and strides are in bytes. The cells are in `cells.py`.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from .intrinsics import call, field, pack, read, vector, write
from .memory import copy
from .products import ROWS, WIDTH, share

# Fields of a task, both ways. PRODUCT is the machine code of `products.product`. Sizes:
PRODUCT, SIZE, STEPS, BATCH, FEATURES, UNITS, COLUMNS, CHUNKS = range(8)

# Addresses, and bytes from a sample and from a step to the next:
X, X_BATCH, X_STEP, KERNEL, RECURRENT, MASK, MASK_BATCH, MASK_STEP = range(8, 16)
GATES, HIDDEN, OTHER, BIAS, INNER_BIAS = range(16, 21)  # OTHER: of LSTM cells, of GRU candidates
# The way forward; TARGET is where products with the inputs go.
TARGET = 21
# The way back; WIDE columns of the slopes, FIRST of them before those of x K; TURNED is R turned.
SLOPES, WIDE, FIRST, TURNED, G, G_BATCH, G_STEP, OF_H, OF_C, ADD = range(22, 32)
OF_X, OF_KERNEL, OF_RECURRENT, OF_BIAS, OF_INNER_BIAS, SHARES = range(32, 38)

#: What an operation on each gate is worth, in products of numbers.
CELL = 25


@numba.njit
def chunks(parts: int, batch: int) -> int:
    """Into how many chunks the samples are divided: none has less than a block of a product."""
    return max(1, min(parts, (batch + ROWS - 1) // ROWS))


@numba.njit
def spread(row: int, size: int, rows: int, to: int, step: int) -> None:
    """Copies a row of so many bytes into each of `rows` rows."""
    for i in range(rows):
        copy(to + i * step, row, size)


@numba.njit
def real(task: int, t: int, sample: int) -> bool:
    """Is this a real step of the sample, or padding?"""
    mask = field(task, MASK)
    if mask == 0:
        return True
    at = mask + sample * field(task, MASK_BATCH) + t * field(task, MASK_STEP)
    return read(np.uint8(0), at) != 0


@numba.njit
def multiply(task: int, shape: Any, a: Any, b: Any, c: Any, add: bool) -> None:
    """C = A B, or C += A B, on this core, as `products.product`.

    `shape` is (rows, columns, k); of A and B an address, and the bytes from row to row and from
    column to column; of C, whose rows are contiguous, an address and the bytes from row to row.
    """
    size = field(task, SIZE)
    call(field(task, PRODUCT), pack((*a, *b, *c, size, size, *shape, 1, 1, np.intp(add))), 0)


@numba.njit
def add_product(task: int, rows: int, h: int, first: int, columns: int, c: int, c_row: int) -> None:
    """C += h R, for the columns of R from `first` on."""
    size, units = field(task, SIZE), field(task, UNITS)
    at = field(task, RECURRENT) + first * size
    b = (at, field(task, COLUMNS) * size, size)
    multiply(task, (rows, columns, units), (h, units * size, size), b, (c, c_row), True)


@numba.njit
def _inputs(task: int, rows: int, x: int, x_row: int, target: int, target_row: int) -> None:
    """x K + b, for rows of x and of the target that are so many bytes apart."""
    size, features, columns = field(task, SIZE), field(task, FEATURES), field(task, COLUMNS)
    spread(field(task, BIAS), columns * size, rows, target, target_row)
    if features > 0:
        b = (field(task, KERNEL), columns * size, size)
        c = (target, target_row)
        multiply(task, (rows, columns, features), (x, x_row, size), b, c, True)


def forward(step: Any) -> Any:
    """The samples of a chunk through all steps, by `step(kind, task, t, top, rows, target)`.

    A step finds in the rows of the target, from the sample `top` on, x K + b.
    """

    @numba.njit
    def body(kind: Any, task: int, chunk: int) -> None:
        steps, batch = field(task, STEPS), field(task, BATCH)
        x, x_batch, x_step = field(task, X), field(task, X_BATCH), field(task, X_STEP)
        target, row = field(task, TARGET), field(task, COLUMNS) * field(task, SIZE)
        top, bottom = share(batch, field(task, CHUNKS), chunk, ROWS)
        rows = bottom - top
        ahead = rows < ROWS and rows < steps  # a block holds more steps than there are samples
        if ahead:
            for i in range(top, bottom):
                _inputs(task, steps, x + i * x_batch, x_step, target + i * row, batch * row)
        for t in range(steps):
            at = target + (t * batch + top) * row
            if not ahead:
                _inputs(task, rows, x + top * x_batch + t * x_step, x_batch, at, row)
            step(kind, task, t, top, rows, at)

    return body


def backward(step: Any) -> Any:
    """The samples of a chunk through all steps from the last on, by `step` as in `forward`.

    A step writes to the rows of the target the slopes; and, if ADD, to OF_H what of the gradient of
    h does not go through R.
    """

    @numba.njit
    def body(kind: Any, task: int, chunk: int) -> None:
        size, batch, units = field(task, SIZE), field(task, BATCH), field(task, UNITS)
        wide, row = field(task, WIDE) * size, units * size
        top, bottom = share(batch, field(task, CHUNKS), chunk, ROWS)
        rows, of_h = bottom - top, field(task, OF_H) + top * row
        shape, turned = (rows, units, field(task, COLUMNS)), (field(task, TURNED), row, size)
        for t in range(field(task, STEPS) - 1, -1, -1):
            slopes = field(task, SLOPES) + (t * batch + top) * wide
            step(kind, task, t, top, rows, slopes)
            add = field(task, ADD) != 0
            multiply(task, shape, (slopes, wide, size), turned, (of_h, row), add)

    return body


@numba.njit
def turn(kind: Any, task: int) -> None:
    """Writes R turned to TURNED, in the order of the slopes' columns."""
    size, units, columns = field(task, SIZE), field(task, UNITS), field(task, COLUMNS)
    first, recurrent, to = field(task, FIRST), field(task, RECURRENT), field(task, TURNED)
    for top in range(0, units, 16):  # few rows at a time, which stay in the first cache
        bottom = min(units, top + 16)
        for j in range(columns):
            source = recurrent + (j - first + (columns if j < first else 0)) * size
            for i in range(top, bottom):
                number = read(kind, source + i * columns * size)
                write(to + (j * units + i) * size, number)


@numba.njit
def _turned_product(task: int, rows: int, a: int, slopes: int, columns: int, c: int) -> None:
    """C = Aᵀ B of all steps and samples, for some columns of the slopes."""
    size, k = field(task, SIZE), field(task, STEPS) * field(task, BATCH)
    if rows > 0 and columns > 0:
        b = (slopes, field(task, WIDE) * size, size)
        c_row = field(task, COLUMNS) * size
        multiply(task, (rows, columns, k), (a, size, rows * size), b, (c, c_row), False)


@numba.njit
def _column_sums(kind: Any, task: int, slopes: int, columns: int, sums: int) -> None:
    """The sums over all steps and samples, for some columns of the slopes."""
    wide, total = field(task, WIDE) * field(task, SIZE), vector(kind, sums, columns)
    first = vector(kind, slopes, columns)
    for j in range(columns):
        total[j] = first[j]
    for i in range(1, field(task, STEPS) * field(task, BATCH)):
        row = vector(kind, slopes + i * wide, columns)
        for j in range(columns):
            total[j] += row[j]


@numba.njit
def of_weights(kind: Any, task: int, chunk: int) -> None:
    """The gradients of kernel, recurrent kernel and bias in some columns; of x in some rows."""
    size, features, units = field(task, SIZE), field(task, FEATURES), field(task, UNITS)
    columns, wide, first = field(task, COLUMNS), field(task, WIDE) * size, field(task, FIRST)
    slopes, count = field(task, SLOPES), field(task, SHARES)
    inputs = slopes + first * size  # the slopes of x K + b
    left, right = share(columns, count, chunk, WIDTH // size)
    to = field(task, OF_KERNEL)
    if to != 0:
        at, here = inputs + left * size, right - left
        _turned_product(task, features, field(task, X), at, here, to + left * size)
    # The columns of R are those of the slopes from FIRST on, and then the first ones.
    middle = min(right, max(left, columns - first))
    for begin, end, source in (
        (left, middle, inputs),
        (middle, right, slopes - (columns - first) * size),
    ):
        at, here = source + begin * size, end - begin
        to = field(task, OF_RECURRENT)
        if to != 0:
            _turned_product(task, units, field(task, HIDDEN), at, here, to + begin * size)
        to = field(task, OF_INNER_BIAS)
        if to != 0:
            _column_sums(kind, task, at, here, to + begin * size)
    to = field(task, OF_BIAS)
    if to != 0:
        _column_sums(kind, task, inputs + left * size, right - left, to + left * size)
    to = field(task, OF_X)
    top, bottom = share(field(task, STEPS) * field(task, BATCH), count, chunk, ROWS)
    if to != 0 and bottom > top and features > 0:
        shape, row = (bottom - top, features, columns), features * size
        turned = (field(task, KERNEL), size, columns * size)
        a = (inputs + top * wide, wide, size)
        multiply(task, shape, a, turned, (to + top * row, row), False)
