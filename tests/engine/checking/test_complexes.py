"""The complex step gives the slope that calculus does, of the table and of NumPy's functions.

Where it cannot, it says so: the tests hold it to never giving a wrong slope without a word.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.calls import Call, broadcasts_of, calls_of, invoke
from chainrule.engine.checking.complexes import (
    BranchingArray,
    Unsupported,
    complex_kernels,
    complex_slope,
    lift,
    slope_of,
    strict,
    watch,
)
from chainrule.engine.record import RECORDS

# The table of operations --------------------------------------------------------------------

TABLE = [r for r in RECORDS.values() if r.builtin and r.differentiable and not r.composed]
#: Cases whose result is constant: their code makes a new array of numbers that have no slope.
CONSTANT = {"norm((2, 3), ord=0, axis=1)"}


def arguments_of(call, record):
    """The arguments of a call, which of them vary, and the static ones."""
    if not isinstance(call, Call):
        return call.draw(1), range(len(record.arguments)), {}
    drawn = call.case.draw(record, 1)
    if call.case.prepare is not None:
        tensors = [cr.tensor(each) if isinstance(each, np.ndarray) else each for each in drawn]
        drawn = [
            each.numpy() if isinstance(each, cr.Tensor) else each
            for each in call.case.prepare(*tensors)
        ]
    return drawn, call.variable, call.case.static


def first(result):
    return result[0] if type(result) is tuple else result


@pytest.mark.parametrize("record", TABLE, ids=lambda record: record.name)
def test_the_slope_of_every_operation_is_that_of_its_vjp(record):
    """<g, J v> = <Jᵀ g, v> for random signed g and v: the complex step knows nothing of the VJP."""
    rng = np.random.default_rng(len(record.name))
    for call in (*calls_of(record), *broadcasts_of(record)):
        arrays, varied, static = arguments_of(call, record)
        directions = [rng.normal(size=np.shape(each)) * (i in varied) for i, each in
                      enumerate(arrays)]  # fmt: skip

        def forward(*lifted, static=static):
            return first(record.forward(complex_kernels, *lifted, **static))

        if repr(call) in CONSTANT:
            with pytest.raises(Unsupported, match="constant"):
                complex_slope(forward, arrays, directions)
            continue
        slope, value = complex_slope(forward, arrays, directions)
        tensors = [
            cr.tensor(each, requires_grad=i in varied) if hasattr(each, "dtype") else each
            for i, each in enumerate(arrays)
        ]
        with cr.kernels("reference"):
            y = invoke(record, tensors, static)
            upstream = rng.normal(size=y.shape)
            y.backward(upstream)
        # What cancels is as exact as what it was made of.
        np.testing.assert_allclose(value, y.numpy(), rtol=1e-14, atol=1e-15, err_msg=repr(call))
        assert slope.shape == y.shape and slope.dtype == np.float64
        there = [
            tensors[i].grad.numpy() * directions[i] for i in varied if tensors[i].grad is not None
        ]
        size = sum(abs(each).sum() for each in there) + abs(upstream * slope).sum()
        difference = (upstream * slope).sum() - sum(each.sum() for each in there)
        assert abs(difference) <= 1e-14 * size, repr(call)


def test_the_table_is_there():
    assert len(TABLE) > 120


def test_no_tensor_computes_on_the_complex_kernels():
    with pytest.raises(cr.DeviceError, match="unknown"), cr.kernels("complex"):
        pass


def test_cofactors_of_singular_matrices():
    rng = np.random.default_rng(0)
    for rank in (0, 1, 2, 3):
        x = rng.normal(size=(4, rank)) @ rng.normal(size=(rank, 4))
        v, g = rng.normal(size=(2, 4, 4))
        slope, _ = complex_slope(lambda x: complex_kernels.cofactor(x), [x], [v])
        k = cr.engine.devices.cpu.sets["reference"]
        gradient = k.cofactor_backward(g, x)
        assert math.isclose((g * slope).sum(), (gradient * v).sum(), rel_tol=1e-11, abs_tol=1e-12)


# Plain NumPy code ---------------------------------------------------------------------------


def written_in_place(x):
    y = np.zeros_like(x)
    for i in range(len(x)):
        y[i] = x[i] * x[-1 - i] if x[i] > 0 else -x[i]
    y[1:] += np.abs(x[:-1])
    y *= 2.0
    return y


def added_up(x):
    y = np.zeros_like(x)
    np.add.at(y, [0, 1, 0], x[:3] * x[:3])
    np.maximum.at(y, [1, 2], x[2:4])
    return y


def gaussian(x):
    m = x.reshape(2, 3)
    a = m @ m.T + 2 * np.eye(2)
    root = np.linalg.cholesky(a)
    return np.linalg.slogdet(a)[1] + np.linalg.solve(a, m[:, 0]).sum() + root.sum()


FUNCTIONS = {
    "abs": np.abs,
    "fabs": np.fabs,
    "norms": lambda x: np.stack(
        [np.linalg.norm(x, ord) for ord in (None, 1, 2, 3, np.inf, -np.inf)]
    ),
    "matrix norms": lambda x: np.stack(
        [np.linalg.norm(x.reshape(2, 3), ord) for ord in (None, "fro", 1, -1, np.inf, -np.inf)]
    ),
    "norm along an axis": lambda x: np.linalg.norm(x.reshape(2, 3), axis=1, keepdims=True),
    "std and var": lambda x: np.std(x) + x.var(ddof=1) + np.var(x, axis=0) + x.std(),
    "mean": lambda x: x.mean() + np.mean(x.reshape(2, 3), axis=0) + np.average(x, weights=x * x),
    "max": lambda x: x.max() + np.max(x.reshape(3, 2), axis=1) + np.min(x) + np.ptp(x),
    "maximum": lambda x: np.maximum(x, 0.0) * np.minimum(x, x[::-1]) + np.fmax(x, 0.3),
    "accumulate": lambda x: np.maximum.accumulate(x) + np.cumsum(x) * x.cumprod(),
    "partition": lambda x: np.partition(x, [1, 3])[[1, 3]] + x[np.argpartition(x, 2)][2],
    "sort": lambda x: np.sort(x) * np.arange(6) + x[np.argsort(-x)]
    + x[x.argmax()] - x[np.argmin(x)],
    "median": lambda x: np.median(x) + np.median(x.reshape(2, 3), axis=1).sum() * x,
    "quantiles": lambda x: np.quantile(x, [0.1, 0.5, 0.77]) * np.percentile(x, 30),
    "where": lambda x: np.where(x > 0, x * x, np.exp(x)),
    "clip": lambda x: np.clip(x, -0.5, 0.5) * x + x.clip(0.25),
    "select": lambda x: np.select([x > 1, x > 0], [x * 2, x * x], -x),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda t: -t, np.square]),
    "steps": lambda x: x * np.floor(x * 3) + np.sign(x) * x * x
    + np.round(x, 1) * x + np.rint(x) * x,
    "whole": lambda x: x * (x * 3).astype(int) + int(x[0] * 5) * x,
    "remainder": lambda x: x % 0.37 + np.mod(x, 1 + x * x) + np.fmod(x, 0.7) + (x // 0.3) * x,
    "divmod": lambda x: np.stack(np.divmod(x, 0.37)) * x,
    "powers": lambda x: x**3 + x**-2 + np.abs(x) ** 1.7 + 2.0**x + np.power(np.abs(x), x),
    "roots": lambda x: np.cbrt(x) + np.sqrt(x * x + 1) + np.sqrt(np.abs(x)),
    "logarithms": lambda x: np.log1p(x * x) + np.log(np.abs(x)) + np.log2(2 + x * x) + np.expm1(x),
    "logaddexp": lambda x: np.logaddexp(x, x[::-1] * 3) + np.logaddexp2(x, 1.0),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x)
    + np.logaddexp.reduce(x.reshape(2, 3), 1).sum(),
    "two-dimensional": lambda x: np.hypot(x, x[::-1] + 2) + np.arctan2(x, x[::-1]),
    "trigonometry": lambda x: np.sin(x) * np.tan(x / 4) + np.arctan(x)
    + np.arcsin(x / 4) + np.cos(x) * np.arccos(x / 4),
    "hyperbolic": lambda x: np.sinh(x) / np.cosh(x) + np.tanh(x) + np.arcsinh(x) + np.arctanh(x / 4)
    + np.arccosh(x * x + 2),
    "signs": lambda x: np.copysign(x, x[::-1]) + np.heaviside(x, 0.5) * x + np.conj(x) * x.conj(),
    "angles": lambda x: np.sin(np.degrees(x) / 40) + np.deg2rad(x),
    "sinc": lambda x: np.sinc(x),
    "products": lambda x: np.dot(x, x) + np.vdot(x, x[::-1]) + np.inner(x, x)
    + x @ x + np.vecdot(x, x * x),
    "outer": lambda x: np.outer(x, x) + np.multiply.outer(x, np.abs(x))
    + np.maximum.outer(x, x * x),
    "tensors": lambda x: np.einsum("ij,kj->ik", *[x.reshape(2, 3)] * 2) + np.tensordot(
        x.reshape(2, 3), x.reshape(3, 2), 1
    ),
    "kronecker": lambda x: np.kron(x[:2], x) * np.convolve(x, x[:2])[0] + np.correlate(x, x[:2])[1],
    "matrices": lambda x: np.linalg.inv(x[:4].reshape(2, 2) + 5 * np.eye(2)) * np.linalg.det(
        x[:4].reshape(2, 2)
    ),
    "gaussian": gaussian,
    "shapes": lambda x: np.concatenate([x[1:], np.flip(x)[:2] ** 2, np.roll(x, 1)]) * np.pad(
        x, (3, 4), mode="reflect"
    ),
    "indices": lambda x: x[[0, 0, 2]] * x[x > -10][:3] + x[None, :3] * np.take(x, [1, 1, 5]),
    "differences": lambda x: np.diff(x).sum() * np.gradient(x) + np.trapezoid(x),
    "triangles": lambda x: np.tril(x.reshape(2, 3)) + np.triu(x.reshape(2, 3), 1) ** 2,
    "nan_to_num": lambda x: np.nan_to_num(np.where(x > 0, x * x, np.nan), nan=3.0),
    "in place": written_in_place,
    "added up": added_up,
    "python": lambda x: sum(abs(each) for each in x) * max(x)
    + min(x) * (x[0] if x[1] > x[2] else 2),
    "any": lambda x: x * np.any(x > 0) + x * x * np.all(x < 9) + np.count_nonzero(x) * x,
    "as type": lambda x: x.astype(np.float64) * x.astype(float) + np.asanyarray(x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_numpy_functions(name, seed):
    """The slope is that of a central difference, and the value that of the function itself."""
    f, rng = FUNCTIONS[name], np.random.default_rng(seed)
    x, v = rng.uniform(-2, 2, 6), rng.normal(size=6)
    h = 1e-6
    with watch() as left:
        below = f((x - h * v).view(BranchingArray))
    with watch() as right:
        above = f((x + h * v).view(BranchingArray))
    slope, value = complex_slope(f, [x], [v])
    np.testing.assert_allclose(value, f(x), rtol=1e-12, atol=1e-14)
    if left.flips(right):
        return  # a branching point lies between the two
    difference = (np.asarray(above) - np.asarray(below)) / (2 * h)
    curvature = np.abs(np.asarray(above) + np.asarray(below) - 2 * value).max() / h
    np.testing.assert_allclose(
        slope, difference, rtol=1e-5, atol=1e-6 + 1e-8 * np.abs(value).max() + curvature
    )


def test_a_chain_of_operations_is_right_to_rounding():
    x, v = np.array([0.3, -1.2, 2.0]), np.array([1.0, -2.0, 0.5])
    slope, _ = complex_slope(lambda x: np.exp(np.sin(np.abs(x))) / (1 + x * x), [x], [v])
    s = np.sign(x)
    inner = np.exp(np.sin(np.abs(x)))
    expected = inner * (np.cos(np.abs(x)) * s / (1 + x * x) - 2 * x / (1 + x * x) ** 2) * v
    np.testing.assert_allclose(slope, expected, rtol=5e-15)


def test_tiny_and_huge_numbers():
    x = np.array([1e-150, 1e-100, 1e100, 1e200])
    slope, _ = complex_slope(lambda x: np.log(x) + np.sqrt(x), [x], [np.ones(4)])
    np.testing.assert_allclose(slope, 1 / x + 0.5 / np.sqrt(x), rtol=1e-14)


def test_outside_of_the_domain_it_is_nan_as_for_real_numbers():
    x, v = np.array([-2.0, 0.5]), np.ones(2)
    for f in (np.log, np.log2, np.log10, np.sqrt, np.arccosh, lambda x: x**0.5, np.arctanh,
              lambda x: np.arcsin(x * 2), lambda x: np.log1p(x)):  # fmt: skip
        with np.errstate(all="ignore"):
            slope, value = complex_slope(f, [x], [v])
            expected = f(x)
        np.testing.assert_array_equal(np.isnan(value), np.isnan(expected))
        assert np.isnan(slope[0])


# On branching points ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "x", "right", "left"),
    [
        (np.abs, 0.0, 1.0, -1.0),
        (lambda x: np.maximum(x, 0.0), 0.0, 1.0, 0.0),
        (lambda x: np.minimum(x, 0.0), 0.0, 0.0, 1.0),
        (lambda x: np.clip(x, 0.0, 1.0), 1.0, 0.0, 1.0),
        (lambda x: np.where(x > 0, 3 * x, 2 * x), 0.0, 3.0, 2.0),
        (lambda x: np.stack([x, -2 * x]).max(), 0.0, 1.0, -2.0),
        (lambda x: np.sort(np.stack([x, -2 * x]))[0], 0.0, -2.0, 1.0),
        (lambda x: np.linalg.norm(np.stack([3 * x, 4 * x])), 0.0, 5.0, -5.0),
        (lambda x: np.hypot(3 * x, 4 * x), 0.0, 5.0, -5.0),
        (complex_kernels.sigmoid, 0.0, 0.25, 0.25),
        (complex_kernels.softplus, 0.0, 0.5, 0.5),
        (complex_kernels.log_sigmoid, 0.0, 0.5, 0.5),
    ],
)
def test_at_a_tie_the_slope_is_the_one_sided_one(function, x, right, left):
    """Along v and along -v: the function goes on in the direction of the step."""
    forward, _ = complex_slope(function, [np.array(x)], [1.0])
    backward, _ = complex_slope(function, [np.array(x)], [-1.0])
    assert math.isclose(forward, right, rel_tol=1e-15) and math.isclose(
        -backward, left, rel_tol=1e-15
    )


@pytest.mark.parametrize(
    ("function", "values", "ties"),
    [
        (np.abs, [0.0, -0.0, 1.0], 2),
        (np.sign, [0.0, 1.0], 1),
        (lambda x: np.maximum(x, 0.0), [0.0, 1.0, -1.0], 1),
        (lambda x: np.minimum(x, x[::-1]), [1.0, 2.0, 1.0], 3),
        (lambda x: x > 1.0, [1.0, 2.0], 1),
        (lambda x: x == 1.0, [1.0, 1.0], 2),
        (lambda x: x.max(), [2.0, 2.0, 1.0, 2.0], 2),
        (lambda x: np.max(x.reshape(2, 2), axis=1), [2.0, 2.0, 1.0, 2.0], 1),
        (np.argmin, [2.0, 2.0, 1.0, 1.0], 1),
        (np.sort, [2.0, 1.0, 2.0, 2.0], 2),
        (np.median, [2.0, 1.0, 2.0], 1),
        (np.floor, [2.0, 1.5], 1),
        (np.rint, [2.0, 1.5, -0.5], 2),
        (np.trunc, [2.0, 0.0, 0.5], 1),
        (lambda x: x.astype(int), [2.0, 0.0, 0.5], 1),
        (lambda x: np.round(x, 1), [0.25, 0.3], 1),
        (np.any, [0.0, 1.0], 1),
        (lambda x: x % 0.5, [1.5, 1.4], 1),
        (lambda x: np.clip(x, 0.0, 1.0), [0.0, 1.0, 0.5], 2),
        (np.sqrt, [0.0, 1.0], 1),
        (lambda x: bool(x[0]), [0.0], 1),
        (np.exp, [0.0, 1.0], 0),
        (lambda x: np.maximum.accumulate(x), [1.0, 1.0, 2.0], 1),
    ],
)
def test_ties_are_counted(function, values, ties):
    """In real computations as in complex ones."""
    for x in (np.array(values).view(BranchingArray), lift(values, np.arange(1.0, len(values) + 1))):
        with watch() as seen:
            function(x)
        assert seen.ties == ties


def test_a_tie_that_the_direction_does_not_leave_is_not_moving():
    x = lift([1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 3.0])
    for function in (lambda x: np.maximum(x[:3], x[1:]), np.sort):
        with watch() as seen:
            function(x.copy())
        assert (seen.ties, seen.moving) == (3, 1)
    with watch() as seen:
        x.max()  # the last one is the largest in this direction
    assert (seen.ties, seen.moving) == (3, 3)


def test_flips_are_the_decisions_that_differ():
    def layers(x):
        return np.maximum(np.maximum(x, 0.0) - 1.0, 0.0).max()

    def run(values):
        with watch() as seen:
            layers(np.array(values).view(BranchingArray))
        return seen

    here = run([2.0, 0.5, -1.0])
    assert here.flips(run([2.5, 0.25, -3.0])) == 0
    # In the first layer the last one lives; in the second one dies, and one lives: the largest.
    assert here.flips(run([0.5, 0.7, 1.5])) == 4
    assert here.flips(run([2.0, 0.5])) == here.size == 7


def test_a_decision_is_kept_when_its_result_is_written_over():
    with watch() as seen:
        mask = np.array([1.0, -1.0]).view(BranchingArray) > 0
        mask[:] = False
    assert seen.decisions[0].tolist() == [True, False]


def test_watches_nest_and_end():
    x = np.array([0.0]).view(BranchingArray)
    with watch() as outer:
        with watch() as inner:
            np.abs(x)
        np.abs(x)
    np.abs(x)
    assert (outer.ties, inner.ties) == (1, 1)


# What is refused ----------------------------------------------------------------------------


def filled(x):
    y = np.zeros(3)
    y[:] = x
    return y


def filled_one_by_one(x):
    y = np.zeros(x.shape, x.dtype)
    for i in range(3):
        y[i] = x[i]
    return y


LOSING = {
    "float": lambda x: float(x[0]) * x,
    "math": lambda x: math.sqrt(x[0]) * x,
    "item": lambda x: x[0].item() * x,
    "tolist": lambda x: np.array(x.tolist()) + x,
    "real": lambda x: x.real * 1.0,
    "imag": lambda x: x.imag * 1.0,
    "view": lambda x: np.abs(x.view(np.ndarray)) + x,
    "zeros": filled,
    "zeros, one by one": filled_one_by_one,
    "out": lambda x: np.exp(x, out=np.empty(3)) + x,
    "in place": lambda x: np.multiply(x, 2.0, out=np.ones(3)) + x,
    "added": lambda x: np.add.at(np.zeros(3), [0, 1, 2], x),
    "copyto": lambda x: np.copyto(np.zeros(3), x),
    "asarray": lambda x: np.abs(np.asarray(x)),
    "asarray, joined": lambda x: np.asarray(x) + x,
    "asarray, stacked": lambda x: np.stack([np.asarray(x), x]),
    "asarray, multiplied": lambda x: np.dot(x, np.asarray(x)),
    "asarray, chosen": lambda x: np.where(x > 0, np.asarray(x), x),
    "asarray as float": lambda x: np.asarray(x, np.float64) * x,
    "array of elements": lambda x: np.array([x[0], x[1]]) * x[:2],
    "scalar": lambda x: np.float64(x[0]) * x,
    "singular values": lambda x: np.linalg.svd(x.reshape(1, 3))[1],
    "eigenvalues": lambda x: np.linalg.eigvalsh(np.outer(x, x)),
    "fourier": lambda x: np.fft.fft(x),
    "unknown ufunc": lambda x: np.spacing(x),
    "interpolation": lambda x: np.interp(x, [0.0, 1.0], [0.0, 2.0]),
    "nuclear norm": lambda x: np.linalg.norm(x.reshape(1, 3), "nuc"),
    "integer sum": lambda x: x.sum(dtype=int) + x,
    "list": lambda x: np.cbrt([x, x]) + x,
    "list of absolute values": lambda x: np.abs([x, x]),
    "complex": lambda x: x.astype(complex),
    "constant": lambda x: np.ones(3),
}


@pytest.mark.parametrize("name", LOSING)
def test_what_would_lose_the_slope_is_refused(name):
    with pytest.raises(Unsupported, match="complex step"):
        complex_slope(LOSING[name], [np.array([1.0, 2.0, 3.0])], [np.array([1.0, -1.0, 0.5])])


def test_without_strict_the_warning_of_numpy_remains():
    x = lift([1.0], [1.0])
    with pytest.warns(np.exceptions.ComplexWarning):
        np.zeros(1)[:] = x
    with pytest.raises(Unsupported), strict():
        np.zeros(1)[:] = x
    with pytest.raises(Unsupported):
        np.add.at(np.zeros(1), [0], x)


def test_real_arrays_lose_nothing_and_may_do_anything():
    x = np.array([1.0, 2.0, 3.0])
    for name in ("float", "math", "item", "real", "asarray, joined", "singular values", "zeros"):
        found, expected = LOSING[name](x.copy().view(BranchingArray)), LOSING[name](x)
        np.testing.assert_array_equal(np.asarray(found), expected)


def test_it_stands_for_an_array_of_float64():
    x = lift(np.arange(6.0).reshape(2, 3), np.ones((2, 3)))
    assert x.dtype == np.result_type(x, np.float32) == np.float64
    assert not np.iscomplexobj(x) and np.isrealobj(x)
    assert repr(x) == repr(np.arange(6.0).reshape(2, 3)) and f"{x[0, 1]:.2f}" == "1.00"
    assert type(x[0]) is type(x[0, 0]) is type(x.sum()) is type(x.T) is BranchingArray
    assert type(x > 1) is type(np.argmax(x, axis=0)) is np.ndarray


def test_copies_keep_the_slope_and_share_nothing():
    x = lift([1.0, 2.0], [3.0, 4.0])
    for each in (x.copy(), copy.copy(x), copy.deepcopy(x), np.copy(x), np.array(x, subok=True)):
        np.testing.assert_array_equal(slope_of(each), slope_of(x))
        assert not np.shares_memory(each, x)


def test_arguments_are_not_changed():
    x, v = np.array([1.0, -2.0, 3.0, 0.5, 1.5, 2.5]), np.ones(6)
    before = x.copy()
    complex_slope(lambda x: x.sort() or x, [x], [v])
    np.testing.assert_array_equal(x, before)


def test_masked_logits_have_no_slope():
    logits = np.array([[1.0, -np.inf, 2.0]])
    v = np.array([[1.0, 0.0, -2.0]])
    slope, value = complex_slope(lambda x: complex_kernels.softmax(x, -1), [logits], [v])
    p = value[0, [0, 2]]
    np.testing.assert_allclose(slope[0, [0, 2]], p * (v[0, [0, 2]] - p @ v[0, [0, 2]]), rtol=1e-14)
    assert value[0, 1] == slope[0, 1] == 0


def test_the_transpose_is_not_conjugated():
    x = lift(np.arange(4.0).reshape(2, 2), np.arange(4.0).reshape(2, 2))
    np.testing.assert_array_equal(slope_of(x.T), np.arange(4.0).reshape(2, 2).T)
    for each in (np.conj(x), x.conj(), x.conjugate(), np.conjugate(x)):
        np.testing.assert_array_equal(slope_of(each), slope_of(x))


def test_rounding_to_float32_is_done_in_the_value():
    slope, value = complex_slope(
        lambda x: x.astype(np.float32), [np.array([0.1, 0.2])], [np.array([1.0, 3.0])]
    )
    np.testing.assert_array_equal(value, np.array([0.1, 0.2], np.float32).astype(np.float64))
    np.testing.assert_allclose(slope, [1.0, 3.0], rtol=1e-15)


def test_a_network_with_all_its_parameters():
    """100-500-500-10, 306,010 parameters: the slope is the gradient's product with v."""
    rng = np.random.default_rng(1)
    sizes = [(100, 500), (500,), (500, 500), (500,), (500, 10), (10,)]
    weights = [rng.normal(size=size) / 20 for size in sizes]
    inputs, labels = rng.normal(size=(32, 100)), rng.integers(0, 10, 32)
    directions = [rng.normal(size=size) for size in sizes]

    def forward(w1, b1, w2, b2, w3, b3):
        k = complex_kernels
        hidden = k.maximum(k.matmul(inputs, w1) + b1, 0.0)
        hidden = k.maximum(k.matmul(hidden, w2) + b2, 0.0)
        losses, _ = k.sparse_softmax_cross_entropy(k.matmul(hidden, w3) + b3, labels)
        return losses.mean()

    slope, value = complex_slope(forward, weights, directions)
    tensors = [cr.tensor(each, requires_grad=True) for each in weights]
    hidden = cr.relu(cr.tensor(inputs) @ tensors[0] + tensors[1])
    hidden = cr.relu(hidden @ tensors[2] + tensors[3])
    loss = cr.sparse_softmax_cross_entropy(hidden @ tensors[4] + tensors[5], labels).mean()
    loss.backward()
    expected = sum((t.grad.numpy() * v).sum() for t, v in zip(tensors, directions, strict=True))
    assert math.isclose(value, loss.item(), rel_tol=1e-13)
    assert math.isclose(slope, expected, rel_tol=1e-12)
