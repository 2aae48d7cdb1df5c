"""The elementwise table: edge cases, beside NumPy (to the bit) and PyTorch (gradients twice)."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import chainrule as cr
from chainrule.engine.calls import draw_values
from chainrule.engine.checking.operations import upstream_for
from chainrule.engine.record import RECORDS

INF, NAN = np.inf, np.nan
quick = settings(deadline=None, max_examples=15)
seeds = st.integers(0, 2**32 - 1)

#: our name -> NumPy's
UNARY = {
    "abs": np.abs,
    "sign": np.sign,
    "square": np.square,
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "reciprocal": np.reciprocal,
    "negative": np.negative,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.round,
    "isfinite": np.isfinite,
    "isinf": np.isinf,
    "isnan": np.isnan,
    "logical_not": np.logical_not,
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "logaddexp": np.logaddexp,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "remainder": np.remainder,
    "floor_divide": np.floor_divide,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
BITWISE = {
    "bitwise_and": (np.bitwise_and, operator.and_),
    "bitwise_or": (np.bitwise_or, operator.or_),
    "bitwise_xor": (np.bitwise_xor, operator.xor),
}
TORCH = {"power": "pow", "divide": "div", "abs": "abs"}

POINTS = [
    *(-INF, -1e30, -1e20, -40.0, -2.5, -2.0, -1.5, -1.0, -0.5, -1e-20, -1e-30, -0.0),
    *(0.0, 1e-30, 1e-20, 0.5, 1.0, 1.5, 2.0, 2.5, 40.0, 1e20, 1e30, INF, NAN),
]
HUGE = [-1e300, -1e200, -700.0, -1e-300, 1e-300, 700.0, 1e200, 1e300]
PAIRED = [-INF, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, INF, NAN]


def grid():
    """Every pair of `PAIRED`."""
    return tuple(each.ravel() for each in np.meshgrid(PAIRED, PAIRED))


def slopes(function, *arrays, seed=0):
    """First gradients with a random upstream, and those of their sum with random weights."""
    tensors = [cr.tensor(each, requires_grad=True) for each in arrays]
    result = function(*tensors)
    upstream = [upstream_for(result.shape, seed)]
    first = cr.grad([result], tensors, upstream, create_graph=True, allow_unused=True)
    tracked = [(i, each) for i, each in enumerate(first) if each.requires_grad]
    weights = [upstream_for(result.shape, seed + 1 + i) for i, _ in tracked]
    second = [cr.zeros_like(each) for each in tensors]
    if tracked:
        outputs = [each for _, each in tracked]
        second = cr.grad(outputs, tensors, weights, allow_unused=True)
    return [each.numpy() for each in (result, *first, *second)]


def slopes_by_torch(function, *arrays, seed=0):
    """The same, by PyTorch."""
    import torch

    tensors = [torch.tensor(each, requires_grad=True) for each in arrays]
    result = function(*tensors)

    def weighted(outputs, weights):
        pairs = [(a, torch.tensor(b)) for a, b in zip(outputs, weights, strict=True)]
        pairs = [(a, b) for a, b in pairs if a is not None and a.requires_grad]
        if not pairs:
            return [torch.zeros_like(each) for each in tensors]
        found = torch.autograd.grad(
            *map(list, zip(*[(p[0],) for p in pairs], strict=True)),
            inputs=tensors,
            grad_outputs=[b for _, b in pairs],
            create_graph=True,
            allow_unused=True,
        )
        return [
            torch.zeros_like(t) if f is None else f for f, t in zip(found, tensors, strict=True)
        ]

    first = weighted([result], [upstream_for(result.shape, seed)])
    weights = [upstream_for(result.shape, seed + 1 + i) for i in range(len(first))]
    second = weighted(first, weights)
    return [each.detach().numpy(force=True) for each in (result, *first, *second)]


# Values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_number_are_numpys_to_the_bit(name, dtype):
    rng = np.random.default_rng(1)
    x = np.array(POINTS + (HUGE if dtype == "float64" else []), dtype)
    x = np.concatenate([x, rng.normal(size=100).astype(dtype)])
    with np.errstate(all="ignore"):
        expected, result = UNARY[name](x), getattr(cr, name)(x).numpy()
    assert result.dtype == expected.dtype
    assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers_are_numpys_to_the_bit(name, dtype):
    a, b = (each.astype(dtype) for each in grid())
    with np.errstate(all="ignore"):
        expected, result = BINARY[name](a, b), getattr(cr, name)(a, b).numpy()
    assert result.dtype == expected.dtype
    assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, 0, 1, 2.5, -0.5])
def test_powers_with_a_python_number_are_numpys_operator(exponent):
    x = np.concatenate([POINTS, HUGE])
    with np.errstate(all="ignore"):
        expected, result = x**exponent, (cr.tensor(x) ** exponent).numpy()
    assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int64"])
@pytest.mark.parametrize("name", [*BITWISE, "logical_and", "logical_or", "logical_xor"])
def test_what_combines_answers_is_numpys(name, kind):
    a, b = np.array([0, 1, 0, 1], kind), np.array([0, 0, 1, 1], kind)
    if name in BITWISE:
        ufunc, sign = BITWISE[name]
        for result in (sign(cr.tensor(a), b), sign(a, cr.tensor(b)), getattr(cr, name)(a, b)):
            assert result.dtype == ufunc(a, b).dtype
            np.testing.assert_array_equal(result.numpy(), ufunc(a, b))
        np.testing.assert_array_equal((~cr.tensor(a)).numpy(), ~a)
    else:
        np.testing.assert_array_equal(getattr(cr, name)(a, b).numpy(), BINARY[name](a, b))


def test_bits_of_floats_are_refused_by_name():
    x = cr.tensor([1.0, 2.0])
    for call in (lambda: x & x, lambda: True | x, lambda: x ^ 1, lambda: ~x):
        with pytest.raises(cr.DtypeError, match=r"bitwise_\w+: .*float64"):
            call()


def test_questions_have_no_gradient():
    x = cr.tensor([1.0, NAN], requires_grad=True)
    for result in (x < 2, cr.isnan(x), x.isinf(), x.isfinite(), (x > 0) & (x < 2), x == x):
        assert result.dtype == bool
        assert not result.requires_grad


# Gradients beside PyTorch ---------------------------------------------------------------------

#: name -> points at which ours differ from PyTorch's gradients, on purpose
DIFFERENT = {
    "abs": {NAN},  # ours is NaN
    "sign": {NAN},  # the value: NaN, as in NumPy
    "expm1": {-40.0, -700.0},  # PyTorch's loses exp(x) beside -1
    "asinh": {-1e200, -1e300, 1e200, 1e300, INF, -INF},  # its square overflows
    "atan": {INF, -INF},  # its second is NaN
    # its gradient is finite below -1, where the value is NaN
    "acosh": {-INF, *(x for x in [*POINTS, *HUGE] if x <= -1), 1e200, 1e300, INF},
}


@pytest.mark.parametrize("name", [name for name in UNARY if RECORDS[name].differentiable])
def test_gradients_of_one_number_at_the_edges_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    if not hasattr(torch, name):
        assert name == "cbrt"
        return
    x = np.array([*POINTS, *HUGE])
    with np.errstate(all="ignore"):
        ours = slopes(getattr(cr, name), x)
    theirs = slopes_by_torch(getattr(torch, name), x)
    same = ~np.isin(x, list(DIFFERENT.get(name, ()))) & ~(
        np.isnan(x) & (NAN in DIFFERENT.get(name, ()))
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a[same], b[same], rtol=1e-13, atol=0)


def odd_pairs(name, a, b):
    """Where ours differ from PyTorch's gradients on purpose: theirs are NaN."""
    if name == "logaddexp":
        return (a == b) & np.isinf(a)
    if name == "power":
        return np.isinf(a) | np.isinf(b)
    if name in ("atan2", "hypot"):
        return np.isinf(a) | np.isinf(b) | ((a == 0) & (b == 0))
    return np.zeros(a.shape, bool)


