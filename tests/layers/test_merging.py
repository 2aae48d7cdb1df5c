"""Add and Concatenate: values, gradients, masks, shapes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.errors import ShapeError
from chainrule.engine.masks import mask_of, with_mask
from chainrule.layers import Add, Concatenate

signed = np.random.default_rng(0).standard_normal


def gradients(layer, *arrays):
    tensors = [cr.tensor(each, requires_grad=True) for each in arrays]
    y = layer(tensors)
    upstream = signed(y.shape)
    y.backward(upstream)
    return y.numpy(), [each.grad.numpy() for each in tensors], upstream


@pytest.mark.parametrize("count", [1, 2, 3])
def test_add_gives_the_sum_and_each_the_gradient(count):
    arrays = [signed((2, 3)) for _ in range(count)]
    y, found, upstream = gradients(Add(dtype="float64"), *arrays)
    np.testing.assert_allclose(y, np.sum(arrays, axis=0), rtol=1e-15, atol=1e-15)
    for each in found:
        np.testing.assert_array_equal(each, upstream)


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
def test_concatenate_gives_each_its_part_of_the_gradient(axis):
    place = axis % 3
    shapes = [tuple(n if i == place else 3 for i in range(3)) for n in (1, 2)]
    arrays = [signed(shape) for shape in shapes]
    layer = Concatenate(axis, dtype="float64")
    y, found, upstream = gradients(layer, *arrays)
    np.testing.assert_array_equal(y, np.concatenate(arrays, axis))
    for each, expected in zip(found, np.split(upstream, [1], axis), strict=True):
        np.testing.assert_array_equal(each, expected)
    shape = layer.compute_output_shape([(None, *each[1:]) for each in shapes])
    assert shape == (None, *y.shape[1:])


def test_one_tensor_twice_has_both_gradients():
    x = cr.tensor(signed((2, 2)), requires_grad=True)
    Add(dtype="float64")([x, x]).backward([[1.0, -2.0], [3.0, 4.0]])
    assert x.grad.tolist() == [[2.0, -4.0], [6.0, 8.0]]


def masked(*masks, features=2):
    return [with_mask(cr.tensor(signed((1, len(m), features))), np.array([m])) for m in masks]


def test_masks_of_both():
    a, b = masked([True, True, False], [True, False, False])
    plain = cr.tensor(signed((1, 3, 2)))
    for layer in (Add(), Concatenate()):
        assert mask_of(layer([a, b])).tolist() == [[True, False, False]]
        assert mask_of(layer([a, plain])).tolist() == [[True, True, False]]
        assert mask_of(layer([plain, plain])) is None


def test_masks_along_time_are_joined():
    a, b = masked([True, False], [False, True, True])
    layer, plain = Concatenate(axis=1), cr.tensor(signed((1, 1, 2)))
    assert mask_of(layer([a, b])).tolist() == [[True, False, False, True, True]]
    assert mask_of(layer([plain, a])).tolist() == [[True, True, False]]
    assert mask_of(Concatenate(axis=-2)([a, plain])).tolist() == [[True, False, True]]


def test_nothing_is_broadcast():
    with pytest.raises(
        cr.ShapeError,
        match=r"Add: inputs must have the same shape.*\(2, 1\), float32, shape \(2, 3\), float32",
    ):
        Add()([np.zeros((2, 1), np.float32), np.zeros((2, 3), np.float32)])
    with pytest.raises(cr.ShapeError, match="Add: inputs must have the same shape"):
        Add().compute_output_shape([(None, 2), (None, 3)])
    with pytest.raises(cr.ShapeError, match="Add: inputs must have the same shape"):
        Add().compute_output_shape([(None, 2), (None, 2, 2)])
    assert Add().compute_output_shape([(None, None, 3), (None, 4, 3)]) == (None, 4, 3)


@pytest.mark.parametrize(
    ("axis", "shapes", "text"),
    [
        (-1, [(2, 3), (3, 3)], r"differ along axis 0; got shapes \(2, 3\), \(3, 3\)"),
        (1, [(2, 3, 4), (2, 3, 5)], r"but along axis=1, and differ along axis 2"),
        (-1, [(2, 3), (2, 3, 1)], "the same number of axes"),
        (2, [(2, 3), (2, 3)], "among them axis=2"),
        (-2, [(2, 3), (2, 3)], "axis=-2, which is not the batch"),
    ],
)
def test_inputs_that_cannot_be_joined(axis, shapes, text):
    with pytest.raises(cr.ShapeError, match=f"Concatenate: .*{text}"):
        Concatenate(axis)([np.zeros(shape, np.float32) for shape in shapes])


def test_arguments_that_are_refused():
    with pytest.raises(TypeError, match=r"Concatenate: axis must be an integer, got 1.0"):
        Concatenate(1.0)
    with pytest.raises(ValueError, match="Concatenate: axis 0 is the batch"):
        Concatenate(0)
    with pytest.raises(TypeError, match="Add: x must be a list of tensors"):
        Add()(np.zeros((2, 3)))


@pytest.mark.parametrize("layer", [Add(), Concatenate(), Concatenate(axis=1)])
def test_masks_that_do_not_fit_together_are_told(layer):
    x = cr.ones((2, 3, 4))
    with pytest.raises(
        ShapeError, match=r"^(Add|Concatenate): the masks .* shapes \(2, 3\), \(2,\)"
    ):
        layer([x, x], mask=[np.ones((2, 3), bool), np.ones(2, bool)])
