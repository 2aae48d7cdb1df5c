"""Pools: a naive loop, PyTorch, ties, NaN, margins, second order, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr

from .test_convolution import arrays, margins_of

quick = settings(deadline=None, max_examples=25)


@st.composite
def calls(draw, paddings=("valid", "same")):
    """The shape of x, and options that fit."""
    axes = draw(st.integers(1, 2))
    pool = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    sizes = tuple(draw(st.integers(size, size + 4)) for size in pool)
    strides = draw(st.none() | st.tuples(*[st.integers(1, 3)] * axes))
    shape = (draw(st.integers(1, 2)), *sizes, draw(st.integers(1, 2)))
    return shape, {
        "pool_size": pool,
        "strides": strides,
        "padding": draw(st.sampled_from(paddings)),
    }


def naive(x, reduce, pool_size, strides, padding):
    """Each window reduced, one by one, over its true elements."""
    strides = strides or pool_size
    axes = len(pool_size)
    margins = [
        margins_of(x.shape[1 + i], pool_size[i], strides[i], padding, 1, i) for i in range(axes)
    ]
    lengths = [
        (x.shape[1 + i] + sum(margins[i]) - pool_size[i]) // strides[i] + 1 for i in range(axes)
    ]
    y = np.zeros((len(x), *lengths, x.shape[-1]))
    for where in itertools.product(*map(range, lengths)):
        starts = [o * s - m[0] for o, s, m in zip(where, strides, margins, strict=True)]
        seen = tuple(
            slice(max(start, 0), start + p) for start, p in zip(starts, pool_size, strict=True)
        )
        window = x[(slice(None), *seen)]
        y[(slice(None), *where)] = reduce(window, axis=tuple(range(1, axes + 1)))
    return y


@quick
@given(calls(), st.integers(0, 999))
def test_equal_a_naive_loop(call, seed):
    shape, options = call
    (x,) = arrays(seed, shape)
    np.testing.assert_array_equal(cr.max_pool(x, **options).numpy(), naive(x, np.max, **options))
    found = cr.avg_pool(x, **options).numpy()
    bound = 4 * math.prod(options["pool_size"]) * np.finfo(float).eps * np.abs(x).max()
    np.testing.assert_allclose(found, naive(x, np.mean, **options), rtol=0, atol=bound)


@quick
@given(calls(("valid",)), st.integers(0, 999), st.sampled_from([64, 32]))
def test_equal_pytorch_with_their_gradients(call, seed, bits):
    torch = pytest.importorskip("torch")
    shape, options = call
    axes, kind = len(shape) - 2, f"float{bits}"
    (x,) = arrays(seed, shape, dtype=kind)
    for name in ("max_pool", "avg_pool"):
        ours, theirs = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        y = getattr(cr, name)(ours, **options)
        (upstream,) = arrays(seed + 1, y.shape, dtype=kind)
        y.backward(upstream)
        function = getattr(torch.nn.functional, f"{name}{axes}d")
        z = function(theirs.movedim(-1, 1), options["pool_size"], options["strides"])
        z.movedim(1, -1).backward(torch.tensor(upstream))
        tolerance = 1e-9 if bits == 64 else 1e-4
        pairs = (y, z.detach().movedim(1, -1)), (ours.grad, theirs.grad)
        for found, expected in pairs:
            assert found.dtype == np.dtype(kind)
            np.testing.assert_allclose(
                found.numpy(), expected.numpy(), atol=tolerance, rtol=tolerance
            )


@settings(deadline=None, max_examples=6)
@given(calls(), st.integers(0, 999), st.sampled_from(["max_pool", "avg_pool"]))
def test_gradients_to_second_order(call, seed, name):
    shape, options = call
    x = np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape) / 3.0
    pool = getattr(cr, name)
    cr.assert_gradients(lambda t: pool(t, **options), x, order=2, seed=seed)
    # Through a function that is not linear, so that there is a second derivative to lose.
    cr.assert_gradients(lambda t: cr.tanh(pool(t / 9, **options)), x, order=2, seed=seed)


def test_equal_largest_elements_share_the_gradient():
    x = cr.tensor([[[2.0], [2.0], [2.0], [1.0]]], requires_grad=True)
    cr.max_pool(x, pool_size=3, strides=1).backward([[[6.0], [-4.0]]])
    assert x.grad.flatten().tolist() == [2.0, 0.0, 0.0, 0.0]  # 6 / 3, 6 / 3 - 4 / 2, ...


def test_many_equal_elements_are_counted():
    x = cr.tensor(np.ones((1, 20, 20, 1)), requires_grad=True)
    cr.max_pool(x, pool_size=20).backward([[[[800.0]]]])
    np.testing.assert_array_equal(x.grad.numpy(), np.full(x.shape, 2.0))


@settings(deadline=None, max_examples=20)
@given(calls(), st.integers(0, 999))
def test_with_ties_the_gradient_is_that_of_the_definition(call, seed):
    shape, options = call
    x = np.random.default_rng(seed).integers(0, 2, shape).astype(float)
    function = cr.max_pool
    one, two = (cr.tensor(x, requires_grad=True) for _ in range(2))
    y = function(one, **options)
    (upstream,) = arrays(seed + 1, y.shape)
    y.backward(upstream)
    z = function.record.definition(two, **options)
    z.backward(upstream)
    np.testing.assert_allclose(one.grad.numpy(), two.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.filterwarnings("error")
def test_nan_counts_as_the_largest():
    x = cr.tensor([[[1.0], [np.nan], [3.0], [5.0]]], requires_grad=True)
    y = cr.max_pool(x, pool_size=2, strides=1, padding="same")
    assert np.isnan(y.numpy()).ravel().tolist() == [True, True, False, False]
    y.backward([[[10.0], [20.0], [-7.0], [1.0]]])
    assert x.grad.flatten().tolist() == [0.0, 30.0, 0.0, -6.0]
    assert np.isnan(cr.avg_pool(x, pool_size=2).numpy()).ravel().tolist() == [True, False]


def test_margins_are_no_elements():
    x = -np.ones((1, 3, 1))
    assert cr.max_pool(x, pool_size=2, padding="same").flatten().tolist() == [-1.0, -1.0]
    assert cr.avg_pool(x, pool_size=2, padding="same").flatten().tolist() == [-1.0, -1.0]
    assert cr.avg_pool(x, pool_size=3, strides=1, padding="same").flatten().tolist() == [-1.0] * 3


@pytest.mark.parametrize("pool", [cr.max_pool, cr.avg_pool])
@pytest.mark.parametrize("kind", ["int64", "uint8", "bool"])
def test_integers_are_computed_with_as_float64(pool, kind):
    y = pool(cr.tensor(np.array([[[1], [0], [1], [1]]], kind)), pool_size=2)
    assert y.dtype == np.float64
    assert y.flatten().tolist() == ([1.0, 1.0] if pool is cr.max_pool else [0.5, 1.0])


def test_a_pool_of_one_element_is_a_copy():
    x = cr.tensor(np.ones((1, 3, 1)))
    for strides in (1, 2):
        y = cr.max_pool(x, pool_size=1, strides=strides)
        assert not np.shares_memory(y.numpy(), x.numpy())


@pytest.mark.parametrize("pool", [cr.max_pool, cr.avg_pool])
@pytest.mark.parametrize(
    ("shape", "options", "text"),
    [
        ((6, 6), {}, r"x must have axes .*give x\[..., None\]"),
        ((1, 1, 2, 3, 1), {}, r"x must have axes"),
        ((1, 4, 1, 2), {}, r"pool_size \(2, 2\) does not fit: along spatial axis 1 .* 'same'|same"),
        ((1, 4, 2), {"padding": "causal"}, "padding must be 'valid' or 'same', got 'causal'"),
        ((1, 4, 2), {"pool_size": 0}, "pool_size must be at least 1"),
        ((1, 4, 2), {"strides": (1, 1)}, "strides must be an integer, or one for each of 1"),
    ],
)
def test_what_does_not_fit_is_told_with_everything(pool, shape, options, text):
    with pytest.raises(cr.ShapeError, match=text) as error:
        pool(np.zeros(shape, np.float32), **{"pool_size": 2, **options})
    name = pool.record.name
    assert str(error.value).startswith(f"{name}: ")
    assert f"x has shape {shape}, float32" in str(error.value)


def test_options_that_are_no_integers():
    with pytest.raises(cr.DtypeError, match=r"max_pool: pool_size must be an integer.*x has shape"):
        cr.max_pool(np.zeros((1, 4, 1)), pool_size=2.0)