@pytest.mark.parametrize(
    "name", ["divide", "power", "logaddexp", "atan2", "hypot", "maximum", "minimum", "remainder"]
)
def test_gradients_of_two_numbers_at_the_edges_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    a, b = grid()
    with np.errstate(all="ignore"):
        ours = slopes(getattr(cr, name), a, b)[:3]
    theirs = slopes_by_torch(getattr(torch, TORCH.get(name, name)), a, b)[:3]
    same = ~odd_pairs(name, a, b)
    for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
        chosen = same if i else np.ones_like(same)
        np.testing.assert_allclose(x[chosen], y[chosen], rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    "name", ["divide", "power", "logaddexp", "atan2", "hypot", "maximum", "minimum", "remainder"]
)
def test_gradients_of_two_numbers_are_pytorchs_to_second_order(name):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    a, b = rng.uniform(-3, 3, (2, 200))
    a = abs(a) if name == "power" else a
    ours = slopes(getattr(cr, name), a, b)
    theirs = slopes_by_torch(getattr(torch, TORCH.get(name, name)), a, b)
    for x, y in zip(ours, theirs, strict=True):
        # Each entry is a sum of up to four terms, which may cancel.
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12 * np.abs(y).max())


@pytest.mark.parametrize("name", ["atan2", "hypot"])
@quick
@given(seed=seeds, shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3))
def test_all_quadrants(name, seed, shapes):
    """The domain of the record is the right half of the plane: the angle jumps in the left."""
    rng = np.random.default_rng(seed)
    arrays = [
        rng.uniform(0.2, 3, shape) * rng.choice([-1, 1], shape) for shape in shapes.input_shapes
    ]
    cr.assert_gradients(getattr(cr, name), *arrays, order=2, seed=seed)


