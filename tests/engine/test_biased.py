"""The operations that add a bias and apply an activation: equal to the two that they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.operations.biased import BIASED, BY_RESULT, GATED

APART = {
    "relu": cr.relu,
    "sigmoid": cr.sigmoid,
    "tanh": cr.tanh,
    "silu": cr.silu,
    "gelu": cr.gelu,
    "gelu_tanh": lambda z: cr.gelu(z, approximate="tanh"),
}


def fused(activation: str) -> Any:
    known = cr.bias_activation if activation in BY_RESULT else cr.bias_gated_activation
    return lambda x, bias: known(x, bias, activation=activation)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("activation", [*BY_RESULT, *GATED])
def test_to_the_bit(activation: str, shape: tuple[int, ...], dtype: str) -> None:
    random = np.random.default_rng(len(activation))
    x, bias, upstream = (
        (10 * random.standard_normal(each)).astype(dtype) for each in (shape, shape[-1:], shape)
    )
    found = []
    for function in (fused(activation), lambda x, bias: APART[activation](x + bias)):
        one, two = (cr.tensor(each, requires_grad=True) for each in (x, bias))
        y = function(one, two)
        y.backward(upstream)
        found.append([y, one.grad, two.grad])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("activation", [*BY_RESULT, *GATED])
def test_not_a_number_stays_one(activation: str) -> None:
    y = fused(activation)([[np.nan, np.inf, -np.inf]], np.zeros(3))
    apart = APART[activation](cr.tensor([[np.nan, np.inf, -np.inf]]))
    np.testing.assert_array_equal(y.numpy(), apart.numpy())
    assert np.isnan(y.numpy()[0, 0])


def test_errors() -> None:
    with pytest.raises(ValueError, match="'relu', 'sigmoid', 'tanh', got 'gelu'"):
        cr.bias_activation(np.ones((2, 3)), np.ones(3), activation="gelu")
    for bias in (np.ones(2), np.ones((2, 3)), np.ones(1), 1.0):
        with pytest.raises(cr.ShapeError, match=r"bias \(features,\)"):
            cr.bias_gated_activation(np.ones((2, 3)), bias, activation="silu")
    with pytest.raises(cr.DtypeError, match="floating"):
        cr.bias_activation(np.ones((2, 3), int), np.ones(3, int), activation="relu")


@pytest.mark.parametrize("name", BIASED)
def test_layers_on_a_device_use_them(name: str) -> None:
    """With the reference kernels what they give there is, to the bit, what two operations give."""
    x = np.random.default_rng(1).standard_normal((4, 3)).astype("float32")
    layer = cr.layers.Dense(5, activation=name, bias_initializer="random_normal")
    with cr.kernels("reference"):
        layer(x)
        expected = layer(x)
        layer.to("emulated")
        y = layer(cr.tensor(x, device="emulated"))
    assert y._node.plan.record.name == BIASED[name].func.record.name
    np.testing.assert_array_equal(y.to("cpu").numpy(), expected.numpy())
