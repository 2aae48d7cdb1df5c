"""Rows looked up, and added up, at an index: to the bit, in every order of threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import chainrule as cr
from chainrule.gpu import emulator
from chainrule.gpu.families import embedding

from .parity import (
    DTYPES,
    SCHEDULES,
    Array,
    Case,
    Draw,
    attributes,
    check,
    every,
    launches,
    numbers,
)

Lengths = st.SearchStrategy[int]

#: No pieces, pieces of three values each, of one; and all accesses checked.
PLANS = (
    lambda: attributes(embedding),
    lambda: attributes(embedding, CHUNK=3),
    lambda: attributes(embedding, CHUNK=1),
    emulator.checked,
)


def draw_index(draw: Draw, lengths: Lengths) -> tuple[tuple[int, ...], Any]:
    """The shape of an array, and an index into it: of rows, or of any other form."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, length = draw(st.sampled_from([1, 2, 5, 40])), draw(lengths)
    count = draw(st.sampled_from([n for n in (1, 3, 30, 200) if n == 1 or n * length < 3_000]))

    def ids(n: int, *shape: int) -> Array:
        if draw(st.booleans()):  # most of them the same
            return np.where(random.random(shape) < 0.8, n - 1, random.integers(-n, n, shape))
        return random.integers(-n, n, shape)

    form = draw(st.sampled_from(["rows", "rows", "table", "columns", "both", "mask"]))
    if form == "rows":
        return (rows, length), (ids(rows, count), slice(None))
    if form == "table":
        return (rows, length), ids(rows, 2, count)
    if form == "columns":
        return (3, rows), (slice(None, None, -1), ids(rows, count))
    if form == "both":
        return (rows, 4), (ids(rows, count), ids(4, count))
    return (rows, length), random.random((rows, length)) < 0.7


