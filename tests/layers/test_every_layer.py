"""What holds for every layer: shapes, dtypes, layouts, copies, freezing, masks, threads."""

from __future__ import annotations

import copy
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import layers
from chainrule.engine.errors import ShapeError
from chainrule.engine.masks import mask_of
from chainrule.layers import LAYERS, from_config
from chainrule.layers.activations import Activation
from chainrule.models import Sequential

SEQUENCE, IMAGE = (3, 5, 4), (3, 6, 5, 4)
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)

#: Calls of each class, several where they differ in kind, with the shape of an input.
MADE = {
    "Dense": (lambda **o: layers.Dense(3, "tanh", kernel_regularizer="l2", **o), SEQUENCE),
    "Flatten": (layers.Flatten, IMAGE),
    "Reshape": (lambda **o: layers.Reshape((2, -1), **o), SEQUENCE),
    "Dropout": (lambda **o: layers.Dropout(0.4, (None, 1, None), **o), SEQUENCE),
    "Masking": (lambda **o: layers.Masking(0.5, **o), SEQUENCE),
    "Normalization": (lambda **o: layers.Normalization(-1, 1.0, 2.0, **o), SEQUENCE),
    "BatchNormalization": (
        lambda **o: layers.BatchNormalization(momentum=0.5, gamma_regularizer="l1", **o),
        SEQUENCE,
    ),
    "LayerNormalization": (layers.LayerNormalization, SEQUENCE),
    "LayerNormalization of two": (
        lambda **o: layers.LayerNormalization((1, 2), scale=False, **o),
        SEQUENCE,
    ),
    "SimpleRNN": (lambda **o: layers.SimpleRNN(3, return_sequences=True, **o), SEQUENCE),
    "LSTM": (lambda **o: layers.LSTM(3, dropout=0.3, go_backwards=True, **o), SEQUENCE),
    "LSTM of all steps": (
        lambda **o: layers.LSTM(
            3, return_sequences=True, use_bias=False, recurrent_regularizer="l1", **o
        ),
        SEQUENCE,
    ),
    "LSTM step by step": (lambda **o: layers.LSTM(3, "relu", return_sequences=True, **o), SEQUENCE),
    "GRU": (lambda **o: layers.GRU(3, return_sequences=True, **o), SEQUENCE),
    "Bidirectional": (
        lambda **o: layers.Bidirectional(layers.LSTM(3, return_sequences=True, dropout=0.2, **o)),
        SEQUENCE,
    ),
    "Bidirectional of two": (
        lambda **o: layers.Bidirectional(
            layers.GRU(2, kernel_regularizer=layers.L1L2(l1=0.1), **o),
            "sum",
            layers.SimpleRNN(2, go_backwards=True, **o),
        ),
        SEQUENCE,
    ),
    "Conv1D": (
        lambda **o: layers.Conv1D(
            4, 2, 2, "causal", dilation_rate=2, groups=2, activation="relu", **o
        ),
        SEQUENCE,
    ),
    "Conv1D wider than x": (lambda **o: layers.Conv1D(4, 9, padding="same", **o), SEQUENCE),
    "Conv2D": (
        lambda **o: layers.Conv2D(4, (3, 2), (2, 1), "same", bias_regularizer="l2", **o),
        IMAGE,
    ),
    "ZeroPadding2D": (lambda **o: layers.ZeroPadding2D(((0, 1), (2, 0)), **o), IMAGE),
    "MaxPooling1D": (lambda **o: layers.MaxPooling1D(2, 1, "same", **o), SEQUENCE),
    "MaxPooling2D": (lambda **o: layers.MaxPooling2D((2, 3), **o), IMAGE),
    "AveragePooling1D": (lambda **o: layers.AveragePooling1D(3, 2, "same", **o), SEQUENCE),
    "AveragePooling2D": (lambda **o: layers.AveragePooling2D(2, **o), IMAGE),
    "GlobalAveragePooling1D": (layers.GlobalAveragePooling1D, SEQUENCE),
    "GlobalMaxPooling1D": (lambda **o: layers.GlobalMaxPooling1D(True, **o), SEQUENCE),
    "GlobalAveragePooling2D": (lambda **o: layers.GlobalAveragePooling2D(True, **o), IMAGE),
    "GlobalMaxPooling2D": (layers.GlobalMaxPooling2D, IMAGE),
    "SinusoidalPositions": (layers.SinusoidalPositions, SEQUENCE),
    "LearnedPositions": (
        lambda **o: layers.LearnedPositions(7, embeddings_regularizer="l2", **o),
        SEQUENCE,
    ),
    "MultiHeadAttention": (
        lambda **o: layers.MultiHeadAttention(2, dropout=0.2, bias_regularizer="l1", **o),
        SEQUENCE,
    ),
    "MultiHeadAttention of other widths": (
        lambda **o: layers.MultiHeadAttention(3, 2, 5, use_bias=False, **o),
        SEQUENCE,
    ),
    "TransformerEncoderBlock": (
        lambda **o: layers.TransformerEncoderBlock(2, 6, 0.2, "gelu", True, **o),
        SEQUENCE,
    ),
    "TransformerDecoderBlock": (
        lambda **o: layers.TransformerDecoderBlock(2, 6, dropout=0.2, **o),
        SEQUENCE,
    ),
    "Sequential": (
        lambda **o: Sequential(
            [
                layers.LSTM(4, return_sequences=True, **o),
                layers.TransformerEncoderBlock(1, 4, **o),
                layers.Dense(2, **o),
            ]
        ),
        SEQUENCE,
    ),
}
#: Those that take ids, several inputs, or are activations; tested in files of their own.
OTHERS = {"Embedding", "Add", "Concatenate"}
each_layer = pytest.mark.parametrize("name", MADE)
#: Of padded sequences the real steps of these see the padding, or there is no such sequence.
MIXING = {
    *("Masking", "LayerNormalization of two", "Conv1D", "Conv1D wider than x", "MaxPooling1D"),
    *("AveragePooling1D", "Reshape"),
}


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def made(name, dtype="float64"):
    """The layer, built, with weights that are nowhere 0, and an input."""
    make, shape = MADE[name]
    cr.seed(3)
    layer, x = make(dtype=dtype), drawn(*shape).astype(dtype)
    layer(x)
    for i, (key, weight) in enumerate(layer.named_weights()):
        value = weight.numpy() + 0.1 * drawn(*weight.shape, seed=i)
        weight.assign(abs(value) if "variance" in key else value)
    return layer, x


