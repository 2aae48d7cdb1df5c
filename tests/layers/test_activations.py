"""Activations by name and as layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.errors import ShapeError
from chainrule.layers import (
    ACTIVATIONS,
    Activation,
    Dense,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    get_activation,
)

rng = np.random.default_rng(0)

FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "log_sigmoid": lambda x: -np.log(1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
}
CLASSES = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "softmax": Softmax}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_name_function_class_and_engine_agree(name):
    x, upstream = rng.standard_normal((2, 5, 4))
    expected = FORMULAS[name](x)
    ways = [Activation(name), Activation(ACTIVATIONS[name]), get_activation(name)]
    ways += [CLASSES[name](), get_activation(CLASSES[name])] if name in CLASSES else []
    reference = cr.tensor(x, requires_grad=True)
    ACTIVATIONS[name](reference).backward(upstream)
    for layer in ways:
        layer.dtype = np.dtype("float64")
        leaf = cr.tensor(x, requires_grad=True)
        result = layer(leaf)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-13)
        if name != "linear":
            result.backward(upstream)
            np.testing.assert_array_equal(leaf.grad.numpy(), reference.grad.numpy())
        assert layer.final_activation == (None if name == "linear" else name)
        assert layer.logits(leaf) is leaf
        assert layer.name == name
        assert layer.compute_output_shape((None, 4)) == (None, 4)
        assert layer.parameters() == []


def test_none_is_linear():
    assert get_activation(None).name == "linear"


@pytest.mark.parametrize("bad", ["Relu", "", 3, ["relu"]])
def test_an_unknown_activation_is_told_the_known_ones(bad):
    with pytest.raises(ValueError, match=r"is unknown; known: 'linear', 'relu'.*'softplus'"):
        Activation(bad)
    with pytest.raises(ValueError, match="is unknown; known"):
        Dense(3, activation=bad)


def test_a_function_of_ones_own_has_no_name_that_a_loss_could_trust():
    def softmax(x):
        return cr.softmax(2 * x)

    layer = Activation(softmax)
    x = rng.standard_normal((3, 4))
    assert layer.final_activation is None
    np.testing.assert_array_equal(layer.logits(x).numpy(), layer(x).numpy())
    assert Activation(lambda x: x[:, :2]).compute_output_shape((None, 4)) == (None, 2)
    assert Activation(lambda x: x).name == "activation"


def test_softmax_along_another_axis_is_not_told_as_the_last():
    x = rng.standard_normal((3, 4))
    layer = Softmax(axis=0, dtype="float64")
    np.testing.assert_allclose(layer(x).numpy().sum(0), 1, rtol=1e-14)
    assert layer.final_activation is None
    np.testing.assert_array_equal(layer.logits(x).numpy(), layer(x).numpy())


def test_softmax_refuses_an_axis_that_is_none():
    for bad in (True, 1.0, "last", None):
        with pytest.raises(TypeError, match="Softmax: axis must be an integer"):
            Softmax(axis=bad)
    with pytest.raises(ShapeError, match="softmax"):
        Softmax(axis=2)(np.ones((2, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_numbers_do_not_overflow(dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        x = cr.tensor([[-1e4, 1e4]], dtype=dtype, requires_grad=True)
        for layer in (Sigmoid(dtype=dtype), Tanh(dtype=dtype), Softmax(dtype=dtype)):
            layer(x).backward([[1.5, -2.0]])
    assert np.isfinite(x.grad.numpy()).all()


def test_a_dense_layer_takes_every_activation_by_name():
    x = rng.standard_normal((3, 2))
    for name, formula in FORMULAS.items():
        layer = Dense(4, activation=name, dtype="float64")
        result = layer(x).numpy()
        expected = formula(x @ layer.kernel.numpy() + layer.bias.numpy())
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-15)
        assert repr(name) in repr(layer) or name == "linear"
