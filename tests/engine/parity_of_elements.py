"""How the elementwise kernels for large arrays are tested against their references.

Each element is one operation, rounded once, by NumPy and by the kernels: the bits are the same. A
sum of n elements, added in some order, is off by at most n u times the sum of their sizes, with
u = eps / 2; neither NumPy nor the kernel adds more than BLOCK one after the other in one register,
and then a tree of at most 64 levels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .parity_of_rows import Draw, matrix

Array = np.ndarray[Any, Any]

#: Shorter and longer than vectors, stretches and blocks of the kernels, and never a multiple.
shapes = st.sampled_from([(), (0,), (1,), (7,), (2, 0), (31, 67), (3, 1, 70), (5, 1_031)])


def numbers(draw: Draw, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    return matrix(draw, dtype, shape or (1,)).reshape(shape)


def draw_pair(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    """Two operands of one shape; or one is a number, of any kind, or a row, or a column."""
    shape = draw(shapes)
    full = numbers(draw, dtype, shape)
    kind = draw(st.sampled_from(["same", "same", "float", "int", "0-d", "row", "column"]))
    if kind == "same":
        other: Any = numbers(draw, dtype, shape)
    elif kind == "float":
        other = draw(st.sampled_from([0.0, -0.0, 0.1, -3.0, 1e39, np.inf, np.nan]))
    elif kind == "int":
        other = draw(st.integers(-5, 5))
    elif kind == "0-d":
        other = numbers(draw, dtype, ())
    elif kind == "row":
        other = numbers(draw, dtype, shape[-1:])
    else:
        other = numbers(draw, dtype, (*shape[:-1], 1))
    return [full, other] if draw(st.booleans()) else [other, full]


def draw_gradient(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    shape = draw(shapes)
    return [numbers(draw, dtype, shape), np.asarray(np.maximum(numbers(draw, dtype, shape), 0))]


def draw_one(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    return [numbers(draw, dtype, draw(shapes))]


def the_same(arguments: list[Any], position: int | None, after: Array) -> Array:
    return np.zeros(())


def total_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    x = arguments[0].astype(np.float64)
    eps = float(np.finfo(arguments[0].dtype).eps)
    return np.asarray(2 * min(x.size, 2_048 + 64) * eps / 2 * np.abs(x[np.isfinite(x)]).sum())


ELEMENTS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    **dict.fromkeys(("plus", "minus", "times", "over"), (draw_pair, the_same)),
    "relu": (draw_one, the_same),
    "relu_backward": (draw_gradient, the_same),
    "total": (draw_one, total_allows),
}
