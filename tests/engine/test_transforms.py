"""Gradients as functions, to any order; they leave `.grad` alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr


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
