"""Sorting: the order of elements, NaN and equal ones among them, and where the gradients go."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.checking.operations import upstream_for

from .test_reductions import both_orders, calls, seeds

quick = settings(deadline=None, max_examples=20)
nan = math.nan


@quick
@given(call=calls(least=0, one_axis=True, ndim=1), descending=st.booleans(), seed=seeds)
def test_sorted_elements_and_their_gradients_are_pytorchs(call, descending, seed):
    torch = pytest.importorskip("torch")
    x, _, stable = call
    x = np.unique(x)[np.argsort(np.random.default_rng(seed).random(np.unique(x).size))]
    both_orders(
        lambda t: cr.sort(t, descending=descending, stable=stable) ** 2,
        lambda t: torch.sort(t, descending=descending).values ** 2,
        x,
        seed,
        torch,
    )


@quick
@given(call=calls(least=0, one_axis=True, ndim=1), descending=st.booleans(), seed=seeds)
def test_stable_sorting_with_ties_is_pytorchs(call, descending, seed):
    torch = pytest.importorskip("torch")
    x, axis, _ = call
    theirs = torch.argsort(
        torch.tensor(x.copy()), dim=axis, descending=descending, stable=True
    ).numpy()
    found = cr.argsort(x, axis=axis, descending=descending)
    np.testing.assert_array_equal(found.numpy(), theirs)
    assert found.dtype == np.int64
    both_orders(
        lambda t: cr.sort(t, axis=axis, descending=descending) ** 3,
        lambda t: torch.sort(t, dim=axis, descending=descending, stable=True).values ** 3,
        x,
        seed,
        torch,
    )


@quick
@given(call=calls(one_axis=True, ndim=1), data=st.data(), seed=seeds)
def test_the_largest_elements_are_those_a_stable_falling_sort_begins_with(call, data, seed):
    torch = pytest.importorskip("torch")
    x, axis, _ = call
    k = data.draw(st.integers(0, x.shape[axis]))
    values, indices = cr.top_k(x, k, axis=axis)
    expected = cr.argsort(x, axis=axis, descending=True).numpy()
    expected = np.take(expected, np.arange(k), axis=axis)
    np.testing.assert_array_equal(indices.numpy(), expected)
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(x, expected, axis))
    both_orders(
        lambda t: cr.top_k(t, k, axis=axis)[0] ** 3,
        lambda t: (
            torch.sort(t, dim=axis, descending=True, stable=True).values.narrow(axis, 0, k) ** 3
        ),
        x,
        seed,
        torch,
    )


@quick
@given(call=calls(), seed=seeds)
def test_medians_are_numpys_and_their_gradient_sums_to_the_upstream(call, seed):
    array, axis, keepdims = call
    x = cr.tensor(array, requires_grad=True)
    y = cr.median(x, axis=axis, keepdims=keepdims)
    axes = axis if array.ndim else None
    expected = array if axes == () else np.median(array, axis=axes, keepdims=keepdims)
    np.testing.assert_array_equal(y.numpy(), expected)
    y = cr.median(x, axis=axis, keepdims=True)
    up = upstream_for(y.shape, seed)
    y.backward(up)
    g = x.grad.numpy()
    np.testing.assert_allclose(g.sum(axis=axis, keepdims=True), up, rtol=1e-14)


def test_the_middle_two_have_half_of_the_gradient_each():
    x = np.array([3.0, 1.0, 2.0, 5.0])
    cr.assert_gradients(cr.median, x, order=2)
    t = cr.tensor(x, requires_grad=True)
    t.median().backward(-8.0)
    assert t.grad.tolist() == [-4.0, 0.0, -4.0, 0.0]


def test_the_median_of_large_numbers_does_not_overflow():
    assert cr.median(cr.tensor([1.5e308, 1.7e308])).item() == 1.6e308


def test_nan_comes_last_in_either_direction():
    x = cr.tensor([nan, 2.0, nan, 1.0], requires_grad=True)
    rising, falling = cr.sort(x), cr.sort(x, descending=True)
    np.testing.assert_array_equal(rising.numpy(), np.sort(x.numpy()))
    np.testing.assert_array_equal(falling.numpy(), [2.0, 1.0, nan, nan])
    assert cr.argsort(x, descending=True).tolist() == [1, 3, 0, 2]
    falling.backward([10.0, -20.0, 30.0, -40.0])
    assert x.grad.tolist() == [30.0, 10.0, -40.0, -20.0]


def test_nan_is_the_largest_for_top_k_as_for_max():
    x = cr.tensor([1.0, nan, 3.0, nan])
    values, indices = x.top_k(3)
    np.testing.assert_array_equal(values.numpy(), [nan, nan, 3.0])
    assert indices.tolist() == [1, 3, 2]


def test_one_nan_makes_the_median_nan():
    """Sorted last, it is far from the middle."""
    for row in ([1.0, nan, 3.0, 2.0, 5.0], [nan, 1.0, 2.0, 3.0]):
        assert math.isnan(cr.median(cr.tensor(row)).item())


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int64", "uint64", "float32"])
@pytest.mark.parametrize("descending", [False, True])
def test_integers_are_sorted_at_the_ends_of_their_range(kind, descending):
    if kind == "bool":
        x = np.array([True, False, True])
    elif kind == "float32":
        x = np.array([np.inf, -np.inf, 0.0, 1.5], kind)
    else:
        about = np.iinfo(kind)
        x = np.array([about.min, about.max, 0, about.min, 1], kind)
    result = cr.sort(cr.tensor(x), descending=descending)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result.numpy(), np.sort(x)[:: -1 if descending else 1])
    order = cr.argsort(cr.tensor(x), descending=descending).tolist()
    for i, j in itertools.pairwise(order):
        assert x[i] != x[j] or i < j
    values, _ = cr.top_k(cr.tensor(x), 2)
    np.testing.assert_array_equal(values.numpy(), np.sort(x)[::-1][:2])


def test_sorting_leaves_the_tensor_as_it_was():
    x = cr.tensor([3.0, 1.0, 2.0])
    assert x.sort().tolist() == [1.0, 2.0, 3.0]
    assert x.tolist() == [3.0, 1.0, 2.0]


def test_too_many_and_too_few_of_the_largest_are_told():
    x = cr.zeros((2, 3), dtype="float32")
    with pytest.raises(
        cr.ShapeError, match=r"top_k: k must be at most 3, .*axis=1, got 4; x has shape \(2, 3\), f"
    ):
        cr.top_k(x, 4)
    with pytest.raises(cr.ShapeError, match="top_k: k must be at least 0, got -1"):
        x.top_k(-1)
    for k in (1.0, True, None, cr.tensor(1)):
        with pytest.raises(cr.DtypeError, match="top_k: k must be an integer, got"):
            cr.top_k(x, k)
    with pytest.raises(cr.ShapeError, match="top_k: axis must be from -2 to 1, got 2"):
        cr.top_k(x, 1, axis=2)


@pytest.mark.parametrize("function", [cr.sort, cr.argsort, lambda x: cr.top_k(x, 1)])
def test_a_single_number_has_no_axis_to_sort_along(function):
    with pytest.raises(cr.ShapeError, match="axis must be left out: there is none"):
        function(cr.tensor(1.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sort(x, -1, "stable"),
        lambda x: np.argsort(x, -1, "stable"),
        lambda x: x.sort(0, "quicksort"),
        lambda x: cr.argsort(x, stable=1),
        lambda x: np.cumsum(x, 0, np.float64),
        lambda x: cr.cholesky([[2.0, 1.0], [1.0, 2.0]], "lower"),
    ],
)
def test_numpys_other_positions_are_not_taken_for_a_switch(call):
    with pytest.raises(cr.DtypeError, match="must be True or False"):
        call(cr.tensor([3.0, 1.0, 2.0]))
