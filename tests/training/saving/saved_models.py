"""What the tests of saved models share: a small model, and how two are compared."""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.layers import Dense, Layer
from chainrule.models import Model, Sequential, load_model
from chainrule.optim import schedules
from tests.layers.test_every_layer import drawn


def saved(model, folder, **options):
    model.save(folder / "model")
    return load_model(folder / "model", **options)


def weights(model):
    return {name: each.cpu().numpy().copy() for name, each in model.named_weights()}


def same_model(one, other):
    assert type(one) is type(other) and one.name == other.name
    assert [key for key, _ in one.named_weights()] == [key for key, _ in other.named_weights()]
    pairs = zip(one.named_weights(), other.named_weights(), strict=True)
    for (name, a), (_, b) in pairs:
        assert a.dtype == b.dtype and a.requires_grad == b.requires_grad, name
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for (_, a), (_, b) in zip(one._tree(), other._tree(), strict=True):
        if type(a).build is not Layer.build:  # others have nothing to train
            assert a.trainable == b.trainable


def trained_on(model, x, y, epochs=1, **options):
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, shuffle=False, **options)
    return weights(model)


def equal(one, other):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def small(optimizer="adam", loss="mse", metrics=("mae",), units=3):
    cr.seed(0)
    model = Sequential([Dense(8, activation="tanh"), Dense(units)])
    model.build((None, 5))
    model.compile(optimizer, loss, list(metrics))
    return model


X, Y = drawn(12, 5).astype("float32"), drawn(12, 3, seed=1).astype("float32")
SCHEDULE = schedules.CosineDecay(0.01, 9, warmup_target=0.1, warmup_steps=2)


class Tower(Model):
    """`floors` is a number in the constructor and a list of layers afterwards."""

    def __init__(self, floors, width=4, *, start="he_normal", activation=None):
        super().__init__()
        self.floors = [Dense(width, "relu", kernel_initializer=start) for _ in range(floors)]
        self.head = Dense(3)
        self.last = activation

    def call(self, x):
        for floor in self.floors:
            x = floor(x)
        x = self.head(x)
        return x if self.last is None else self.last(x)


class Headed(Model):
    def __init__(self, body, heads):
        super().__init__()
        self.body, self.heads = body, heads

    def call(self, x):
        x = self.body(x)
        return sum((head(x) for head in self.heads[1:]), self.heads[0](x))


OWN = {"Tower": Tower, "Headed": Headed}
