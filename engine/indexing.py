"""Indices of tensors: what may stand in `x[...]`, and changing elements in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .devices import state
from .errors import GradientError
from .tape import mark_changed
from .tensor import Tensor, as_operand


def raw_index(index: Any) -> Any:
    """An index with arrays for Tensors, and copies of arrays: later changes do not reach it."""
    if isinstance(index, tuple):
        return tuple(raw_index(each) for each in index)
    if isinstance(index, Tensor):
        index = index._data
    if isinstance(index, list):
        return np.array(index, dtype=None if index else np.int64)
    return index.copy() if isinstance(index, np.ndarray) else index


def __setitem__(self: Tensor, index: Any, value: Any) -> None:
    value = as_operand(value, "x[index] = value")
    tracked = self._node is not None or (isinstance(value, Tensor) and value._node is not None)
    if state.recording and tracked:
        raise GradientError(
            "x[index] = value: a tensor in a graph cannot be changed in place while recording; "
            "do it in `with cr.no_grad():`, or build a new tensor with cr.where or cr.concat"
        )
    self._data[raw_index(index)] = value._data if isinstance(value, Tensor) else value
    mark_changed(self._storage)


Tensor.__setitem__ = __setitem__  # type: ignore[method-assign]
