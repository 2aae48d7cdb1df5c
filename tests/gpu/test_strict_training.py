"""Whole trainings on arrays that are as unforgiving as CuPy's."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.engine.tensor import on_host
from chainrule.models import Sequential

from .strict import StrictArray, strict_device, traffic
from .test_strict_records import each_device

RNG = np.random.default_rng(5)
IDS = RNG.integers(1, 20, (30, 6))
IDS[::2, 4:] = 0
IMAGES = RNG.normal(size=(30, 6, 6, 2)).astype("float32")
CLASSES = RNG.integers(0, 3, 30)
ROWS = RNG.normal(size=(30, 4)).astype("float32")


def text():
    return [
        *(layers.Embedding(20, 6, mask_zero=True), layers.LSTM(5, return_sequences=True)),
        *(layers.TransformerEncoderBlock(1, 8, 0.1), layers.GlobalAveragePooling1D()),
        *(layers.Dropout(0.2), layers.Dense(3, "softmax")),
    ]


def pictures():
    return [
        *(layers.Conv2D(3, 3, padding="same", activation="relu"), layers.BatchNormalization()),
        *(layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3, "softmax")),
    ]


def trained(device, made, x, y, loss="sparse_categorical_crossentropy", metrics=("accuracy",)):
    """History, evaluation, predictions, weights; and how many arrays were copied to the host."""
    cr.seed(1)
    model = Sequential(made())
    model.compile("adam", loss, metrics=list(metrics))
    model.to(device)
    before = traffic.down
    history = model.fit(x, y, batch_size=10, epochs=2, verbose=0, validation_data=(x, y))
    copied = traffic.down - before
    found = [
        *history.history.values(),
        model.evaluate(x, y, verbose=0),
        model.predict(x, verbose=0),
    ]
    weights = [each for _, each in model.named_weights()]
    if device != "cpu":
        assert all(type(each._data) is StrictArray for each in weights)
    return [*found, *map(on_host, weights)], copied


@each_device
@pytest.mark.parametrize(("made", "x"), [(text, IDS), (pictures, IMAGES)])
def test_a_training_is_what_it_is_on_the_cpu(made, x, device):
    expected, _ = trained("cpu", made, x, CLASSES)
    found, copied = trained(device, made, x, CLASSES)
    assert copied <= 12  # some for each epoch, none for each step
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


TARGETS = {
    "mean_squared_error": ROWS[:, :1],
    "mean_absolute_error": ROWS[:, :1],
    "huber": ROWS[:, :1],
    "log_cosh": ROWS[:, :1],
    "binary_crossentropy": (ROWS[:, :1] > 0).astype("float32"),
    "hinge": np.sign(ROWS[:, :1]),
    "poisson": abs(ROWS[:, :1]),
    "kl_divergence": abs(ROWS[:, :1]),
    "categorical_crossentropy": np.eye(3, dtype="float32")[CLASSES],
    "cosine_similarity": np.eye(3, dtype="float32")[CLASSES],
}


@pytest.mark.parametrize("loss", TARGETS)
def test_every_loss(loss):
    y = TARGETS[loss]
    last = layers.Dense(3, "softmax") if y.shape[1] == 3 else layers.Dense(1, "sigmoid")

    def made():
        return [layers.Dense(4, "tanh"), type(last)(last.units, last.final_activation)]

    expected, _ = trained("cpu", made, ROWS, y, loss, metrics=())
    found, _ = trained(strict_device, made, ROWS, y, loss, metrics=())
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)
