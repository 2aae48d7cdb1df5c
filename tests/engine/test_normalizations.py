"""Layer and batch normalisation: exact where nothing varies, accurate far from 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.record import RECORDS
from chainrule.testing import tensors

#: What the numba set leaves to the reference is smaller.
LARGE = (257, 128)


def by_hand(x, scale, offset, axes, epsilon):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * scale + offset


def layer(x, scale, offset, epsilon=1e-5):
    return cr.layer_norm(x, scale, offset, epsilon=epsilon)


def batch(x, scale, offset, epsilon=1e-5):
    return cr.batch_norm(x, scale, offset, epsilon=epsilon)


BOTH = pytest.mark.parametrize(("function", "axes"), [(layer, (-1,)), (batch, (0,))])


@BOTH
@settings(max_examples=15)
@given(data=st.data())
def test_gradients_on_drawn_shapes(function, axes, data):
    """Spread by more than rounding, where a small epsilon makes no steep slopes."""
    rows, n = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    x = data.draw(tensors(shape=(rows, n), low=-2.0, high=2.0)).numpy()
    parameters = [data.draw(tensors(shape=(n,))).numpy() for _ in range(2)]
    cr.assert_gradients(lambda *each: function(*each, epsilon=0.25), x, *parameters, order=2)


@BOTH
@pytest.mark.parametrize("shape", [(5, 7), LARGE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_far_from_zero_lose_nothing(function, axes, shape, dtype):
    """Mean 1e3, deviation 1: of x nothing is rounded but what its dtype rounds."""
    rng = np.random.default_rng(0)
    x = (1e3 + rng.normal(size=shape)).astype(dtype)
    scale, offset = rng.normal(size=(2, shape[-1])).astype(dtype)
    y = function(x, scale, offset).numpy()
    assert y.dtype == x.dtype
    expected = by_hand(x.astype(float) - 1e3, scale, offset, axes, 1e-5)  # the difference is exact
    # The deviations are at most 5; their mean and squares are sums of n terms, in any order.
    n = np.prod([shape[i] for i in axes])
    bound = (n + 8) * np.finfo(dtype).eps * 5 * np.abs(scale).max() / 2
    np.testing.assert_allclose(y, expected, rtol=0, atol=bound)


@BOTH
@pytest.mark.parametrize("shape", [(3, 7), LARGE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_nothing_varies_the_result_is_the_offset(function, axes, shape, dtype):
    """To the bit, though the mean of equal numbers is not always that number."""
    x = np.full(shape, 0.1, dtype)
    scale, offset = np.random.default_rng(0).normal(size=(2, shape[-1])).astype(dtype)
    tensor = cr.tensor(x, requires_grad=True)
    y = function(tensor, scale, offset)
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(offset, shape))
    y.backward(np.random.default_rng(1).normal(size=shape))
    assert np.isfinite(tensor.grad.numpy()).all()


@BOTH
@pytest.mark.parametrize("kernel_set", ["reference", "numba"])
def test_the_fused_gradients_are_those_of_the_definition(function, axes, kernel_set):
    """Of the shape that is computed by a compiled kernel, too."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=LARGE), *rng.normal(size=(2, LARGE[1]))]
    upstream = rng.normal(size=LARGE)
    fused, plain = ([cr.tensor(each, requires_grad=True) for each in arrays] for _ in range(2))
    with cr.kernels(kernel_set):
        function(*fused).backward(upstream)
    record = RECORDS["layer_norm" if function is layer else "batch_norm"]
    static = record.defaults | {"epsilon": 1e-5}
    record.definition(*plain, **static).backward(upstream)
    for one, other in zip(fused, plain, strict=True):
        scale = abs(other.grad).max().item()
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), atol=1e-12 * scale)


def test_a_sample_does_not_see_the_others_in_layer_norm_but_does_in_batch_norm():
    x = np.random.default_rng(0).normal(size=(4, 3))
    moved = x.copy()
    moved[0] += [5.0, -1.0, 0.0]
    for function, alike in ((layer, True), (batch, False)):
        same = function(x, 1.0, 0.0).numpy()[1:] == function(moved, 1.0, 0.0).numpy()[1:]
        assert bool(same.all()) is alike


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3), LARGE])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_norm_tells_its_statistics_once(shape, dtype):
    x = (20 + np.random.default_rng(0).normal(size=shape)).astype(dtype)
    told = []
    y = cr.batch_norm(
        cr.tensor(x, requires_grad=True), 1.0, 0.0, statistics=lambda *each: told.append(each)
    )
    y.sum().backward()
    ((mean, variance),) = told
    flat = x.reshape(-1, shape[-1]).astype(np.float64)
    n, eps = len(flat), np.finfo(dtype).eps
    assert mean.dtype == variance.dtype == x.dtype
    np.testing.assert_allclose(mean, flat.mean(0), rtol=0, atol=(n + 4) * eps * 5 + 20 * eps)
    np.testing.assert_allclose(variance, flat.var(0), rtol=(2 * n + 8) * eps * 5)


def test_a_mean_and_a_variance_that_are_not_told_cost_nothing_in_second_order():
    """`statistics` is a static argument; the gradient of the gradient still sees them as of x."""
    x = np.random.default_rng(0).normal(size=(4, 2))
    cr.assert_gradients(
        lambda v: cr.batch_norm(v, 2.0, 1.0, statistics=lambda mean, variance: None), x, order=2
    )


def test_integers_are_normalised_in_float64():
    assert cr.layer_norm([1, 3], 1, 0, epsilon=0.0).tolist() == [-1.0, 1.0]
    assert cr.batch_norm(np.array([[1], [3]]), 1, 0, epsilon=0.0).tolist() == [[-1.0], [1.0]]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: cr.layer_norm(1.0, 1, 0), cr.ShapeError, "layer_norm: x must have an axis"),
        (lambda x: cr.layer_norm(x, np.ones(4), 0), cr.ShapeError, r"scale must be .*shape \(4,\)"),
        (lambda x: cr.layer_norm(x, 1, np.ones((1, 2, 3))), cr.ShapeError, "offset must be"),
        (lambda x: cr.layer_norm(x, 1, 0, axis=2), cr.ShapeError, "layer_norm: axis must be"),
        (lambda x: cr.layer_norm(x, 1, 0, epsilon=-1.0), ValueError, "epsilon must not be neg"),
        (lambda x: cr.layer_norm(x, 1, 0, epsilon="a"), cr.DtypeError, "epsilon must be a number"),
        (lambda x: cr.batch_norm(x[0], 1, 0), cr.ShapeError, "batch_norm: x must have at least 2"),
        (lambda x: cr.batch_norm(x, np.ones((1, 3)), 0), cr.ShapeError, r"of shape \(3,\)"),
        (lambda x: cr.batch_norm(x, 1, np.ones(2)), cr.ShapeError, "offset must be a number, or"),
        (lambda x: cr.batch_norm(x, 1, 0, epsilon=np.inf), ValueError, "epsilon"),
        (lambda x: cr.batch_norm(x, 1, 0, statistics=[]), cr.DtypeError, "statistics must be a fu"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call(cr.tensor(np.arange(6.0).reshape(2, 3)))
