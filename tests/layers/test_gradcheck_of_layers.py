"""A layer that does not record its weights is found out by `gradcheck`."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.layers import Layer

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
