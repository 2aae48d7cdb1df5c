"""References of kernels that arrange elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import reference


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
        view.flags.writeable = False
        return view
    return xp.xp.broadcast_to(x, shape)


@reference
def scatter_index(xp: Any, values: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape`, to which values are added at an index; repeated indices add up."""
    result = xp.zeros(shape, values.dtype)
    if is_basic(index):
        result[index] = values
    else:
        xp.add.at(result, index, values)
    return result


def is_basic(index: Any) -> bool:
    """Is it made of slices and integers only, so that no element can be met twice?"""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        isinstance(part, (slice, int)) or part is None or part is Ellipsis for part in parts
    ) and not any(isinstance(part, bool) for part in parts)


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
