"""LayerNormalization: any axes, with and without gamma and beta."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.layers import LayerNormalization, from_config
from chainrule.models import Sequential

RNG = np.random.default_rng(0)


def by_hand(x, axes, epsilon=1e-3):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), [-1, -3], (2,)])
def test_along_any_axes(axis):
    x = RNG.normal(size=(2, 3, 4, 5))
    layer = LayerNormalization(
        axis, gamma_initializer="random_normal", beta_initializer="random_normal", dtype="float64"
    )
    y = layer(x).numpy()
    axes = tuple(sorted(i % 4 for i in (axis if isinstance(axis, (tuple, list)) else [axis])))
    assert layer.gamma.shape == layer.beta.shape == tuple(x.shape[i] for i in axes)
    shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
    gamma, beta = (each.numpy().reshape(shape) for each in (layer.gamma, layer.beta))
    np.testing.assert_allclose(y, by_hand(x, axes) * gamma + beta, atol=1e-13)


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_gradients(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    x = np.random.default_rng(draw(0, 99)).normal(size=(draw(1, 2), draw(1, 3), draw(1, 3)))
    axis = data.draw(st.sampled_from([-1, 1, (1, 2)]))
    layer = LayerNormalization(
        axis,
        epsilon=0.1,
        center=bool(draw(0, 1)),
        scale=bool(draw(0, 1)),
        gamma_initializer="random_uniform",
    )
    cr.assert_gradients(layer, x, order=2)


def test_without_gamma_and_beta_there_are_no_weights():
    x = RNG.normal(size=(3, 4))
    layer = LayerNormalization(center=False, scale=False, dtype="float64")
    np.testing.assert_allclose(layer(x).numpy(), by_hand(x, (1,)), atol=1e-14)
    assert layer.parameters() == [] and layer.gamma is layer.beta is None
    assert [name for name, _ in _built(LayerNormalization(center=False))] == ["gamma"]
    assert [name for name, _ in _built(LayerNormalization(scale=False))] == ["beta"]


def _built(layer):
    layer(np.ones((2, 3)))
    return layer.named_parameters()


def test_float32_far_from_zero():
    x = (1e3 + RNG.normal(size=(50, 64))).astype("float32")
    y = LayerNormalization()(x).numpy()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, by_hand(x.astype(float) - 1e3, (1,)), atol=1e-4)


def test_penalties_configuration_and_counts():
    layer = LayerNormalization([1, -1], 0.01, gamma_regularizer="l2", name="norm", dtype="float64")
    again = from_config(layer.to_config())
    assert again.get_config() == layer.get_config() and again.axis == (1, -1)
    layer(np.ones((2, 3, 4)))
    assert len(layer.losses) == 1 and layer.count_params() == 24
    model = Sequential([LayerNormalization()])
    model.build((None, 7))
    assert model.count_params() == 14 and model.compute_output_shape((None, 7)) == (None, 7)


def test_the_mask_goes_on():
    mask = np.array([[True, False]])
    y = LayerNormalization()(np.ones((1, 2, 3)), mask=mask)
    np.testing.assert_array_equal(cr.engine.masks.mask_of(y), mask)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: LayerNormalization("last"), TypeError, "axis must be integers, got 'last'"),
        (lambda: LayerNormalization(()), TypeError, "axis must be integers"),
        (lambda: LayerNormalization(epsilon=-1.0), ValueError, "epsilon must be finite and not"),
        (lambda: LayerNormalization(epsilon=None), TypeError, "epsilon must be a number"),
        (lambda: LayerNormalization(0)(np.ones((2, 3))), cr.ShapeError, "after the batch"),
        (lambda: LayerNormalization((1, -1))(np.ones((2, 3))), cr.ShapeError, "different axes"),
        (lambda: LayerNormalization()(np.ones(3)), cr.ShapeError, "at least 2 axes"),
        (lambda: LayerNormalization()(np.ones((2, 0))), cr.ShapeError, "known lengths, not 0"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=f"LayerNormalization: .*{text}"):
        call()


def test_another_width_than_the_layer_was_built_on():
    layer = LayerNormalization()
    layer(np.ones((2, 3)))
    with pytest.raises(cr.ShapeError, match=r"lengths \(3,\).*built on it.*\(2, 4\), float32"):
        layer(np.ones((2, 4)))
