"""The edge cases of the activations, DERIVATIONS 4.1: no overflow, no warning, NaN stays NaN."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

INF, NAN = np.inf, np.nan
#: function: input -> (result, derivative)
TABLE = {
    cr.relu: {
        0.0: (0.0, 0.0),
        1e4: (1e4, 1.0),
        -1e4: (0.0, 0.0),
        INF: (INF, 1.0),
        -INF: (0.0, 0.0),
    },
    cr.sigmoid: {
        0.0: (0.5, 0.25),
        1e4: (1.0, 0.0),
        -1e4: (0.0, 0.0),
        INF: (1.0, 0.0),
        -INF: (0.0, 0.0),
        NAN: (NAN, NAN),
    },
    cr.tanh: {
        0.0: (0.0, 1.0),
        1e4: (1.0, 0.0),
        -1e4: (-1.0, 0.0),
        INF: (1.0, 0.0),
        -INF: (-1.0, 0.0),
        NAN: (NAN, NAN),
    },
    cr.softplus: {
        1e4: (1e4, 1.0),
        -1e4: (0.0, 0.0),
        INF: (INF, 1.0),
        -INF: (0.0, 0.0),
        NAN: (NAN, NAN),
    },
}
CASES = [(f, x, *answer) for f, table in TABLE.items() for x, answer in table.items()]


@pytest.mark.parametrize("kernel_set", ["reference", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize(("function", "x", "value", "slope"), CASES)
def test_edge_cases(function, x, value, slope, shape, dtype, kernel_set):
    with cr.kernels(kernel_set), np.errstate(over="raise", invalid="raise", divide="raise"):
        tensor = cr.tensor(np.full(shape, x, dtype), requires_grad=True)
        result = function(tensor)
        result.backward(np.full(shape, -1.5))
    np.testing.assert_array_equal(result.numpy(), np.full(shape, value, dtype))
    np.testing.assert_array_equal(tensor.grad.numpy(), np.full(shape, -1.5 * slope, dtype))
    assert result.dtype == tensor.grad.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [cr.sigmoid, cr.tanh, cr.softplus])
@pytest.mark.parametrize("x", [1e4, -1e4])
def test_the_second_derivative_vanishes_far_out(function, x, dtype):
    tensor = cr.tensor(np.array(x, dtype), requires_grad=True)
    (first,) = cr.grad([function(tensor)], [tensor], create_graph=True)
    (second,) = cr.grad([first], [tensor], [-3.0])
    assert second.item() == 0.0
    assert second.dtype == np.dtype(dtype)


def test_relu_keeps_nan():
    x = cr.tensor([NAN, 1.0], requires_grad=True)
    assert np.isnan(cr.relu(x).numpy()[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_keeps_its_relative_accuracy_on_the_left(dtype):
    x = np.linspace(-80, 0, 500).astype(dtype)
    exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    epsilon = np.finfo(dtype).eps
    # exp(x) has the condition |x|: half an ulp of x is |x| / 2 ulps of the result.
    bound = epsilon * (4 + np.abs(x)) * exact
    assert (np.abs(cr.sigmoid(x).numpy() - exact) <= bound).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [cr.softmax, cr.log_softmax])
def test_softmax_of_huge_and_missing_scores(function, dtype):
    x = cr.tensor(np.array([[1e4, -1e4, 0.0], [0.0, -INF, 0.0]], dtype), requires_grad=True)
    y = function(x)
    probabilities = y.numpy() if function is cr.softmax else np.exp(y.numpy())
    np.testing.assert_allclose(
        probabilities, [[1, 0, 0], [0.5, 0, 0.5]], atol=2 * np.finfo(dtype).eps
    )
    y.backward([[1.0, -2.0, 3.0], [1.0, -2.0, 3.0]])
    assert np.isfinite(x.grad.numpy()).all()
    assert y.dtype == x.grad.dtype == np.dtype(dtype)
