"""Reshape and ZeroPadding2D: values, gradients, shapes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Reshape, ZeroPadding2D

signed = np.random.default_rng(0).standard_normal


@pytest.mark.parametrize(
    ("target", "expected"),
    [((3, 4), (3, 4)), ((12,), (12,)), ((2, -1), (2, 6)), ([-1], (12,)), ((12, -1, 1), (12, 1, 1))],
)
@pytest.mark.parametrize("batch", [0, 2])
def test_samples_in_another_shape(target, expected, batch):
    layer, x = Reshape(target, dtype="float64"), signed((batch, 2, 6))
    t = cr.tensor(x, requires_grad=True)
    y = layer(t)
    np.testing.assert_array_equal(y.numpy(), x.reshape(batch, *expected))
    upstream = signed(y.shape)
    y.backward(upstream)
    np.testing.assert_array_equal(t.grad.numpy(), upstream.reshape(x.shape))
    assert layer.compute_output_shape((None, 2, 6)) == (None, *expected)


def test_lengths_that_are_not_known_stay_so():
    assert Reshape((3, -1)).compute_output_shape((None, None, 6)) == (None, 3, None)
    assert Reshape((3, 4)).compute_output_shape((None, None, 6)) == (None, 3, 4)


@pytest.mark.parametrize("target", [(28, 27), (5, -1), (1,)])
def test_samples_of_another_size(target):
    with pytest.raises(
        cr.ShapeError, match=r"Reshape: each sample has 784 elements.*x with shape \(2, 784\), floa"
    ):
        Reshape(target)(np.zeros((2, 784), np.float32))
    with pytest.raises(cr.ShapeError, match="Reshape: each sample has 784 elements"):
        Reshape(target).compute_output_shape((None, 784))


@pytest.mark.parametrize("target", [5, "12", (2.0, 3), None])
def test_what_is_no_shape(target):
    with pytest.raises(TypeError, match="Reshape: target_shape must be a tuple of integers"):
        Reshape(target)


@pytest.mark.parametrize("target", [(-1, -1), (0, 3), (-2,)])
def test_lengths_that_are_refused(target):
    with pytest.raises(ValueError, match="Reshape: target_shape must be of positive lengths"):
        Reshape(target)


@pytest.mark.parametrize(
    ("padding", "pairs"),
    [(2, ((2, 2), (2, 2))), ((1, 0), ((1, 1), (0, 0))), (((0, 1), (2, 3)), ((0, 1), (2, 3)))],
)
def test_zeros_around_images(padding, pairs):
    layer, x = ZeroPadding2D(padding, dtype="float64"), signed((2, 3, 4, 2))
    t = cr.tensor(x, requires_grad=True)
    y = layer(t)
    np.testing.assert_array_equal(y.numpy(), np.pad(x, ((0, 0), *pairs, (0, 0))))
    upstream = signed(y.shape)
    y.backward(upstream)
    (top, bottom), (left, right) = pairs
    rows, columns = slice(top, upstream.shape[1] - bottom), slice(left, upstream.shape[2] - right)
    np.testing.assert_array_equal(t.grad.numpy(), upstream[:, rows, columns])
    assert layer.compute_output_shape((None, 3, None, 2)) == (None, y.shape[1], None, 2)
    assert repr(ZeroPadding2D()) == "ZeroPadding2D()"


@pytest.mark.parametrize("padding", [-1, 1.5, (1, 2, 3), ((1, 2), (3,)), ((1, -2), (3, 4)), None])
def test_paddings_that_are_refused(padding):
    with pytest.raises(ValueError, match="ZeroPadding2D: padding must be an integer"):
        ZeroPadding2D(padding)
