"""Reading and writing elements as CuPy does: indices wrap, and repeated ones have no order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: Shuffles what has no order; a test may put another generator here.
rng = np.random.default_rng(0)


def _wrap(a: np.ndarray[Any, Any], parts: list[Any]) -> tuple[Any, ...]:
    """The index with integer arrays brought into bounds; integers are checked by NumPy."""
    used = sum(
        0 if each is None or each is Ellipsis else each.ndim if _mask(each) else 1 for each in parts
    )
    if used > a.ndim:
        raise IndexError(f"too many indices for array: {a.ndim}-d, but {used} were indexed")
    found, axis = [], 0
    for each in parts:
        if each is Ellipsis:
            axis += a.ndim - used
        elif _mask(each):
            for i, length in enumerate(each.shape):
                if length not in (0, a.shape[axis + i]):
                    raise IndexError("boolean index did not match indexed array")
            axis += each.ndim
        elif isinstance(each, np.ndarray):
            if each.dtype.kind not in "iu":
                raise IndexError("arrays used as indices must be of integer or boolean type")
            length = a.shape[axis]
            if not length and each.size:
                raise IndexError("cannot do a non-empty take from an empty axes.")
            each = each.astype(np.int64) % length if length else each.astype(np.int64)
            axis += 1
        elif each is not None:
            axis += 1
        found.append(each)
    return tuple(found)


def _mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "b"


def _has_arrays(parts: list[Any]) -> bool:
    return any(isinstance(each, np.ndarray) for each in parts)


def get(a: np.ndarray[Any, Any], parts: list[Any]) -> np.ndarray[Any, Any]:
    """The elements at an index: a view, 0-d for one element, or a copy if there are arrays."""
    index = _wrap(a, parts)
    if _has_arrays(parts):
        return np.array(a[index])
    if Ellipsis not in [each for each in index if each is Ellipsis]:
        index = (*index, Ellipsis)
    view: np.ndarray[Any, Any] = a[index]
    return view


def _places(a: np.ndarray[Any, Any], parts: list[Any]) -> np.ndarray[Any, Any]:
    """The positions of the elements at an index, if the array were flat."""
    numbers = np.arange(math.prod(a.shape)).reshape(a.shape)
    return np.asarray(numbers[_wrap(a, parts)])


def _spread(value: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    value = np.asarray(value)
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value[0]
    return np.broadcast_to(value, shape).reshape(-1)


def put(a: np.ndarray[Any, Any], parts: list[Any], value: Any) -> None:
    """Puts values at an index, in a shuffled order."""
    if not _has_arrays(parts):
        view = get(a, parts)
        with np.errstate(all="ignore"):
            view[...] = _spread(value, view.shape).reshape(view.shape)
        return
    where = _places(a, parts)
    values = _spread(value, where.shape)
    order = rng.permutation(where.size)
    with np.errstate(all="ignore"):
        a.flat[where.reshape(-1)[order]] = values[order].astype(a.dtype)


def add(a: np.ndarray[Any, Any], parts: list[Any], value: Any) -> None:
    """Adds values at an index with atomic additions, whose order is shuffled."""
    if a.dtype.char not in "ilqfdeILQ" or a.dtype == np.int64:
        raise TypeError(
            "scatter_add only supports int32, float16, float32, float64, uint32, uint64"
        )
    where = _places(a, parts)
    values = _spread(value, where.shape).astype(a.dtype)
    flat = a.reshape(-1)
    assert np.shares_memory(flat, a) or not a.size
    for i in rng.permutation(where.size):
        flat[where.reshape(-1)[i]] += values[i]
