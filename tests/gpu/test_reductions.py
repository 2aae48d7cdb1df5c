"""Sums, maxima and their places, along rows and columns, equal NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from chainrule.engine.devices import get_device
from chainrule.gpu import emulator, rows
from chainrule.gpu.families import reductions

from .parity import (
    DTYPES,
    Array,
    Case,
    Draw,
    attributes,
    check,
    compare,
    every,
    numbers,
    same_every_time,
)

Lengths = st.SearchStrategy[int]


def draw_reduction(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    """Axes side by side of an array with up to four axes, one of which may be long."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    shape[draw(st.integers(0, len(shape) - 1))] = draw(lengths)
    first = draw(st.integers(0, len(shape) - 1))
    axes = range(first, draw(st.integers(first, len(shape) - 1)) + 1)
    axis = tuple(draw(st.sampled_from([i, i - len(shape)])) for i in axes)
    axis = draw(st.sampled_from([axis, axis[::-1], None] + ([axis[0]] if len(axis) == 1 else [])))
    return [numbers(draw, dtype, *shape), axis, draw(st.booleans())]


def draw_place(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    x, axis, keepdims = draw_reduction(draw, dtype, lengths)
    x = draw(st.sampled_from([x, np.round(x / 50)]))  # with ties
    return [x, axis[0] if isinstance(axis, tuple) else axis, keepdims]


def sum_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """Sums of n numbers in two orders: each is off by n u times the sum of their sizes."""
    x, axis, keepdims = arguments
    size = np.nan_to_num(np.abs(x), posinf=0).astype(np.float64)
    count = x.size // truth.size
    return count * np.finfo(x.dtype).eps * size.sum(axis=axis, keepdims=keepdims)


def same(arguments: list[Any], position: int | None, truth: Array) -> int:
    return 0


#: In one piece; in pieces, however few numbers there are; with few blocks for many rows.
PLANS = (
    lambda: attributes(rows),
    lambda: attributes(reductions, cut=lambda n, *others: (-(-n // 8), 8)),
    lambda: attributes(rows, MOST_BLOCKS=2, LONGEST_OF_WARP=8),
)

CASES = {
    "sum": Case(draw_reduction, sum_allows, settings=PLANS),
    "max": Case(draw_reduction, same, settings=PLANS),
    "argmax": Case(draw_place, same, settings=PLANS),
}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name])


@pytest.mark.parametrize("shape", [(1, 70_000), (50_000, 3), (3, 20_001), (2, 9_000, 40)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", list(CASES))
def test_long_ones_are_cut(device: Any, dtype: Any, name: str, shape: tuple[int, ...]) -> None:
    """Two launches; among the numbers there are many equal ones, and the largest occurs often."""
    x = np.random.default_rng(0).integers(-9, 10, shape).astype(dtype)
    axis = len(shape) - 1 if shape[0] == 1 or shape[-1] > 1000 else len(shape) - 2
    launched = compare(device, "raw", name, CASES[name], [x, axis, False])
    assert len(launched) == 2


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", list(CASES))
def test_is_free_of_faults(kernel_set: str, name: str, plan: Any) -> None:
    random = np.random.default_rng(0)
    shapes = (((3, 33), 1), ((40, 5), 0), ((5, 300), 1), ((2, 70, 33), 1))
    for shape, axis in shapes[: 2 if kernel_set == "numba" else None]:
        x = random.standard_normal(shape).astype(np.float32)
        with plan(), emulator.checked(), emulator.schedule("shuffle:1"):
            compare(get_device("emulated"), kernel_set, name, CASES[name], [x, axis, False])


@pytest.mark.parametrize("name", list(CASES))
def test_what_is_left_to_the_reference(device: Any, kernel_set: str, name: str) -> None:
    """Integers, gaps in memory, axes apart from each other, no axes, nothing at all."""
    kernel = getattr(device.sets[kernel_set], name)
    x = device.from_host(np.arange(24.0).reshape(2, 3, 4))
    axes = 1 if name == "argmax" else (0, 2)
    for array, axis in ((x.astype("int64"), 1), (x[..., ::2], 1), (x, axes)):
        result, truth = kernel(array, axis=axis), getattr(np, name)(device.to_host(array), axis)
        np.testing.assert_array_equal(device.to_host(result), truth)
    if name != "argmax":
        np.testing.assert_array_equal(device.to_host(kernel(x, axis=())), device.to_host(x))
    if name == "sum":
        assert device.to_host(kernel(x[:0], axis=0)).tolist() == np.zeros((3, 4)).tolist()
    else:
        with pytest.raises(ValueError, match=r"reduction|empty"):
            kernel(x[:0], axis=0)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_sums_are_the_same_every_time(axis: int | None) -> None:
    """To the last bit: what is added to what depends on the shape alone."""
    x = np.random.default_rng(0).standard_normal((9, 5_000)).astype(np.float32)
    same_every_time("sum", CASES["sum"], [x, axis])
