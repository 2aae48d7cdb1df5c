"""Attention of one sample and head after the other, with all of it in the cache.

The scores are computed for some queries at a time, made weights in place, and multiplied with the
values. Queries, keys and values are read where they lie, by their strides, and the results are
written likewise: so the heads may be parts of the rows of one matrix. The way back computes the
gradient of some queries' scores, and adds what it means for keys and values. Samples and heads
are shared between the cores; none waits for another's sum.
"""

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np

from .building import array, build, scalar
from .host import tile
from .intrinsics import address, address_of, field, keep, pack, read, vector
from .products import product, share
from .softmax import hide, pull_row, shift, weights
from .threads import fork_join, parts, pool

#: Queries at a time: for few keys their scores stay in the first cache.
QUERIES = 64

# The words of a task: sizes, the address of the scale and of the weights, then for each other array
# its address and its four strides.
CHUNKS, ALL, HEADS, ROWS, KEYS, WIDTH, DEPTH, SIZE, MASKED, SCALE, WEIGHTS = range(11)
QUERY, KEY, VALUE, MASK, RESULT, TO_QUERY, TO_KEY, TO_VALUE = range(11, 51, 5)


@numba.njit
def _at(task: int, position: int, head: int) -> int:
    """Where the matrix of a sample and head begins."""
    heads = field(task, HEADS)
    sample, head = head // heads, head % heads
    return (
        field(task, position)
        + sample * field(task, position + 1)
        + head * field(task, position + 2)
    )


@numba.njit
def _row(task: int, position: int) -> int:
    """From a row of an array to the next, in bytes."""
    return field(task, position + 3)


@numba.njit
def _step(task: int, position: int) -> int:
    """From a number of a row to the next, in bytes."""
    return field(task, position + 4)


@numba.njit
def _scaled(
    kind: Any, size: int, rows: int, n: int, at: int, row: int, step: int, scale: Any, to: int
) -> None:
    """Copies rows of n numbers together, times a number."""
    for i in range(rows):
        copy = vector(kind, to + i * n * size, n)
        if step == size:
            given = vector(kind, at + i * row, n)
            for j in range(n):
                copy[j] = given[j] * scale
        else:
            for j in range(n):
                copy[j] = read(kind, at + i * row + j * step) * scale


@numba.njit
def _forward(kind: Any, task: int, chunk: int) -> None:
    rows, keys, width = field(task, ROWS), field(task, KEYS), field(task, WIDTH)
    depth, size, masked = field(task, DEPTH), field(task, SIZE), field(task, MASKED) != 0
    scale = read(kind, field(task, SCALE))
    query_row, query_step = _row(task, QUERY), _step(task, QUERY)
    key_row, key_step = _row(task, KEY), _step(task, KEY)
    value_row, value_step = _row(task, VALUE), _step(task, VALUE)
    y_row, y_step, seen_row = _row(task, RESULT), _step(task, RESULT), _row(task, MASK)
    held = np.empty(min(QUERIES, rows) * width * size, np.uint8)
    queries = address(held)
    start, stop = share(field(task, ALL), field(task, CHUNKS), chunk, 1)
    for head in range(start, stop):
        query, key, value = _at(task, QUERY, head), _at(task, KEY, head), _at(task, VALUE, head)
        y, mask = _at(task, RESULT, head), _at(task, MASK, head)
        p = field(task, WEIGHTS) + head * rows * keys * size
        for top in range(0, rows, QUERIES):
            count, scores = min(QUERIES, rows - top), p + top * keys * size
            at = query + top * query_row
            _scaled(kind, size, count, width, at, query_row, query_step, scale, queries)
            product(
                *(kind, size, count, keys, width, queries, width * size, size),
                *(key, key_step, key_row, scores, keys * size, size, False),
            )
            for i in range(count):
                row = vector(kind, scores + i * keys * size, keys)
                if masked:
                    hide(row, vector(np.uint8(0), mask + (top + i) * seen_row, keys))
                shift(row, masked)
            weights(vector(kind, scores, count * keys), keys, masked)
            product(
                *(kind, size, count, depth, keys, scores, keys * size, size),
                *(value, value_row, value_step, y + top * y_row, y_row, y_step, False),
            )
    keep(held)


