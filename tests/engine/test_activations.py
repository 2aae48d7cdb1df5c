"""The edge cases of the activations, DERIVATIONS 4.1: no overflow, no warning, NaN stays NaN."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

INF, NAN = np.inf, np.nan


def gelu_tanh(x):
    return cr.gelu(x, approximate="tanh")


#: The activations that are 0 far on the left and x far on the right.
RAMP = {
    0.0: (0.0, 0.5),
    1e4: (1e4, 1.0),
    -1e4: (0.0, 0.0),
    1e30: (1e30, 1.0),
    -1e30: (0.0, 0.0),
    INF: (INF, 1.0),
    -INF: (0.0, 0.0),
    NAN: (NAN, NAN),
}
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
    cr.log_sigmoid: {
        1e4: (0.0, 0.0),
        -1e4: (-1e4, 1.0),
        INF: (0.0, 0.0),
        -INF: (-INF, 1.0),
        NAN: (NAN, NAN),
    },
    cr.silu: RAMP,
    cr.gelu: RAMP,
    gelu_tanh: RAMP,
    cr.mish: {x: answer for x, answer in RAMP.items() if x},  # and at 0, below
    cr.relu6: {
        0.0: (0.0, 0.0),
        3.0: (3.0, 1.0),
        6.0: (6.0, 0.0),
        1e4: (6.0, 0.0),
        -1e4: (0.0, 0.0),
        INF: (6.0, 0.0),
        -INF: (0.0, 0.0),
    },
    cr.hardtanh: {
        0.5: (0.5, 1.0),
        1.0: (1.0, 0.0),
        -1.0: (-1.0, 0.0),
        INF: (1.0, 0.0),
        -INF: (-1.0, 0.0),
    },
    cr.hard_sigmoid: {
        3.0: (1.0, 0.0),
        -3.0: (0.0, 0.0),
        INF: (1.0, 0.0),
        -INF: (0.0, 0.0),
    },
    cr.leaky_relu: {
        0.0: (0.0, 0.01),
        1e4: (1e4, 1.0),
        -1e4: (-100.0, 0.01),
        INF: (INF, 1.0),
        -INF: (-INF, 0.01),
        NAN: (NAN, 0.0),
    },
    cr.elu: {
        0.0: (0.0, 1.0),
        1e4: (1e4, 1.0),
        -1e4: (-1.0, 0.0),
        INF: (INF, 1.0),
        -INF: (-1.0, 0.0),
        NAN: (NAN, NAN),
    },
    cr.selu: {
        1e4: (1e4 * 1.0507009873554805, 1.0507009873554805),
        -1e4: (-1.7580993408473768, 0.0),
        INF: (INF, 1.0507009873554805),
        -INF: (-1.7580993408473768, 0.0),
        NAN: (NAN, NAN),
    },
}
SMOOTH = [cr.sigmoid, cr.tanh, cr.softplus, cr.log_sigmoid, cr.silu, cr.gelu, gelu_tanh, cr.mish]
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
def test_the_slope_of_mish_at_0_is_three_fifths(dtype):
    """To a unit: 0.6 is the product of two rounded numbers, and no number of binary digits."""
    x = cr.tensor(np.array(0.0, dtype), requires_grad=True)
    y = cr.mish(x)
    y.backward(-1.5)
    assert y.item() == 0.0
    assert abs(x.grad.item() + 0.9) <= np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", SMOOTH)
@pytest.mark.parametrize("x", [1e4, -1e4, INF, -INF])
def test_the_second_derivative_vanishes_far_out(function, x, dtype):
    tensor = cr.tensor(np.array(x, dtype), requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        (first,) = cr.grad([function(tensor)], [tensor], create_graph=True)
        (second,) = cr.grad([first], [tensor], [-3.0])
    np.testing.assert_array_equal(first.item(), TABLE[function][x][1])
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


# Against PyTorch ----------------------------------------------------------------------------

PEERS = {
    "relu": (cr.relu, "relu", {}),
    "relu6": (cr.relu6, "relu6", {}),
    "leaky_relu": (cr.leaky_relu, "leaky_relu", {"negative_slope": 0.3}),
    "elu": (cr.elu, "elu", {"alpha": 0.7}),
    "selu": (cr.selu, "selu", {}),
    "hardtanh": (
        lambda x, min_val, max_val: cr.hardtanh(x, min=min_val, max=max_val),
        "hardtanh",
        {"min_val": -0.5, "max_val": 1.5},
    ),
    "sigmoid": (cr.sigmoid, "sigmoid", {}),
    "log_sigmoid": (cr.log_sigmoid, "logsigmoid", {}),
    "softplus": (cr.softplus, "softplus", {"threshold": 1e9}),
    "silu": (cr.silu, "silu", {}),
    "gelu": (cr.gelu, "gelu", {"approximate": "none"}),
    "gelu_tanh": (cr.gelu, "gelu", {"approximate": "tanh"}),
    "mish": (cr.mish, "mish", {}),
}


@pytest.mark.parametrize("name", PEERS)
def test_values_and_derivatives_are_pytorchs(name):
    """To rounding, which is 1e-14 where terms of about 10 cancel; off 0, where kinks are."""
    torch = pytest.importorskip("torch")
    ours, peer, static = PEERS[name]
    theirs = getattr(torch.nn.functional, peer)
    static_ours = {} if name == "softplus" else static
    rng = np.random.default_rng(1)
    x = rng.standard_normal(200) * 3
    upstream, second_upstream = rng.standard_normal((2, 200))
    a = cr.tensor(x, requires_grad=True)
    y = ours(a, **static_ours)
    (first,) = cr.grad([y], [a], [upstream], create_graph=True)
    (plain,) = cr.grad([ours(a, **static_ours)], [a], [upstream])
    b = torch.tensor(x, requires_grad=True)
    z = theirs(b, **static)
    (first_theirs,) = torch.autograd.grad(z, b, torch.tensor(upstream), create_graph=True)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), atol=4e-15, rtol=1e-14)
    for each in (first, plain):
        np.testing.assert_allclose(each.numpy(), first_theirs.detach().numpy(), atol=2e-14)
    (second,) = (
        cr.grad([first], [a], [second_upstream], allow_unused=True)
        if first.requires_grad
        else [None]
    )
    second = np.zeros_like(x) if second is None else second.numpy()
    (second_theirs,) = torch.autograd.grad(first_theirs, b, torch.tensor(second_upstream))
    np.testing.assert_allclose(second, second_theirs.numpy(), atol=4e-14)


@pytest.mark.parametrize("function", SMOOTH)
def test_third_derivatives_are_those_of_the_second(function):
    def second(x):
        return cr.grad(cr.grad(function))(x)

    for x in (-3.1, -0.4, 0.0, 1e-9, 0.7, 5.0):
        h = 1e-3
        slopes = [(second(x + h / n) - second(x - h / n)).item() * n / (2 * h) for n in (1, 2)]
        numeric = (4 * slopes[1] - slopes[0]) / 3
        assert cr.grad(second)(x).item() == pytest.approx(numeric, abs=1e-9)


# Accuracy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log_sigmoid", "silu", "gelu", "gelu_tanh", "mish"])
def test_small_results_keep_their_relative_accuracy(name):
    """To some units, and those that half a unit of x makes: |x f'(x) / f(x)| of them, halved."""
    mpmath = pytest.importorskip("mpmath")
    formulas = {
        "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
        "silu": lambda x: x / (1 + mpmath.exp(-x)),
        "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
        "gelu_tanh": lambda x: (
            x / (1 + mpmath.exp(-mpmath.sqrt(8 / mpmath.pi) * (x + 44715 * x**3 / 10**6)))
        ),
        "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    }
    function = gelu_tanh if name == "gelu_tanh" else getattr(cr, name)
    far = {"gelu": 37, "gelu_tanh": 20}.get(name, 90)
    with mpmath.workprec(500):
        for x in [*np.linspace(-far, -0.01, 14), *np.linspace(0.01, 35, 8)]:
            tensor = cr.tensor(x, requires_grad=True)
            y = function(tensor)
            (slope,) = cr.grad([y], [tensor])
            at = mpmath.mpf(float(x))
            value = formulas[name](at)
            steep = mpmath.diff(formulas[name], at)
            bound = (8 + 2 * abs(at * steep / value)) * 2**-52
            assert abs(y.item() - value) <= bound * abs(value)
            bend = abs(at * mpmath.diff(formulas[name], at, 2))
            rest = max(at, 0)  # x (1 - sigmoid(x)): the difference has an absolute error
            assert abs(slope.item() - steep) <= 2**-52 * (8 * abs(steep) + 4 * bend + rest)


def test_selu_keeps_mean_0_and_variance_1():
    """Integrated over a standard normal x: its constants are right to the last place."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(30):
        e = mpmath.erfc(1 / mpmath.sqrt(2)) * mpmath.sqrt(mpmath.e)
        alpha = mpmath.sqrt(2 / mpmath.pi) / (1 - e)
        e2 = mpmath.erfc(mpmath.sqrt(2)) * mpmath.e**2
        below = alpha**2 * (e2 - 2 * e + 1) / 2  # ∫ of (exp(x) - 1)² over x < 0
        scale = 1 / mpmath.sqrt(below + mpmath.mpf(1) / 2)
    right, left = cr.selu(cr.tensor([1.0, -1e4])).tolist()
    assert (right, left) == (float(scale), -float(scale * alpha))


# Static arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [cr.tensor(0.1), "0.1", None, True, [0.1], np.ones(1), 1j])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (cr.leaky_relu, "negative_slope"),
        (cr.elu, "alpha"),
        (cr.hardtanh, "min"),
        (cr.hardtanh, "max"),
    ],
)
def test_a_static_argument_that_is_no_number_is_refused(function, name, bad):
    with pytest.raises(cr.DtypeError, match=f"{function.__name__}: {name} must be a number, got"):
        function(cr.tensor([1.0]), **{name: bad})


def test_static_numbers_do_not_change_the_dtype():
    x = cr.tensor(np.array([-1.0, 2.0], np.float32), requires_grad=True)
    for number in (np.float64(0.5), np.int64(1), 1):
        for y in (
            cr.leaky_relu(x, negative_slope=number),
            cr.elu(x, alpha=number),
            cr.hardtanh(x, max=number),
        ):
            (gradient,) = cr.grad([y], [x], [[1.0, -2.0]], create_graph=True)
            assert y.dtype == gradient.dtype == np.float32


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"hardtanh: min must not be larger than max; .*min=1.0"):
        cr.hardtanh(cr.tensor([0.0]), min=1.0, max=0.0)


@pytest.mark.parametrize("bad", ["erf", "", None, 1, 0.0, cr.tensor(True), ["tanh"]])
def test_gelu_names_its_forms(bad):
    with pytest.raises(cr.DtypeError, match='gelu: approximate must be False or "none", or True'):
        cr.gelu(cr.tensor([1.0]), approximate=bad)


def test_gelu_takes_the_names_of_both_libraries():
    x = np.linspace(-3, 3, 7)
    assert cr.gelu(x).tolist() == cr.gelu(x, approximate="none").tolist()
    assert cr.gelu(x, approximate=True).tolist() == gelu_tanh(x).tolist()
    off = np.abs(cr.gelu(x).numpy() - gelu_tanh(x).numpy()).max()
    assert 1e-5 < off < 5e-4


def test_bytes_do_not_wrap_around():
    x = np.array([3], np.uint8)
    for function in (cr.log_sigmoid, cr.silu, cr.gelu, gelu_tanh, cr.mish, cr.erf, cr.erfc):
        np.testing.assert_allclose(function(x).numpy(), function([3.0]).numpy(), rtol=1e-15)