def test_derivatives_of_negative_numbers():
    """Where the record's domain is positive, because half of its cases have no value."""
    x = np.array([-3.0, -1.5, -0.3, 0.4, 2.0])
    for function in (
        lambda a: cr.divide(1.5, a),
        lambda a: cr.power(a, 3),
        lambda a: cr.power(a, -2.0),
        lambda a: cr.power(a, np.array([3, 2, 1, 0, -1])),
        lambda a: cr.power(a, np.array([3.0, 2.0, 1.0, 0.0, -1.0])),
        lambda a: a**5,
        cr.cbrt,
        cr.reciprocal,
    ):
        cr.assert_gradients(function, x, order=2)


SMOOTH = {
    "sin": "sin(x)",
    "exp": "exp(x)",
    "tanh": "tanh(x)",
    "atan": "atan(x)",
    "log1p": "log(1 + x)",
    "asinh": "asinh(x)",
    "cbrt": "x**Rational(1, 3)",
    "reciprocal": "1 / x",
    "exp2": "2**x",
    "sqrt": "sqrt(x)",
    "x**2.5": "x**Rational(5, 2)",
    "1.5**x": "Rational(3, 2)**x",
    "x**x": "x**x",
    "hypot": "sqrt(x**2 + 1)",
    "logaddexp": "log(exp(x) + exp(1))",
}


@pytest.mark.parametrize("name", SMOOTH)
def test_third_derivatives(name):
    sympy = pytest.importorskip("sympy")
    x = sympy.Symbol("x", positive=True)
    formula = sympy.sympify(SMOOTH[name], locals={"x": x})
    special = {
        "x**2.5": lambda x: x**2.5,
        "1.5**x": lambda x: 1.5**x,
        "x**x": lambda x: x**x,
        "hypot": lambda x: cr.hypot(x, 1.0),
        "logaddexp": lambda x: cr.logaddexp(x, 1.0),
    }
    function = special.get(name) or getattr(cr, name)
    third = cr.grad(cr.grad(cr.grad(function)))
    for point in (0.3, 1.0, 2.75):
        exact = [float(sympy.diff(formula, x, n).subs(x, sympy.Rational(point))) for n in (1, 3)]
        assert abs(cr.grad(function)(point).item() - exact[0]) <= 1e-14 * (1 + abs(exact[0]))
        # A sum of about ten terms, none larger than a hundred times the sum.
        assert abs(third(point).item() - exact[1]) <= 1e-12 * (1 + abs(exact[1]))


