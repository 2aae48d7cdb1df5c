"""The models of the examples are saved and loaded."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import (
    LSTM,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    MaxPooling2D,
    Reshape,
)
from chainrule.models import Sequential

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def example(monkeypatch):
    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def check(model, x, folder, own=None):
    expected = model.predict(x)
    model.save(folder / "model")
    again = cr.load_model(folder / "model", own)
    np.testing.assert_array_equal(again.predict(x), expected)
    assert [name for name, _ in again.named_weights()] == [
        name for name, _ in model.named_weights()
    ]
    assert again.get_config() == model.get_config()


def ids(length=20):
    return np.random.default_rng(0).integers(1, 30, (3, length))


def test_the_gpt(example, tmp_path):
    check(example("char_gpt").gpt(40, width=12, heads=2, blocks=2), ids(), tmp_path)


def test_the_stacks_of_the_other_examples(tmp_path):
    """As in char_lstm.py and digits_cnn.py, which make them in `main`, in smaller sizes."""
    stack = Sequential(
        [
            Embedding(input_dim=40, output_dim=8),
            *(LSTM(units=6, activation="tanh", return_sequences=True) for _ in range(2)),
            Dense(units=40, activation="softmax"),
        ]
    )
    check(stack, ids(), tmp_path / "lstm")
    images = np.random.default_rng(0).random((2, 784)).astype("float32")
    stack = Sequential(
        [
            *(Reshape((28, 28, 1)), Conv2D(4, 3, padding="same", activation="relu")),
            *(MaxPooling2D(), Conv2D(4, 3, padding="same", activation="relu"), MaxPooling2D()),
            *(Flatten(), Dropout(0.3), Dense(10, activation="softmax")),
        ]
    )
    check(stack, images, tmp_path / "cnn")


def test_the_encoder_and_its_heads(example, tmp_path):
    module = example("bert_encoder")
    own = {"Encoder": module.Encoder, "Headed": module.Headed}
    encoder = module.Encoder(40, width=8, heads=2, blocks=2)
    check(encoder, ids(), tmp_path / "encoder", own)
    classifier = module.Headed(
        encoder, [GlobalAveragePooling1D(), Dropout(0.1), Dense(4, activation="softmax")]
    )
    labelling = module.Headed(encoder, [Dense(1, activation="sigmoid")])
    classifier.compile("adam", module.loss_of_hidden)
    check(labelling, ids(), tmp_path / "labels", own)
    own["loss_of_hidden"] = module.loss_of_hidden
    check(classifier, ids(), tmp_path / "classes", own)
    assert cr.load_model(tmp_path / "classes" / "model", own)._loss is module.loss_of_hidden
