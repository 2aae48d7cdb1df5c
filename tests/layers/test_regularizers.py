"""Regularisers: their values, what they do to the gradient, to training and to reports."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import L1, L1L2, L2, Dense, Layer, from_config, get_regularizer
from chainrule.models import Sequential

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("regularizer", "value", "slope"),
    [
        (L1(0.3), lambda w: 0.3 * abs(w).sum(), lambda w: 0.3 * np.sign(w)),
        (L2(0.3), lambda w: 0.3 * (w * w).sum(), lambda w: 0.6 * w),
        (
            L1L2(0.3, 0.2),
            lambda w: 0.3 * abs(w).sum() + 0.2 * (w * w).sum(),
            lambda w: 0.3 * np.sign(w) + 0.4 * w,
        ),
    ],
)
def test_values_and_gradients(regularizer, value, slope):
    w = cr.tensor(rng.standard_normal((4, 3)), requires_grad=True)
    penalty = regularizer(w)
    penalty.backward()
    np.testing.assert_allclose(penalty.item(), value(w.numpy()), rtol=1e-14)
    np.testing.assert_allclose(w.grad.numpy(), slope(w.numpy()), rtol=1e-14)
    assert cr.gradcheck(regularizer, rng.standard_normal((4, 3))).ok


def test_names_are_keras_s_with_its_factors():
    assert repr(get_regularizer("l1")) == "L1()" and get_regularizer("l2").l2 == 0.01
    assert get_regularizer(None) is None
    with pytest.raises(ValueError, match=r"'l3' is unknown; known: 'l1', 'l2', 'l1_l2'"):
        Dense(2, kernel_regularizer="l3")
    with pytest.raises(ValueError, match="L2: l2 must be a number of at least 0, got -1"):
        L2(-1)


def test_a_factor_that_is_not_given_is_none_as_in_keras():
    weight = cr.tensor([2.0, -1.0])
    assert L1L2(l2=0.5)(weight).item() == 2.5 and L1L2(l1=0.5)(weight).item() == 1.5
    named = get_regularizer("l1_l2")
    assert (named.l1, named.l2) == (0.01, 0.01) and named.identifier() == "l1_l2"
    for each in (L1L2(l2=0.5), L1L2()):
        assert get_regularizer(each.identifier()).get_config() == each.get_config()


def test_a_layer_keeps_its_regularisers_in_its_configuration():
    layer = Dense(2, kernel_regularizer="l2", bias_regularizer=L1(0.5))
    again = from_config(layer.to_config())
    assert again.to_config() == layer.to_config()
    assert again.get_config()["kernel_regularizer"] == "l2" and again.bias_regularizer.l1 == 0.5


def _model(**options):
    model = Sequential([Dense(3, activation="tanh", **options), Dense(2)])
    cr.seed(0)
    model.build((None, 4))
    model.compile("sgd", "mse")
    return model


def test_training_and_evaluation_add_the_penalties_to_the_loss():
    x, y = rng.standard_normal((8, 4)), rng.standard_normal((8, 2))
    plain, punished = _model(), _model(kernel_regularizer=L2(0.1), bias_regularizer="l1")
    penalty = sum(each.item() for each in punished.losses)
    assert penalty == pytest.approx(0.1 * (punished.layers[0].kernel.numpy() ** 2).sum(), rel=1e-6)
    losses = [model.evaluate(x, y, batch_size=3, verbose=0) for model in (plain, punished)]
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-4)
    before = [each.numpy().copy() for each in plain.parameters()]
    kernel = before[0]
    for model in (plain, punished):
        model.train_on_batch(x, y)
    moved = plain.parameters()[0].numpy() - punished.parameters()[0].numpy()
    np.testing.assert_allclose(moved, 0.01 * 0.2 * kernel, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(plain.parameters()[2].numpy(), punished.parameters()[2].numpy())


def test_the_checked_gradient_includes_them():
    model = Sequential([Dense(2, kernel_regularizer="l2", dtype="float64")])
    model.compile("sgd", "mse")
    assert cr.gradcheck(model, rng.standard_normal((3, 2)), rng.standard_normal((3, 2))).ok


def test_a_frozen_or_shared_weight_is_punished_never_or_once():
    class Twice(Layer):
        def __init__(self):
            super().__init__()
            self.first = Dense(2, kernel_regularizer="l2")
            self.again = self.first

        def call(self, x):
            return self.again(self.first(x))

    layer = Twice()
    layer(rng.standard_normal((1, 2)))
    assert len(layer.losses) == 1
    layer.trainable = False
    assert layer.losses == []


def test_a_function_of_one_s_own_will_do():
    layer = Dense(2, kernel_regularizer=lambda w: (w**4).sum())
    layer(rng.standard_normal((1, 3)))
    (penalty,) = layer.losses
    assert penalty.item() == pytest.approx((layer.kernel.numpy() ** 4).sum(), rel=1e-6)


def test_a_weight_of_two_layers_is_punished_once():
    model = Sequential([Dense(3, kernel_regularizer="l2"), Dense(3, kernel_regularizer="l2")])
    model.build((None, 3))
    model.layers[1].kernel = model.layers[0].kernel
    assert len(model.losses) == 1
