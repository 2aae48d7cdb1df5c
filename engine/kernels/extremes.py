"""References of the kernels that find the largest elements."""

from __future__ import annotations

from typing import Any

from ..devices import reference


@reference
def max(xp: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element along axes; NaN if one is."""
    return x.max(axis=axis, keepdims=keepdims)


@reference
def argmax(xp: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The index of the first of the largest elements along an axis; of the first NaN, if any."""
    return xp.xp.argmax(x, axis=axis, keepdims=keepdims)
