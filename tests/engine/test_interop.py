"""NumPy beside Tensors: every function runs the operation of its name, or raises, naming itself."""

from __future__ import annotations

import inspect
import operator

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.interop import _NAMES
from chainrule.engine.record import RECORDS

tracked_values = [[0.25, 0.5], [0.75, 0.125]]


def tracked():
    return cr.tensor(tracked_values, requires_grad=True)


UFUNCS = sorted(np.testing.overrides.get_overridable_numpy_ufuncs(), key=lambda f: str(f))
BITWISE = (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert)
FUNCTIONS = sorted(
    np.testing.overrides.get_overridable_numpy_array_functions(),
    key=lambda f: (f.__module__ or "", f.__name__),
)


def keeps_the_gradient(result):
    """Is it a Tensor in the graph, or one that has no gradient, such as a comparison?"""
    if isinstance(result, tuple):
        return all(map(keeps_the_gradient, result))
    return isinstance(result, cr.Tensor) and (result.requires_grad or result.dtype.kind in "biu")


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_every_ufunc_runs_ours_or_raises(ufunc):
    plain = np.array(tracked_values)
    for position in range(ufunc.nin):
        arguments = [plain] * ufunc.nin
        arguments[position] = tracked()
        if ufunc in BITWISE:  # not of floats
            with pytest.raises(TypeError, match=f"bitwise.*{ufunc.__name__}"):
                ufunc(*arguments)
        elif ufunc is np.arccosh:
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(ufunc(*arguments).numpy(), ufunc(plain))
        elif _NAMES.get(ufunc.__name__, ufunc.__name__) in RECORDS:
            result = ufunc(*arguments)
            assert keeps_the_gradient(result)
            np.testing.assert_array_equal(result.numpy(), ufunc(*[plain] * ufunc.nin))
        else:
            with pytest.raises(TypeError, match=rf"numpy\.{ufunc.__name__} has no operation"):
                ufunc(*arguments)


@pytest.mark.parametrize("method", ["reduce", "accumulate", "outer", "at", "reduceat"])
def test_the_methods_of_ufuncs_raise(method):
    arguments = {
        "outer": [tracked(), tracked()],
        "at": [np.zeros(2), [0], tracked()[0]],
        "reduceat": [tracked(), [0]],
    }.get(method, [tracked()])
    with pytest.raises(TypeError, match=f"numpy.add.{method}"):
        getattr(np.add, method)(*arguments)


def outcome(call):
    """What a call gives, or the error that it raises."""
    try:
        return call()
    except (TypeError, ValueError, IndexError) as error:
        return error


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f"{f.__module__}.{f.__name__}")
@pytest.mark.parametrize("count", [1, 2])
def test_every_function_runs_ours_or_raises(function, count):
    x, name = tracked(), function.__name__
    if name in ("shape", "ndim", "size"):
        assert function(x) == function(np.array(tracked_values))
        return
    result = outcome(lambda: x.__array_function__(function, (cr.Tensor,), (x,) * count, {}))
    if isinstance(result, Exception):
        ours = {"transpose": "permute_dims", "concatenate": "concat", "amax": "max", "amin": "min"}
        ours |= {"cumsum": "cumulative_sum", "cumprod": "cumulative_prod", "vector_norm": "norm"}
        assert name in str(result) or ours[name] in str(result)
    else:
        for each in result if isinstance(result, tuple) else (result,):
            assert keeps_the_gradient(each) or name == "slogdet"


@pytest.mark.parametrize("function", [np.trace, np.diagonal], ids=lambda f: f.__name__)
def test_the_first_two_axes_are_not_taken_for_the_last_two(function):
    x = cr.ones((2, 2, 3))
    with pytest.raises(TypeError, match=rf"numpy\.{function.__name__}: .*the last two; use cr\."):
        function(x)
    ours = getattr(np.linalg, function.__name__)(x)
    np.testing.assert_array_equal(ours, getattr(np.linalg, function.__name__)(x.numpy()))


