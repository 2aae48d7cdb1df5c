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
