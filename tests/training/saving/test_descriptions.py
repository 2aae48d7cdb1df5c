"""What a model is, as plain data; and what differs between two of them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Dropout, HeNormal, ReLU
from chainrule.models import Model, Sequential
from chainrule.training.saving.descriptions import (
    compile_document,
    differences,
    model_document,
)


class Own(Model):
    """Not plain if `function` is one."""

    def __init__(self, function=None, width=3):
        super().__init__()
        self.function, self.width = function, width
        self.hidden, self.out = Dense(width), Dense(1)
        self.hidden.trainable = False

    def call(self, x):
        return self.out(self.hidden(x))


def stack(units=4, rate=0.1, loss="mse", metrics=("mae",), seed=None, dropout=0.5):
    start = "he_normal" if seed is None else HeNormal(seed=seed)
    layers = [
        Dense(8, "relu"),
        Sequential([Dropout(dropout), ReLU()]),
        Dense(units, "tanh", kernel_initializer=start),
    ]
    model = Sequential(layers)
    model.build((None, 3))
    model.compile(cr.optim.SGD(learning_rate=rate), loss, list(metrics))
    return model


def documents(model):
    """As a file gives them back."""
    found = {"model": model_document(model), "compile": compile_document(model)}
    return json.loads(json.dumps(found))


def compared(one, other):
    return [line for key in ("model", "compile") for line in differences(one[key], other[key], key)]


def test_the_same_program_gives_the_same_document():
    assert documents(stack()) == documents(stack())
    called = stack()
    called.predict(np.ones((2, 3)))
    assert compared(documents(stack()), documents(called)) == []
    cr.seed(1)
    one, other = documents(Own(lambda x: x)), documents(Own(lambda x: x))
    assert compared(one, other) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"units": 5}, "model.layers[2].units: 4 in the checkpoint, 5 now"),
        ({"dropout": 0.25}, "model.layers[1].layers[0].rate: 0.5 in the checkpoint, 0.25 now"),
        ({"seed": 3}, "model.layers[2].kernel_initializer: 'he_normal' in the checkpoint, "),
        ({"rate": 0.2}, "compile.optimizer.learning_rate: 0.1 in the checkpoint, 0.2 now"),
        (
            {"rate": cr.optim.schedules.CosineDecay(0.1, 10)},
            "compile.optimizer.learning_rate: 0.1 in the checkpoint, {'class_name': 'CosineDecay'",
        ),
        (
            {"loss": "mae", "metrics": []},
            "compile.loss: MeanSquaredError in the checkpoint, MeanAbsoluteError now",
        ),
        ({"metrics": ["mse"]}, "compile.metrics: ['mae'] in the checkpoint, ['mse'] now"),
        ({"metrics": []}, "compile.metrics: ['mae'] in the checkpoint, [] now"),
    ],
)
def test_what_differs_is_named(change, line):
    found = compared(documents(stack()), documents(stack(**change)))
    assert any(each.startswith(line) for each in found), found


def test_every_line_names_one_field_and_equal_ones_are_not_named():
    one, other = documents(stack()), documents(stack(units=5))
    assert compared(one, other) == ["model.layers[2].units: 4 in the checkpoint, 5 now"]


def test_missing_fields_other_lengths_and_nan():
    one = {"a": [1, {"b": 2}], "c": float("nan"), "d": None}
    other = copy.deepcopy(one)
    assert differences(one, other) == []
    other["a"].append(3)
    del other["d"]
    other["e"] = "x" * 99
    assert differences(one, other, "data", "file") == [
        "data.a: 2 of them in the file, 3 now",
        "data.d: None, in the file only",
        f"data.e: '{'x' * 59}…, only now",
    ]
    assert differences({"c": float("nan")}, {"c": 0.0}) == [
        "model.c: nan in the checkpoint, 0.0 now"
    ]
    assert differences((1, 2), [1, 2]) == []


def test_a_model_that_is_not_plain_says_why_and_is_told_by_its_weights():
    model = Own(np.tanh)
    found = model_document(model)
    assert found["config"] is None
    assert "argument 'function'" in found["not_plain"]
    assert found["weights"] == {} and found["built"]["hidden"]["input_shapes"] is None
    model(np.ones((2, 5)))
    found = model_document(model)
    assert found["weights"]["hidden.kernel"] == {
        "shape": [5, 3],
        "dtype": "float32",
        "trainable": False,
    }
    assert found["built"]["hidden"] == {
        "class_name": "Dense",
        "input_shapes": [[None, 5]],
        "trainable": False,
    }
    wider = Own(np.tanh, width=4)
    wider(np.ones((2, 5)))
    lines = differences(found, model_document(wider))
    assert "model.weights.hidden.kernel.shape: [5, 3] in the checkpoint, [5, 4] now" in lines
    assert " at 0x" not in json.dumps(model_document(Own(lambda x: x)))


def test_what_follows_from_other_layers_is_not_told_besides():
    def built(width, features):
        model = Sequential([Dense(width)])
        model(np.ones((2, features)))
        return model_document(model)

    assert differences(built(3, 5), built(4, 5)) == [
        "model.layers[0].units: 3 in the checkpoint, 4 now"
    ]
    lines = differences(built(3, 5), built(3, 6))  # the same layers, of another input
    assert "model.weights.dense.kernel.shape: [5, 3] in the checkpoint, [6, 3] now" in lines


def test_of_a_hash_the_beginning_is_told():
    one, other = {"sha256": "ab" * 32}, {"sha256": "cd" * 32}
    assert differences(one, other, "data.x") == [
        "data.x.sha256: 'abababababab…' in the checkpoint, 'cdcdcdcdcdcd…' now"
    ]


def test_a_document_is_always_plain_and_never_fails():
    class Broken(Dense):
        def get_config(self):
            raise RuntimeError("no")

    class BrokenRule(cr.optim.SGD):
        @property
        def settings(self):
            raise RuntimeError("no settings")

    model = Sequential([Broken(2)])
    assert model_document(model)["not_plain"] == "no"
    assert compile_document(model) is None
    model.compile(BrokenRule(), lambda a, b: a - b, metrics=[lambda a, b: a == b, "acc"])
    found = json.loads(json.dumps(compile_document(model)))
    assert found["optimizer"] == {"class_name": "BrokenRule", "not_plain": "no settings"}
    assert found["loss"]["name"] == found["metrics"][0]["name"] == "<lambda>"
    assert found["metrics"][1] == "acc"


def test_the_learning_rate_of_a_document_is_the_one_of_the_beginning():
    model = stack()
    before = documents(model)
    model.optimizer.learning_rate = 1e-4
    assert compared(before, documents(model)) == []