# The edges, stated ----------------------------------------------------------------------------

#: function, arguments, gradients of 1: all finite, so that nothing may warn.
FINITE = [
    (cr.atan, (1e200,), (0.0,)),
    (cr.atan, (-INF,), (0.0,)),
    (cr.asinh, (-1e200,), (1e-200,)),
    (cr.asinh, (INF,), (0.0,)),
    (cr.acosh, (1e200,), (1e-200,)),
    (cr.acosh, (INF,), (0.0,)),
    (cr.expm1, (-40.0,), (np.exp(-40.0),)),
    (cr.expm1, (-INF,), (0.0,)),
    (cr.log1p, (INF,), (0.0,)),
    (cr.cbrt, (-INF,), (0.0,)),
    (cr.cbrt, (-8.0,), (1 / 12,)),
    (cr.reciprocal, (INF,), (0.0,)),
    (cr.sqrt, (INF,), (0.0,)),
    (cr.logaddexp, (1e4, -1e4), (1.0, 0.0)),
    (cr.logaddexp, (-INF, -INF), (0.5, 0.5)),
    (cr.logaddexp, (INF, INF), (0.5, 0.5)),
    (cr.logaddexp, (-INF, 3.0), (0.0, 1.0)),
    (cr.logaddexp, (INF, 3.0), (1.0, 0.0)),
    (cr.hypot, (3e200, 4e200), (0.6, 0.8)),
    (cr.hypot, (3e-200, -4e-200), (0.6, -0.8)),
    (cr.hypot, (0.0, 0.0), (0.0, 0.0)),
    (cr.hypot, (-INF, 2.0), (-1.0, 0.0)),
    (cr.atan2, (3e200, -4e200), (-1.6e-201, -1.2e-201)),
    (cr.atan2, (3e-200, 4e-200), (1.6e199, -1.2e199)),
    (cr.atan2, (0.0, 0.0), (0.0, 0.0)),
    (cr.atan2, (INF, 1.0), (0.0, 0.0)),
    (cr.atan2, (1.0, -INF), (0.0, 0.0)),
    (cr.power, (0.0, 2.0), (0.0, 0.0)),
    (cr.power, (0.0, 1.0), (1.0, 0.0)),
    (cr.power, (0.0, 0.0), (0.0, 0.0)),
    (cr.power, (-0.0, 3.0), (0.0, 0.0)),
    (cr.power, (INF, 0.0), (0.0, INF)),
    (cr.power, (INF, -2.0), (0.0, 0.0)),
    (cr.power, (2.0, 0.0), (0.0, np.log(2))),
    (cr.divide, (2.0, INF), (0.0, 0.0)),
    (cr.remainder, (5.0, INF), (1.0, 0.0)),
]


@pytest.mark.parametrize(
    ("function", "point", "expected"), FINITE, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_finite_gradients_at_the_edges_do_not_warn(function, point, expected):
    tensors = [cr.tensor([each], requires_grad=True) for each in point]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        function(*tensors).backward([-1.5])
    got = [each.grad.item() for each in tensors]
    np.testing.assert_allclose(got, -1.5 * np.array(expected), rtol=1e-14, atol=0)


@pytest.mark.parametrize("a", [-2.0, -0.0, 0.0, 0.5, 3.0, INF])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 0.0, 1.0, 2.0])
def test_whole_powers_have_two_finite_derivatives_and_no_warning(a, n):
    """By a Python number, an array of floats, and one of integers."""

    def slope(order):
        factor = n if order == 1 else n * (n - 1)
        return factor * a ** (n - order) if factor else 0.0

    with np.errstate(over="raise", invalid="raise", divide="raise"):
        for exponent in (n, np.array([float(n)]), np.array([int(n)])):
            x = cr.tensor([a], requires_grad=True)
            (first,) = cr.grad([x**exponent], [x], [[-1.5]], create_graph=True)
            second = 0.0
            if first.requires_grad:
                second = cr.grad([first], [x], [[2.0]], allow_unused=True)[0].item()
            assert first.item() == -1.5 * slope(1)
            assert second == -3.0 * slope(2)