@numba.njit
def _back(kind: Any, task: int, chunk: int) -> None:
    rows, keys, width = field(task, ROWS), field(task, KEYS), field(task, WIDTH)
    depth, size, masked = field(task, DEPTH), field(task, SIZE), field(task, MASKED) != 0
    scale = read(kind, field(task, SCALE))
    query_row, query_step = _row(task, QUERY), _step(task, QUERY)
    key_row, key_step = _row(task, KEY), _step(task, KEY)
    value_row, value_step = _row(task, VALUE), _step(task, VALUE)
    g_row, g_step, seen_row = _row(task, RESULT), _step(task, RESULT), _row(task, MASK)
    held = np.empty(2 * min(QUERIES, rows) * keys * size, np.uint8)
    slopes = address(held)  # of the weights; behind them those of the scores
    pulled = slopes + min(QUERIES, rows) * keys * size
    start, stop = share(field(task, ALL), field(task, CHUNKS), chunk, 1)
    for head in range(start, stop):
        query, key, value = _at(task, QUERY, head), _at(task, KEY, head), _at(task, VALUE, head)
        g, mask, to_query = (
            _at(task, RESULT, head),
            _at(task, MASK, head),
            _at(task, TO_QUERY, head),
        )
        to_key, to_value = _at(task, TO_KEY, head), _at(task, TO_VALUE, head)
        p = field(task, WEIGHTS) + head * rows * keys * size
        for top in range(0, rows, QUERIES):
            count, scores = min(QUERIES, rows - top), p + top * keys * size
            product(
                *(kind, size, count, keys, depth, g + top * g_row, g_row, g_step),
                *(value, value_step, value_row, slopes, keys * size, size, False),
            )
            for i in range(count):
                row = vector(kind, pulled + i * keys * size, keys)
                pull_row(
                    vector(kind, slopes + i * keys * size, keys),
                    vector(kind, scores + i * keys * size, keys),
                    row,
                    vector(np.uint8(0), mask + (top + i) * seen_row, keys),
                    masked,
                )
                for j in range(keys):
                    row[j] *= scale
            product(
                *(kind, size, count, width, keys, pulled, keys * size, size),
                *(key, key_row, key_step),
                *(to_query + top * _row(task, TO_QUERY), _row(task, TO_QUERY)),
                *(_step(task, TO_QUERY), False),
            )
            product(
                *(kind, size, keys, width, count, pulled, size, keys * size),
                *(query + top * query_row, query_row, query_step),
                *(to_key, _row(task, TO_KEY), _step(task, TO_KEY), top > 0),
            )
            product(
                *(kind, size, keys, depth, count, scores, size, keys * size),
                *(g + top * g_row, g_row, g_step),
                *(to_value, _row(task, TO_VALUE), _step(task, TO_VALUE), top > 0),
            )
    keep(held)


@numba.njit
def _place(x: Any) -> Any:
    """What a task says of an array."""
    return (address(x), x.strides[0], x.strides[1], x.strides[2], x.strides[3])


@numba.njit
def _sizes(pool: int, query: Any, key: Any, value: Any, masked: bool, scale: Any, p: Any) -> Any:
    """The first words of a task."""
    samples, heads, rows, width = query.shape
    keys, depth = key.shape[2], value.shape[3]
    pairs = samples * heads
    chunks = min(pairs, parts(pool, pairs * rows * keys * (width + depth)))
    sizes = (chunks, pairs, heads, rows, keys, width, depth, query.itemsize)
    return (*sizes, np.intp(masked), address(scale), address(p))


def _attention(
    pool: int,
    kind: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    masked: bool,
    scale: Any,
    y: Any,
    p: Any,
) -> None:
    sizes = _sizes(pool, query, key, value, masked, scale, p)
    given = (*_place(query), *_place(key), *_place(value), *_place(mask), *_place(y))
    task = pack((*sizes, *given))
    fork_join(pool, address_of(_forward, kind), task, sizes[0])


def _attention_backward(
    pool: int,
    kind: Any,
    g: Any,
    p: Any,
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    masked: bool,
    scale: Any,
    to_query: Any,
    to_key: Any,
    to_value: Any,
) -> None:
    sizes = _sizes(pool, query, key, value, masked, scale, p)
    given = (*_place(query), *_place(key), *_place(value), *_place(mask), *_place(g))
    task = pack((*sizes, *given, *_place(to_query), *_place(to_key), *_place(to_value)))
    fork_join(pool, address_of(_back, kind), task, sizes[0])


@functools.cache
def attention(dtype: Any) -> Any:
    """The function of (query, key, value, mask, masked, scale, y, p); None on some processors.

    The first four and y are (samples, heads, time, ...), `scale` a vector of one number, p the
    weights, contiguous; y and p are written.
    """
    given, written = array(dtype, 4, "A"), array(dtype, 4, "A", written=True)
    kinds = (given, given, given, *_mask(dtype), written, array(dtype, 4, written=True))
    return _made(_attention, dtype, kinds)


@functools.cache
def attention_backward(dtype: Any) -> Any:
    """The function of (g, p, query, key, value, mask, masked, scale, and three gradients)."""
    given, written = array(dtype, 4, "A"), array(dtype, 4, "A", written=True)
    kinds = (given, array(dtype, 4), given, given, given, *_mask(dtype), *[written] * 3)
    return _made(_attention_backward, dtype, kinds)


def _mask(dtype: Any) -> tuple[Any, ...]:
    """The types of a mask, of whether there is one, and of the scale."""
    return array(np.uint8, 4, "A"), numba.boolean, array(dtype)


def _made(kernel: Any, dtype: Any, kinds: Any) -> Any:
    if tile() is None:
        return None
    compiled, kind = build(kernel, (numba.intp, scalar(dtype), *kinds)), dtype.type(0)

    def compute(*arguments: Any) -> None:
        compiled(pool(), kind, *arguments)

    return compute
