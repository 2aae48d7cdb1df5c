"""The steps of optimisers, and the size of gradients, equal their references."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import chainrule as cr
from chainrule.gpu import emulator

from ..engine.test_kernel_parity import adam_step_allows, sgd_step_allows, spacing
from .parity import DTYPES, Array, Case, Draw, check, every, launches, numbers

Lengths = st.SearchStrategy[int]
rates = st.sampled_from([1e-3, 0.1, 1.0])
decays = st.sampled_from([0.0, 1e-4, 0.3])


def draw_sgd(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    n = draw(lengths)
    w, g, velocity = (numbers(draw, dtype, n) for _ in range(3))
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    nesterov = bool(momentum) and draw(st.booleans())
    return [w, g, velocity if momentum else None, draw(rates), momentum, nesterov, draw(decays)]


def draw_memory(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    n = draw(lengths)
    w, g, m = (numbers(draw, dtype, n) for _ in range(3))
    betas = [draw(st.sampled_from([0.0, 0.5, 0.9])), draw(st.sampled_from([0.5, 0.999]))]
    return [w, g, m, np.abs(numbers(draw, dtype, n)), draw(rates), *betas]


steps = st.sampled_from([1, 2, 10, 100_000])


def draw_adam(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    epsilon = draw(st.sampled_from([1e-8, 1e-3]))
    return [*draw_memory(draw, dtype, lengths), epsilon, draw(decays), draw(steps)]


def draw_printed(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [*draw_memory(draw, dtype, lengths), draw(steps)]


def printed_allows(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """Of w: each side rounds the step five times; a denormal mean, up to 1,000 times enlarged."""
    w, rate = arguments[0], arguments[4]
    if position:
        return adam_step_allows([*arguments[:7], 1.0, 0.0, 1], position, truth)
    size = np.maximum(*(np.abs(np.nan_to_num(each, posinf=0, neginf=0)) for each in (w, truth)))
    smallest = float(np.finfo(w.dtype).smallest_subnormal)
    return 24 * spacing(size) + 4 * smallest * (1 + 1000 * rate)


def draw_numbers(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    return [numbers(draw, dtype, draw(lengths), draw(st.sampled_from([1, 9])))]


def sum_allows(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """Each side rounds n squares, and a sum n times."""
    size = np.nan_to_num(truth, posinf=0).astype(np.float64)
    return 2 * arguments[0].size * float(np.finfo(truth.dtype).eps) * size


def draw_clip(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    norm = draw(st.sampled_from([0.0, 1.0, 7.5, np.inf, np.nan]))
    limit = draw(st.sampled_from([0.1, 1.0, 10.0]))
    return [numbers(draw, dtype, draw(lengths)), np.array(norm, dtype), limit]


def few_roundings(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """A quotient and a product, on each side."""
    return 4 * spacing(np.abs(np.nan_to_num(truth, posinf=0, neginf=0)))


def nothing(arguments: list[Any], position: int | None, truth: Array) -> Any:
    return 0.0


PLANS = (ExitStack, emulator.checked)
CASES = {
    "sgd_step": Case(draw_sgd, sgd_step_allows, (0, 2), PLANS),
    "adam_step": Case(draw_adam, adam_step_allows, (0, 2, 3), PLANS),
    "adam_step_as_printed": Case(draw_printed, printed_allows, (0, 2, 3), PLANS),
    "sum_of_squares": Case(draw_numbers, sum_allows, settings=PLANS),
    "clip_to_norm": Case(draw_clip, few_roundings, (0,), PLANS),
    "all_finite": Case(draw_numbers, nothing, settings=PLANS),
}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name], 24 if kernel_set == "raw" else 6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_runs_that_begin_anywhere(device: Any, kernel_set: str, dtype: Any) -> None:
    """Runs of a packed buffer need not be aligned to 16 bytes, nor be alike in that."""
    random = np.random.default_rng(0)
    buffers = [random.standard_normal(40).astype(dtype) for _ in range(4)]
    buffers[3] = np.abs(buffers[3])
    k = device.sets[kernel_set]
    for starts in ((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 3), (4, 4, 4, 5)):
        expected = [each.copy() for each in buffers]
        on_device = [device.from_host(each) for each in buffers]
        for arrays, kernels in ((expected, None), (on_device, k)):
            runs = [each[i : i + 30] for each, i in zip(arrays, starts, strict=True)]
            step = kernels.adam_step if kernels else reference_step
            step(*runs, 0.1, 0.9, 0.99, 1e-8, 0.1, 3)
        for found, truth in zip(on_device, expected, strict=True):
            np.testing.assert_allclose(
                device.to_host(found), truth, rtol=1e-5, atol=20 * np.finfo(dtype).eps
            )


def reference_step(*arguments: Any) -> None:
    from chainrule.engine.devices import get_device

    get_device("cpu").sets["reference"].adam_step(*arguments)


def test_arrays_with_gaps_are_left_to_the_reference(device: Any, kernel_set: str) -> None:
    w, g = np.arange(8.0), np.ones(8)
    on_device = [device.from_host(each) for each in (w, g)]
    k = device.sets[kernel_set]
    k.sgd_step(on_device[0][::2], on_device[1][:4], None, 0.5, 0.0, False, 0.0)
    k.clip_to_norm(on_device[1][::2], device.from_host(np.array(2.0)), 1.0)
    np.testing.assert_array_equal(device.to_host(on_device[0])[::2], w[::2] - 0.5)
    np.testing.assert_array_equal(device.to_host(on_device[0])[1::2], w[1::2])
    np.testing.assert_array_equal(device.to_host(on_device[1]), [0.5, 1.0] * 4)


def test_long_sums_in_every_order(device: Any) -> None:
    """More parts than one: the same bits in every order of threads, and a small error."""
    x = np.random.default_rng(0).standard_normal(100_001).astype("float32")
    found = []
    for schedule in ("forward", "reverse", "shuffle:3"):
        with emulator.schedule(schedule), launches() as launched:
            found.append(device.to_host(device.sets["raw"].sum_of_squares(device.from_host(x))))
        assert launched == ["square_sums", "row_sum"]
    assert found[0] == found[1] == found[2]
    exact = np.sum(x.astype("float64") ** 2)
    assert abs(found[0] - exact) <= 40 * np.finfo("float32").eps * exact  # a tree, of few levels


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_one_odd_number_among_many_is_found(device: Any, odd: float) -> None:
    x = np.ones(50_003, "float32")
    k = device.sets["raw"]
    assert device.to_host(k.all_finite(device.from_host(x)))
    for i in (0, 8191, 30_000, 50_002):
        x[:] = 1
        x[i] = odd
        assert not device.to_host(k.all_finite(device.from_host(x)))


@pytest.mark.parametrize("rule", ["SGD", "Adam"])
def test_optimizers_step_all_neighbours_at_once(device: Any, kernel_set: str, rule: str) -> None:
    """As on the CPU; in one launch, since the parameters are packed."""
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) for shape in ((3, 4), (5,), (2, 2))]
    found = []
    for where in ("cpu", device.name):
        parameters = [cr.tensor(each, device=where, requires_grad=True) for each in arrays]
        optimizer = getattr(cr.optim, rule)(parameters, learning_rate=0.1)
        for _ in range(3):
            sum((each * each * each).sum() for each in parameters).backward()
            with cr.kernels(kernel_set if where != "cpu" else "reference"), launches() as launched:
                optimizer.step()
            optimizer.zero_grad()
        assert launched == ([f"{rule.lower()}_step"] if where != "cpu" else [])
        found.append([each.to("cpu").numpy() for each in parameters])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13)