CALLS = {
    "sum": lambda np_, x: np_.sum(x, axis=1),
    "mean": lambda np_, x: np_.mean(x, 0, keepdims=True),
    "max": lambda np_, x: np_.max(x, axis=-1),
    "amin": lambda np_, x: np_.amin(x),
    "reshape": lambda np_, x: np_.reshape(x, (4,)),
    "transpose": lambda np_, x: np_.transpose(x),
    "transpose axes": lambda np_, x: np_.transpose(x, (1, 0)),
    "concatenate": lambda np_, x: np_.concatenate([x, np.ones((1, 2))]),
    "stack": lambda np_, x: np_.stack([np.ones((2, 2)), x], axis=1),
    "where": lambda np_, x: np_.where(np.array([True, False]), x, 0.0),
    "clip": lambda np_, x: np_.clip(x, 0.2, 0.6),
    "clip by name": lambda np_, x: np_.clip(x, a_min=0.2, a_max=[0.5, 0.1]),
    "arctan2": lambda np_, x: np_.arctan2(x, 2.0),
    "round": lambda np_, x: np_.round(x, 1),
    "expand_dims": lambda np_, x: np_.expand_dims(x, 1),
    "squeeze": lambda np_, x: np_.squeeze(x),
    "broadcast_to": lambda np_, x: np_.broadcast_to(x, (3, 2, 2)),
    "matmul": lambda np_, x: np_.matmul(np.ones((3, 2)), x),
    "exp": lambda np_, x: np_.exp(x),
    "take_along_axis": lambda np_, x: np_.take_along_axis(x, np.array([[0], [1]]), axis=1),
    "argmax": lambda np_, x: np_.argmax(x, axis=0),
    "var": lambda np_, x: np_.var(x, axis=0, ddof=1),
    "std": lambda np_, x: np_.std(x, 1, keepdims=True),
    "prod": lambda np_, x: np_.prod(x, axis=1),
    "cumsum": lambda np_, x: np_.cumsum(x, axis=1),
    "cumprod": lambda np_, x: np_.cumprod(x, axis=0),
    "all": lambda np_, x: np_.all(x, axis=1),
    "count_nonzero": lambda np_, x: np_.count_nonzero(x, axis=1),
    "norm": lambda np_, x: np_.linalg.norm(x),
    "norm axis": lambda np_, x: np_.linalg.norm(x, 1, axis=1, keepdims=True),
    "vector_norm": lambda np_, x: np_.linalg.vector_norm(x, axis=0, ord=np.inf),
    "sort": lambda np_, x: np_.sort(x, axis=0),
    "argsort": lambda np_, x: np_.argsort(x),
    "median": lambda np_, x: np_.median(x, axis=1),
    "astype": lambda np_, x: x.astype("float32"),
    "einsum": lambda np_, x: np_.einsum("ij,jk->ik", x, np.ones((2, 3)), optimize=True),
    "einsum of lists": lambda np_, x: np_.einsum(np.ones((3, 2)), [0, 1], x, [1, 2], [2, 0]),
    "tensordot": lambda np_, x: np_.tensordot(x, np.ones((2, 2, 3)), axes=([0, 1], [1, 0])),
    "outer": lambda np_, x: np_.outer(x, np.array([1.0, 2.0])),
    "trace": lambda np_, x: np_.trace(x, offset=1),
    "diagonal": lambda np_, x: np_.diagonal(x),
    "linalg.trace": lambda np_, x: np_.linalg.trace(x),
    "linalg.diagonal": lambda np_, x: np_.linalg.diagonal(x, offset=-1),
    "linalg.inv": lambda np_, x: np_.linalg.inv(x),
    "linalg.solve": lambda np_, x: np_.linalg.solve(x, np.array([1.0, 2.0])),
    "linalg.det": lambda np_, x: np_.linalg.det(x),
    "linalg.slogdet": lambda np_, x: np_.linalg.slogdet(x).logabsdet,
    "linalg.cholesky": lambda np_, x: np_.linalg.cholesky(x + x.T + np.eye(2)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_numpys_spelling_runs_our_operation(call):
    result = call(np, tracked())
    assert keeps_the_gradient(result)
    np.testing.assert_array_equal(result.numpy(), call(np, np.array(tracked_values)))


@pytest.mark.skipif(not hasattr(np, "astype"), reason="numpy.astype is of NumPy 2.1")
def test_numpys_astype_refuses_what_ours_refuses():
    with pytest.raises(cr.DtypeError, match="float16"):
        np.astype(tracked(), np.float16)


BINARY = [
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul),
    *(operator.floordiv, operator.mod),
    *(operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne),
]
UNKNOWN = [operator.and_, operator.or_, operator.lshift]


@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_array_operator_tensor(function):
    array, x = np.array([[1.0, 2.0], [0.5, 4.0]]), tracked()
    result = function(array, x)
    assert keeps_the_gradient(result)
    np.testing.assert_array_equal(result.numpy(), function(array, np.array(tracked_values)))


@pytest.mark.parametrize("function", UNKNOWN, ids=lambda f: f.__name__)
def test_operators_without_an_operation_raise(function):
    for array in (np.ones((2, 2)), np.ones((2, 2), int), 2):
        for pair in ((array, tracked()), (tracked(), array)):
            with pytest.raises(TypeError):
                function(*pair)


@pytest.mark.parametrize(
    "operate", [operator.iadd, operator.isub, operator.imul, operator.itruediv]
)
def test_an_array_is_not_changed_in_place_by_a_tensor(operate):
    array = np.ones((2, 2))
    with pytest.raises(TypeError, match=r"numpy\.\w+: cannot write .* into ndarray"):
        operate(array, tracked())
    assert (array == 1).all()


def test_out_and_where_are_refused():
    x = tracked()
    with pytest.raises(TypeError, match=r"numpy\.exp: cannot write"):
        np.exp(x, out=np.ones((2, 2)))
    with pytest.raises(TypeError, match=r"numpy\.exp: cannot write"):
        np.exp(np.ones((2, 2)), out=x)
    with pytest.raises(TypeError, match=r"numpy\.add"):
        np.add(x, 1.0, where=np.ones((2, 2), bool))
    with pytest.raises(TypeError, match="sum"):
        np.sum(x, out=np.ones(()))


LOSSES = {
    "asarray": np.asarray,
    "array": np.array,
    "array of a list": lambda x: np.array([x, x]),
    "array of numbers": lambda x: np.array([x[0, 0], 1.0]),
    "assignment": lambda x: np.zeros((2, 2)).__setitem__(slice(None), x),
    "full": lambda x: np.full((2, 2), x),
    "copyto": lambda x: np.copyto(np.zeros((2, 2)), x),
    "full_like": lambda x: np.full_like(np.zeros((2, 2)), x),
    "dot": lambda x: np.ones(2).dot(x),
    "linalg": lambda x: np.linalg.svd(x),
    "matrix norm": lambda x: np.linalg.norm(x, ord=2),
    "fft": lambda x: np.fft.fft(x),
    "choice": lambda x: np.random.default_rng(0).choice(x),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_nothing_drops_a_gradient_silently(lose):
    with pytest.raises((cr.GradientError, TypeError)):
        lose(tracked())


def test_tensors_without_gradient_become_arrays():
    x = cr.tensor([1.0, 2.0])
    view, copied = np.asarray(x), np.array(x)
    assert np.shares_memory(view, x.numpy())
    assert not view.flags.writeable
    assert not np.shares_memory(copied, x.numpy())
    copied[0] = 9.0
    assert np.asarray(x, dtype="float32").dtype == np.float32
    assert np.array([x, x]).shape == (2, 2)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype="float32", copy=False)


def test_lists_on_either_side():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    for result in (x - [1, 2], [1, 2] - x, (1.0, 2.0) * x, x @ [1.0, 2.0]):
        assert keeps_the_gradient(result)


def test_bounds_that_are_tensors_keep_their_gradient():
    low = cr.tensor([0.5, 0.5], requires_grad=True)
    for result in (np.array([0.0, 1.0]).clip(low, None), np.clip([0.0, 1.0], low, None)):
        assert keeps_the_gradient(result)
        assert result.tolist() == [0.5, 1.0]


def test_our_signatures_can_be_read():
    assert str(inspect.signature(cr.sum)) == "(x, axis=None, keepdims=False)"
