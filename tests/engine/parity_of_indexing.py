"""How the arguments of kernels that add at an index are drawn, for the test of parity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]


def draw_scatter_index(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    """Values, of which some are infinite or NaN; an index that repeats; the shape of the result."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 4)), *draw(st.sampled_from([(), (1,), (16,), (35,), (3, 5)])))
    index: Any = slice(None, None, -1)
    values = random.normal(size=shape)
    if draw(st.booleans()):
        places = draw(st.sampled_from([(0,), (9,), (3, 4), (2, 2, 2)]))
        index = random.integers(-shape[0], shape[0], places)
        index = index.astype(draw(st.sampled_from(["int64", "int32", "int8"])))
        values = random.normal(size=(*places, *shape[1:]))
        values[random.random(values.shape) < 0.1] = random.choice([np.inf, -np.inf, np.nan, -0.0])
    if values.ndim > 1 and draw(st.booleans()):
        values = values.swapaxes(0, 1).copy().swapaxes(0, 1)
    if draw(st.booleans()):
        values = np.repeat(values, 2, axis=-1)[..., ::2]
    return [values.astype(dtype), (index,) if draw(st.booleans()) else index, shape]


def added_in_order(arguments: list[Any], position: int | None, after: Array) -> Array:
    """The same sums in the same order."""
    return np.zeros(after.shape)


INDEXING = {"scatter_index": (draw_scatter_index, added_in_order)}
