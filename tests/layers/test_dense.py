"""The fully connected layer: its formula, its gradients, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.layers import Activation, Dense, Layer, ReLU, Softmax

EPS = np.finfo(np.float64).eps
lengths = st.integers(1, 4)


def draw(rng, *shape):
    return rng.standard_normal(shape)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    lengths,
    lengths,
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_forward_and_backward_are_the_derivations_lines(leading, features, units, use_bias, seed):
    """Z = X W + b; ∂J/∂W = Xᵀ δ, ∂J/∂b = Σ δ, ∂J/∂X = δ Wᵀ, over any number of leading axes."""
    rng = np.random.default_rng(seed)
    layer = Dense(units, use_bias=use_bias, bias_initializer="random_normal", dtype="float64")
    x = cr.tensor(draw(rng, *leading, features), requires_grad=True)
    delta = draw(rng, *leading, units)
    z = layer(x)
    z.backward(delta)
    w, b = layer.kernel.numpy(), layer.bias.numpy() if use_bias else np.zeros(units)
    rows, deltas = x.numpy().reshape(-1, features), delta.reshape(-1, units)
    # Sums of at most 64 terms, each of them rounded: 64 eps times the sum of their sizes.
    expected = {
        "z": (z, np.einsum("...i,ij->...j", x.numpy(), w) + b),
        "kernel": (layer.kernel.grad, np.einsum("ni,nj->ij", rows, deltas)),
        "x": (x.grad, np.einsum("...j,ij->...i", delta, w)),
    }
    if use_bias:
        expected["bias"] = (layer.bias.grad, deltas.sum(0))
    for name, (got, value) in expected.items():
        assert got.shape == value.shape, name
        np.testing.assert_allclose(got.numpy(), value, rtol=0, atol=64 * EPS * 100, err_msg=name)
    assert layer.compute_output_shape((None, *leading, features)) == (None, *leading, units)


@pytest.mark.parametrize("activation", [None, "tanh", "sigmoid", "softplus", "softmax"])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 3)])
def test_gradients_are_the_finite_differences(activation, shape):
    """Central differences with h = 1e-5: h²/6 · J''' and eps · J / h are both below 1e-9."""
    rng = np.random.default_rng(1)
    layer = Dense(2, activation, bias_initializer="random_normal", dtype="float64")
    x = cr.tensor(draw(rng, *shape), requires_grad=True)
    upstream = draw(rng, *shape[:-1], 2)
    layer(x).backward(upstream)
    h = 1e-5
    for leaf in (x, layer.kernel, layer.bias):
        numeric = np.zeros(leaf.shape)
        with cr.no_grad():
            for index in np.ndindex(leaf.shape):
                at = leaf.numpy()[index].copy()
                values = []
                for moved in (at + h, at - h):
                    leaf[index] = moved
                    values.append(float((layer(x).numpy() * upstream).sum()))
                leaf[index] = at
                numeric[index] = (values[0] - values[1]) / (2 * h)
        np.testing.assert_allclose(leaf.grad.numpy(), numeric, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid"])
def test_values_and_gradients_are_pytorchs(activation):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    layer = Dense(7, activation, bias_initializer="random_normal", dtype="float64")
    x, upstream = draw(rng, 6, 5), draw(rng, 6, 7)
    mine = cr.tensor(x, requires_grad=True)
    result = layer(mine)
    result.backward(upstream)
    theirs = torch.nn.Linear(5, 7, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.kernel.numpy().T.copy()))
        theirs.bias.copy_(torch.tensor(layer.bias.numpy().copy()))
    y = torch.tensor(x, requires_grad=True)
    reference = theirs(y) if activation is None else getattr(torch, activation)(theirs(y))
    reference.backward(torch.tensor(upstream))
    for got, value in (
        (result, reference.detach()),
        (mine.grad, y.grad),
        (layer.kernel.grad, theirs.weight.grad.T),
        (layer.bias.grad, theirs.bias.grad),
    ):
        np.testing.assert_allclose(got.numpy(), value.numpy(), rtol=1e-12, atol=1e-13)


def test_float32_stays_float32():
    layer = Dense(3, "relu")
    x = cr.tensor(np.ones((2, 4)), requires_grad=True)
    result = layer(x)
    result.backward(np.full((2, 3), -1.5))
    assert {result.dtype, layer.kernel.dtype, layer.bias.dtype} == {np.dtype("float32")}
    assert {layer.kernel.grad.dtype, layer.bias.grad.dtype} == {np.dtype("float32")}
    assert x.grad.dtype == np.float64


def test_the_input_is_neither_changed_nor_kept():
    layer = Dense(3)
    x = np.ones((2, 4), np.float32)
    before = x.copy()
    result = layer(x)
    np.testing.assert_array_equal(x, before)
    x[:] = np.nan
    result.backward(np.ones((2, 3)))
    assert np.isfinite(layer.kernel.grad.numpy()).all()


def test_the_worked_network_has_the_parameters_of_the_derivation():
    layers = [Dense(500, "relu"), Dense(500, "relu"), Dense(10, "sigmoid")]
    shape = (None, 100)
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    assert sum(layer.count_params() for layer in layers) == 306_010


def test_weights_start_as_the_initializers_say():
    cr.seed(0)
    layer = Dense(50)
    layer.build((None, 100))
    assert 0.9 * (6 / 150) ** 0.5 < np.abs(layer.kernel.numpy()).max() <= (6 / 150) ** 0.5
    assert not layer.bias.numpy().any()
    cr.seed(0)
    again = Dense(50)
    again.build((None, 100))
    np.testing.assert_array_equal(layer.kernel.numpy(), again.kernel.numpy())


def test_without_bias_there_is_none():
    layer = Dense(3, use_bias=False)
    layer(np.ones((2, 4)))
    assert layer.bias is None
    assert [name for name, _ in layer.named_weights()] == ["kernel"]


# Activations --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "relu", Softmax, Softmax(), cr.tanh])
def test_the_result_is_the_activation_of_the_logits(activation):
    layer = Dense(3, activation, bias_initializer="ones")
    x = draw(np.random.default_rng(3), 4, 5)
    logits = layer.logits(x)  # builds it, as a call does
    affine = cr.tensor(x, dtype="float32") @ layer.kernel + layer.bias
    np.testing.assert_array_equal(logits.numpy(), affine.numpy())
    np.testing.assert_array_equal(layer.activation(logits).numpy(), layer(x).numpy())
    assert layer.final_activation == layer.activation.name


def test_what_has_no_name_has_no_logits_before_it():
    x = draw(np.random.default_rng(4), 4, 5)
    for activation in (None, "linear", lambda z: 2 * z, Softmax(axis=1), Activation(cr.exp)):
        layer = Dense(3, activation)
        assert layer.final_activation is None
        np.testing.assert_array_equal(layer.logits(x).numpy(), layer(x).numpy())


def test_an_activation_with_weights_is_a_sub_layer():
    class Slope(Layer):
        def build(self, input_shape):
            self.add_weight("slope", (), "ones")
            super().build(input_shape)

        def call(self, x):
            return x * self.slope

    layer = Dense(3, Slope())
    layer(np.ones((1, 2)))
    assert [name for name, _ in layer.named_parameters()] == ["kernel", "bias", "activation.slope"]


def test_an_activation_of_another_dtype_is_refused():
    with pytest.raises(DtypeError, match=r"ReLU\(\) has dtype float32, the layer float64"):
        Dense(3, ReLU(), dtype="float64")
    assert Dense(3, "relu", dtype="float64")(np.ones((1, 1))).dtype == np.float64
    assert Dense(3, ReLU, dtype="float64")(np.ones((1, 1))).dtype == np.float64


# Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [0, -1, np.int64(0)])
def test_units_must_be_positive(units):
    with pytest.raises(ValueError, match="Dense: units must be a positive integer, got"):
        Dense(units)


@pytest.mark.parametrize("units", [2.0, True, "10", None, (3,)])
def test_units_must_be_an_integer(units):
    with pytest.raises(TypeError, match="Dense: units must be a positive integer, got"):
        Dense(units)


def test_another_last_axis_later_on_is_told_with_shape_and_dtype():
    layer = Dense(3)
    layer(np.ones((2, 100)))
    for use in (layer, layer.logits):
        with pytest.raises(ShapeError) as caught:
            use(np.ones((32, 99)))
        assert str(caught.value) == (
            "Dense: expected the last axis of x to be 100 (the layer was built on it), "
            "got x with shape (32, 99), float32"
        )


@pytest.mark.parametrize("is_built", [False, True])
@pytest.mark.parametrize(
    ("x", "remedy"),
    [(np.ones(100), r"shape \(100,\), float32; x\[None, :\]"), (3.0, r"\(\), float32; x.reshape")],
)
def test_without_a_batch_axis_the_remedy_is_told(is_built, x, remedy):
    layer = Dense(3)
    if is_built:
        layer.build((None, 100))
    with pytest.raises(ShapeError, match=f"Dense: x must have at least 2 axes.*{remedy}"):
        layer(x)
    assert layer.built is is_built


@pytest.mark.parametrize("shape", [(), (None,), (100,), (None, None), (None, 0), (None, 3, None)])
def test_a_shape_without_known_features_is_refused(shape):
    with pytest.raises(ShapeError, match="Dense: input_shape must be"):
        Dense(3).build(shape)


def test_no_features_at_all_are_refused_and_no_samples_are_not():
    with pytest.raises(ShapeError, match="at least one feature"):
        Dense(3)(np.ones((2, 0)))
    assert Dense(3)(np.ones((0, 4))).shape == (0, 3)
