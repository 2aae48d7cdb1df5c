"""Convolutional layers: PyTorch's with the same weights, gradients, shapes, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.masks import mask_of
from chainrule.layers import Conv1D, Conv2D, Dense, Flatten, MaxPooling2D, Reshape
from chainrule.models import Sequential

LAYERS = {1: Conv1D, 2: Conv2D}
signed = np.random.default_rng(0).standard_normal


@st.composite
def settings_of_layers(draw):
    """The number of axes, arguments, and the shape of an x that fits."""
    axes = draw(st.integers(1, 2))

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    window, dilation = per_axis(1, 3), per_axis(1, 2)
    groups, channels, filters = (draw(st.integers(1, 2)) for _ in range(3))
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    sizes = [draw(st.integers(span, span + 3)) for span in spans]
    paddings = ["valid", "same", "causal"][: 4 - axes]
    arguments = {
        "filters": filters * groups,
        "kernel_size": window,
        "strides": per_axis(1, 3),
        "padding": draw(st.sampled_from(paddings)),
        "dilation_rate": dilation,
        "groups": groups,
        "activation": draw(st.sampled_from([None, "tanh"])),
        "use_bias": draw(st.booleans()),
        "bias_initializer": "random_normal",
    }
    return axes, arguments, (draw(st.integers(1, 2)), *sizes, channels * groups)


def margins_of(size, window, stride, padding, dilation):
    """From the definition: what goes before and after an axis."""
    span = (window - 1) * dilation + 1
    if padding == "same":
        total = max((math.ceil(size / stride) - 1) * stride + span - size, 0)
        return total // 2, total - total // 2
    return (span - 1 if padding == "causal" else 0), 0


def pytorchs(torch, layer, x):
    """The same computed by PyTorch, from the same weights: result and leaves."""
    axes = layer.axes
    leaves = [torch.tensor(x, requires_grad=True)]
    leaves += [torch.tensor(each.numpy(), requires_grad=True) for each in layer.parameters()]
    image = leaves[0].movedim(-1, 1)
    kernel = leaves[1].permute(axes + 1, axes, *range(axes)).contiguous()
    options = zip(layer.kernel_size, layer.strides, layer.dilation_rate, strict=True)
    pairs = [
        margins_of(size, window, stride, layer.padding, dilation)
        for size, (window, stride, dilation) in zip(x.shape[1:-1], options, strict=True)
    ]
    image = torch.nn.functional.pad(image, [each for pair in reversed(pairs) for each in pair])
    module = (torch.nn.Conv1d, torch.nn.Conv2d)[axes - 1](
        image.shape[1],
        layer.filters,
        layer.kernel_size,
        layer.strides,
        dilation=layer.dilation_rate,
        groups=layer.groups,
        bias=layer.use_bias,
        dtype=image.dtype,
    )
    weights = {"weight": kernel} | ({"bias": leaves[2]} if layer.use_bias else {})
    y = torch.func.functional_call(module, weights, (image,)).movedim(1, -1)
    return (torch.tanh(y) if layer.activation.final_activation == "tanh" else y), leaves


@settings(deadline=None, max_examples=40)
@given(settings_of_layers(), st.integers(0, 999), st.sampled_from([64, 32]))
def test_equals_pytorch_with_the_same_weights(call, seed, bits):
    torch = pytest.importorskip("torch")
    axes, arguments, shape = call
    rng, kind = np.random.default_rng(seed), f"float{bits}"
    layer = LAYERS[axes](**arguments, dtype=kind)
    x = rng.normal(size=shape).astype(kind)
    ours = cr.tensor(x, requires_grad=True)
    y = layer(ours)
    z, leaves = pytorchs(torch, layer, x)
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *z.shape[1:])
    upstream = rng.normal(size=y.shape).astype(kind)
    y.backward(upstream)
    z.backward(torch.tensor(upstream))
    pairs = [(y, z.detach())]
    gradients = [ours.grad, *(each.grad for each in layer.parameters())]
    pairs += zip(gradients, [each.grad for each in leaves], strict=True)
    tolerance = 1e-9 if bits == 64 else 1e-4
    for found, expected in pairs:
        assert found.dtype == np.dtype(kind)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=tolerance, rtol=tolerance)


@settings(deadline=None, max_examples=8)
@given(settings_of_layers(), st.integers(0, 999))
def test_gradients_to_second_order(call, seed):
    axes, arguments, shape = call
    cr.seed(seed)
    layer = LAYERS[axes](**arguments, dtype="float64")
    cr.assert_gradients(layer, np.random.default_rng(seed).normal(size=shape), order=2, seed=seed)


def test_a_dense_layer_is_a_convolution_that_sees_everything():
    x = signed((3, 4, 5, 2))
    layer = Conv2D(6, (4, 5), activation="tanh", dtype="float64")
    y = layer(x)
    dense = Dense(6, activation="tanh", dtype="float64")
    dense.build((None, 40))
    dense.kernel = cr.tensor(layer.kernel.numpy().reshape(40, 6))
    np.testing.assert_allclose(y.numpy()[:, 0, 0], dense(x.reshape(3, 40)).numpy(), atol=1e-13)


def test_softmax_is_left_to_the_loss():
    """As in Dense: `logits` are what the activation is applied to."""
    layer = Conv2D(3, 2, activation="softmax", dtype="float64")
    x = signed((2, 3, 3, 1))
    assert layer.final_activation == "softmax"
    np.testing.assert_allclose(
        cr.softmax(layer.logits(x)).numpy(), layer(x).numpy(), rtol=0, atol=1e-15
    )
    function = Conv1D(2, 1, activation=lambda x: x * 2)
    assert function.final_activation is None
    x = signed((1, 3, 1))
    np.testing.assert_array_equal(function.logits(x).numpy(), function(x).numpy())


def test_regularisers_are_on_kernel_and_bias():
    layer = Conv1D(2, 2, kernel_regularizer="l2", bias_regularizer="l1", bias_initializer="ones")
    layer.build((None, 4, 3))
    penalties = [each.item() for each in layer.losses]
    assert penalties == pytest.approx([0.01 * (layer.kernel.numpy() ** 2).sum(), 0.02], rel=1e-6)


def test_glorot_takes_the_window_for_inputs():
    layer = Conv2D(8, 3)
    layer.build((None, 9, 9, 4))
    limit = math.sqrt(6 / (9 * 4 + 9 * 8))
    assert 0.9 * limit < np.abs(layer.kernel.numpy()).max() <= limit


def test_without_bias():
    layer = Conv2D(2, 3, use_bias=False)
    assert layer(signed((1, 3, 3, 1))).shape == (1, 1, 1, 2)
    assert layer.bias is None
    assert layer.count_params() == 18


@pytest.mark.parametrize(
    ("padding", "strides", "carried"),
    [("same", 1, True), ("causal", 1, True), ("valid", 1, False), ("same", 2, False)],
)
def test_a_mask_is_carried_where_there_is_a_window_for_every_step(padding, strides, carried):
    mask = np.array([[True, True, False]])
    y = Conv1D(2, 2, strides, padding)(signed((1, 3, 1)), mask=mask)
    assert (mask_of(y) is not None) is carried


def test_summary_and_shapes_of_a_model():
    model = Sequential(
        [
            Conv2D(16, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(32, 3, padding="same", strides=2),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.build((None, 28, 28, 1))
    told = []
    model.summary(print_fn=told.append)
    text = "\n".join(told)
    for row in (
        r"conv2d (Conv2D)               (None, 26, 26, 16)       160",
        r"max_pooling2d (MaxPooling2D)  (None, 13, 13, 16)       0",
        r"(None, 7, 7, 32)         4,640",
        r"(None, 10)               15,690",
    ):
        assert row in text
    assert model(np.zeros((2, 28, 28, 1))).shape == (2, 10)


def test_lengths_that_are_not_known_stay_so():
    layer = Conv2D(4, 3, strides=2, padding="same")
    assert layer.compute_output_shape((None, None, 9, 2)) == (None, None, 5, 4)
    layer.build((None, None, None, 2))
    for size in (5, 8):
        assert layer(np.zeros((1, size, size, 2))).shape == (1, -(-size // 2), -(-size // 2), 4)


def test_a_fixed_model_learns():
    """Which of two places is bright: no place of a window alone can tell."""
    cr.seed(1)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    x = rng.normal(0, 0.1, (64, 6, 6))
    x[np.arange(64), 2, np.where(labels, 1, 4)] += 1
    model = Sequential(
        [Reshape((6, 6, 1)), Conv2D(4, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(2)]
    )
    model.add(Dense(2, activation="softmax"))
    model.compile(
        cr.optim.Adam(learning_rate=0.03), "sparse_categorical_crossentropy", ["accuracy"]
    )
    model.fit(x, labels, epochs=12, batch_size=16, verbose=0)
    assert model.evaluate(x, labels, verbose=0)[1] > 0.95


# Refused ------------------------------------------------------------------------------------


def test_images_without_channels_are_told_what_to_do():
    with pytest.raises(cr.ShapeError) as error:
        Conv2D(16, 3)(np.zeros((32, 28, 28), np.float32))
    text = str(error.value)
    assert "Conv2D: x must be (batch, height, width, channels)" in text
    assert "got x with shape (32, 28, 28), float32" in text
    assert "x[..., None]" in text and "Reshape((28, 28, 1))" in text


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (Conv2D(2, 3), (1, 2, 5, 1), r"kernel_size=\(3, 3\) does not fit x of shape .* axis 1,"),
        (Conv2D(2, 3, dilation_rate=3), (1, 9, 6, 1), r"dilation_rate=\(3, 3\) .* axis 2, .*same"),
        (Conv2D(2, 3, padding="same"), (1, 0, 5, 1), r"does not fit x of shape .* axis 1"),
        (Conv2D(2, 3, groups=2), (1, 5, 5, 3), r"groups=2 must divide the channels, .* has 3"),
        (Conv2D(2, 3), (1, 5, 5, 0), r"at least one channel"),
        (Conv1D(2, 3), (1, 5, 5, 1), r"Conv1D: x must be \(batch, time, channels\), got"),
        (Conv1D(2, 3), (5,), r"Conv1D: x must be"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, text):
    with pytest.raises(cr.ShapeError, match=text):
        layer(np.zeros(shape, np.float32))


def test_other_channels_than_it_was_built_on():
    layer = Conv2D(2, 3)
    layer(np.zeros((1, 5, 5, 3)))
    with pytest.raises(
        cr.ShapeError, match=r"expected x to have 3 channels.*built on.*\(1, 5, 5, 1\), float32"
    ):
        layer(np.zeros((1, 5, 5, 1), np.float32))
    with pytest.raises(cr.ShapeError, match=r"Conv2D: kernel_size=\(3, 3\) does not fit"):
        layer(np.zeros((1, 2, 5, 3), np.float32))


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"filters": 0}, ValueError, "filters must be a positive integer, got 0"),
        ({"filters": 2.0}, TypeError, "filters must be a positive integer"),
        ({"kernel_size": (3, 3, 3)}, ValueError, "kernel_size must be .* each of 2 axes"),
        ({"kernel_size": 0}, ValueError, "kernel_size must be a positive integer"),
        ({"strides": (1, 0)}, ValueError, "strides must be a positive integer"),
        ({"padding": "causal"}, ValueError, "padding must be one of 'valid', 'same', got 'causal'"),
        ({"dilation_rate": "2"}, TypeError, "dilation_rate must be"),
        ({"groups": 3}, ValueError, "groups=3 must divide the filters, of which there are 4"),
        ({"activation": "rely"}, ValueError, "activation: 'rely' is unknown"),
    ],
)
def test_arguments_that_are_refused(arguments, kind, text):
    with pytest.raises(kind, match=text):
        Conv2D(**{"filters": 4, "kernel_size": 3, **arguments})
