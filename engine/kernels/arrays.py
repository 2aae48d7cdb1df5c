"""References of kernels that arrange elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..devices import reference
from ..placing import on_device
from .segments import placed, summed


@reference
def sum(xp: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum along axes; boolean and small integer elements are counted in 64 bits."""
    return xp.add.reduce(x, axis, None, None, keepdims)


@reference
def broadcast_to(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """A read-only view of x in which it is repeated to `shape`."""
    if type(x) is np.ndarray and x.ndim == 0:
        # The gradient of every sum comes here; np.broadcast_to takes 2.5 µs more.
        view = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        view.setflags(False)  # type: ignore[call-arg]  # by keyword it takes twice as long
        return view
    return xp.xp.broadcast_to(x, shape)


@reference
def gather_rows(xp: Any, x: Any, index: Any) -> Any:
    """x[index] for an array of integers, which pick rows."""
    return x[index]


@reference
def scatter_index(xp: Any, values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape`, to which values are added at an index; repeated indices add up."""
    result = xp.zeros(shape, values.dtype)
    if never_repeats(index):
        result[index] = _unwrapped(values)
    else:
        _add_up(xp, result, index, values)
    return result


@reference
def index_add(xp: Any, x: Any, values: Any, index: Any) -> Any:
    """A copy of x, to which values are added at an index; repeated indices add up."""
    result = xp.array(x, order="C")
    if never_repeats(index):
        result[index] += values
    else:
        _add_up(xp, result, index, values)
    return result


@reference
def index_set(xp: Any, x: Any, values: Any, index: Any) -> Any:
    """A copy of x with values at an index; of those that meet at one element the last stays."""
    result = xp.array(x, order="C")
    if never_repeats(index):
        result[index] = _unwrapped(values)
    elif on_device(result):
        where, values = _flat(xp, result, index, values)
        result = placed(xp.xp, result.reshape(-1), values, where).reshape(result.shape)
    else:
        # One axis, one array of positions: NumPy promises an order for nothing else.
        where = positions(xp, index, result.shape)
        result.reshape(-1)[where.reshape(-1)] = xp.broadcast_to(values, where.shape).reshape(-1)
    return result


def _unwrapped(values: Any) -> Any:
    """What is in a 0-d array: an array of objects would keep the array itself as its element."""
    return values if values.ndim else values[()]


def _add_up(xp: Any, result: Any, index: Any, values: Any) -> None:
    """Adds values to elements of `result`, in place, one after the other.

    On a GPU, where they would meet in any order, in a tree that is always the same.
    """
    if on_device(result):
        where, values = _flat(xp, result, index, values)
        result += summed(xp.xp, values, where, result.size).reshape(result.shape)
        return
    if xp.size(values) < max(512, result.size // 8):
        xp.add.at(result, index, values)
        return
    # The same sums in the same order. NumPy's add.at is 2 to 5 times as fast with one array of
    # positions on one axis, which pays for finding them unless they are few.
    where, values = _flat(xp, result, index, values)
    xp.add.at(result.reshape(-1), where, values)


def _flat(xp: Any, result: Any, index: Any, values: Any) -> tuple[Any, Any]:
    """The positions in the memory of `result` at an index, and the values for them, both 1-d."""
    where = positions(xp, index, result.shape)
    if values.shape != where.shape:
        values = xp.broadcast_to(values, where.shape)
    values = values.astype(result.dtype, copy=False)
    return where.reshape(-1), values.reshape(-1)


def positions(xp: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Where the elements at an index of an array of `shape` lie in its memory, counted from 0."""
    return xp.arange(math.prod(shape)).reshape(shape)[index]


def never_repeats(index: Any) -> bool:
    """Is it made of slices, integers and masks only, so that no element can be met twice?"""
    for part in index if isinstance(index, tuple) else (index,):
        if part is None or isinstance(part, (slice, int, np.generic)) or part is Ellipsis:
            continue
        if not hasattr(part, "dtype"):
            part = np.asarray(part)
        if part.ndim and part.dtype.kind != "b":
            return False
    return True


@reference
def cumulative_sum(xp: Any, x: Any, axis: int, include_initial: bool = False) -> Any:
    """The sums of the elements up to each one, after a 0 if `include_initial`."""
    y = x.cumsum(axis=axis)
    return _begun(xp, xp.zeros, y, axis) if include_initial else y


@reference
def cumulative_prod(xp: Any, x: Any, axis: int, include_initial: bool = False) -> Any:
    """The products of the elements up to each one, after a 1 if `include_initial`."""
    y = x.cumprod(axis=axis)
    return _begun(xp, xp.ones, y, axis) if include_initial else y


def _begun(xp: Any, fill: Any, y: Any, axis: int) -> Any:
    """y, with one more element in front of all others along an axis."""
    shape = list(y.shape)
    shape[axis] = 1
    return xp.concat([fill(tuple(shape), dtype=y.dtype), y], axis=axis)


@reference
def linear_recurrence(xp: Any, a: Any, b: Any, axis: int) -> Any:
    """y[0] = b[0], y[i + 1] = a[i] y[i] + b[i + 1] along an axis."""
    y = b.astype(xp.result_type(a, b))  # a copy
    steps, rows = xp.moveaxis(a, axis, 0), xp.moveaxis(y, axis, 0)
    for i in range(len(steps)):
        rows[i + 1] += steps[i] * rows[i]
    return y
