"""Layers and models put to `gradcheck`: weights that are not recorded, losses near zero."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Layer
from chainrule.models import Sequential

POINT = np.random.default_rng(0).normal(size=(2, 4))


class Scaled(Layer):
    def build(self, input_shape):
        self.weight = self.add_weight("weight", (input_shape[-1], 3), "glorot_uniform")
        super().build(input_shape)


class Detached(Scaled):
    def call(self, x):
        return x @ self.weight.detach()


class Outside(Scaled):
    def call(self, x):
        return x @ cr.tensor(self.weight.numpy())


def test_a_weight_that_is_always_detached_is_wrong():
    report = cr.gradcheck(Detached(), POINT)
    assert not report.ok and report.findings[0].input == "weight"


def test_a_weight_that_gets_no_gradient_is_named():
    report = cr.gradcheck(Outside(), POINT)
    assert any("weight gets no gradient" in each for each in report.notes)


@pytest.mark.parametrize("seed", range(8))
def test_a_classifier_that_is_sure_of_itself(seed):
    """Its loss is 1e-5 to 1e-13: of 1 - p little is left, in float32 nothing."""
    cr.seed(seed)
    model = Sequential([Dense(8, activation="tanh"), Dense(4, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(seed).normal(size=(1, 5))
    model.build((None, 5))
    with cr.no_grad():
        for each in model.parameters():
            each *= 12
    label = model(x).numpy().argmax(axis=-1)
    cr.assert_gradients(model, x, label)