def outcome(layer, x, call=None, upstream=None, mask=None):
    """Result and gradients of a call in training, always with the same random numbers."""
    cr.seed(7)
    layer.zero_grad()
    tensor = cr.tensor(x, requires_grad=True)
    y = (call or layer)(tensor, training=True, **({} if mask is None else {"mask": mask}))
    y.backward(drawn(*y.shape, seed=1).astype(y.dtype) if upstream is None else upstream(y))
    grads = [each.grad for each in layer.parameters() if each.grad is not None]
    return [each.numpy().copy() for each in (y, tensor.grad, *grads)]


def same(found, expected, tolerance=0.0):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_every_layer_is_here():
    activations = {key for key, each in LAYERS.items() if issubclass(each, Activation)}
    known = {key for key, each in LAYERS.items() if each.__module__.startswith("chainrule")}
    assert known - activations - OTHERS - {"Softmax", "ReLU"} == {key.split()[0] for key in MADE}


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_and_shapes(name, dtype):
    layer, x = made(name, dtype)
    found = outcome(layer, x.astype("float64"))
    # The gradient of x is cast back to what x was.
    assert {each.dtype.name for each in (found[0], *found[2:])} == {dtype}
    assert {each.dtype.name for each in layer.losses} <= {dtype}
    assert layer.compute_output_shape((None, *x.shape[1:])) == (None, *found[0].shape[1:])
    assert all(weight.dtype == dtype for _, weight in layer.named_weights())


@each_layer
def test_the_reference_kernels_and_other_layouts_give_the_same(name):
    layer, x = made(name)
    expected = outcome(layer, x)
    with cr.kernels("reference"):
        same(outcome(layer, x), expected, 1e-11)
    turned = np.empty((x.shape[-1], *x.shape[:-1], 2))[..., 0]
    turned = np.moveaxis(turned, 0, -1)
    turned[...] = x
    turned.flags.writeable = False
    assert not turned.flags.c_contiguous
    same(outcome(layer, turned), expected, 1e-11)
    repeated = np.broadcast_to(x[:1], x.shape)
    same(outcome(layer, repeated), outcome(layer, repeated.copy()), 1e-11)
    broadcast = outcome(layer, x, upstream=lambda y: np.broadcast_to(1.5, y.shape))
    same(broadcast, outcome(layer, x, upstream=lambda y: np.full(y.shape, 1.5)), 1e-11)