def draw_gather(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    length, rows = draw(lengths), draw(st.sampled_from([1, 5, 40]))
    shape = draw(st.sampled_from([(rows, length), (rows, 2, length)]))
    count = draw(st.sampled_from([n for n in (1, 3, 60) if n == 1 or n * length < 3_000]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    index = random.integers(-rows, rows, draw(st.sampled_from([(count,), (count, 2)])))
    return [numbers(draw, dtype, *shape), index.astype(draw(st.sampled_from(["int64", "int32"])))]


def draw_scatter(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    shape, index = draw_index(draw, lengths)
    values = numbers(draw, dtype, *np.empty(shape)[index].shape)
    return [values, index, shape] if values.size else draw_scatter(draw, dtype, lengths)


def draw_update(draw: Draw, dtype: np.dtype[Any], lengths: Lengths) -> list[Any]:
    values, index, shape = draw_scatter(draw, dtype, lengths)
    return [numbers(draw, dtype, *shape), values, index]


def nothing(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """Nothing is computed."""
    return 0.0


def sum_allows(arguments: list[Any], position: int | None, truth: Array) -> Any:
    """Sums in pieces: n roundings each, of no more than the sum of all sizes."""
    arrays = [each for each in arguments[:2] if isinstance(each, np.ndarray)]
    sizes = [np.abs(np.nan_to_num(each, posinf=0, neginf=0)).sum(dtype="f8") for each in arrays]
    count = sum(each.size for each in arrays)
    return 2 * count * float(np.finfo(truth.dtype).eps) * sum(sizes)


CASES = {
    "gather_rows": Case(draw_gather, nothing, settings=(PLANS[0], emulator.checked)),
    "scatter_index": Case(draw_scatter, sum_allows, settings=PLANS),
    "index_add": Case(draw_update, sum_allows, settings=PLANS),
}


@every(CASES)
def test_equals_reference(device: Any, kernel_set: str, dtype: Any, name: str) -> None:
    check(device, kernel_set, dtype, name, CASES[name])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [1, 3, 4, 70])
def test_sums_are_those_of_a_loop_to_the_bit(
    device: Any, kernel_set: str, dtype: Any, columns: int
) -> None:
    random = np.random.default_rng(columns)
    values = random.standard_normal((90, columns)).astype(dtype)
    index, x = random.integers(0, 4, 90), random.standard_normal((5, columns)).astype(dtype)
    k = device.sets[kernel_set]
    for schedule in SCHEDULES[:2]:
        with emulator.schedule(schedule):
            total = k.index_add(device.from_host(x), device.from_host(values), index)
        expected = x.copy()
        for i, value in zip(index, values, strict=True):
            expected[i] += value
        np.testing.assert_array_equal(device.to_host(total), expected)


def test_a_row_with_very_many_values_is_cut_into_pieces(device: Any) -> None:
    """As padding is: its pieces, next to other rows, make the same bits in every order."""
    random = np.random.default_rng(0)
    index = np.where(random.random(6_000) < 0.9, 0, random.integers(0, 5, 6_000))
    values = random.standard_normal((6_000, 3)).astype("float32")
    found = []
    for schedule in SCHEDULES:
        with emulator.schedule(schedule), launches() as launched:
            k = device.sets["raw"]
            found.append(device.to_host(k.scatter_index(device.from_host(values), index, (5, 3))))
        assert launched == ["segment_pieces", "segment_sums"]
    for each in found:
        np.testing.assert_array_equal(each, found[0])
    exact = np.zeros((5, 3))
    np.add.at(exact, index, values.astype("float64"))
    # No number goes through more additions than a piece has, and there are pieces.
    most = (embedding.CHUNK + 6_000 / embedding.CHUNK) * np.finfo("float32").eps
    assert (np.abs(found[0] - exact) <= most * np.abs(values).sum()).all()


def test_an_index_of_the_host_is_checked_there(device: Any, kernel_set: str) -> None:
    x = cr.tensor(np.ones((3, 2)), device=device.name)
    with cr.kernels(kernel_set):
        for wrong in ([0, 3], [-4]):
            for call in (lambda index: x[index], lambda index: cr.take(x, index, axis=0)):
                with pytest.raises(IndexError, match="out of bounds for axis 0 of length 3"):
                    call(wrong)


@pytest.mark.parametrize("wrong", [3, -4, 2**40])
def test_an_index_of_the_device_cannot_read_elsewhere(
    device: Any, kernel_set: str, wrong: int
) -> None:
    """Nobody can raise an error there; the row is NaN, and no memory of others is read."""
    k = device.sets[kernel_set]
    x, index = device.from_host(np.ones((3, 5))), device.from_host(np.array([1, wrong, -3]))
    y = device.from_host(np.zeros((3, 5)))
    with emulator.checked():
        embedding.gather(k, x, index, y, 3, 3, 5, grid=1)
    np.testing.assert_array_equal(device.to_host(y)[:, 0], [1, np.nan, 1])


@pytest.mark.parametrize("wrong", [3, 2**40])
def test_an_index_of_the_device_cannot_write_elsewhere(
    device: Any, kernel_set: str, wrong: int
) -> None:
    """What belongs to no row is added to none."""
    k, values = device.sets[kernel_set], device.from_host(np.ones((8, 5)))
    index = device.from_host(np.array([1, wrong, -3, 1, wrong, wrong, 1, wrong]))
    for chunk in (512, 2):
        with emulator.checked(), attributes(embedding, CHUNK=chunk):
            total = device.to_host(k.scatter_index(values, index, (3, 5)))
        np.testing.assert_array_equal(total[:, 0], [1, 3, 0])


def test_gradients_of_lookups(device: Any, kernel_set: str) -> None:
    """Of every operation with an index, to those of the CPU."""
    x = np.random.default_rng(0).standard_normal((4, 3))
    ids = np.array([[0, 3, 3], [1, 0, 0]])
    calls = [
        lambda x: x[ids],
        lambda x: x[:, [0, 0, 2]],
        lambda x: x[x > 0],
        lambda x: x.at[[1, 1]].add(x[:2] * 2),
        lambda x: x.at[[1, 1, 0]].set(x[:3] * 2),
    ]
    for call in calls:
        found = []
        for where in ("cpu", device.name):
            tensor = cr.tensor(x, device=where, requires_grad=True)
            with cr.kernels(kernel_set if where != "cpu" else "reference"):
                y = call(tensor)
                shape = tuple(y.shape)
                up = np.linspace(-1, 2, math.prod(shape)).reshape(shape)
                y.backward(cr.tensor(up, device=where))
            found.append([each.to("cpu").numpy() for each in (y, tensor.grad)])
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_array_equal(ours, theirs)
