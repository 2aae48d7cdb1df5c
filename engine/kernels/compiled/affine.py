"""Dense layers: a product with its bias and activation in one, and the way back.

Forward, every core computes some rows or columns of the product, and finishes them while they are
in its cache. Backward, a first pass makes the gradient before the activation and sums it over the
rows, for the bias; then the cores share the products that are the other two gradients. The rows
are summed in blocks of a size that depends on the shape alone. Tasks know activations by numbers,
those of `numba_affine.NUMBERS`.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import CONTRACTED, array, build, scalar
from .elementary import sigmoid, tanh
from .host import tile
from .intrinsics import address, address_of, call, field, keep, pack, vector
from .products import ROWS, WIDTH, part, share
from .threads import fork_join, parts, pool

#: Elements of a block of rows, which stays in the first cache.
BLOCK = 16_384

body = numba.njit(error_model="numpy", fastmath=set(CONTRACTED))


@body
def _finish(zero: Any, y: Any, bias: Any, activation: int) -> None:
    """One row: the activation of y + bias, in place of y.

    With another array for the result LLVM would not make vector instructions where both are one.
    """
    if activation == 0:
        for i in range(y.size):
            y[i] += bias[i]
    elif activation == 1:
        for i in range(y.size):
            z = y[i] + bias[i]
            y[i] = zero if z < zero else z  # NaN stays
    elif activation == 2:
        for i in range(y.size):
            y[i] = sigmoid(y[i] + bias[i])
    else:
        for i in range(y.size):
            y[i] = tanh(y[i] + bias[i])


@body
def _pull(zero: Any, g: Any, y: Any, slope: Any, total: Any, activation: int) -> None:
    """One row: the gradient before the activation, entered in the sums of its columns."""
    one = type(zero)(1)
    if activation == 0:
        for i in range(g.size):
            total[i] += g[i]
    elif activation == 1:
        for i in range(g.size):
            slope[i] = g[i] * (one if y[i] > zero else zero)
            total[i] += slope[i]
    elif activation == 2:
        for i in range(g.size):
            slope[i] = g[i] * (y[i] * (one - y[i]))
            total[i] += slope[i]
    else:
        for i in range(g.size):
            slope[i] = g[i] * (one - y[i] * y[i])
            total[i] += slope[i]


# Forward ------------------------------------------------------------------------------------


@body
def _rows_forward(kind: Any, task: int, chunk: int) -> None:
    """Some rows of f(x + bias)."""
    rows, columns, step = field(task, 0), field(task, 1), field(task, 2)
    top, bottom = share(rows, field(task, 3), chunk, 1)
    bias = vector(kind, field(task, 6), columns)
    for row in range(top, bottom):
        x = vector(kind, field(task, 5) + row * step, columns)
        y = vector(kind, field(task, 7) + row * step, columns)
        for i in range(columns):
            y[i] = x[i]
        _finish(kind, y, bias, field(task, 4))


@body
def _product_forward(kind: Any, task: int, chunk: int) -> None:
    """Some rows and columns of f(A B + bias); the task is that of `products._part`, and more."""
    call(field(task, 18), task, chunk)
    y, step, size = field(task, 6), field(task, 7), field(task, 9)
    down, across = field(task, 13), field(task, 14)
    top, bottom = share(field(task, 10), down, chunk // across, ROWS)
    left, right = share(field(task, 11), across, chunk % across, WIDTH // size)
    bias = vector(kind, field(task, 16) + left * size, right - left)
    for row in range(top, bottom):
        part = vector(kind, y + row * step + left * size, right - left)
        _finish(kind, part, bias, field(task, 17))


def _biased(pool: int, kind: Any, x: Any, bias: Any, y: Any, activation: int) -> None:
    """y = f(x + bias)"""
    chunks = parts(pool, 4 * x.size)
    head = (x.shape[0], x.shape[1], x.strides[0], chunks, activation)
    task = pack((*head, address(x), address(bias), address(y)))
    fork_join(pool, address_of(_rows_forward, kind), task, chunks)


def _affine(
    pool: int, kind: Any, part: int, x: Any, w: Any, bias: Any, y: Any, activation: int
) -> None:
    """y = f(x w + bias)"""
    size, rows, k, columns = x.itemsize, x.shape[0], x.shape[1], w.shape[1]
    down, across = 1, parts(pool, rows * columns * k)
    if rows > columns:
        down, across = across, down
    at_x, at_w = (address(x), x.strides[0], x.strides[1]), (address(w), w.strides[0], size)
    shape = (size, rows, columns, k, down, across, 0)
    words = (*at_x, *at_w, address(y), y.strides[0], size, *shape, address(bias), activation, part)
    fork_join(pool, address_of(_product_forward, kind), pack(words), down * across)


# Backward -----------------------------------------------------------------------------------


@body
def _rows_backward(kind: Any, task: int, chunk: int) -> None:
    """Some blocks of rows of the gradient before the activation, and the sums of each."""
    rows, columns, step, deep = field(task, 0), field(task, 1), field(task, 2), field(task, 3)
    first, last = share((rows + deep - 1) // deep, field(task, 4), chunk, 1)
    for block in range(first, last):
        total = vector(kind, field(task, 9) + block * step, columns)
        total[:] = kind
        for row in range(block * deep, min(rows, (block + 1) * deep)):
            skip = row * step
            g, y = vector(kind, field(task, 6) + skip, columns), field(task, 7) + skip
            slope = vector(kind, field(task, 8) + skip, columns)
            _pull(kind, g, vector(kind, y, columns), slope, total, field(task, 5))


@numba.njit
def _before(pool: int, kind: Any, g: Any, y: Any, slope: Any, bias: Any, activation: int) -> None:
    """The gradients before the activation, and of the bias."""
    rows, columns = g.shape
    deep = max(1, BLOCK // max(1, columns))
    blocks = (rows + deep - 1) // deep
    totals = np.empty((blocks, columns), g.dtype)
    chunks = min(blocks, parts(pool, 4 * g.size))
    head = (rows, columns, g.strides[0], deep, chunks, activation)
    task = pack((*head, address(g), address(y), address(slope), address(totals)))
    fork_join(pool, address_of(_rows_backward, kind), task, chunks)
    bias[:] = kind
    for block in range(blocks):
        for i in range(columns):
            bias[i] += totals[block, i]
    keep(totals)


@body
def _two_products(kind: Any, task: int, chunk: int) -> None:
    """A part of one product, or of another."""
    first = field(task, 2)
    if chunk < first:
        call(field(task, 3), field(task, 0), chunk)
    else:
        call(field(task, 3), field(task, 1), chunk - first)


def _pulled(
    pool: int,
    kind: Any,
    part: int,
    g: Any,
    y: Any,
    x: Any,
    w: Any,
    slope: Any,
    to_x: Any,
    to_w: Any,
    to_bias: Any,
    activation: int,
) -> None:
    """The gradients of x, w and bias; of x and of w only if their arrays are not empty."""
    _before(pool, kind, g, y, slope, to_bias, activation)
    size, rows, k, columns = x.itemsize, x.shape[0], x.shape[1], w.shape[1]
    at_slope = address(slope) if activation else address(g)
    step, w_step, many = columns * size, w.strides[0], parts(pool, rows * columns * k)
    # w's: xᵀ slope, shared by whichever side is longer.
    down, across = (many, 1) if k > columns else (1, many)
    at_x = (address(x), x.strides[1], x.strides[0])
    places = (*at_x, at_slope, step, size, address(to_w), step, size)
    of_w = pack((*places, size, k, columns, rows, down, across, 0))
    first = down * across if to_w.size > 0 else 0
    # x's: slope wᵀ, or, if it has fewer rows than columns, its transpose, w slopeᵀ.
    if rows <= k:
        down, across = (many, 1) if k > rows else (1, many)
        sides = (address(w), w_step, size, at_slope, size, step, address(to_x), size, k * size)
        of_x = pack((*sides, size, k, rows, columns, down, across, 0))
    else:
        sides = (at_slope, step, size, address(w), size, w_step, address(to_x), k * size, size)
        of_x = pack((*sides, size, rows, k, columns, many, 1, 0))
    second = many if to_x.size > 0 else 0
    task = pack((of_w, of_x, first, part))
    fork_join(pool, address_of(_two_products, kind), task, first + second)


def _unbiased(pool: int, kind: Any, g: Any, y: Any, slope: Any, bias: Any, activation: int) -> None:
    """The gradients of x and bias in f(x + bias)."""
    _before(pool, kind, g, y, slope, bias, activation)


# As functions -------------------------------------------------------------------------------


@functools.cache
def compiled(name: str, dtype: Any) -> Any:
    """A kernel for arrays of a dtype; None on a processor whose registers are not known.

    `name` is "biased", of (x, bias, y, activation), "unbiased", of (g, y, slope, to_bias,
    activation), "affine", of (x, w, bias, y, activation), or "pulled", of (g, y, x, w, slope,
    to_x, to_w, to_bias, activation). All but "biased" write to arrays given, which are the others
    after the first that they read.
    """
    if tile() is None:
        return None
    read, any_read = array(dtype, 2), array(dtype, 2, "A")
    line, written, sums = array(dtype), array(dtype, 2, written=True), array(dtype, written=True)
    kinds: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "biased": (_biased, (read, line, written)),
        "unbiased": (_unbiased, (read, read, written, sums)),
        "affine": (_affine, (any_read, read, line, written)),
        "pulled": (_pulled, (read, read, any_read, read, written, written, written, sums)),
    }
    function, arrays = kinds[name]
    given = () if name in ("biased", "unbiased") else (part(dtype),)
    whole = [numba.intp] * len(given)
    machine = build(function, (numba.intp, scalar(dtype), *whole, *arrays, numba.intp))
    kind = dtype.type(0)

    def run(*arguments: Any) -> None:
        machine(pool(), kind, *given, *arguments)

    return run
