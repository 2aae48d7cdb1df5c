"""The kernels of softmax equal their references."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from chainrule.gpu import emulator, rows
from chainrule.gpu.families import softmax

from ..engine.parity_of_rows import REFERENCE, mask_for, softmax_allows, softmax_pull_allows
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
    row_counts,
    same_every_time,
)

Lengths = st.SearchStrategy[int]


def shape_of(draw: Draw, lengths: Lengths) -> tuple[int, ...]:
    n = draw(lengths)
    count = row_counts(draw, n)
    return draw(st.sampled_from([(n,), (count, n), (2, count, n), (2, 1, count, n)]))


def draw_softmax(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    shape = shape_of(draw, lengths)
    return [numbers(draw, dtype, *shape), draw(st.integers(-len(shape), len(shape) - 1))]


def draw_masked(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    shape = shape_of(draw, lengths)
    mask = mask_for(draw, shape)
    return [numbers(draw, dtype, *shape), mask, draw(st.sampled_from([-1, len(shape) - 1]))]


def draw_masked_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    x, mask, axis = draw_masked(draw, dtype, lengths)
    y = REFERENCE.masked_softmax(np.nan_to_num(x, posinf=1, neginf=1), mask, axis)
    return [numbers(draw, dtype, *x.shape), y.astype(dtype), mask, axis]


def draw_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    x, axis = draw_softmax(draw, dtype, lengths)
    y = REFERENCE.softmax(np.nan_to_num(x, posinf=1, neginf=1), axis)
    return [numbers(draw, dtype, *x.shape), y, (axis % x.ndim,)]


def along(arguments: list[Any]) -> int:
    axis = arguments[-1]
    return axis[0] if isinstance(axis, tuple) else axis


def moved(arguments: list[Any]) -> list[Any]:
    """The arguments with the axis last."""
    axis = along(arguments)
    return [np.moveaxis(each, axis, -1) for each in arguments if isinstance(each, np.ndarray)]


def forward_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    allowed = softmax_allows(arguments, position, np.moveaxis(truth, along(arguments), -1))
    return np.moveaxis(allowed, -1, along(arguments))


def backward_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    allowed = softmax_pull_allows(moved(arguments), position, truth)
    return np.moveaxis(allowed, -1, along(arguments))


def logarithm_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """The sum is off by (n + 4) eps relatively; two roundings more, of what is subtracted."""
    size = np.nan_to_num(np.abs(truth), posinf=0).astype(np.float64)
    eps = float(np.finfo(truth.dtype).eps)
    return eps * (truth.shape[along(arguments)] + 4 + 2 * size)


#: Rows kept in shared memory, by a few threads or by a block, or read twice.
PLANS = (
    lambda: attributes(rows),
    lambda: attributes(rows, MOST_KEPT_BY_TEAMS=0),
    lambda: attributes(rows, MOST_KEPT_BY_TEAMS=0, MOST_KEPT=0),
    lambda: attributes(rows, MOST_BLOCKS=2),
)

CASES = {
    "softmax": Case(draw_softmax, forward_allows, settings=PLANS),
    "log_softmax": Case(draw_softmax, logarithm_allows, settings=PLANS),
    "masked_softmax": Case(draw_masked, softmax_allows, settings=PLANS),
    "softmax_backward": Case(draw_backward, backward_allows, settings=PLANS),
    "masked_softmax_backward": Case(draw_masked_backward, softmax_pull_allows, settings=PLANS),
}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name])


@pytest.mark.parametrize("columns", [1024, 1028, 11_264, 11_265, 20_001])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", list(CASES))
def test_long_rows(device: Any, dtype: Any, name: str, columns: int) -> None:
    """At the sizes from which rows are dealt out otherwise, with steps up and down."""
    compare(device, "raw", name, CASES[name], arguments_of(name, columns, dtype))


def test_a_million_columns(device: Any) -> None:
    x = np.random.default_rng(0).standard_normal((1, 1_000_000)).astype(np.float32)
    x[0, -1] = 20.0
    y = device.to_host(device.sets["raw"].softmax(device.from_host(x), -1))
    powers = np.exp(x.astype(np.float64) - 20)
    # Each thread adds 3,907 numbers, one after the other.
    np.testing.assert_allclose(y, powers / powers.sum(), rtol=4_000 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("columns", [300, 12_000])
@pytest.mark.parametrize("name", list(CASES))
def test_results_are_the_same_every_time(name: str, columns: int) -> None:
    same_every_time(name, CASES[name], arguments_of(name, columns, np.float32))


def arguments_of(name: str, columns: int, dtype: Any) -> list[Any]:
    random = np.random.default_rng(0)
    x = (random.standard_normal((3, columns)) + 5 * np.sin(np.arange(columns) / 99)).astype(dtype)
    mask = random.random((1, columns)) < 0.5
    y = REFERENCE.masked_softmax(x, mask if "masked" in name else True, -1)
    arguments = [x, y] if "backward" in name else [x]
    arguments += [mask] if "masked" in name else []
    return [*arguments, (1,) if "backward" in name else -1]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", list(CASES))
def test_is_free_of_faults(kernel_set: str, name: str, plan: Any) -> None:
    """No race, no access out of bounds, no barrier that some threads miss."""
    from chainrule.engine.devices import get_device

    random = np.random.default_rng(0)
    shapes = ((3, 33), (2, 2, 64), (5, 300))
    for shape in shapes[: 2 if kernel_set == "numba" else None]:
        x = random.standard_normal(shape).astype(np.float32)
        mask = random.random((1, shape[-1])) < 0.5
        arguments = [x, x] if "backward" in name else [x]
        arguments += [mask] if "masked" in name else []
        axis = (len(shape) - 1,) if "backward" in name else -1
        with plan(), emulator.checked(), emulator.schedule("shuffle:1"):
            compare(get_device("emulated"), kernel_set, name, CASES[name], [*arguments, axis])


@pytest.mark.parametrize("kept", list(itertools.product([False, True], repeat=4)))
def test_masks_of_every_shape(device: Any, kernel_set: str, kept: tuple[bool, ...]) -> None:
    """Such as the same for all heads; one that repeats along one stretch of axes is not copied."""
    shape = (2, 3, 2, 5)
    smaller = tuple(n if keep else 1 for n, keep in zip(shape, kept, strict=True))
    random = np.random.default_rng(0)
    mask, x = random.random(smaller) < 0.6, random.standard_normal(shape)
    compare(device, kernel_set, "masked_softmax", CASES["masked_softmax"], [x, mask, -1])
    launched, repeats, _ = softmax._repeated(np, mask, shape)
    if kept[:3] == (False, True, False):
        assert (launched.size, repeats) == (x.size, 1)
    else:
        assert launched.size == mask.size * (1 if kept[3] else 5)


@pytest.mark.parametrize("shape", [(2, 0), (0, 3), ()])
def test_of_nothing(device: Any, kernel_set: str, shape: tuple[int, ...]) -> None:
    """What the kernels are not made for is the reference's, on the same device."""
    x = device.from_host(np.ones(shape, np.float32))
    y = device.sets[kernel_set].softmax_backward(x, x, tuple(range(len(shape)))[-1:])
    assert y.shape == shape and y.dtype == np.float32