@pytest.mark.parametrize("b", [0.0, 1.0, 1.5, 2.0, 3.0])
def test_powers_of_zero_have_no_nan_to_second_order(b):
    """Not with respect to the exponent, nor mixed."""
    with np.errstate(invalid="raise", divide="ignore"):  # that of x**1.5 in x is infinite
        x, n = (cr.tensor(each, requires_grad=True) for each in (0.0, b))
        first = cr.grad([x**n], [x, n], create_graph=True)
        for each in first:
            assert np.isfinite(each.item())
            assert not any(np.isnan(s.item()) for s in cr.grad(each, [x, n], retain_graph=True))
        assert first[1].item() == 0.0


def test_the_mixed_derivative_of_a_power_at_the_exponent_0():
    """d/db (b a**(b - 1)) = 1 / a there: a gradient masked to 0 would lose it."""
    for a in (0.25, 3.0):
        x, n = (cr.tensor(each, requires_grad=True) for each in (a, 0.0))
        first = cr.grad([x**n], [x, n], create_graph=True)
        assert cr.grad(first[0], n, retain_graph=True).item() == pytest.approx(1 / a, rel=1e-14)
        assert cr.grad(first[1], x).item() == pytest.approx(1 / a, rel=1e-14)


def test_a_number_to_the_power_of_a_tensor():
    cr.assert_gradients(lambda x: 2**x, np.array([-1.5, 0.0, 2.0]), order=2)
    x = cr.tensor([0.0, 2.0], requires_grad=True)
    (0**x).backward([3.0, 5.0])
    assert x.grad.tolist() == [0.0, 0.0]


def test_the_power_of_a_negative_number_has_no_slope_in_its_exponent():
    x, n = cr.tensor(-2.0, requires_grad=True), cr.tensor(3.0, requires_grad=True)
    with np.errstate(invalid="ignore"):
        (x**n).backward()
    assert x.grad.item() == 12.0
    assert np.isnan(n.grad.item())


def test_integers_to_negative_powers_are_refused():
    with pytest.raises(cr.ShapeError, match=r"power: .*negative integer powers.*int64"):
        cr.tensor([2, 3]) ** -1


def test_the_second_derivative_of_logaddexp_at_a_tie():
    """s (1 - s) = 1/4: masking the tie would give 0."""
    a, b = (cr.tensor(1.25, requires_grad=True) for _ in range(2))
    first = cr.grad([cr.logaddexp(a, b)], [a, b], create_graph=True)
    second = [s.item() for each in first for s in cr.grad(each, [a, b], retain_graph=True)]
    assert second == [0.25, -0.25, -0.25, 0.25]


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_nan_stays_nan(name):
    record = RECORDS[name]
    if not record.differentiable:
        return
    for position in range(len(record.arguments)):
        arguments = [cr.tensor([0.5], requires_grad=True) for _ in record.arguments]
        arguments[position] = cr.tensor([NAN], requires_grad=True)
        with np.errstate(invalid="ignore"):  # NumPy's own logaddexp warns
            result = record.function(*arguments)
        with np.errstate(invalid="raise"):
            result.backward([-1.5])
        assert np.isnan(result.numpy()).all()


# Choices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", [INF, -INF, NAN])
def test_what_was_not_taken_gets_0_whatever_comes_from_above(upstream):
    chosen = np.array([True, False])
    for function, taken in (
        (lambda a, b: cr.where(chosen, a, b), chosen),
        (cr.maximum, ~chosen),
        (cr.minimum, chosen),
    ):
        a, b = (cr.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [2.0, 1.0]))
        taken = np.array([False, True]) if function is cr.maximum else taken
        with np.errstate(invalid="raise"):
            function(a, b).backward([upstream] * 2)
        np.testing.assert_array_equal(a.grad.numpy(), np.where(taken, upstream, 0.0))
        np.testing.assert_array_equal(b.grad.numpy(), np.where(taken, 0.0, upstream))