@each_layer
def test_copies_and_configurations(name):
    layer, x = made(name)
    expected = outcome(layer, x)
    same(outcome(copy.deepcopy(layer), x), expected)
    again = from_config(json.loads(json.dumps(layer.to_config())))
    again.build((None, *x.shape[1:]))
    assert repr(again) == repr(layer) and len(again.losses) == len(layer.losses)
    pairs = zip(again.named_weights(), layer.named_weights(), strict=True)
    for (key, weight), (expected_key, value) in pairs:
        assert key == expected_key
        weight.assign(value.numpy())
    same(outcome(again, x), expected)


@each_layer
def test_frozen_before_it_is_built_it_has_nothing_to_train(name):
    make, shape = MADE[name]
    layer = make()
    layer.trainable = False
    y = layer(drawn(*shape), training=True)
    assert not y.requires_grad and not any(each.requires_grad for each in layer.parameters())
    again = from_config(layer.to_config())
    again(drawn(*shape))
    if name != "Sequential" or again.layers[0].trainable:
        assert not any(each.requires_grad for each in again.parameters())


@each_layer
def test_another_width_than_it_was_built_for_is_refused(name):
    layer, x = made(name)
    if not layer.parameters() and name != "Normalization":
        return
    wider = drawn(*x.shape[:-1], x.shape[-1] + 7)
    with pytest.raises(ShapeError) as caught:
        layer(wider)
    assert str(x.shape[-1]) in str(caught.value) and str(wider.shape[-1]) in str(caught.value)


@each_layer
def test_batches_of_none_and_of_one(name):
    layer, x = made(name)
    whole = layer(x).numpy()
    for size in (0, 1):
        tensor = cr.tensor(x[:size], requires_grad=True)
        y = layer(tensor)
        y.backward(np.ones(y.shape))
        assert tensor.grad.shape == (size, *x.shape[1:])
        np.testing.assert_allclose(y.numpy(), whole[:size], atol=1e-12)


