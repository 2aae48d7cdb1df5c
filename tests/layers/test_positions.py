"""Positions: the table of the paper, trained ones, masks and lengths."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.masks import mask_of
from chainrule.layers import LearnedPositions, SinusoidalPositions, from_config

RNG = np.random.default_rng(0)
KINDS = pytest.mark.parametrize("make", [SinusoidalPositions, lambda **o: LearnedPositions(9, **o)])


@pytest.mark.parametrize("width", [1, 4, 5])
def test_the_table_is_the_papers(width):
    x = RNG.normal(size=(2, 7, width))
    y = SinusoidalPositions(dtype="float64")(x).numpy()
    for t in range(7):
        for i in range(width):
            a = t / 10_000 ** (i // 2 * 2 / width)
            expected = np.cos(a) if i % 2 else np.sin(a)
            np.testing.assert_allclose(y[:, t, i] - x[:, t, i], expected, atol=1e-14)


def test_steps_further_on_are_a_rotation():
    """The same for every step: what the table is for."""
    table = SinusoidalPositions(dtype="float64")(np.zeros((1, 20, 6))).numpy()[0]
    for k in (1, 5):
        rotation = np.linalg.lstsq(table[:-k], table[k:], rcond=None)[0]
        np.testing.assert_allclose(table[:-k] @ rotation, table[k:], atol=1e-12)


def test_trained_positions_are_rows_of_their_table():
    layer = LearnedPositions(9, "random_normal", dtype="float64")
    x = RNG.normal(size=(2, 4, 3))
    y = layer(x)
    table = layer.embeddings.numpy()
    np.testing.assert_array_equal(y.numpy(), x + table[:4])
    upstream = RNG.normal(size=y.shape)
    y.backward(upstream)
    np.testing.assert_allclose(layer.embeddings.grad.numpy()[:4], upstream.sum(0), atol=1e-14)
    assert (layer.embeddings.grad.numpy()[4:] == 0).all()
    assert layer.count_params() == 27


@KINDS
def test_gradients_masks_dtypes_and_configuration(make):
    mask = np.array([[True, True, False]])
    layer = make()
    y = layer(np.ones((1, 3, 2)), mask=mask)
    np.testing.assert_array_equal(mask_of(y), mask)
    assert y.dtype == np.float32
    assert layer.compute_output_shape((None, 3, 2)) == (None, 3, 2)
    assert from_config(layer.to_config()).get_config() == layer.get_config()
    cr.assert_gradients(make(dtype="float64"), RNG.normal(size=(2, 3, 2)), order=2)


def test_errors():
    layer = LearnedPositions(4)
    layer(np.ones((1, 3, 2)))
    with pytest.raises(cr.ShapeError, match=r"x has 5 steps.*max_length=4; cut x, or make"):
        layer(np.ones((1, 5, 2)))
    with pytest.raises(cr.ShapeError, match=r"last axis of x to be 2 .*built on it.*\(1, 3, 6\)"):
        layer(np.ones((1, 3, 6)))
    with pytest.raises(ValueError, match="LearnedPositions: max_length must be a positive integer"):
        LearnedPositions(0)
    for make in (SinusoidalPositions(), LearnedPositions(4)):
        with pytest.raises(cr.ShapeError, match=r"Positions: .*\(.*time, width\)"):
            make(np.ones((1, 2, 3, 4)))
        with pytest.raises(cr.ShapeError, match="at least 3 axes"):
            make(np.ones((2, 3)))