@pytest.mark.parametrize("above", [INF, NAN])
def test_a_second_derivative_passes_only_the_side_taken(above):
    chosen = np.array([True, False])
    for function in (lambda a, b: cr.where(chosen, a, b), cr.maximum):
        a, b = (cr.tensor(v, requires_grad=True) for v in ([2.0, 1.0], [1.0, 2.0]))
        upstream = cr.tensor([0.5, -0.5], requires_grad=True)
        first = cr.grad([function(a, b)], [a, b], [upstream], create_graph=True)
        with np.errstate(invalid="raise"):
            second = cr.grad(first, upstream, [[1.5, above], [above, -2.0]])
        assert second.tolist() == [1.5, -2.0]


@pytest.mark.parametrize("function", [cr.sign, cr.floor, cr.ceil, cr.trunc, cr.round])
def test_the_gradient_of_steps_is_0_whatever_comes_from_above(function):
    x = cr.tensor([-1.5, 0.0, 0.5, 2.0, INF], requires_grad=True)
    function(x).backward([INF, -INF, NAN, 1.5, -2.0])
    assert x.grad.tolist() == [0.0] * 5


CLIPS = [
    ([-2.0, -1.0, 0.0, 1.0, 3.0, NAN], -1.0, 1.0),
    ([-2.0, -1.0, 0.0, 1.0, 3.0, NAN], None, 0.0),
    ([-2.0, -1.0, 0.0, 1.0, 3.0, INF], 0, None),
    ([-2.0, 0.5, 3.0], 2.0, -1.0),  # min > max
    ([[-2.0, 0.5, 3.0]] * 3, [[-1.0], [0.5], [1.0]], [2.0, 0.5, 0.25]),
    ([-2.0, 0.5, 3.0, 1.0], [-1.0, NAN, 1.0, 1.0], None),
]


@pytest.mark.parametrize(("x", "low", "high"), CLIPS)
def test_clip_is_pytorchs_clamp_bounds_and_ties_included(x, low, high):
    torch = pytest.importorskip("torch")
    ours = cr.tensor(x, requires_grad=True)
    bounds = [cr.tensor(b, requires_grad=True) if isinstance(b, list) else b for b in (low, high)]
    result = cr.clip(ours, *bounds)
    expected = np.clip(np.array(x), *(None if b is None else np.array(b) for b in (low, high)))
    np.testing.assert_array_equal(result.numpy(), expected)
    upstream = upstream_for(result.shape, 5)
    result.backward(upstream)
    theirs = torch.tensor(x, requires_grad=True, dtype=torch.float64)
    given = [
        torch.tensor(b, requires_grad=True, dtype=torch.float64) if isinstance(b, list) else b
        for b in (low, high)
    ]
    torch.clamp(theirs, *given).backward(torch.tensor(upstream))
    pairs = [(ours, theirs), *zip(bounds, given, strict=True)]
    for a, b in pairs:
        if isinstance(a, cr.Tensor) and not (np.isnan(a.numpy()).any() and a is not ours):
            mine, other = a.grad.numpy(), b.grad.numpy()
            same = ~np.isnan(a.numpy()) & ~(np.isnan(expected) if a is ours else False)
            np.testing.assert_array_equal(mine[same], other[same])


def test_clip_keeps_dtypes_and_takes_every_spelling():
    x = cr.tensor(np.array([-1.0, 0.5, 2.0], np.float32), requires_grad=True)
    for result in (cr.clip(x, 0, 1), x.clip(0.0, max=1), x.clip(max=1, min=0), np.clip(x, 0, 1)):
        assert result.dtype == np.float32
        assert result.tolist() == [0.0, 0.5, 1.0]
    copy = cr.clip(x)
    assert copy.tolist() == x.tolist()
    assert not np.shares_memory(copy.numpy(), x.numpy())
    whole = cr.clip(cr.tensor([1, 5, 9]), 2, 6)
    assert (whole.tolist(), whole.dtype) == ([2, 5, 6], np.int64)
    assert cr.clip([1.0, 3.0], (2.0, 2.0)).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("name", ["min", "max"])
