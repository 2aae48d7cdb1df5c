"""Every layer, the losses and the optimisers on arrays that are as unforgiving as CuPy's."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.engine.hosted import host_array
from chainrule.models import Sequential

from ..layers.test_every_layer import MADE, MASK, SEQUENCE, each_layer, made
from ..layers.test_placed import computed
from .strict import StrictArray, strict_device, traffic
from .test_strict_records import each_device


@each_layer
@each_device
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_computes_what_it_computes_on_the_cpu(name, device, masked, dtype):
    layer, x = made(name, dtype)
    if masked and x.shape != SEQUENCE:
        return
    mask = MASK if masked else None
    upstream = np.random.default_rng(4).normal(size=2000).astype(dtype)
    twin = copy.deepcopy(layer)
    layer.to(device)
    _, expected = computed(twin, x, mask, upstream)
    y, found = computed(layer, x, mask, upstream)
    assert type(y._data) is StrictArray
    tolerance = 2000 * np.finfo(dtype).eps
    for ours, theirs in zip(found, expected, strict=True):
        if theirs is None:
            assert ours is None
        else:
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    for (_, ours), (_, theirs) in zip(layer.named_weights(), twin.named_weights(), strict=True):
        np.testing.assert_allclose(host_array(ours), theirs.numpy(), rtol=tolerance, atol=tolerance)


@each_layer
def test_a_layer_copies_nothing_to_the_host(name):
    layer, x = made(name)
    layer.to(strict_device)
    mask = MASK if x.shape == SEQUENCE else None
    layer(x, training=True, mask=mask)  # what is looked at once
    before = traffic.down
    y = layer(x, training=True, mask=mask)
    first = y[0] if isinstance(y, list) else y
    if first.requires_grad:
        first.backward(np.ones(first.shape))
    assert traffic.down == before


def test_all_layers_are_there():
    assert len(MADE) > 30


def trained(device, make):
    """Weights after some steps, the optimiser, and how many arrays went to the host in the last."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(12, 5)).astype("float32"), rng.integers(0, 3, 12)
    cr.seed(1)
    model = Sequential(
        [layers.Dense(4, "relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(3)]
    )
    model(x)
    model.to(device)
    optimizer = make(model.parameters())
    labels = cr.tensor(labels, device=device)
    for _ in range(5):
        before = traffic.down
        model.zero_grad()
        cr.sparse_softmax_cross_entropy(model(x, training=True), labels).mean().backward()
        optimizer.step()
    copied = traffic.down - before
    assert {each.device for each in model.parameters()} == {cr.tensor(0.0, device=device).device}
    return [host_array(each) for _, each in model.named_weights()], optimizer, copied


@pytest.mark.parametrize(
    "make",
    [
        lambda p: cr.optim.SGD(p, 0.1),
        lambda p: cr.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda p: cr.optim.Adam(p, 0.01, weight_decay=0.01),
        lambda p: cr.optim.Adam(p, 0.01, as_printed=True),
    ],
)
def test_optimisers_step_on_the_device_and_their_state_comes_back(make):
    expected, _, _ = trained("cpu", make)
    found, optimizer, copied = trained(strict_device, make)
    assert copied == 0
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    state = optimizer.state()
    assert all(isinstance(each, (int, float, np.ndarray)) for each in state.values())
    optimizer.load_state(state)
    again = optimizer.state()
    assert all(np.array_equal(again[key], each) for key, each in state.items())


def test_ids_and_several_inputs():
    cr.seed(2)
    embedding = layers.Embedding(6, 3, mask_zero=True)
    add, join = layers.Add(), layers.Concatenate()
    outcomes = []
    for device in ("cpu", strict_device):
        embedding.to(device)
        ids = np.array([[1, 5, 0], [2, 2, 0]])
        before = traffic.down
        embedding.zero_grad()
        y = embedding(ids)
        z = join([add([y, 2.0 * y]), y])
        z.backward(np.arange(float(z.size)).reshape(z.shape))
        assert traffic.down == before
        outcomes.append([host_array(each) for each in (z, embedding.embeddings.grad)])
        with pytest.raises(ValueError, match="is not in the vocabulary"):
            embedding(np.array([[6, 1]]))
    for one, two in zip(*outcomes, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-6)
