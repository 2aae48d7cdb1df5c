"""Masked softmax and attention: what is hidden does not exist, whatever stands there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.operations import attention

RNG = np.random.default_rng(0)

#: What the numba set leaves to the reference is smaller.
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 2, 64, 65)])


@pytest.fixture(autouse=True, params=["as one operation", "one by one"])
def _ways(request, monkeypatch):
    """Attention of few weights by either way."""
    if request.param == "as one operation":
        monkeypatch.setattr(attention, "FUSED", 0)


def pulled(function, upstream, *arrays):
    """The result, and the gradients of the arrays."""
    given = [cr.tensor(each, requires_grad=True) for each in arrays]
    result = function(*given)
    result.backward(upstream)
    return result.numpy(), [each.grad.numpy() for each in given]


# Masked softmax -----------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", ["whole", "keys", "causal", "number"])
def test_it_is_the_softmax_of_what_is_shown(shape, dtype, lengths):
    """Row by row, of the elements that the mask shows alone; behind it stands NaN."""
    batch, _, rows, n = shape
    mask = {
        "whole": RNG.random(shape) < 0.6,
        "keys": RNG.random((batch, 1, 1, n)) < 0.6,
        "causal": np.tri(rows, n, dtype=bool),
        "number": np.array(True),
    }[lengths]
    shown = np.broadcast_to(mask, shape)
    x = np.where(shown, RNG.normal(size=shape) * 3, np.nan).astype(dtype)
    g = np.where(shown, RNG.normal(size=shape), np.nan).astype(dtype)
    y, (found,) = pulled(lambda t: cr.masked_softmax(t, mask), g, x)
    assert y.dtype == found.dtype == np.dtype(dtype)
    assert (y[~shown] == 0).all() and (found[~shown] == 0).all()
    tolerance = 4 * n * np.finfo(dtype).eps
    for index in list(np.ndindex(shape[:-1]))[:: 1 + n // 2]:
        seen = shown[index]
        if seen.any():
            row, upstream = x[index][seen].astype(float), g[index][seen].astype(float)
            p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
            np.testing.assert_allclose(y[index][seen], p, atol=tolerance)
            slope = p * (upstream - (upstream * p).sum())
            np.testing.assert_allclose(found[index][seen], slope, atol=tolerance * 4)


@SHAPES
def test_a_row_of_which_nothing_is_shown_is_zero_with_gradient_zero(shape):
    mask = np.ones(shape[-2:], bool)
    mask[1] = False
    for special in (1.0, np.nan, np.inf, -np.inf):
        x, g = RNG.normal(size=shape), RNG.normal(size=shape)
        x[..., 1, :] = g[..., 1, :] = special
        y, (found,) = pulled(lambda t: cr.masked_softmax(t, mask), g, x)
        assert (y[..., 1, :] == 0).all() and (found[..., 1, :] == 0).all()
        assert np.isfinite(y).all() and np.isfinite(found).all()
        np.testing.assert_allclose(y[..., 0, :].sum(-1), 1)


@settings(max_examples=25)
@given(st.data())
def test_gradients_on_drawn_masks(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    mask = rng.random(shape[data.draw(st.integers(0, len(shape))) :]) < 0.6
    x = rng.normal(size=shape)
    cr.assert_gradients(lambda t: cr.masked_softmax(t, mask, axis=axis), x, order=2)


def test_a_mask_of_true_is_no_mask():
    x = RNG.normal(size=(3, 4))
    for axis in (0, 1, -1):
        plain = cr.softmax(x, axis=axis).numpy()
        np.testing.assert_array_equal(cr.masked_softmax(x, True, axis=axis).numpy(), plain)


@SHAPES
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_minus_infinity_and_of_large_arrays(shape, dtype):
    """The plain one, too: 0 for -inf, NaN where all are -inf, as ever."""
    x = RNG.normal(size=shape).astype(dtype)
    x[..., 0] = -np.inf
    x[0, 0, 0] = -np.inf
    g = RNG.normal(size=shape).astype(dtype)
    with np.errstate(invalid="ignore"):
        y, (found,) = pulled(cr.softmax, g, x)
    assert np.isnan(y[0, 0, 0]).all()
    wide, upstream = x[1].astype(float), g[1].astype(float)
    p = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    slope = p * (upstream - (upstream * p).sum(-1, keepdims=True))
    tolerance = 16 * shape[-1] * np.finfo(dtype).eps
    np.testing.assert_allclose(y[1], p, atol=tolerance)
    np.testing.assert_allclose(found[1], slope, atol=tolerance)


@pytest.mark.parametrize(
    ("mask", "error", "text"),
    [
        (np.ones(3), cr.DtypeError, r"mask must be boolean.*float64; of zeros and ones, mask != 0"),
        (np.ones((2, 2, 3), bool), cr.ShapeError, r"broadcast to shape \(2, 3\).*\(2, 2, 3\)"),
        (np.ones(2, bool), cr.ShapeError, r"broadcast to shape \(2, 3\), got mask with shape \(2,"),
        (1, cr.DtypeError, "mask must be boolean"),
    ],
)
def test_masks_that_are_refused(mask, error, text):
    with pytest.raises(error, match=f"masked_softmax: {text}" if "mask must" in text else text):
        cr.masked_softmax(cr.ones((2, 3)), mask)


# Attention ----------------------------------------------------------------------------------


def by_hand(q, k, v, mask=True, scale=None):
    scores = np.einsum("...td,...sd->...ts", q, k) * (scale or q.shape[-1] ** -0.5)
    powers = np.exp(scores) * np.broadcast_to(mask, scores.shape)
    total = powers.sum(-1, keepdims=True)
    return np.einsum("...ts,...sd->...td", powers / np.where(total == 0, 1, total), v)


def drawn(*shape):
    return RNG.normal(size=shape)


@pytest.mark.parametrize("stack", [(), (2,), (2, 3)])
def test_it_is_the_formula(stack):
    q, k, v = drawn(*stack, 4, 3), drawn(*stack, 5, 3), drawn(*stack, 5, 2)
    causal, some = np.tri(4, 5, dtype=bool), RNG.random((4, 5)) < 0.6
    f = cr.scaled_dot_product_attention
    for found, expected in (
        (f(q, k, v), by_hand(q, k, v)),
        (f(q, k, v, scale=0.3), by_hand(q, k, v, scale=0.3)),
        (f(q, k, v, is_causal=True), by_hand(q, k, v, causal)),
        (f(q, k, v, mask=some), by_hand(q, k, v, some)),
        (f(q, k, v, mask=cr.tensor(some), is_causal=True), by_hand(q, k, v, some & causal)),
    ):
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-14)


def test_a_later_key_is_not_seen_by_an_earlier_query():
    x = drawn(2, 5, 3)
    before = cr.scaled_dot_product_attention(x, x, x, is_causal=True).numpy()
    for t in range(5):
        moved = x.copy()
        moved[:, t] += drawn(2, 3)
        after = cr.scaled_dot_product_attention(moved, moved, moved, is_causal=True).numpy()
        np.testing.assert_array_equal(before[:, :t], after[:, :t])
        assert (before[:, t:] != after[:, t:]).all()


@settings(max_examples=20)
@given(st.data())
def test_gradients_of_attention(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    queries, keys, width, stack = draw(1, 3), draw(1, 3), draw(1, 2), ((), (2,))[draw(0, 1)]
    rng = np.random.default_rng(draw(0, 999))
    mask = rng.random((queries, keys)) < 0.7 if draw(0, 1) else None
    arrays = [rng.normal(size=(*stack, n, width)) for n in (queries, keys, keys)]
    causal = bool(draw(0, 1))
    cr.assert_gradients(
        lambda *each: cr.scaled_dot_product_attention(*each, mask=mask, is_causal=causal),
        *arrays,
        order=2,
    )


def test_a_query_that_may_attend_to_nothing_gets_nothing():
    q, k, v = drawn(2, 3), drawn(4, 3), drawn(4, 2)
    mask = np.array([[True, False, True, True], [False] * 4])
    f = lambda *each: cr.scaled_dot_product_attention(*each, mask=mask)  # noqa: E731
    y, (of_query, *_) = pulled(f, drawn(2, 2), q, k, v)
    assert (y[1] == 0).all() and (of_query[1] == 0).all()
    assert (y[0] != 0).all() and (of_query[0] != 0).all()


def test_dropout_sets_weights_to_zero_and_enlarges_the_others():
    q, k, v = drawn(4, 3), drawn(5, 3), np.eye(5)  # the result is the weights
    plain = cr.scaled_dot_product_attention(q, k, v).numpy()
    y = cr.scaled_dot_product_attention(q, k, v, dropout=0.5).numpy()
    kept = y != 0
    assert 0 < kept.sum() < 20
    np.testing.assert_allclose(y[kept], 2 * plain[kept])
    with pytest.raises(ValueError, match="rate is the share of elements"):
        cr.scaled_dot_product_attention(q, k, v, dropout=1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_stay(dtype):
    x = drawn(3, 2).astype(dtype)
    for how in ({}, {"is_causal": True}, {"mask": np.ones((3, 3), bool), "scale": 2.0}):
        assert cr.scaled_dot_product_attention(x, x, x, **how).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("shapes", "how", "error", "text"),
    [
        (((3, 2), (3, 4), (3, 4)), {}, cr.ShapeError, r"of one width; query has shape \(3, 2\)"),
        (((3, 2), (3, 2), (4, 2)), {}, cr.ShapeError, "a value for each key"),
        (((2,), (3, 2), (3, 2)), {}, cr.ShapeError, r"each must be \(..., time, width\)"),
        (((3, 2),) * 3, {"mask": np.ones((3, 3))}, cr.DtypeError, "mask must be boolean"),
        (((3, 2),) * 3, {"mask": np.ones((2, 3), bool)}, cr.ShapeError, "mask must be broadcast"),
        (((3, 2),) * 3, {"is_causal": 1}, cr.DtypeError, "is_causal must be True or False"),
        (((3, 2),) * 3, {"scale": "a"}, cr.DtypeError, "scale must be a number"),
    ],
)
def test_errors(shapes, how, error, text):
    with pytest.raises(error, match=f"scaled_dot_product_attention: .*{text}|{text}"):
        cr.scaled_dot_product_attention(*map(cr.ones, shapes), **how)