def test_clip_names_a_bound_that_is_none(name):
    with pytest.raises(cr.DtypeError, match=rf"clip: {name} must be a number, .* got 'one'"):
        cr.clip(cr.tensor([1.0]), **{name: "one"})
    with pytest.raises(cr.ShapeError, match=r"(less|greater): .*shape"):
        cr.clip(cr.tensor([1.0, 2.0]), **{name: [1.0, 2.0, 3.0]})


def test_gradients_of_the_bounds_of_clip():
    rng = np.random.default_rng(2)
    x, low, high = rng.permutation(18).reshape(3, 6) / 3.0
    low, high = np.minimum(low, high), np.maximum(low, high)
    cr.assert_gradients(lambda x, a, b: cr.clip(x, a, b), x, low, high, order=2)
    cr.assert_gradients(lambda x, a: cr.clip(x, max=a), x.reshape(2, 3), low[:3])


@quick
@given(seed=seeds)
def test_lerp_meets_its_ends_exactly_and_is_pytorchs(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 20)) * 10.0 ** rng.integers(-8, 8, (2, 20))
    assert cr.lerp(a, b, 0.0).tolist() == cr.lerp(a, b, np.zeros(20)).tolist() == a.tolist()
    assert cr.lerp(a, b, 1).tolist() == cr.lerp(a, b, np.ones(20)).tolist() == b.tolist()
    assert cr.lerp(a, a, rng.uniform(-2, 2, 20)).tolist() == a.tolist()
    torch = pytest.importorskip("torch")
    weight = rng.uniform(-1, 2, 20)
    ours = slopes(cr.lerp, a, b, weight)
    theirs = slopes_by_torch(torch.lerp, a, b, weight)
    for x, y in zip(ours, theirs, strict=True):
        # PyTorch may fuse the product with the sum.
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-15 * np.abs(np.hstack([a, b])).max())


def test_lerp_of_bytes_does_not_wrap_around():
    a, b = np.array([3, 200], np.uint8), np.array([1, 100], np.uint8)
    assert cr.lerp(a, b, 0.25).tolist() == [2.5, 175.0]
    weight = cr.tensor([0.25, 0.75], requires_grad=True)
    cr.lerp(a, b, weight).backward([1.0, -1.0])
    assert weight.grad.tolist() == [-2.0, 100.0]


# Operators and methods ------------------------------------------------------------------------


