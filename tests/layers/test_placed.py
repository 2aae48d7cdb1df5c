"""A layer and its device: what moves with it, what it is given there, and what it refuses."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.engine.devices import get_device
from chainrule.engine.hosted import brought, host_array
from chainrule.engine.masks import mask_of
from chainrule.layers import Dense, Embedding, Layer
from chainrule.models import Model, Sequential

from .test_every_layer import MADE, MASK, SEQUENCE, drawn, each_layer, made

EMULATED = get_device("emulated")


def computed(layer, x, mask, upstream):
    """What a layer gives in training, and the gradients of x and of its parameters."""
    cr.seed(11)
    x = cr.tensor(x, requires_grad=True, device=layer.device)
    result = layer(x, mask=mask, training=True)
    y = result[0] if isinstance(result, list) else result
    y.backward(upstream[: y.size].reshape(y.shape))
    found = [y, x.grad, *(each.grad for _, each in layer.named_parameters())]
    return y, [None if each is None else host_array(each) for each in found]


@each_layer
@pytest.mark.parametrize("masked", [False, True])
def test_every_layer_computes_on_its_device_what_it_computes_on_the_cpu(name, masked):
    layer, x = made(name)
    if masked and x.shape != SEQUENCE:
        return
    mask = MASK if masked else None
    upstream = np.random.default_rng(4).normal(size=2000)
    twin = copy.deepcopy(layer)
    moved = layer.to("emulated")
    assert moved is layer and layer.device == "emulated"
    _, expected = computed(twin, x, mask, upstream)
    y, found = computed(layer, x, mask, upstream)
    assert y.device == "emulated"
    for a, b in zip(found, expected, strict=True):
        if b is None:
            assert a is None
        else:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    for (_, ours), (_, theirs) in zip(layer.named_weights(), twin.named_weights(), strict=True):
        assert ours.device == "emulated"
        np.testing.assert_allclose(host_array(ours), theirs.numpy(), rtol=1e-10)


@each_layer
def test_a_layer_that_is_not_built_remembers_where_it_shall_be(name):
    make, shape = MADE[name]
    layer = make().to("emulated")
    y = layer(drawn(*shape))
    assert y.device == "emulated"
    assert {each.device for _, each in layer.named_weights()} <= {"emulated"}
    assert layer.compute_output_shape((None, *shape[1:]))[1:] == y.shape[1:]


def test_the_weights_stay_the_tensors_that_they_were_with_their_gradients():
    layer = Dense(3)
    before = [layer(np.ones((2, 4))), layer.kernel, layer.bias]
    seen = []
    layer.kernel.register_hook(lambda g: seen.append(g.device))
    (layer(drawn(2, 4)) ** 2).sum().backward()
    gradient = layer.kernel.grad.numpy().copy()
    layer.to("emulated")
    assert before[1:] == [layer.kernel, layer.bias]
    assert layer.kernel.grad.device == layer.kernel.device == "emulated"
    np.testing.assert_array_equal(host_array(layer.kernel.grad), gradient)
    layer(np.ones((2, 4))).sum().backward()  # adds to it
    np.testing.assert_array_equal(host_array(layer.kernel.grad), gradient + 2)
    assert seen == ["cpu", "emulated"]
    assert layer.cpu().kernel.numpy().shape == (4, 3)


def test_what_was_computed_before_the_move_is_not_differentiated_into_nowhere():
    layer = Dense(1)
    loss = layer(np.ones((2, 3))).sum()
    layer.to("emulated")
    with pytest.raises(cr.GradientError, match="was moved to another device"):
        loss.backward()


def test_frozen_shared_and_constant_tensors_move_once_and_stay_what_they_were():
    class Shared(Layer):
        def __init__(self):
            super().__init__()
            self.one, self.two = Dense(2), Dense(2)
            self.table = [cr.tensor([1.0, 2.0], dtype="float32")]
            self.one.trainable = False

        def build(self, input_shape):
            self.one.build(input_shape)
            self.two.build(input_shape)
            self.two.kernel = self.one.kernel
            super().build(input_shape)

        def call(self, x):
            return self.one(x) + self.two(x) * self.table[0]

    layer = Shared()
    expected = layer(np.ones((2, 2))).numpy()
    layer.to("emulated")
    assert layer.one.kernel is layer.two.kernel and layer.table[0].device == "emulated"
    assert not layer.one.kernel.requires_grad and layer.two.bias.requires_grad
    np.testing.assert_array_equal(layer(np.ones((2, 2))).cpu().numpy(), expected)
    twin = copy.deepcopy(layer)
    assert twin.device == "emulated" and twin.one.kernel.device == "emulated"
    twin.cpu()
    assert layer.one.kernel.device == "emulated"


def test_layers_that_build_makes_go_where_the_layer_is():
    class Makes(Layer):
        def build(self, input_shape):
            self.inner = Dense(2)
            super().build(input_shape)

        def call(self, x):
            return self.inner(x)

    class MakesBuilt(Makes):
        def build(self, input_shape):
            self.inner = Dense(2)
            self.inner.build(input_shape)
            Layer.build(self, input_shape)

    for cls in (Makes, MakesBuilt):
        layer = cls().to("emulated")
        assert layer([[1.0, 2.0]]).device == "emulated"
        assert layer.inner.kernel.device == layer.inner.device == "emulated"


def test_a_layer_added_to_a_model_that_was_moved_goes_there():
    model = Sequential([Dense(2)]).to("emulated")
    model(np.ones((1, 3)))
    model.add(Dense(4))
    assert model(np.ones((1, 3))).device == "emulated"
    assert model.get_layer("dense_1").kernel.device == "emulated"


def test_without_weights_a_layer_takes_tensors_of_any_device_and_with_them_only_its_own():
    assert layers.Activation("relu")(cr.ones((1, 2), device="emulated")).device == "emulated"
    flatten = layers.Flatten()
    assert flatten(cr.ones((1, 2))).device == "cpu"
    assert flatten(cr.ones((1, 2), device="emulated")).device == "emulated"
    dense = Dense(2)
    dense(np.ones((1, 3)))
    with pytest.raises(
        cr.DeviceError, match=r"Dense: the layer is on 'cpu', but x is on 'emulated'.*x\.to\('cpu'"
    ):
        dense(cr.ones((1, 3), device="emulated"))
    model = Sequential([Dense(2)]).to("emulated")
    model(np.ones((1, 3)))
    with pytest.raises(cr.DeviceError, match="Sequential: the layer is on 'emulated'"):
        model(cr.ones((1, 3)))


def test_a_layer_that_nobody_has_placed_is_built_where_its_first_tensor_is():
    model = Sequential([Dense(2, "tanh"), layers.BatchNormalization()])
    assert model(cr.ones((2, 3), device="emulated")).device == "emulated"
    assert {each.device for _, each in model.named_weights()} == {"emulated"}
    placed = Dense(2).to("cpu")
    with pytest.raises(cr.DeviceError):
        placed.build((None, 3))
        placed(cr.ones((2, 3), device="emulated"))


def test_the_default_device_is_where_layers_are_made():
    cr.set_default_device("emulated")
    try:
        layer = Dense(2)
        assert layer.device == "emulated" and layer([[1.0, 2.0]]).device == "emulated"
        model = Sequential([Embedding(5, 3, mask_zero=True), layers.LSTM(2)])
        assert model(np.array([[1, 2], [3, 0]])).device == "emulated"
    finally:
        cr.set_default_device(None)
    assert layer.device == "emulated" and Dense(2).device == "cpu"


@pytest.mark.parametrize("bad", ["nowhere", "float32", 3])
def test_what_is_no_device_is_refused_by_name(bad):
    with pytest.raises((cr.DeviceError, cr.DtypeError), match=r"(Dense\.to|device): .*"):
        Dense(2).to(bad)


def test_ids_and_masks_are_made_from_the_array_of_the_host_without_a_copy_back():
    class Reads(Model):
        def __init__(self):
            super().__init__()
            self.table, self.out = Embedding(6, 3, mask_zero=True), layers.LSTM(2)

        def call(self, x):
            return self.out(self.table(x))

    model = Reads().to("emulated")
    ids = np.array([[1, 2, 0], [5, 0, 0]])
    model(ids)
    before = EMULATED.copies_back
    y = model.table(ids)
    assert mask_of(y).tolist() == (ids != 0).tolist()
    model(ids).sum().backward()
    assert EMULATED.copies_back == before
    with pytest.raises(ValueError, match=r"= 6 is not in the vocabulary"):
        model(np.array([[6, 1]]))


def test_a_tensor_knows_the_array_it_was_brought_from_until_it_is_changed():
    array = np.array([1.0, 2.0])
    x = brought(array, EMULATED)
    assert host_array(x) is array and host_array(x[:1]).tolist() == [1.0]
    with cr.no_grad():
        x += 1.0
    assert host_array(x).tolist() == [2.0, 3.0] and array.tolist() == [1.0, 2.0]
    y = cr.tensor(array)
    assert host_array(y) is y._data


def test_the_running_averages_and_the_adapted_statistics_move():
    layer = layers.Normalization()
    layer.adapt(drawn(20, 3))
    expected = layer(drawn(2, 3)).numpy()
    layer.to("emulated")
    np.testing.assert_array_equal(host_array(layer(drawn(2, 3))), expected)
    before = EMULATED.copies_back
    layer(drawn(2, 3))
    assert EMULATED.copies_back == before
    layer.adapt(drawn(20, 3, seed=1))
    assert layer.mean.device == "emulated"
    assert not np.array_equal(host_array(layer(drawn(2, 3))), expected)
