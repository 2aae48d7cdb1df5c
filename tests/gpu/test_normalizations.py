"""The kernels of layer norm and batch norm equal their references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from chainrule.engine.devices import get_device
from chainrule.gpu import emulator, rows
from chainrule.gpu.families import normalizations, reductions

from ..engine.parity_of_rows import REFERENCE, normalization_allows, pull_allows
from .parity import (
    DTYPES,
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


def draw_layer_norm(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    n = draw(lengths)
    count = row_counts(draw, n)
    shape = draw(st.sampled_from([(n,), (count, n), (2, count, n), (count, 1, n, 1)]))
    axes = (0,) if len(shape) == 1 else draw(st.sampled_from([(len(shape) - 1,), (1, 2), (2, 3)]))
    axes = axes if axes[-1] == len(shape) - 1 else (len(shape) - 1,)
    x = numbers(draw, dtype, *shape) + draw(st.sampled_from([0, 1000]))
    scale, offset = (numbers(draw, dtype, *shape[axes[0] :], special=False) for _ in range(2))
    return [x.astype(dtype), scale, offset, axes, draw(st.sampled_from([1e-5, 0.1]))]


def draw_layer_norm_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    x, scale, offset, axes, epsilon = draw_layer_norm(draw, dtype, lengths)
    _, z, weight = REFERENCE.layer_norm(np.nan_to_num(x, posinf=1, neginf=1), 1, 0, axes, epsilon)
    return [numbers(draw, dtype, *x.shape), z.astype(dtype), weight, scale, offset, axes]


def draw_batch_norm(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    """Many rows of few features, or few of many."""
    shape = [draw(lengths), draw(st.sampled_from([1, 2, 3, 10, 32, 33]))]
    shape = shape if shape[0] * shape[1] < 4_000 else [shape[0], 2]
    shape = draw(st.sampled_from([shape, shape[::-1], [1, *shape], [shape[0], 1, shape[1]]]))
    x = numbers(draw, dtype, *shape) + draw(st.sampled_from([0, 1000]))
    scale, offset = (numbers(draw, dtype, shape[-1], special=False) for _ in range(2))
    return [x.astype(dtype), scale, offset, draw(st.sampled_from([1e-5, 0.1]))]


def draw_batch_norm_backward(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    x, scale, _, epsilon = draw_batch_norm(draw, dtype, lengths)
    _, z, weight, *_ = REFERENCE.batch_norm(np.nan_to_num(x, posinf=1, neginf=1), 1, 0, epsilon)
    return [numbers(draw, dtype, *x.shape), z.astype(dtype), weight, scale]


def pieces_of_8(n: int, *others: int) -> tuple[int, int]:
    return -(-n // 8), 8


#: Rows kept by a few threads or by a block, or read twice; columns in one piece, or in many.
PLANS = (
    lambda: attributes(rows),
    lambda: attributes(rows, MOST_KEPT_BY_TEAMS=0),
    lambda: attributes(rows, MOST_KEPT_BY_TEAMS=0, MOST_KEPT=0),
    lambda: attributes(rows, MOST_BLOCKS=1, LONGEST_OF_WARP=8),
    lambda: attributes(normalizations, cut=pieces_of_8, MOST_BLOCKS=3),
)

CASES = {
    "layer_norm": Case(draw_layer_norm, normalization_allows, settings=PLANS),
    "layer_norm_backward": Case(draw_layer_norm_backward, pull_allows, settings=PLANS),
    "batch_norm": Case(draw_batch_norm, normalization_allows, settings=PLANS),
    "batch_norm_backward": Case(draw_batch_norm_backward, pull_allows, settings=PLANS),
}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name])


def arguments_of(name: str, shape: tuple[int, ...], dtype: Any) -> list[Any]:
    random = np.random.default_rng(0)
    x, g = (random.standard_normal(shape).astype(dtype) for _ in range(2))
    scale, offset = (random.standard_normal(shape[-1]).astype(dtype) for _ in range(2))
    axes = (len(shape) - 1,)
    if name == "layer_norm":
        return [x + 1000, scale, offset, axes, 1e-5]
    if name == "batch_norm":
        return [x + 1000, scale, offset, 1e-5]
    if name == "layer_norm_backward":
        _, z, weight = REFERENCE.layer_norm(x, 1, 0, axes, 1e-5)
        return [g, z, weight, scale, offset, axes]
    _, z, weight, *_ = REFERENCE.batch_norm(x, 1, 0, 1e-5)
    return [g, z, weight, scale]


@pytest.mark.parametrize("shape", [(3, 11_265), (2, 20_001), (20_000, 3), (9_000, 40)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", list(CASES))
def test_long_ones(device: Any, dtype: Any, name: str, shape: tuple[int, ...]) -> None:
    """Rows that are not kept, columns in pieces."""
    compare(device, "raw", name, CASES[name], arguments_of(name, shape, dtype))


@pytest.mark.parametrize("name", ["batch_norm", "batch_norm_backward"])
def test_the_last_piece_of_a_column_may_be_shorter(device: Any, kernel_set: str, name: str) -> None:
    """The mean of each piece is far from the others', so that it counts how long each is."""
    arguments = arguments_of(name, (19, 3), np.dtype("float64"))
    arguments[0] += 100 * (np.arange(19) // 8)[:, np.newaxis]
    with attributes(normalizations, cut=pieces_of_8):
        compare(device, kernel_set, name, CASES[name], arguments)


@pytest.mark.parametrize("n", [7, 300])
@pytest.mark.parametrize("plan", PLANS)
def test_equal_numbers_give_exactly_the_offset(
    device: Any, kernel_set: str, plan: Any, n: int
) -> None:
    """Also where they are far from 0, and where their mean would be rounded."""
    kernels = device.sets[kernel_set]
    for shape in ((2, n), (n if n < 9 else 30, 2)):
        x = device.from_host(np.full(shape, 12345.678, np.float32))
        one = device.from_host(np.ones(shape[-1], np.float32))
        with plan():
            y = kernels.layer_norm(x, one, one, (1,), 1e-5)[0]
            assert (device.to_host(y) == 1).all()
            y, _, _, mean, variance = kernels.batch_norm(x, one, one, 1e-5)
        assert (device.to_host(y) == 1).all()
        assert (device.to_host(mean) == np.float32(12345.678)).all()
        assert (device.to_host(variance) == 0).all()


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", list(CASES))
def test_is_free_of_faults(kernel_set: str, name: str, plan: Any) -> None:
    shapes = ((3, 33), (40, 5), (2, 2, 64), (5, 300))
    for shape in shapes[: 2 if kernel_set == "numba" else None]:
        arguments = arguments_of(name, shape, np.float32)
        with plan(), emulator.checked(), emulator.schedule("shuffle:1"):
            compare(get_device("emulated"), kernel_set, name, CASES[name], arguments)


@pytest.mark.parametrize("shape", [(9, 300), (5_000, 3)])
@pytest.mark.parametrize("name", list(CASES))
def test_results_are_the_same_every_time(name: str, shape: tuple[int, ...]) -> None:
    same_every_time(name, CASES[name], arguments_of(name, shape, np.float32))


def test_sums_of_pieces_are_reduced_by_the_other_family(device: Any) -> None:
    """A launch for the gradient of x, one for pieces of the sums, one for the sums."""
    arguments = arguments_of("batch_norm_backward", (9_000, 3), np.float32)
    launched = compare(
        device, "raw", "batch_norm_backward", CASES["batch_norm_backward"], arguments
    )
    assert launched == ["feature_sums", reductions.SUM.columns.name, "feature_pull"]


@pytest.mark.parametrize("scale", [1.0, np.ones((3, 1), np.float32)])
def test_other_parameters_are_left_to_the_reference(
    device: Any, kernel_set: str, scale: Any
) -> None:
    x = device.from_host(np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32))
    scale = scale if isinstance(scale, float) else device.from_host(scale)
    y, z, _ = device.sets[kernel_set].layer_norm(x, scale, 0.0, (1,), 1e-5)
    assert y.shape == z.shape == (3, 4)
    np.testing.assert_array_equal(device.to_host(y), device.to_host(z))
