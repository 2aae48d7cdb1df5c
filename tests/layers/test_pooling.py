"""Pooling layers: PyTorch's, gradients, masks, shapes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.layers import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)

WINDOWED = {
    (MaxPooling1D, "MaxPool1d"),
    (MaxPooling2D, "MaxPool2d"),
    (AveragePooling1D, "AvgPool1d"),
    (AveragePooling2D, "AvgPool2d"),
}
GLOBAL = [GlobalAveragePooling1D, GlobalMaxPooling1D, GlobalAveragePooling2D, GlobalMaxPooling2D]


def image(axes, seed=0):
    shape = (2, 5, 7, 3) if axes == 2 else (2, 7, 3)
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(("kind", "name"), sorted(WINDOWED, key=str))
@pytest.mark.parametrize(("size", "strides"), [(2, None), (3, 2), (1, 2), (2, 1)])
def test_equals_pytorch(kind, name, size, strides):
    torch = pytest.importorskip("torch")
    layer, x = kind(size, strides, dtype="float64"), image(kind.axes)
    ours, theirs = cr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = layer(ours)
    z = getattr(torch.nn, name)(size, strides)(theirs.movedim(-1, 1)).movedim(1, -1)
    upstream = np.random.default_rng(1).normal(size=y.shape)
    y.backward(upstream)
    z.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-9)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *z.shape[1:])


@pytest.mark.parametrize("kind", sorted((kind for kind, _ in WINDOWED), key=str))
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_shapes_and_dtypes(kind, padding):
    layer, x = kind(2, 3, padding), image(kind.axes).astype("float32")
    y = layer(x)
    assert y.dtype == np.float32
    assert layer.compute_output_shape(x.shape) == y.shape
    unknown = (None,) * (kind.axes + 1)
    assert layer.compute_output_shape((*unknown, 3)) == (*unknown, 3)


@pytest.mark.parametrize("kind", [*sorted((kind for kind, _ in WINDOWED), key=str), *GLOBAL])
def test_gradients_to_second_order(kind):
    layer = kind(dtype="float64")
    x = np.random.default_rng(2).permutation(image(kind.axes).size) / 50
    cr.assert_gradients(layer, x.reshape(image(kind.axes).shape), order=2)


@pytest.mark.parametrize("kind", GLOBAL)
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pools_are_numpys(kind, keepdims):
    x, layer = image(kind.axes), kind(keepdims, dtype="float64")
    axes = tuple(range(1, x.ndim - 1))
    reduce = np.max if "Max" in kind.__name__ else np.mean
    y = layer(x)
    np.testing.assert_allclose(y.numpy(), reduce(x, axes, keepdims=keepdims), rtol=1e-14)
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *y.shape[1:])


@pytest.mark.parametrize("kind", [GlobalAveragePooling1D, GlobalMaxPooling1D])
@pytest.mark.parametrize("keepdims", [False, True])
def test_steps_that_are_not_real_do_not_count(kind, keepdims):
    """Whatever is in them, NaN too; and they get no gradient."""
    x, mask = image(1) - 9, np.zeros((2, 7), bool)  # negative: 0 would be the largest
    mask[0, [1, 2, 5]] = True  # and in the second nothing is real
    x[~mask] = np.nan
    t = cr.tensor(x, requires_grad=True)
    y = kind(keepdims, dtype="float64")(t, mask=mask)
    reduce = np.max if kind is GlobalMaxPooling1D else np.mean
    expected = np.stack([reduce(x[0, [1, 2, 5]], axis=0), np.zeros(3)])
    found = y.numpy()[:, 0] if keepdims else y.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    y.backward(np.random.default_rng(3).normal(size=y.shape))
    assert (t.grad.numpy()[~mask] == 0).all() and (t.grad.numpy()[mask] != 0).any()
    right = cr.tensor(image(1)[:, :3])
    np.testing.assert_array_equal(
        kind(dtype="float64")(right, mask=np.ones((2, 3), bool)).numpy(),
        kind(dtype="float64")(right).numpy(),
    )


def test_short_names_are_the_same_layers():
    assert layers.MaxPool2D is MaxPooling2D and layers.MaxPool1D is MaxPooling1D
    assert layers.AvgPool2D is AveragePooling2D and layers.AvgPool1D is AveragePooling1D
    assert repr(MaxPooling2D(3)) == "MaxPooling2D(pool_size=[3, 3])"
    assert repr(MaxPooling2D()) == "MaxPooling2D()"


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (MaxPooling2D(), (4, 6, 6), r"MaxPooling2D: x must be \(batch, height.*x\[..., None\]"),
        (MaxPooling2D(3), (1, 6, 2, 1), r"MaxPooling2D: pool_size=\(3, 3\) does not fit.* axis 2"),
        (AveragePooling1D(), (1, 1, 1), r"AveragePooling1D: pool_size=\(2,\) does not fit"),
        (GlobalMaxPooling2D(), (4, 6, 6), r"GlobalMaxPooling2D: x must be"),
        (GlobalAveragePooling1D(), (2, 0, 3), r"GlobalAveragePooling1D: there is nothing to pool"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, text):
    with pytest.raises(cr.ShapeError, match=text):
        layer(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"pool_size": 0}, ValueError, "MaxPooling2D: pool_size must be a positive integer"),
        ({"strides": (1, 1, 1)}, ValueError, "strides must be .* each of 2 axes"),
        ({"padding": "causal"}, ValueError, "padding must be one of 'valid', 'same'"),
    ],
)
def test_arguments_that_are_refused(arguments, kind, text):
    with pytest.raises(kind, match=text):
        MaxPooling2D(**arguments)
    with pytest.raises(TypeError, match="GlobalMaxPooling1D: keepdims must be True or False"):
        GlobalMaxPooling1D(keepdims=1)


@pytest.mark.parametrize("kind", [GlobalMaxPooling1D, GlobalAveragePooling1D])
def test_a_mask_of_samples_is_one_of_all_their_steps(kind):
    x, real = image(1), np.array([True, False])
    found = kind(dtype="float64")(x, mask=real).numpy()
    np.testing.assert_array_equal(found[0], kind(dtype="float64")(x).numpy()[0])
    assert (found[1] == 0).all()


def test_hidden_steps_are_no_anomaly():
    x, mask = image(1), np.zeros((2, 7), bool)
    mask[0, 2:] = True
    with cr.detect_anomaly():
        y = GlobalMaxPooling1D(dtype="float64")(x, mask=mask)
    np.testing.assert_array_equal(y.numpy(), [x[0, 2:].max(axis=0), np.zeros(3)])
