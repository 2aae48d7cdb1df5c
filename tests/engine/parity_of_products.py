"""How the products of matrices are tested against NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

#: The axes in front of the left matrices and of the right ones.
LEADS = [
    *(((), ()), ((3,), ()), ((2, 3), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((2, 0), ())),
    *(((1, 3), (2, 1)), ((3,), (2, 3)), ((), (2, 3)), ((2, 1, 2), (2, 1, 2))),
]


def draw_matmul(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = st.sampled_from([1, 2, 9, 33, 70])
    rows, k, columns = draw(lengths), draw(lengths), draw(lengths)
    odd = draw(st.sampled_from([0.0, np.inf, np.nan]))

    def matrices(lead: tuple[int, ...], high: int, wide: int) -> Array:
        if draw(st.booleans()):  # columns are contiguous
            array = random.standard_normal((*lead, wide, high)).astype(dtype).swapaxes(-1, -2)
        else:
            array = random.standard_normal((*lead, high, wide)).astype(dtype)
        if len(lead) == 2 and draw(st.booleans()):  # as the heads of attention lie
            array = np.ascontiguousarray(array.swapaxes(-2, -3)).swapaxes(-2, -3)
        if array.size:
            array[..., random.integers(high), random.integers(wide)] = odd
        array.flags.writeable = draw(st.booleans())
        return array

    left, right = draw(st.sampled_from(LEADS))
    return [matrices(left, rows, k), matrices(right, k, columns)]


def matmul_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """A sum of k products, in another order: k u times the sum of their sizes on either side."""
    a, b = (
        np.abs(np.nan_to_num(each.astype(np.float64), posinf=0, neginf=0)) for each in arguments
    )
    found: Array = a.shape[-1] * float(np.finfo(after.dtype).eps) * (a @ b)
    return found


PRODUCTS = {"matmul": (draw_matmul, matmul_allows)}
