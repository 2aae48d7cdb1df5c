"""Array operations on shapes, axes and layouts that hypothesis draws: first and second order.

Finite differences are the oracle, with random signed upstream gradients; no other library is
needed. Elementwise operations are drawn in test_records, indices in test_indexing, arrangements in
test_shapes, subscripts in test_linalg; ties and zeros in test_reductions and test_sorting.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import chainrule as cr
from chainrule.engine.checking.operations import LAYOUTS, lay_out

few = settings(deadline=None, max_examples=8)
seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(LAYOUTS)
batches = st.lists(st.integers(0, 2), max_size=2).map(tuple)


def apart(shape, seed, low=-2.0, high=2.0):
    """Numbers in random order, no two of which are close, and none close to 0."""
    size = int(np.prod(shape))
    grid = (np.random.default_rng(seed).permutation(size) + 0.59) / max(1, size)
    return (low + (high - low) * grid).reshape(shape)


def check(function, arrays, layout, seed):
    """First and second order."""
    laid, arrays = lay_out(function, arrays, layout)
    cr.assert_gradients(laid, *arrays, order=2, seed=seed)


@st.composite
def reduced(draw, at_least=1, one=False):
    """A shape, an axis or several (or None, for all), and keepdims."""
    shape = tuple(draw(st.lists(st.integers(at_least, 3), min_size=int(one), max_size=3)))
    places = st.integers(-len(shape), len(shape) - 1) if shape else st.just(0)
    several = st.lists(st.integers(0, max(len(shape) - 1, 0)), unique=True, max_size=len(shape))
    if one:
        return shape, draw(places)
    return shape, draw(st.one_of(st.none(), places, several.map(tuple)))


REDUCTIONS = {
    "sum": (cr.sum, 0),
    "mean": (cr.mean, 1),
    "max": (cr.max, 1),
    "min": (cr.min, 1),
    "prod": (cr.prod, 0),
    "logsumexp": (cr.logsumexp, 0),
    "var": (cr.var, 1),
    "norm": (cr.norm, 1),
    "norm of order 3": (lambda x, axis, keepdims: cr.norm(x, 3, axis, keepdims), 1),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@few
@given(data=st.data(), keepdims=st.booleans(), layout=layouts, seed=seeds)
def test_reductions(name, data, keepdims, layout, seed):
    function, at_least = REDUCTIONS[name]
    shape, axis = data.draw(reduced(at_least))
    check(lambda x: function(x, axis=axis, keepdims=keepdims), [apart(shape, seed)], layout, seed)


@few
@given(data=st.data(), keepdims=st.booleans(), layout=layouts, seed=seeds)
def test_std_of_elements_that_differ(data, keepdims, layout, seed):
    """Of one element it is 0, and has no derivative: at least two along the axis."""
    shape, axis = data.draw(reduced(2, one=True))
    check(lambda x: cr.std(x, axis=axis, keepdims=keepdims), [apart(shape, seed)], layout, seed)


@pytest.mark.parametrize(
    "function", [cr.softmax, cr.log_softmax, cr.cumulative_sum, cr.cumulative_prod, cr.sort]
)
@few
@given(data=st.data(), layout=layouts, seed=seeds)
def test_operations_along_one_axis(function, data, layout, seed):
    shape, axis = data.draw(reduced(0, one=True))
    check(lambda x: function(x, axis=axis), [apart(shape, seed)], layout, seed)


@few
@given(data=st.data(), layout=layouts, seed=seeds)
def test_the_largest_and_the_middle(data, layout, seed):
    shape, axis = data.draw(reduced(1, one=True))
    k = data.draw(st.integers(0, shape[axis]))
    check(lambda x: cr.top_k(x, k, axis=axis)[0], [apart(shape, seed)], layout, seed)
    check(lambda x: cr.median(x, axis=axis), [apart(shape, seed)], layout, seed)


@few
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, min_dims=1, max_dims=2, max_side=3),
    layout=layouts,
    seed=seeds,
)
def test_losses_of_pairs(shapes, layout, seed):
    """Predictions of one sign and targets of the other, twice as far out: no kink is near."""
    first, second = shapes.input_shapes
    near, far = apart(first, seed, 0.2, 0.6), apart(second, seed, 1.1, 1.9)
    check(lambda p, t: cr.sigmoid_cross_entropy(p, t), [near - 0.4, far - 1.0], layout, seed)
    check(lambda p, t: cr.huber(p, t, 0.3), [near, far], layout, seed)
    check(lambda p, t: cr.huber(p, t, 3.0), [near, far], layout, seed)
    check(cr.hinge, [near, 0.5 * far], layout, seed)  # beyond the margin is 0, within it is not


@few
@given(batch=batches, classes=st.integers(1, 3), layout=layouts, seed=seeds)
def test_losses_of_rows(batch, classes, layout, seed):
    rng = np.random.default_rng(seed)
    logits, targets = apart((*batch, classes), seed), rng.uniform(0.1, 1.0, (*batch, classes))
    check(cr.softmax_cross_entropy, [logits, targets], layout, seed)
    check(cr.softmax_cross_entropy, [logits, targets.reshape(-1, classes)[:1].sum(0)], layout, seed)
    labels = rng.integers(0, classes, batch)
    check(lambda z: cr.sparse_softmax_cross_entropy(z, labels), [logits], layout, seed)


@few
@given(batch=batches, n=st.integers(0, 2), columns=st.integers(0, 2), layout=layouts, seed=seeds)
def test_matrices(batch, n, columns, layout, seed):
    rng = np.random.default_rng(seed)
    a = rng.uniform(-0.5, 0.5, (*batch, n, n)) + 2 * np.eye(n)
    b = rng.normal(size=(*batch, n, columns))
    for function in (cr.inv, cr.det, cr.cofactor, lambda x: cr.slogdet(x).logabsdet):
        check(function, [a], layout, seed)
    check(cr.solve, [a, b], layout, seed)
    check(lambda x: cr.cholesky(x @ x.mT + np.eye(n)), [a], layout, seed)


@few
@given(
    shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=1, min_side=0, max_side=2),
    rows=st.integers(0, 2),
    inner=st.integers(0, 3),
    columns=st.integers(0, 2),
    layout=layouts,
    seed=seeds,
)
def test_products(shapes, rows, inner, columns, layout, seed):
    first, second = shapes.input_shapes
    a = apart((*first, rows, inner), seed)
    b = apart((*second, inner, columns), seed + 1)
    check(cr.matmul, [a, b], layout, seed)
    check(cr.vecdot, [a, apart((*second, 1, inner), seed + 2)], layout, seed)
    check(cr.outer, [a[..., 0], b[..., 0, :]] if inner else [a, b], layout, seed)
    check(lambda x, y: cr.tensordot(x, y, axes=0), [a[..., :1], b[..., :1]], layout, seed)
