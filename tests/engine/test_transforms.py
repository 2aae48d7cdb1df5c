"""Gradients as functions, to any order; they leave `.grad` alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.checking.differences import slope
from chainrule.engine.checking.operations import assert_close


def leaf(values, dtype="float64"):
    return cr.tensor(np.array(values, dtype), requires_grad=True)


def test_the_gradient_function_of_a_function():
    assert cr.grad(lambda x: x * x * x)(2.0).item() == 12.0
    assert cr.grad(lambda x, y: x * y * y, argnums=1)(3.0, 2.0).item() == 12.0
    a, b = cr.grad(lambda x, y: x * y * y, argnums=(0, 1))(3.0, 2.0)
    assert (a.item(), b.item()) == (4.0, 12.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_and_gradient_in_the_dtype_of_the_argument(dtype):
    x = np.array([1.0, -2.0], dtype)
    value, gradient = cr.value_and_grad(lambda x: (x * x).sum())(x)
    assert value.item() == 5.0
    assert gradient.tolist() == [2.0, -4.0]
    assert value.dtype == gradient.dtype == np.dtype(dtype)
    assert not value.requires_grad


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_nested_gradients(order):
    derivative = cr.sin
    for _ in range(order):
        derivative = cr.grad(derivative)
    expected = [math.cos, lambda x: -math.sin(x), lambda x: -math.cos(x), math.sin][order - 1]
    assert abs(derivative(0.7).item() - expected(0.7)) < 1e-15


def test_mixed_partials_are_equal():
    def f(x, y):
        return cr.exp(x * y) * cr.sin(x + y * y)

    one = cr.grad(cr.grad(f, argnums=0), argnums=1)(0.3, -0.7).item()
    other = cr.grad(cr.grad(f, argnums=1), argnums=0)(0.3, -0.7).item()
    assert abs(one - other) < 1e-14
    assert abs(one) > 0.1


def test_an_inner_gradient_is_differentiated_with_respect_to_what_it_closes_over():
    """d/da d/dx (a x^2) = 2x, though the inner argument is a mere number."""
    assert cr.grad(lambda a: cr.grad(lambda x: a * x * x)(2.0))(3.0).item() == 4.0
    assert cr.grad(lambda a: cr.value_and_grad(lambda x: a * x * x)(2.0)[0])(3.0).item() == 4.0


def test_a_gradient_function_reaches_the_parameters_it_closes_over():
    w = leaf(3.0)
    slope = cr.grad(lambda x: w * x * x)(2.0)
    slope.backward()
    assert w.grad.item() == 4.0


def test_confusion_of_nested_levels():
    """d/dx x * (d/dy (x + y)) is 1: the inner derivative is 1 whatever x is."""
    outer = cr.grad(lambda x: x * cr.grad(lambda y: x + y)(1.0))
    assert outer(5.0).item() == 1.0


def test_the_gradient_of_given_outputs():
    x, y = leaf([1.0, 2.0]), leaf(3.0)
    product = x * y
    gx, gy = cr.grad([product, x + 1], [x, y], [[1.0, -1.0], [2.0, 0.5]])
    assert gx.tolist() == [5.0, -2.5]
    assert gy.item() == -1.0


def test_outputs_that_depend_on_each_other():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    (gradient,) = cr.grad([z, y, y], [x], [1.0, 10.0, -1.0])
    assert gradient.item() == (3 + 9) * 4.0


def test_grad_leaves_the_kept_gradients_alone():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    cr.grad(y * 3, x)
    assert x.grad is None
    assert y.grad is None
    (x * 1).backward()
    cr.grad(x * x, x)
    cr.value_and_grad(lambda t: t * x)(x)
    assert x.grad.item() == 1.0


def test_the_results_of_grad_share_no_memory():
    x, y, upstream = leaf([1.0]), leaf([2.0]), cr.tensor([3.0])
    for create_graph in (False, True):
        a, b, c = cr.grad([x + y], [x, y, x], [upstream], create_graph=create_graph)
        for first, second in ((a, b), (a, c), (a, upstream), (b, upstream)):
            assert not np.shares_memory(first.numpy(), second.numpy())


def test_unused_inputs():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0], "float32")
    with pytest.raises(cr.GradientError, match=r"inputs\[1\].*allow_unused=True"):
        cr.grad([x.sum()], [x, y])
    zeros = cr.grad([x.sum()], [x, y], allow_unused=True)[1]
    assert zeros.tolist() == [0.0, 0.0]
    assert zeros.dtype == np.float32


def test_wrong_requests_are_refused_by_name():
    x = leaf(1.0)
    with pytest.raises(cr.GradientError, match=r"inputs\[0\] requires no gradient"):
        cr.grad(x * 2, cr.tensor(1.0))
    with pytest.raises(TypeError, match=r"grad: .*inputs"):
        cr.grad(x * 2)
    with pytest.raises(ValueError, match="1 outputs, but 2 grad_outputs"):
        cr.grad([x * 2], [x], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"grad: .*(input|output)"):
        cr.grad(x * 2, [])
    with pytest.raises(cr.GradientError, match="must return a Tensor"):
        cr.grad(lambda x: 3.0)(1.0)
    with pytest.raises(cr.DtypeError, match=r"1\.0 instead of 1"):
        cr.grad(lambda x: x * x)(3)
    with pytest.raises((IndexError, ValueError, TypeError), match="argnums"):
        cr.grad(lambda x: x * x, argnums=3)(3.0)


def test_a_constant_function_has_gradient_zero():
    assert cr.grad(lambda x: cr.tensor(3.0))([1.0, 2.0]).tolist() == [0.0, 0.0]


def test_a_graph_is_kept_when_it_is_to_be_differentiated_again():
    x = leaf(2.0)
    y = x**3
    (first,) = cr.grad([y], [x], create_graph=True)
    (again,) = cr.grad([y], [x])
    assert (first.item(), again.item()) == (12.0, 12.0)
    with pytest.raises(cr.GradientError, match="freed"):
        cr.grad([y], [x])


def test_gradients_under_no_grad_are_still_computed():
    with cr.no_grad():
        assert cr.grad(lambda x: x * x)(3.0).item() == 6.0
    assert cr.is_recording()


def test_hessian_vector_product_equals_the_matrix():
    rng = np.random.default_rng(0)
    A, v = rng.normal(size=(3, 3)), rng.normal(size=3)
    x = cr.tensor(rng.normal(size=3), requires_grad=True)
    (gradient,) = cr.grad([(x @ A) @ x], [x], create_graph=True)
    (product,) = cr.grad([gradient], [x], [v])
    np.testing.assert_allclose(product.numpy(), (A + A.T) @ v, rtol=1e-13)


# Functions of arrays, drawn -----------------------------------------------------------------

WEIGHTS = np.random.default_rng(5).normal(size=(3, 3)) / 2

#: Steps that keep the shape (2, 3); `h` is what came before, `x` the argument itself.
STEPS = {
    "sin": lambda h, x: cr.sin(h),
    "tanh": lambda h, x: cr.tanh(h),
    "softplus": lambda h, x: cr.softplus(h),
    "exp": lambda h, x: cr.exp(cr.tanh(h)),
    "product": lambda h, x: h * x,
    "itself": lambda h, x: h * cr.tanh(h),
    "quotient": lambda h, x: x / (1.0 + h * h),
    "power": lambda h, x: (1.5 + cr.tanh(h)) ** 2.5,
    "matmul": lambda h, x: h @ WEIGHTS,
    "gram": lambda h, x: cr.tanh(h @ x.T) @ x,
    "softmax": lambda h, x: cr.softmax(h, axis=-1) - x,
    "mean": lambda h, x: h - h.mean(axis=0),
    "sum": lambda h, x: h * cr.sin(x.sum(axis=1, keepdims=True)),
    "concat": lambda h, x: cr.concat([h[:1], x[1:]], axis=0),
    "index": lambda h, x: h[[1, 1]] + x,
    "where": lambda h, x: cr.where(np.array([True, False, True]), h, x),
    "maximum": lambda h, x: cr.maximum(h, x * x - 2.0),
    "log_softmax": lambda h, x: cr.log_softmax(h * 0.5, axis=0),
    "checkpoint": lambda h, x: cr.checkpoint(lambda h: cr.tanh(h) * x, h),
}
SMOOTH = sorted(set(STEPS) - {"maximum"})


def composed(names):
    def function(x):
        h = cr.sin(x)
        for name in names:
            h = STEPS[name](h, x)
        return h

    return function


def drawn(seed, shape=(2, 3)):
    return np.random.default_rng(seed).normal(size=shape)


programs = st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=4)
smooth_programs = st.lists(st.sampled_from(SMOOTH), min_size=1, max_size=3)
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None)
@given(programs, seeds)
def test_jvp_and_vjp_are_adjoint(names, seed):
    """<u, J v> = <Jᵀ u, v>, to rounding: 1e-12 is 4,500 epsilons of sums of a few dozen terms."""
    function, x = composed(names), drawn(seed)
    u, v = drawn(seed + 1), drawn(seed + 2)
    value, tangent = cr.jvp(function, x, v)
    again, pull = cr.vjp(function, x)
    (gradient,) = pull(u)
    assert value.tolist() == again.tolist() == function(cr.tensor(x)).tolist()
    left, right = u * tangent.numpy(), gradient.numpy() * v
    scale = max(1.0, np.abs(left).sum(), np.abs(right).sum())
    assert abs(left.sum() - right.sum()) <= 1e-12 * scale


@settings(max_examples=10, deadline=None)
@given(programs, seeds)
def test_the_jacobian_holds_every_vjp_and_jvp(names, seed):
    function, x = composed(names), drawn(seed)
    u, v = drawn(seed + 1), drawn(seed + 2)
    matrix = cr.jacobian(function)(x).numpy()
    assert matrix.shape == (2, 3, 2, 3)
    matrix = matrix.reshape(6, 6)
    tangent = cr.jvp(function, x, v)[1].numpy()
    assert_close(tangent.reshape(-1), matrix @ v.reshape(-1), 1e-12)
    gradient = cr.vjp(function, x)[1](u)[0].numpy()
    assert_close(gradient.reshape(-1), u.reshape(-1) @ matrix, 1e-12)


@settings(max_examples=10, deadline=None)
@given(smooth_programs, seeds)
def test_the_jacobian_equals_differences(names, seed):
    function, x = composed(names), drawn(seed)
    matrix = cr.jacobian(function)(x).numpy()
    for index in np.ndindex(x.shape):
        way = np.zeros(x.shape)
        way[index] = 1.0

        def value(moved):
            return function(cr.tensor(moved[0])).numpy().reshape(-1)

        expected = slope(value, [x], [way], value([x]))
        off = np.abs(matrix[(..., *index)].reshape(-1) - expected.value)
        assert np.all(off <= expected.error)


@settings(max_examples=10, deadline=None)
@given(smooth_programs, seeds)
def test_the_hessian_is_symmetric_and_holds_every_hvp(names, seed):
    weights, x, v = drawn(seed + 1), drawn(seed), drawn(seed + 2)
    inner = composed(names)

    def function(x):
        return (inner(x) * weights).sum()

    matrix = cr.hessian(function)(x).numpy()
    assert matrix.shape == (2, 3, 2, 3)
    matrix = matrix.reshape(6, 6)
    assert_close(matrix, matrix.T, 1e-11)
    value, product = cr.hvp(function, x, v)
    assert value.item() == function(cr.tensor(x)).item()
    assert_close(product.numpy().reshape(-1), matrix @ v.reshape(-1), 1e-11)
    forward = cr.jvp(cr.grad(function), x, v)[1]  # over the gradient, as one writes it in JAX
    assert_close(forward.numpy(), product.numpy(), 1e-11)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch, by itself
def test_the_same_as_torch_func():
    torch = pytest.importorskip("torch")
    A, x, y = drawn(0, (3, 3)), drawn(1), drawn(2, (3,))
    u, v, w = drawn(3), drawn(4), drawn(5, (3,))

    def generic(F, matrix):
        return lambda x, y: F.tanh(x @ matrix) * F.exp(y * 0.5) / (1.0 + (x * y) ** 2)

    ours = generic(cr, A)
    theirs = generic(torch, torch.tensor(A))
    X, Y, U, V, W = map(torch.tensor, (x, y, u, v, w))

    def compare(mine, other):
        if isinstance(mine, tuple):
            assert len(mine) == len(other)
            for pair in zip(mine, other, strict=True):
                compare(*pair)
        else:
            assert_close(mine.numpy(), other.detach().numpy(), 1e-13)

    compare(cr.jvp(ours, (x, y), (v, w)), torch.func.jvp(theirs, (X, Y), (V, W)))
    compare(cr.vjp(ours, x, y)[1](u), torch.func.vjp(theirs, X, Y)[1](U))
    compare(cr.jacobian(ours, (1, 0))(x, y), torch.func.jacrev(theirs, (1, 0))(X, Y))
    compare(cr.jacobian(ours)(x, y), torch.func.jacfwd(theirs)(X, Y))

    def total(function):
        return lambda x, y: (function(x, y) * function(x, y)).sum()

    compare(cr.hessian(total(ours), (0, 1))(x, y), torch.func.hessian(total(theirs), (0, 1))(X, Y))
    gradient = torch.func.grad(total(theirs), (0, 1))
    compare(cr.hvp(total(ours), (x, y), (v, w))[1], torch.func.jvp(gradient, (X, Y), (V, W))[1])


# Shapes, dtypes, several arguments and results -----------------------------------------------


def two(x, y):
    """A result of each shape: (2, 3) and ()."""
    return x * y, (x * x).sum()


def test_several_arguments_and_results():
    x, y = drawn(0), drawn(1, (3,))
    matrices = cr.jacobian(two, argnums=(0, -1))(x, y)
    assert [[each.shape for each in row] for row in matrices] == [
        [(2, 3, 2, 3), (2, 3, 3)],
        [(2, 3), (3,)],
    ]
    assert matrices[1][1].tolist() == [0.0, 0.0, 0.0]
    assert [each.shape for each in cr.jacobian(two, argnums=1)(cr.tensor(x), y)] == [
        (2, 3, 3),
        (3,),
    ]
    assert cr.jacobian(lambda x: x * 2, argnums=(0,))(y)[0].shape == (3, 3)
    value, pull = cr.vjp(two, x, y)
    u = drawn(2)
    gx, gy = pull((u, -3.0))
    assert [each.shape for each in value] == [(2, 3), ()]
    np.testing.assert_allclose(gx.numpy(), u * y - 6 * x, rtol=1e-14)
    np.testing.assert_allclose(gy.numpy(), (u * x).sum(0), rtol=1e-13)
    assert [each.tolist() for each in pull([u, -3.0])] == [gx.tolist(), gy.tolist()]  # again
    value, tangents = cr.jvp(two, (x, y), (u, y))
    np.testing.assert_allclose(tangents[0].numpy(), u * y + x * y, rtol=1e-13)
    np.testing.assert_allclose(tangents[1].item(), 2 * (x * u).sum(), rtol=1e-13)


def test_keyword_arguments_reach_the_function():
    def f(x, y, *, power=1):
        return x**power * y

    assert cr.jacobian(f, 1)(2.0, 5.0, power=3).item() == 8.0
    assert cr.hessian(f)(2.0, 5.0, power=3).item() == 60.0


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0), (1, 2)])
def test_shapes_of_any_kind(shape):
    x = np.ones(shape)
    assert cr.jacobian(lambda x: x * x)(x).shape == shape + shape
    assert cr.hessian(lambda x: (x**3).sum())(x).shape == shape + shape
    value, tangent = cr.jvp(lambda x: x * x, x, x)
    assert tangent.shape == value.shape == shape
    assert cr.hvp(lambda x: (x**3).sum(), x, x)[1].tolist() == (6 * x).tolist()
    assert cr.vjp(lambda x: x * x, x)[1](x)[0].shape == shape


def test_float32_stays_float32():
    x = drawn(0).astype("float32")

    def f(x):
        return cr.sin(x) * 2.0

    assert cr.jacobian(f)(x).dtype == np.float32
    assert cr.hessian(lambda x: f(x).sum())(x).dtype == np.float32
    assert {each.dtype for each in cr.jvp(f, x, drawn(1))} == {np.dtype("float32")}
    assert cr.hvp(lambda x: f(x).sum(), x, drawn(1))[1].dtype == np.float32
    assert cr.vjp(f, x)[1](drawn(1))[0].dtype == np.float32


def test_what_does_not_depend_on_the_argument_has_derivative_zero():
    constant, x = cr.tensor([1.0, 2.0]), drawn(0, (3,))
    tracked = leaf([1.0, 2.0]) * 1
    for output in (constant, tracked):
        assert cr.jacobian(lambda x, y=output: y)(x).tolist() == np.zeros((2, 3)).tolist()
        assert cr.jvp(lambda x, y=output: y, x, x)[1].tolist() == [0.0, 0.0]
        assert cr.vjp(lambda x, y=output: y, x)[1]([1.0, -1.0])[0].tolist() == [0.0] * 3
        assert cr.hvp(lambda x, y=output: y.sum(), x, x)[1].tolist() == [0.0] * 3
    assert cr.hessian(lambda x: (3 * x).sum())(x).tolist() == np.zeros((3, 3)).tolist()
    assert cr.hvp(lambda x: (3 * x).sum(), x, x)[1].tolist() == [0.0] * 3
    tracked.backward([1.0, 2.0])  # its graph was not freed


def test_a_graph_that_is_gone_does_not_matter_to_what_does_not_depend_on_it():
    w = leaf([1.0, 2.0])
    gone = cr.exp(w)
    gone.backward([1.0, 1.0])
    assert cr.jacobian(lambda x: gone)(3.0).tolist() == [0.0, 0.0]
    assert cr.grad(lambda x: gone.sum())(3.0).item() == 0.0


def test_results_share_no_memory():
    x, u = cr.tensor(drawn(0, (2,))), cr.tensor(drawn(1, (2,)))
    value, pull = cr.vjp(lambda x, y: x + y, x, x)
    a, b = pull(u)
    tangent = cr.jvp(lambda x: x * 1.0, x, u)[1]
    for first, second in ((a, b), (a, u), (b, u), (tangent, u), (value, x)):
        assert not np.shares_memory(first.numpy(), second.numpy())


def test_kept_gradients_are_left_alone():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])

    def f(x):
        return (cr.sin(x) * w).sum()

    cr.vjp(f, x)[1](1.0)
    cr.jvp(f, x, x)
    cr.hvp(f, x, x)
    cr.hessian(f)(x)
    cr.jacobian(f)(x)
    assert x.grad is None
    assert w.grad is None
    assert x.is_leaf


def test_the_limits_of_jvp_do_not_warn():
    """The first walk divides 1 by 0 for results that nobody asked for."""
    value, tangent = cr.jvp(lambda x, y: x / y, (1.0, 1e-200), (0.0, 0.0))
    assert (value.item(), tangent.item()) == (1e200, 0.0)


# Errors -------------------------------------------------------------------------------------


def test_wrong_functions_and_arguments_are_refused_by_name():
    def several(error, match, *calls):
        for call in calls:
            with pytest.raises(error, match=match):
                call()

    def number(x):
        return 3.0

    several(cr.GradientError, "vjp: the function must return a Tensor", lambda: cr.vjp(number, 1.0))
    several(cr.GradientError, "jvp: .*, got 3.0", lambda: cr.jvp(number, 1.0, 1.0))
    several(cr.GradientError, "jacobian: .*tuple", lambda: cr.jacobian(number)(1.0))
    several(cr.GradientError, "jacobian: .*empty", lambda: cr.jacobian(lambda x: ())(1.0))
    several(cr.GradientError, "hessian: .*one element", lambda: cr.hessian(number)(1.0))
    several(cr.GradientError, "hvp: .*one element", lambda: cr.hvp(number, 1.0, 1.0))
    several(cr.ShapeError, r"hvp: .*\(2,\)", lambda: cr.hvp(cr.sin, [1.0, 2.0], [1.0, 2.0]))
    several(cr.ShapeError, r"\(2,\), float64.*reduce", lambda: cr.hessian(cr.sin)([1.0, 2.0]))
    several(
        cr.DtypeError,
        r"argument 1 has shape \(2,\), int64.*1\.0 instead of 1",
        lambda: cr.vjp(cr.multiply, 1.0, [1, 2]),
        lambda: cr.jvp(cr.multiply, (1.0, [1, 2]), (1.0, [1, 2])),
        lambda: cr.jacobian(cr.multiply, (0, 1))(1.0, [1, 2]),
        lambda: cr.hessian(cr.multiply, 1)(1.0, [1, 2]),
    )
    several(
        cr.DtypeError,
        r"output 1 of the function has shape \(\), int64",
        lambda: cr.vjp(lambda x: (x, cr.tensor(1)), 1.0),
        lambda: cr.jvp(lambda x: (x, cr.tensor(1)), 1.0, 1.0),
        lambda: cr.jacobian(lambda x: (x, cr.tensor(1)))(1.0),
    )
    several(cr.DtypeError, "grad: the function's result", lambda: cr.grad(lambda x: x > 0)(1.0))
    several(ValueError, "vjp: give", lambda: cr.vjp(cr.sin))
    several(ValueError, "jvp: give", lambda: cr.jvp(cr.sin, (), ()))
    for numbers in (1, (), (0, 5), -2, "x"):
        several(IndexError, "jacobian: argnums", lambda n=numbers: cr.jacobian(cr.sin, n)(1.0))
        several(IndexError, "hessian: argnums", lambda n=numbers: cr.hessian(cr.sin, n)(1.0))


def test_wrong_directions_are_refused_by_name():
    f, x = cr.multiply, [1.0, 2.0]
    with pytest.raises(cr.ShapeError, match=r"jvp: tangents\[1\] has shape \(3,\), .*\(2,\)"):
        cr.jvp(f, (1.0, x), (1.0, [1.0, 2.0, 3.0]))
    with pytest.raises(cr.ShapeError, match=r"jvp: tangents\[0\] has shape \(\)"):
        cr.jvp(cr.sin, x, 1.0)  # no broadcasting
    with pytest.raises(cr.ShapeError, match=r"hvp: vectors\[0\] has shape \(2, 1\)"):
        cr.hvp(lambda x: cr.sin(x).sum(), x, [[1.0], [2.0]])
    with pytest.raises(cr.ShapeError, match=r"vjp: upstream\[0\] .*output shape \(2,\)"):
        cr.vjp(cr.sin, x)[1](1.0)
    with pytest.raises(cr.DtypeError, match="jvp"):
        cr.jvp(cr.sin, 1.0, "up")
    for tangents in ((1.0,), 1.0, (1.0, x, x)):
        with pytest.raises(ValueError, match=r"jvp: tangents must be a tuple .* 2 in all, got"):
            cr.jvp(f, (1.0, x), tangents)
    with pytest.raises(ValueError, match=r"vjp: upstream must be a tuple .*output, 2"):
        cr.vjp(two, 1.0, 2.0)[1](1.0)


# Nesting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "thirds"),
    [
        (cr.sin, lambda x: -math.cos(x)),
        (cr.exp, math.exp),
        (cr.tanh, lambda x: -2 * (1 - math.tanh(x) ** 2) * (1 - 3 * math.tanh(x) ** 2)),
        (lambda x: x**5, lambda x: 60 * x**2),
        (lambda x: x * x * x * x * x, lambda x: 60 * x**2),
    ],
)
@pytest.mark.parametrize("x", [0.7, -1.3, 0.0])
def test_third_derivatives_on_every_road(function, thirds, x):
    """Nested grad; jvp of jvp of jvp; a mixture; and the Jacobian of the Hessian."""
    third = cr.grad(cr.grad(cr.grad(function)))(x).item()

    def along(f):
        return lambda x: cr.jvp(f, x, 1.0)[1]

    def product(x):
        return cr.hvp(function, x, 1.0)[1]

    roads = {
        "grad": third,
        "jvp": along(along(along(function)))(x).item(),
        "grad of jvp of grad": cr.grad(along(cr.grad(function)))(x).item(),
        "jvp of grad of jvp": along(cr.grad(along(function)))(x).item(),
        "grad of hvp": cr.grad(product)(x).item(),
        "jvp of hvp": along(product)(x).item(),
        "jacobian of hessian": cr.jacobian(cr.hessian(function))(x).item(),
        "hessian of grad": cr.hessian(cr.grad(function))(x).item(),
    }
    for road, found in roads.items():
        assert abs(found - thirds(x)) <= 1e-13 * max(1.0, abs(thirds(x))), road


def test_perturbations_are_not_confused():
    """d/dx [x * d/dy (x + y)] = 1 and d/dx [x * d/dy (x * y)] = 2x, forward and backward."""

    def along(f):
        return lambda x: cr.jvp(f, x, 1.0)[1]

    def rows(f):
        return cr.jacobian(f)

    for outer in (cr.grad, along, rows):
        for inner in (cr.grad, along, rows):
            assert outer(lambda x, d=inner: x * d(lambda y: x + y)(1.0))(5.0).item() == 1.0
            assert outer(lambda x, d=inner: x * d(lambda y: x * y)(2.0))(5.0).item() == 10.0
            # the same variable at both levels: d/dx (d/dy x y^2 at y = x) = d/dx 2 x^2
            assert outer(lambda x, d=inner: d(lambda y: x * y * y)(x))(3.0).item() == 12.0
            # an inner level that does not use its own variable
            assert outer(lambda x, d=inner: d(lambda y: x * x)(x))(3.0).item() == 0.0


def test_the_shift_operator_of_siskind_and_pearlmutter():
    """D applied to a function that returns a derivative operator: one level per call."""

    def along(f):
        return lambda x: cr.jvp(f, x, 1.0)[1]

    for derivative in (along, cr.grad):

        def shifted(u, derivative=derivative):
            return derivative(lambda x: cr.exp(x + u))(1.0)

        assert abs(derivative(shifted)(0.0).item() - math.e) < 1e-15 * 4


def test_everything_reaches_parameters_outside():
    """d/dw of each product, against the formula."""
    w, x, v = leaf(3.0), 2.0, 5.0

    def f(x):
        return w * w * x**3

    value, tangent = cr.jvp(f, x, v)
    assert cr.grad(tangent, w, retain_graph=True).item() == 2 * 3.0 * 3 * x**2 * v
    assert cr.grad(value, w).item() == 2 * 3.0 * x**3
    value, pull = cr.vjp(f, x)
    assert cr.grad(pull(v)[0], w, retain_graph=True).item() == 2 * 3.0 * 3 * x**2 * v
    assert cr.grad(value, w).item() == 2 * 3.0 * x**3
    value, product = cr.hvp(f, x, v)
    assert cr.grad(product, w, retain_graph=True).item() == 2 * 3.0 * 6 * x * v
    assert cr.grad(value, w).item() == 2 * 3.0 * x**3
    assert cr.grad(cr.jacobian(f)(x), w).item() == 2 * 3.0 * 3 * x**2
    assert cr.grad(cr.hessian(f)(x), w).item() == 2 * 3.0 * 6 * x
    assert w.grad is None


def test_products_are_differentiable_in_the_vector():
    v = leaf([1.0, -2.0])
    x = cr.tensor([0.5, 0.25])
    assert cr.grad(cr.jvp(lambda x: x * x, x, v)[1].sum(), v).tolist() == [1.0, 0.5]
    assert cr.grad(cr.vjp(lambda x: x * x, x)[1](v)[0].sum(), v).tolist() == [1.0, 0.5]
    assert cr.grad(cr.hvp(lambda x: (x**3).sum(), x, v)[1].sum(), v).tolist() == [3.0, 1.5]


def test_jvp_inside_grad_and_the_jacobian_of_a_gradient():
    A = drawn(0, (3, 3))
    x, v = drawn(1, (3,)), drawn(2, (3,))

    def f(x):
        return (x @ A) @ x

    inner = cr.grad(lambda x: cr.jvp(f, x, v)[1])(x)
    np.testing.assert_allclose(inner.numpy(), (A + A.T) @ v, rtol=1e-12)
    matrix = cr.jacobian(cr.grad(f))(x)
    np.testing.assert_allclose(matrix.numpy(), A + A.T, rtol=1e-12)
    tracked = cr.tensor(x, requires_grad=True)
    assert cr.jacobian(cr.grad(lambda x: f(x) ** 2))(tracked).requires_grad
    assert not matrix.requires_grad


def test_no_grad_around_a_derivative_makes_its_results_constant():
    w = leaf(3.0)

    def f(x):
        return w * x**3

    with cr.no_grad():
        results = [
            cr.grad(f)(w),
            *cr.value_and_grad(f)(w),
            *cr.jvp(f, w, w),
            *cr.hvp(f, w, w),
            cr.hessian(f)(w),
            cr.jacobian(f)(w),
            *cr.vjp(f, w)[1](w),
        ]
    assert not any(each.requires_grad for each in results)
    assert [each.item() for each in results] == [81, 81, 81, 81, 243, 81, 162, 54, 81, 243]


@pytest.mark.parametrize("argnums", [(0, 0), (1, -1)])
def test_an_argument_is_named_once(argnums):
    with pytest.raises(IndexError, match="names an argument twice"):
        cr.grad(lambda x, y: x * y, argnums=argnums)(2.0, 3.0)