@each_layer
def test_calls_do_not_disturb_each_other(name):
    """Two before one backward, one backward twice, and two threads at once."""
    layer, x = made(name)
    a, b = cr.tensor(x, requires_grad=True), cr.tensor(2 - x, requires_grad=True)
    y, z = layer(a), layer(b)
    upstream, before = drawn(*y.shape, seed=1), y.numpy().copy()
    expected = cr.grad([layer(a)], [a], [upstream])[0].numpy()
    first = cr.grad([y], [a], [upstream], retain_graph=True)[0].numpy()
    layer(b)
    np.testing.assert_array_equal(cr.grad([y], [a], [upstream])[0].numpy(), first)
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(y.numpy(), before)
    right, wrong = {0: (y.numpy(), a), 1: (z.numpy(), b)}, []

    def work(i):
        for _ in range(3):
            result = layer(right[i][1])
            cr.grad([result], [right[i][1]], [upstream])
            if not np.array_equal(result.numpy(), right[i][0]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


@each_layer
def test_threads_that_call_it_first_build_it_once(name):
    make, shape = MADE[name]
    layer, x, found = make(dtype="float64"), drawn(*shape), []
    ready = threading.Barrier(3)

    def work():
        ready.wait()
        found.append(layer(x).numpy())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for each in found:
        np.testing.assert_array_equal(each, layer(x).numpy())
    assert len(found) == 3


@each_layer
def test_a_checkpoint_computes_the_same(name):
    layer, x = made(name)
    twin = copy.deepcopy(layer)
    found = outcome(twin, x, call=lambda t, **o: cr.checkpoint(twin, t, **o))
    same(found, outcome(layer, x))
    for (_, one), (_, other) in zip(twin.named_weights(), layer.named_weights(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())  # running averages, moved once


@pytest.mark.parametrize("name", [key for key in MADE if MADE[key][1] == SEQUENCE])
def test_padding_is_not_seen_and_nothing_is_nan(name):
    """Before and after what is real, and where nothing is; forward and backward."""
    layer, x = made(name)
    hidden = MASK[..., None]

    def of_real_steps(y):
        mask = mask_of(y)
        g = drawn(*y.shape, seed=1)
        return g if mask is None else np.where(mask[..., None], g, 0.0)

    found = []
    for fill in (0.0, 9.0):
        given_x = np.where(hidden, x, fill)
        y, of_x, *rest = outcome(layer, given_x, upstream=of_real_steps, mask=MASK)
        assert all(np.isfinite(each).all() for each in (y, of_x, *rest))
        mask = mask_of(layer(given_x, mask=MASK))
        y = y if mask is None else np.where(mask[..., None], y, 0.0)
        found.append([y, np.where(hidden, of_x, 0.0), *rest])
    if name not in MIXING and name != "Sequential":
        same(*found, 1e-10)


# Shapes of drawn configurations -------------------------------------------------------------

number, flag = st.integers(1, 3), st.booleans()
either = st.sampled_from(["valid", "same"])


@st.composite
def configurations(draw):
    """A layer and the shape of an input, which may not fit."""
    kind = draw(st.sampled_from(["conv", "pool", "global", "rnn", "attention", "shape", "norm"]))
    spatial, batch = draw(st.integers(1, 2)), draw(st.integers(0, 2))
    shape = (batch, *(draw(st.integers(1, 6)) for _ in range(spatial)), 2 * draw(number))
    several = st.tuples(*[number] * spatial)
    if kind == "conv":
        padding = draw(st.sampled_from(["valid", "same", "causal"][: 4 - spatial]))
        strides, dilation = draw(several), draw(several)
        make = (layers.Conv1D, layers.Conv2D)[spatial - 1]
        groups = draw(st.integers(1, 2))
        return make(2 * draw(number), draw(several), strides, padding, dilation, groups), shape
    if kind == "pool":
        name = draw(st.sampled_from(["Max", "Average"]))
        make = getattr(layers, f"{name}Pooling{spatial}D")
        return make(draw(several), draw(st.none() | several), draw(either)), shape
    if kind == "global":
        name = draw(st.sampled_from(["Max", "Average"]))
        return getattr(layers, f"Global{name}Pooling{spatial}D")(draw(flag)), shape
    row = (*shape[:2], shape[-1])
    if kind == "rnn":
        make = draw(st.sampled_from([layers.SimpleRNN, layers.LSTM, layers.GRU]))
        inner = make(
            draw(number),
            return_sequences=draw(flag),
            return_state=draw(flag),
            go_backwards=draw(flag),
        )
        merge = draw(st.sampled_from(["concat", "sum", "mul", "ave", None, "no", "other"]))
        if merge == "other":
            config = inner.get_config() | {"go_backwards": not inner.go_backwards, "units": 4}
            return layers.Bidirectional(inner, "concat", type(inner).from_config(config)), row
        return inner if merge == "no" else layers.Bidirectional(inner, merge), row
    if kind == "attention":
        make = draw(
            st.sampled_from(
                [
                    lambda: layers.MultiHeadAttention(draw(number), draw(number), draw(number)),
                    lambda: layers.TransformerEncoderBlock(2, draw(number)),
                    lambda: layers.TransformerDecoderBlock(2, draw(number)),
                    lambda: layers.LearnedPositions(6),
                    layers.SinusoidalPositions,
                ]
            )
        )
        return make(), row
    if kind == "norm":
        axis = draw(st.integers(1, len(shape) - 1))
        make = draw(st.sampled_from([layers.LayerNormalization, layers.BatchNormalization]))
        return make(axis=axis), shape
    if draw(flag):
        margins = ((draw(number), 0), (0, draw(number)))
        return layers.ZeroPadding2D(margins), (*shape[:1], 2, *shape[-2:])
    return draw(st.sampled_from([layers.Flatten(), layers.Reshape((2, -1))])), shape


@settings(max_examples=150)
@given(configurations())
def test_the_shape_that_is_computed_is_the_shape_that_comes(drawn_pair):
    """Or both say that the input does not fit."""
    layer, shape = drawn_pair
    try:
        y = layer(np.zeros(shape))
    except ShapeError:
        with pytest.raises(ShapeError):
            layer.compute_output_shape((None, *shape[1:]))
        return
    first = y[0] if isinstance(y, list) else y
    assert layer.compute_output_shape((None, *shape[1:])) == (None, *first.shape[1:])
    assert layer.compute_output_shape(shape) == first.shape


# Arguments ----------------------------------------------------------------------------------


@each_layer
def test_each_regulariser_goes_to_the_weights_that_its_name_says(name):
    layer, x = made(name)
    for argument in layer.get_config():
        what, is_one, _ = argument.partition("_regularizer")
        if not is_one:
            continue
        config = layer.get_config() | {
            key: None for key in layer.get_config() if key.endswith("_regularizer")
        }
        again = type(layer).from_config(config | {argument: layers.L2(1.0)})
        again(x)
        for i, weight in enumerate(again.parameters()):
            weight.assign(drawn(*weight.shape, seed=i))
        ending = {"recurrent": "recurrent_kernel"}.get(what, what)
        punished = [
            (weight.numpy() ** 2).sum()
            for key, weight in again.named_parameters()
            if key.endswith(ending) and not (what == "kernel" and key.startswith("recurrent"))
        ]
        found = [each.item() for each in again.losses]
        np.testing.assert_allclose(sorted(found), sorted(punished), rtol=1e-12)
