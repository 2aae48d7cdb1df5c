"""A training on a device follows the one on the CPU, step for step."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.optim import SGD, Adam

from .strict import strict_device, traffic

STEPS = 5
#: By how much of its norm a parameter may differ after the steps: some ten times the machine
#: epsilon for each.
BOUNDS = {"float32": 1e-5, "float64": 1e-12}
RULES = {
    "momentum": lambda: SGD(learning_rate=0.05, momentum=0.9, weight_decay=0.01),
    "adam": lambda: Adam(learning_rate=0.005),
    "clipped": lambda: SGD(learning_rate=0.05, nesterov=True, momentum=0.5, global_clipnorm=0.3),
}


def mlp(dtype):
    return Sequential(
        [
            Dense(7, "relu", kernel_regularizer="l2", dtype=dtype),
            layers.LayerNormalization(dtype=dtype),
            layers.Dropout(0.25, dtype=dtype),
            Dense(5, "gelu", dtype=dtype),
            Dense(3, "softmax", dtype=dtype),
        ]
    ), (6, 4)


def cnn(dtype):
    return Sequential(
        [
            layers.Conv2D(3, 3, padding="same", activation="relu", dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.MaxPooling2D(2, dtype=dtype),
            layers.Conv2D(4, 2, activation="tanh", dtype=dtype),
            layers.AveragePooling2D(2, dtype=dtype),
            layers.Flatten(dtype=dtype),
            Dense(3, "softmax", dtype=dtype),
        ]
    ), (4, 7, 6, 2)


def lstm(dtype):
    return Sequential(
        [
            layers.Embedding(8, 5, mask_zero=True, dtype=dtype),
            layers.LSTM(4, dropout=0.2, dtype=dtype),
            Dense(3, "softmax", dtype=dtype),
        ]
    ), (5, 4)


def encoder(dtype):
    return Sequential(
        [
            layers.Embedding(8, 4, dtype=dtype),
            layers.SinusoidalPositions(dtype=dtype),
            layers.TransformerEncoderBlock(2, 6, 0.1, "gelu", dtype=dtype),
            layers.GRU(3, dtype=dtype),
            Dense(3, "softmax", dtype=dtype),
        ]
    ), (3, 4)


def batches(model, shape):
    rng = np.random.default_rng(5)
    for _ in range(STEPS):
        x = rng.normal(size=shape)
        if model.keeps_integers:
            x = rng.integers(1, 8, shape)
            x[1:, -1] = 0  # padding, where it is asked for
        yield x, rng.integers(0, 3, shape[0])


def follow(make, dtype, rule, device, kernel_set):
    """Two copies of a model, one on the CPU, one on a device, trained on the same batches."""
    cr.seed(2)
    model, shape = make(dtype)
    data = list(batches(model, shape))
    model(data[0][0])  # builds it
    twins = [model, copy.deepcopy(model).to(device)]
    losses = []
    for twin in twins:
        cr.seed(9)  # of the dropped units
        twin.compile(RULES[rule](), "sparse_categorical_crossentropy", ["accuracy"])
        with cr.kernels(kernel_set):
            losses.append([twin.train_on_batch(x, y)[0] for x, y in data])
    rtol = 20 * BOUNDS[dtype]
    np.testing.assert_allclose(losses[1], losses[0], rtol=rtol)
    assert losses[0][0] != losses[0][-1]
    for (name, ours), (_, theirs) in zip(*(each.named_weights() for each in twins), strict=True):
        assert theirs.device == device.name
        if name.endswith("key_bias"):  # its gradient is 0 but for rounding: softmax sees no shift
            continue
        expected, found = ours.numpy(), theirs.cpu().numpy()
        assert found.dtype == dtype
        gap = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert gap <= BOUNDS[dtype], f"{name}: {gap:.2g}"


each_dtype = pytest.mark.parametrize("dtype", BOUNDS)


@each_dtype
@pytest.mark.parametrize("rule", RULES)
def test_a_perceptron_follows_the_one_on_the_cpu(dtype, rule, device, kernel_set):
    follow(mlp, dtype, rule, device, kernel_set)


@each_dtype
@pytest.mark.parametrize("make", [cnn, lstm, encoder])
def test_other_networks_follow_those_on_the_cpu(make, dtype, device):
    for rule in ("momentum", "adam"):
        follow(make, dtype, rule, device, "raw")


def test_two_runs_on_a_device_are_equal_to_the_bit(device):
    found = []
    for _ in range(2):
        cr.seed(4)
        model, shape = cnn("float32")
        model.to(device).compile(Adam(), "sparse_categorical_crossentropy")
        for x, y in batches(model, shape):
            model.train_on_batch(x, y)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", [mlp, cnn, lstm, encoder])
def test_networks_follow_those_on_the_cpu_on_arrays_as_unforgiving_as_cupys(make):
    for rule in ("adam", "clipped"):
        follow(make, "float32", rule, strict_device, "reference")


@pytest.mark.parametrize("make", [mlp, cnn, lstm])
def test_an_epoch_reads_arrays_as_unforgiving_as_cupys_at_its_end_only(make):
    counts = []
    for repeats in (1, 3):
        cr.seed(0)
        model, shape = make("float32")
        x, y = map(np.concatenate, zip(*batches(model, shape), strict=True))
        x, y = np.concatenate([x] * repeats), np.concatenate([y] * repeats)
        metrics = ["accuracy", "sparse_categorical_accuracy"]
        model.to("strict").compile(Adam(clipnorm=0.5), "sparse_categorical_crossentropy", metrics)
        model(x[:2])
        before = traffic.down
        model.fit(x, y, shape[0], verbose=0)
        counts.append(traffic.down - before)
        assert model.predict(x).shape == (len(x), 3)
    assert counts[0] == counts[1]