def test_remainders_and_whole_quotients():
    a, b = np.array([5.5, -5.5, 5.5, -5.5]), np.array([2.0, 2.0, -2.0, -2.0])
    x, y = cr.tensor(a, requires_grad=True), cr.tensor(b, requires_grad=True)
    for result, expected in (
        (x % y, a % b),
        (a % y, a % b),
        (x % 2, a % 2),
        (7 % y, 7 % b),
        (x // y, a // b),
        (a // y, a // b),
        (x // 2, a // 2),
        (7 // y, 7 // b),
    ):
        np.testing.assert_array_equal(result.numpy(), expected)
        assert result.requires_grad
    (x % y).backward([1.0, -2.0, 3.0, -4.0])
    assert x.grad.tolist() == [1.0, -2.0, 3.0, -4.0]
    assert y.grad.tolist() == [-2.0, -6.0, 9.0, 8.0]
    assert (cr.tensor([5, -5]) % 3).tolist() == [2, 1]
    single = cr.tensor(np.array([5.5], np.float32))
    assert (single % 2).dtype == (7.0 // single).dtype == np.float32


def test_round_takes_decimals_and_refuses_others():
    x = cr.tensor([1.25, -0.375])
    assert cr.round(x, 2).tolist() == np.round(x.numpy(), 2).tolist()
    assert cr.round(cr.tensor([15, 25]), -1).tolist() == [20, 20]
    for wrong in (1.5, cr.tensor(1), None):
        with pytest.raises(cr.DtypeError, match="round: decimals must be an integer, got"):
            cr.round(x, wrong)


METHODS = [
    *(name for name in UNARY if name != "negative"),
    *("maximum", "minimum", "logaddexp", "atan2", "hypot", "logical_and", "logical_or"),
]


@pytest.mark.parametrize("name", METHODS)
def test_tensors_have_the_methods_that_users_expect(name):
    record, rng = RECORDS[name], np.random.default_rng(6)
    x, *others = (
        cr.tensor(draw_values(record, each, (3,), rng), requires_grad=True)
        for each in record.arguments
    )
    result = getattr(x, name)(*others)
    assert result.tolist() == record.function(x, *others).tolist()
    assert x.pow(2).tolist() == (x**2).tolist()


@pytest.mark.parametrize(
    "name", ["logaddexp", "atan2", "hypot", "power", "remainder", "floor_divide", "lerp"]
)
def test_gradients_beside_python_numbers_stay_in_float32(name):
    record = RECORDS[name]
    for position in range(len(record.arguments)):
        arguments = [1.75] * len(record.arguments)
        x = cr.tensor(np.array([0.5, 2.5], np.float32), requires_grad=True)
        arguments[position] = x
        result = record.function(*arguments)
        result.backward([1.0, -2.0])
        assert result.dtype == x.grad.dtype == np.float32


# The proof ------------------------------------------------------------------------------------


def planted(**about):
    return cr.elementwise("planted", **about)


@pytest.mark.parametrize("constant", [0.7, -np.log(2.0), np.nextafter(np.log(2.0), 0), np.log(10)])
def test_another_number_is_not_taken_for_log_2(constant):
    pytest.importorskip("sympy")
    from chainrule.testing import ProofError, prove

    wrong = planted(
        formula="log(x) / log(2)",
        derivative="1 / (x * log(2))",
        forward=lambda k, x: k.log2(x),
        vjp=lambda k, g, x: g / (x * float(constant)),
        domain={"x": (0.1, 5.0)},
    )
    with pytest.raises(ProofError, match="the VJP of 'x' computes"):
        prove(wrong)


WRONG = {
    "cube root": {
        "formula": "sign(x) * Abs(x)**(1/3)",
        "derivative": "1 / (3 * cbrt(x)**2)",
        "forward": lambda k, x: k.cbrt(x),
        "vjp": lambda k, g, y: g / (3 * y * abs(y)),  # another sign on the left
        "kinks": (0.0,),
    },
    "angle": {
        "formula": "atan2(a, b)",
        "derivative": {"a": "b / (a**2 + b**2)", "b": "-a / (a**2 + b**2)"},
        "forward": lambda k, a, b: k.atan2(a, b),
        "vjp": {
            "a": lambda k, g, a, b: g * b / (a * a + b * b),
            "b": lambda k, g, a, b: g * a / (a * a + b * b),
        },
        "domain": {"b": (0.1, 5.0)},
    },
    "sum of exponentials": {
        "formula": "log(exp(a) + exp(b))",
        "derivative": {"a": "exp(a) / (exp(a) + exp(b))", "b": "exp(b) / (exp(a) + exp(b))"},
        "forward": lambda k, a, b: k.logaddexp(a, b),
        "vjp": {
            "a": lambda k, g, a, b: g * k.sigmoid(b - a),
            "b": lambda k, g, a, b: g * k.sigmoid(a - b),
        },
    },
}


@pytest.mark.parametrize("about", WRONG.values(), ids=WRONG)
def test_wrong_derivatives_are_still_rejected(about):
    pytest.importorskip("sympy")
    from chainrule.testing import ProofError, prove

    with pytest.raises(ProofError, match="planted: the VJP of"):
        prove(planted(**about))


def test_a_slope_of_steps_is_rejected():
    pytest.importorskip("sympy")
    from chainrule.testing import ProofError, prove

    for name in ("floor", "ceil", "trunc", "round"):
        straight = cr.operation(
            "planted",
            forward=lambda k, x, *, name=name: getattr(k, name)(x),
            vjp=lambda k, g: g,
        )
        with pytest.raises(ProofError, match="the VJP of 'x'"):
            prove(straight, [(2,)])
    with pytest.raises(ProofError, match="the VJP of 'b'"):
        prove(
            cr.operation(
                "planted",
                forward=lambda k, a, b: k.remainder(a, b),
                vjp={"a": lambda k, g: g, "b": lambda k, g, a, b: -g * (a / b)},
            ),
            [(2,), (2,)],
        )
