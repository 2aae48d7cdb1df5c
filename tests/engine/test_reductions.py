"""Reductions, running sums and products: against PyTorch; zeros, ties, infinities; errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.checking.operations import upstream_for
from chainrule.engine.devices import get_device
from chainrule.engine.tensor import wrap

quick = settings(deadline=None, max_examples=20)
seeds = st.integers(0, 2**32 - 1)
inf, nan = math.inf, math.nan


@st.composite
def calls(draw, least=1, one_axis=False, ndim=0):
    """An array, in one of several memory layouts, with ties and zeros; axis; keepdims.

    Numbers are whole, halved: they are often equal, and often 0.
    """
    shape = tuple(draw(st.lists(st.integers(least, 3), min_size=ndim, max_size=3)))
    n, rng = len(shape), np.random.default_rng(draw(seeds))
    kinds = {
        "ties": rng.integers(-2, 3, shape) / 2,
        "spread": rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape),
    }
    x = np.asarray(kinds[draw(st.sampled_from(sorted(kinds)))])
    layout = draw(st.sampled_from(["plain", "transposed", "strided", "reversed"]))
    if n and layout == "transposed":
        x = np.array(x.T, order="C").T
    elif n and layout == "strided":
        x = np.repeat(x, 2, axis=-1)[..., ::2]
    elif n and layout == "reversed":
        x = x[::-1].copy()[::-1]
    whole = st.integers(-n, n - 1) if n else st.sampled_from([0, -1])
    several = st.lists(st.integers(0, max(n - 1, 0)), unique=True, max_size=n)
    signed = several.map(lambda axes: tuple(a - n if i % 2 else a for i, a in enumerate(axes)))
    if one_axis:
        axis = draw(whole)
    else:
        axis = draw(st.one_of(st.none(), whole, *([signed] if n else [])))
    return x, axis, draw(st.booleans())


def axes_for_torch(axis, ndim):
    if axis is None:
        return tuple(range(ndim))
    return axis if isinstance(axis, tuple) else (axis,)


def both_orders(ours, theirs, x, seed, torch, second=True, tolerance=1e-12):
    """Values, gradients and gradients of gradients of two functions at one array are the same.

    Random signed numbers weigh the results. 1e-12: sums of some ten products, each to 1e-16,
    of numbers up to 100.
    """
    a = wrap(x, get_device("cpu"))  # cr.tensor would copy it into a plain layout
    a.requires_grad = True
    b = torch.tensor(x.copy(), requires_grad=True)
    y, z = ours(a), theirs(b)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-13, atol=1e-13)
    up = upstream_for(y.shape, seed)
    (g,) = cr.grad([y], [a], [up], create_graph=second)
    h = b * 0.0
    if z.requires_grad:
        (h,) = torch.autograd.grad(
            z, b, torch.tensor(up), create_graph=second, allow_unused=True, materialize_grads=True
        )
    np.testing.assert_allclose(g.numpy(), h.detach().numpy(), rtol=tolerance, atol=tolerance)
    if not second or not h.requires_grad:
        return
    weights = upstream_for(x.shape, seed + 1)
    (again,) = torch.autograd.grad(h, b, torch.tensor(weights), allow_unused=True)
    expected = np.zeros(x.shape) if again is None else again.numpy(force=True)
    found = np.zeros(x.shape)
    if g.requires_grad:
        (mine,) = cr.grad([g], [a], [weights], allow_unused=True)
        found = found if mine is None else mine.numpy()
    np.testing.assert_allclose(found, expected, rtol=10 * tolerance, atol=10 * tolerance)


# Against PyTorch ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp", "max", "min"])
@quick
@given(call=calls(), seed=seeds)
def test_reductions_are_pytorchs(name, call, seed):
    torch = pytest.importorskip("torch")
    x, axis, keepdims = call
    axes = axes_for_torch(axis, x.ndim)
    if axes == () and x.ndim:
        axes = None  # to PyTorch no axes are all of them
        np.testing.assert_allclose(getattr(cr, name)(x, axis=axis).numpy(), x, rtol=1e-15)
        return
    theirs = getattr(torch, {"max": "amax", "min": "amin"}.get(name, name))
    both_orders(
        lambda t: getattr(cr, name)(t, axis=axis, keepdims=keepdims),
        lambda t: theirs(t, dim=axes if x.ndim else 0, keepdim=keepdims),
        x,
        seed,
        torch,
        second=name not in ("max", "min"),
    )


@pytest.mark.parametrize("name", ["var", "std"])
@quick
@given(call=calls(), seed=seeds, correction=st.sampled_from([0, 1, 0.5]))
def test_variances_are_pytorchs(name, call, seed, correction):
    torch = pytest.importorskip("torch")
    x, axis, keepdims = call
    axes = axes_for_torch(axis, x.ndim)
    number = math.prod(x.shape[a] for a in axes) if x.ndim else 1
    if number - correction <= 0 or (axes == () and x.ndim):
        return
    spread = x.max(axis=axes if x.ndim else None, initial=-9) - x.min(
        axis=axes if x.ndim else None, initial=9
    )
    if name == "std" and np.min(spread) == 0:
        return  # PyTorch's second derivative is NaN there; ours is tested below
    both_orders(
        lambda t: getattr(cr, name)(t, axis=axis, correction=correction, keepdims=keepdims),
        lambda t: getattr(torch, name)(t, dim=axes, correction=correction, keepdim=keepdims),
        x,
        seed,
        torch,
        tolerance=1e-11,
    )


@quick
@given(call=calls(), seed=seeds)
def test_products_with_zeros_are_pytorchs(call, seed):
    torch = pytest.importorskip("torch")
    x, axis, keepdims = call
    axes = [a % x.ndim for a in axes_for_torch(axis, x.ndim)] if x.ndim else []

    def theirs(t):
        for a in sorted(axes, reverse=True):
            t = torch.prod(t, dim=a, keepdim=keepdims)
        return t * 1

    both_orders(lambda t: cr.prod(t, axis=axis, keepdims=keepdims), theirs, x, seed, torch)


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod"])
@quick
@given(call=calls(one_axis=True, ndim=1), seed=seeds)
def test_running_sums_and_products_with_zeros_are_pytorchs(name, call, seed):
    torch = pytest.importorskip("torch")
    x, axis, include = call
    theirs = torch.cumsum if name == "cumulative_sum" else torch.cumprod
    shape = [1 if i == axis % x.ndim else n for i, n in enumerate(x.shape)]
    first = torch.full(shape, float(name == "cumulative_prod"), dtype=torch.float64)

    def expected(t):
        y = theirs(t, axis)
        return torch.cat([first, y], dim=axis) if include else y

    both_orders(
        lambda t: getattr(cr, name)(t, axis=axis, include_initial=include), expected, x, seed, torch
    )


@pytest.mark.parametrize("order", [1, 2, 3, 1.5, 0.5, -1, -2.5, inf, -inf, 0])
@settings(deadline=None, max_examples=12)
@given(call=calls(), seed=seeds)
def test_norms_are_pytorchs(order, call, seed):
    torch = pytest.importorskip("torch")
    x, axis, keepdims = call
    x = np.where(x == 0, 0.25, x)  # the origin, and the kinks at 0, are tested below
    axes = axes_for_torch(axis, x.ndim)
    if axes == () or not x.ndim:
        return
    both_orders(
        lambda t: cr.norm(t, ord=order, axis=axis, keepdims=keepdims),
        lambda t: torch.linalg.vector_norm(t, ord=order, dim=axes, keepdim=keepdims),
        x,
        seed,
        torch,
        second=abs(order) != inf,
        tolerance=1e-11,
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@quick
@given(call=calls(one_axis=True), seed=seeds)
def test_softmax_is_pytorchs(name, call, seed):
    torch = pytest.importorskip("torch")
    x, axis, _ = call
    both_orders(
        lambda t: getattr(cr, name)(t, axis=axis),
        lambda t: getattr(torch, name)(t, dim=axis),
        x,
        seed,
        torch,
    )


@quick
@given(call=calls(one_axis=True, ndim=1), seed=seeds)
def test_a_linear_recurrence_is_its_definition_step_by_step(call, seed):
    b, axis, _ = call
    rng = np.random.default_rng(seed)
    a = rng.integers(-2, 3, [n - (i == axis % b.ndim) for i, n in enumerate(b.shape)]) / 2
    y = [np.take(b, 0, axis)]
    for i in range(b.shape[axis] - 1):
        y.append(np.take(a, i, axis) * y[-1] + np.take(b, i + 1, axis))
    found = cr.linear_recurrence(a, b, axis=axis)
    np.testing.assert_array_equal(found.numpy(), np.stack(y, axis))
    cr.assert_gradients(
        lambda a, b: cr.linear_recurrence(a, b, axis=axis), a, b, order=2, seed=seed
    )


# Against NumPy: values, dtypes --------------------------------------------------------------

PLAIN = ["sum", "mean", "var", "std", "prod", "max", "min", "all", "any", "count_nonzero"]


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("name", [*PLAIN, "argmax", "argmin", "cumsum", "cumprod"])
def test_values_and_dtypes_are_numpys(name, kind):
    x = np.array([[3, 0, 1], [1, 1, 2]], kind)
    result = getattr(np, name)(cr.tensor(x), axis=1)
    expected = getattr(np, name)(x, axis=1)
    assert isinstance(result, cr.Tensor)
    if not (name in ("mean", "var", "std") and kind in ("bool", "uint8", "int8")):
        assert result.dtype == expected.dtype
    assert result.dtype.kind != "f" or result.dtype in (np.float32, np.float64)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["logsumexp", "softmax", "log_softmax", "norm"])
@pytest.mark.parametrize("kind", ["bool", "uint8", "uint64", "int16"])
def test_functions_of_integers_are_those_of_floats(name, kind):
    x = np.array([1, 0, 1], kind) if kind == "bool" else np.array([3, 0, 5], kind)
    result = getattr(cr, name)(cr.tensor(x))
    assert result.dtype == np.float64
    np.testing.assert_array_equal(
        result.numpy(), getattr(cr, name)(cr.tensor(x.astype(np.float64))).numpy()
    )


def test_booleans_are_counted():
    x = cr.tensor(np.ones(300, bool))
    assert (x.sum().item(), x.count_nonzero().item(), x.mean().item()) == (300, 300, 1.0)
    assert x.cumsum()[-1].item() == 300


@pytest.mark.parametrize("name", [*PLAIN, "argmax", "argmin", "logsumexp", "norm", "median"])
def test_what_users_type(name):
    array = np.random.default_rng(0).uniform(0.5, 2.0, (2, 3))
    x, function = cr.tensor(array), getattr(cr, name)
    along = getattr(x, name)(axis=1)
    np.testing.assert_array_equal(along.numpy(), function(array, axis=-1).numpy())
    np.testing.assert_array_equal(along.numpy(), function(x, axis=np.int64(1)).numpy())
    assert function(x, axis=1, keepdims=True).shape == (2, 1)
    assert function(x, keepdims=np.True_).shape == (1, 1)
    assert getattr(x, name)().shape == ()
    for axis in (0, -1, None):
        assert function(cr.tensor(2.0), axis=axis).shape == ()
    if not name.startswith("arg"):
        assert function(x, axis=[0, 1]).item() == getattr(x, name)().item()
    if name not in ("all", "any", "count_nonzero"):
        assert cr.tensor([1.5]).sum(0).item() == 1.5


@pytest.mark.parametrize("axis", [[0, 2], np.int64(-1), (2, 0)])
@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "max", "prod", "logsumexp", "norm"])
def test_gradients_whatever_kind_of_axis_was_given(name, axis):
    x = np.random.default_rng(1).uniform(0.5, 2.0, (2, 1, 3))
    cr.assert_gradients(lambda t: getattr(cr, name)(t, axis=axis), x, order=2)


# Where the plain formula fails --------------------------------------------------------------


def gradients(function, x):
    """The value, the gradient of a random weighting, and that of a weighting of the gradient."""
    x = cr.tensor(x, requires_grad=True)
    y = function(x)
    (g,) = cr.grad([y], [x], [upstream_for(y.shape, 0)], create_graph=True)
    if not g.requires_grad:
        return y.numpy(), g.numpy(), np.zeros(x.shape)
    (h,) = cr.grad([g], [x], [upstream_for(g.shape, 1)], allow_unused=True)
    return y.numpy(), g.numpy(), np.zeros(x.shape) if h is None else h.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.1, 1e-3, 3.7, 1e30, -1e-30])
def test_the_standard_deviation_of_equal_elements_is_flat(value, dtype):
    x = np.array([[value] * 3, [1.0, 2.0, 4.0]], dtype)
    y, g, h = gradients(lambda t: cr.std(t, axis=1), x)
    assert y[0] == 0
    assert (g[0] == 0).all()
    assert (h[0] == 0).all()
    assert (g[1] != 0).any()
    assert cr.var(cr.tensor(x), axis=1).numpy()[0] == 0


@pytest.mark.parametrize("scale", [1e-200, 1e200, 1e-310])
@pytest.mark.parametrize("function", [cr.std, cr.norm], ids=["std", "norm"])
def test_squares_neither_overflow_nor_vanish(function, scale):
    x = np.array([[1.0, 2.0, 4.0], [3.0, -1.0, 0.5]])
    y, g, _ = gradients(lambda t: function(t, axis=1), x)
    scaled = cr.tensor(x * scale, requires_grad=True)
    z = function(scaled, axis=1)
    z.backward(upstream_for(z.shape, 0))
    rounding = 1e-13 if scale > 1e-300 else 1e-12  # denormal numbers have fewer digits
    np.testing.assert_allclose(z.numpy(), y * scale, rtol=rounding)
    np.testing.assert_allclose(scaled.grad.numpy(), g, rtol=rounding)


def test_rows_of_very_different_size_have_their_own_scale():
    x = np.array([[3e200, 4e200], [3e-200, 4e-200], [3.0, 4.0], [0.0, 0.0]])
    expected = [5e200, 5e-200, 5.0, 0.0]
    np.testing.assert_allclose(cr.norm(cr.tensor(x), axis=1).numpy(), expected, rtol=1e-15)


def test_variance_far_from_zero_keeps_its_digits():
    x = 1e9 + np.array([0.0, 1.0, 3.0])
    _, g, _ = gradients(cr.std, x)
    _, near, _ = gradients(cr.std, x - 1e9)
    np.testing.assert_allclose(g, near, rtol=1e-14)


@pytest.mark.parametrize("order", [2, 1, 3, 1.5, 0.5, -1, inf, -inf, 0])
def test_norms_are_flat_at_the_origin(order):
    y, g, h = gradients(lambda t: cr.norm(t, ord=order, axis=0), np.zeros((3, 2)))
    assert not y.any()
    assert not g.any()
    assert not h.any()


@pytest.mark.parametrize("order", [2, 1, 3, 1.5, 0.5])
def test_a_zero_element_beside_others_gives_no_nan(order):
    x = np.array([0.0, 3.0, -4.0])
    y, g, h = gradients(lambda t: cr.norm(t, ord=order), x)
    np.testing.assert_allclose(y, (3.0**order + 4.0**order) ** (1 / order), rtol=1e-15)
    assert g[0] == 0
    assert np.isfinite(h).all()
    if order >= 2:  # there the derivatives exist
        cr.assert_gradients(lambda t: cr.norm(t, ord=order), x)
    if order == 2:
        cr.assert_gradients(lambda t: cr.norm(t, ord=order), x, order=2)


@pytest.mark.parametrize("order", [-1, -2.5])
def test_a_norm_of_negative_order_with_a_zero_is_zero(order):
    y, g, h = gradients(lambda t: cr.norm(t, ord=order), np.array([0.0, 3.0]))
    assert (y, g.tolist(), h.tolist()) == (0, [0, 0], [0, 0])


def test_logsumexp_of_infinities():
    rows = [[-inf, -inf], [inf, 1.0], [inf, inf], [-inf, 5.0], [inf, -inf], [1000.0, 1000.0]]
    x = cr.tensor(rows, requires_grad=True)
    y = cr.logsumexp(x, axis=1)
    assert y.tolist()[:5] == [-inf, inf, inf, 5.0, inf]
    assert abs(y[5].item() - (1000 + math.log(2))) < 1e-12
    up = [2.0, -3.0, 4.0, -5.0, 6.0, 8.0]
    (g,) = cr.grad([y], [x], [up], create_graph=True)
    expected = [[0, 0], [-3, 0], [2, 2], [0, -5], [6, 0], [4, 4]]
    np.testing.assert_allclose(g.numpy(), expected, rtol=1e-12)
    (h,) = cr.grad([g], [x], [upstream_for(g.shape, 0)])
    assert np.isfinite(h.numpy()).all()
    assert not h.numpy()[:5].any()


def test_logsumexp_of_large_negative_numbers_and_of_nothing():
    assert cr.logsumexp(cr.tensor([-1e4, -1e4])).item() == -1e4 + math.log(2)
    assert cr.logsumexp(cr.zeros((2, 0)), axis=1).tolist() == [-inf, -inf]
    assert math.isnan(cr.logsumexp(cr.tensor([nan, 1.0])).item())


def test_logsumexp_is_exact_where_the_other_terms_are_tiny():
    """log(1 + e^-40) is 4.2e-18; log(1.0) would be 0."""
    assert cr.logsumexp(cr.tensor([0.0, -40.0])).item() == math.log1p(math.exp(-40))


@pytest.mark.parametrize("function", [cr.softmax, cr.log_softmax])
def test_softmax_beside_minus_infinity(function):
    x = cr.tensor([[-inf, 1.0, 2.0]], requires_grad=True)
    kept = cr.tensor([[1.0, 2.0]], requires_grad=True)
    up = np.array([[0.0, 3.0, -5.0]])
    function(x).backward(up)
    function(kept).backward(up[:, 1:])
    np.testing.assert_allclose(x.grad.numpy()[:, 1:], kept.grad.numpy(), rtol=1e-15)
    assert x.grad.numpy()[0, 0] == 0


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", ["prod", "cumulative_prod"])
def test_products_with_zeros_of_first_and_second_order(name, zeros):
    x = np.array([1.5, -2.0, 0.5, 3.0])
    x[list(zeros)] = 0
    cr.assert_gradients(getattr(cr, name), x, order=2)


def test_the_third_derivative_of_a_product_of_zeros():
    """Of x0 x1 x2 with respect to each of them once: 1, at the origin too."""
    third = cr.grad(lambda a: cr.grad(lambda b: cr.grad(lambda c: cr.prod(c))(b)[0])(a)[1])
    assert third(cr.tensor([0.0, 0.0, 0.0])).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("name", "extreme"), [("max", np.max), ("min", np.min)])
@quick
@given(call=calls(), seed=seeds)
def test_ties_share_the_gradient_and_lose_nothing_of_it(name, extreme, call, seed):
    array, axis, _ = call
    x = cr.tensor(array, requires_grad=True)
    y = getattr(cr, name)(x, axis=axis, keepdims=True)
    up = upstream_for(y.shape, seed)
    y.backward(up)
    g = x.grad.numpy()
    total = g.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(total, up, rtol=1e-14)
    hit = array == extreme(array, axis=axis, keepdims=True)
    assert not g[~hit].any()
    assert (g[hit] != 0).all()


def test_nan_stays_nan_and_has_the_gradient_of_max():
    x = cr.tensor([1.0, nan, 3.0], requires_grad=True)
    y = x.max()
    y.backward(5.0)
    assert math.isnan(y.item())
    assert x.grad.tolist() == [0.0, 5.0, 0.0]
    for function in (cr.sum, cr.mean, cr.std, cr.prod, cr.norm, cr.median):
        assert math.isnan(function(x).item())


# Nothing, and errors ------------------------------------------------------------------------


def test_reductions_of_nothing():
    empty = cr.zeros((0, 3), dtype="float32")
    assert empty.sum(axis=0).tolist() == [0, 0, 0]
    assert empty.prod(axis=0).tolist() == [1, 1, 1]
    assert empty.all().item() is True
    assert empty.any().item() is False
    assert empty.norm(axis=0).tolist() == empty.norm(ord=inf, axis=0).tolist() == [0, 0, 0]
    for name in ("mean", "max", "min", "argmax", "argmin", "var", "std", "median"):
        with pytest.raises(cr.ShapeError, match=rf"{name}: .*shape \(0, 3\), float32.*; "):
            getattr(cr, name)(empty, axis=0)
        if not name.startswith("arg"):
            assert getattr(cr, name)(empty, axis=1).shape == (0,)
    with pytest.raises(cr.ShapeError, match=r"norm: .*shape \(0, 3\), float32, axis=0"):
        empty.norm(ord=-inf, axis=0)
    assert cr.softmax(empty).shape == (0, 3)
    assert cr.softmax(empty, axis=0).shape == (0, 3)


ONES = [*PLAIN, "logsumexp", "norm", "median", "argmax", "argmin", "softmax", "log_softmax"]


@pytest.mark.parametrize("name", [*ONES, "cumulative_sum", "cumulative_prod", "sort", "argsort"])
def test_wrong_axes_are_told(name):
    x, function = cr.zeros((2, 3), dtype="float32"), getattr(cr, name)
    for axis in (2, -3):
        with pytest.raises(
            cr.ShapeError,
            match=rf"{name}: axis must be from -2 to 1, got {axis}; x has shape \(2, 3\), float32",
        ):
            function(x, axis=axis)
    for axis in (1.0, "0", True, cr.tensor(1), np.array(1.0)):
        with pytest.raises(cr.DtypeError, match=rf"{name}: axis must be an integer, got "):
            function(x, axis=axis)


@pytest.mark.parametrize("name", [*PLAIN, "logsumexp", "norm", "median"])
def test_wrong_tuples_of_axes_are_told(name):
    x, function = cr.zeros((2, 3)), getattr(cr, name)
    with pytest.raises(cr.ShapeError, match=rf"{name}: axis=\(0, -2\) names an axis twice; x has"):
        function(x, axis=(0, -2))
    with pytest.raises(cr.ShapeError, match=f"{name}: axis must be from -2 to 1, got 5"):
        function(x, axis=(0, 5))
    with pytest.raises(cr.DtypeError, match=rf"{name}: axis must be an integer, got 1\.0"):
        function(x, axis=(0, 1.0))


def test_several_axes_have_no_argmax():
    with pytest.raises(cr.DtypeError, match=r"argmax: axis must be one integer.*got \(0, 1\)"):
        cr.zeros((2, 3)).argmax(axis=(0, 1))


@pytest.mark.parametrize("name", [*PLAIN, "logsumexp", "norm", "argmax"])
def test_an_axis_in_place_of_keepdims_is_told(name):
    with pytest.raises(cr.DtypeError, match=rf"{name}: keepdims must be .*got 1; .*axis=\(0, 1\)"):
        getattr(cr, name)(cr.zeros((2, 3)), axis=0, keepdims=1)


@pytest.mark.parametrize("name", ["var", "std"])
def test_a_correction_that_leaves_no_divisor_is_told(name):
    x = cr.zeros((2, 3), dtype="float32")
    for correction in (3, 4, 3.5):
        with pytest.raises(
            cr.ShapeError,
            match=rf"{name}: correction={correction} leaves.* n = 3 .*shape \(2, 3\), float32; ",
        ):
            getattr(x, name)(axis=1, correction=correction)
    for correction in (True, None, "1", cr.tensor(1.0)):
        with pytest.raises(cr.DtypeError, match=f"{name}: correction must be a number, got"):
            getattr(x, name)(correction=correction)


def test_an_order_that_is_no_number_is_told():
    for order in ("fro", None, True, nan, cr.tensor(2.0)):
        with pytest.raises(cr.DtypeError, match=r"norm: ord must be a number .* got"):
            cr.zeros((2, 3)).norm(ord=order)


def test_running_through_several_axes_needs_to_know_which():
    for name in ("cumulative_sum", "cumulative_prod"):
        with pytest.raises(cr.ShapeError, match=rf"{name}: give an axis: .*\(2, 3\).*flatten"):
            getattr(cr, name)(cr.zeros((2, 3)))
        with pytest.raises(cr.ShapeError, match=f"{name}: "):
            getattr(cr, name)(cr.tensor(1.0), axis=0)


def test_a_recurrence_whose_shapes_do_not_fit_is_told():
    with pytest.raises(cr.ShapeError, match=r"linear_recurrence: a must have shape \(2, 2\), one"):
        cr.linear_recurrence(cr.zeros((2, 3)), cr.zeros((2, 3)))


def test_matrix_norms_of_numpy_are_refused_by_name():
    x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(TypeError, match=r"numpy\.linalg\.norm: there is no matrix norm of ord=2"):
        np.linalg.norm(x, 2)
    assert np.linalg.norm(x).item() == np.linalg.norm(x.numpy())
    assert np.linalg.norm(x[0], 1).item() == 3.0
