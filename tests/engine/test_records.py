"""Every operation: gradients of first and second order, dtypes, aliasing, docs; and users' own."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import chainrule as cr
from chainrule import engine
from chainrule.engine.calls import Call, ElementwiseCall, broadcasts_of, calls_of
from chainrule.engine.checking.operations import (
    LAYOUTS,
    check_alone,
    check_complete,
    check_definition,
    check_dtypes,
    check_purity,
    lay_out,
    upstream_for,
)
from chainrule.engine.record import RECORDS

quick = settings(deadline=None, max_examples=10)
BUILTIN = {name: record for name, record in RECORDS.items() if record.builtin}
ELEMENTWISE = [name for name, record in BUILTIN.items() if record.elementwise]
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name != "where"])
@quick
@given(data=st.data(), seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_elementwise_gradients_of_first_and_second_order(name, data, seed, layout):
    record = BUILTIN[name]
    count = len(record.arguments)
    shapes = data.draw(
        mutually_broadcastable_shapes(num_shapes=count, max_dims=2, max_side=3, min_side=0)
    ).input_shapes
    function, arrays = lay_out(record.function, ElementwiseCall(record, shapes).draw(seed), layout)
    cr.assert_gradients(function, *arrays, order=2, seed=seed)


@quick
@given(seed=seeds, shapes=mutually_broadcastable_shapes(num_shapes=3, max_dims=2, max_side=3))
def test_where_sends_each_gradient_to_the_side_that_was_taken(seed, shapes):
    rng = np.random.default_rng(seed)
    condition, a, b = shapes.input_shapes
    chosen = rng.integers(0, 2, condition).astype(bool)
    arrays = [rng.normal(size=a), rng.normal(size=b)]
    cr.assert_gradients(lambda x, y: cr.where(chosen, x, y), *arrays, order=2, seed=seed)


CALLS = [call for name, record in BUILTIN.items() for call in calls_of(record)]


@pytest.mark.parametrize("call", CALLS, ids=repr)
@settings(deadline=None, max_examples=3)
@given(seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_gradients_of_array_operations(call, seed, layout):
    function, arrays = lay_out(call, call.draw(seed), layout)
    cr.assert_gradients(function, *arrays, order=2, seed=seed)


def test_every_differentiable_record_is_checked():
    unchecked = [
        name
        for name, record in BUILTIN.items()
        if record.differentiable and not record.elementwise and not record.cases
    ]
    assert unchecked == []


ALL = [*CALLS, *(call for record in BUILTIN.values() for call in broadcasts_of(record))]


@pytest.mark.parametrize("call", ALL, ids=repr)
def test_the_other_checks_of_every_call(call):
    check_dtypes(call)
    check_purity(call)
    check_definition(call)
    check_alone(call)
    if isinstance(call, Call):
        check_complete(call)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_python_numbers_are_weak(name):
    record = BUILTIN[name]
    if len(record.arguments) != 2:
        return
    x = cr.tensor(np.array([1.5, 2.5], np.float32), requires_grad=True)
    for result in (record.function(x, 2.0), record.function(2.0, x), record.function(x, 2)):
        assert result.dtype == np.float32
        (gradient,) = cr.grad([result], [x], [np.array([1.0, -2.0])])
        assert gradient.dtype == np.float32


@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int16", "int64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_integers_and_booleans_give_a_dtype_that_a_tensor_may_have(name, kind):
    record = BUILTIN[name]
    if kind == "bool" and name in ("add", "subtract", "negative", "positive", "sign"):
        return  # NumPy has none of these for booleans; its add is `or`, and its sum of them is "or"
    number = 0 if name == "atanh" else 1  # infinite at 1
    x = cr.tensor(np.array([number, number], kind))
    result = record.function(*[x] * len(record.arguments))
    assert result.dtype.kind in "biu" or result.dtype in (np.float32, np.float64)
    exact = record.function(*[cr.tensor([float(number)] * 2)] * len(record.arguments)).numpy()
    if name != "negative" or kind != "uint8":
        np.testing.assert_allclose(result.numpy(), exact, rtol=2**-22)


def test_the_functions_of_bytes_do_not_wrap_around():
    x = cr.tensor(np.array([3], np.uint8))
    for function in (cr.sigmoid, cr.softplus):
        expected = function(cr.tensor([3.0])).numpy()
        np.testing.assert_allclose(function(x).numpy(), expected, rtol=2**-10)


@pytest.mark.parametrize("function", [cr.maximum, cr.minimum])
def test_ties_share_the_gradient(function):
    a, b = (cr.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    function(a, b).backward([3.0, -5.0])
    assert a.grad.tolist() == b.grad.tolist() == [1.5, -2.5]


@pytest.mark.parametrize("function", [cr.max, cr.min])
def test_equal_extremes_share_the_gradient(function):
    x = cr.tensor([[2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]], requires_grad=True)
    function(x, axis=1).backward([-8.0, 2.0])
    assert x.grad.tolist() == [[-2.0] * 4, [0.5] * 4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_repeated_indices_add_up(dtype):
    x = cr.tensor(np.zeros((3, 2), dtype), requires_grad=True)
    x[[2, 0, 2]].backward([[1.0, -2.0], [3.0, 4.0], [10.0, 20.0]])
    assert x.grad.tolist() == [[3.0, 4.0], [0.0, 0.0], [11.0, 18.0]]


def test_the_max_of_a_row_with_nan_has_no_warning():
    x = cr.tensor([np.nan, 1.0], requires_grad=True)
    cr.max(x).backward()
    assert np.isnan(x.grad.numpy()[0]) or x.grad.numpy()[0] == 1.0


# Errors -------------------------------------------------------------------------------------


def test_joining_nothing_is_an_error_that_says_so():
    for function in (cr.concat, cr.stack):
        with pytest.raises(ValueError, match=f"{function.__name__}: .*at least one"):
            function([])


def test_numbers_are_stacked_beside_tensors():
    x = cr.tensor(2.0, requires_grad=True)
    cr.stack([x, 1.0]).backward([3.0, -5.0])
    assert x.grad.item() == 3.0


def test_concat_without_axis_flattens():
    x = cr.tensor([[1.0, 2.0]], requires_grad=True)
    y = cr.tensor([3.0], requires_grad=True)
    cr.concat([x, y], axis=None).backward([1.0, -2.0, 5.0])
    assert (x.grad.tolist(), y.grad.tolist()) == ([[1.0, -2.0]], [5.0])


def test_errors_tell_the_operation_and_its_arguments():
    a, b = cr.zeros((2, 3)), cr.zeros((4, 5), dtype="float32")
    with pytest.raises(
        cr.ShapeError, match=r"add: .*a has shape \(2, 3\), float64.*b has shape \(4, 5\), float32"
    ):
        a + b
    with pytest.raises(cr.ShapeError, match=r"matmul: .*a has shape \(2, 3\)"):
        a @ b
    with pytest.raises(cr.ShapeError, match=r"reshape: .*shape=\(7,\)"):
        a.reshape(7)
    with pytest.raises(IndexError, match=r"getitem: .*x has shape \(2, 3\)"):
        a[5]
    with pytest.raises(cr.DtypeError, match=r"add: .*NoneType"):
        a + None


# Users' own ---------------------------------------------------------------------------------


def own(name="cubed", vjp=None, **about):
    return cr.elementwise(
        name,
        formula="x**3",
        derivative="3 * x**2",
        forward=lambda k, x: x * x * x,
        vjp=vjp or (lambda k, g, x: g * (3 * x * x)),
        **about,
    )


def test_a_users_operation_gets_everything():
    cubed = own(summary="The cube.", example=">>> 1 + 1\n2")
    cr.assert_gradients(cubed, np.array([[1.0, -2.0]]), order=2)
    assert cr.grad(cr.grad(cr.grad(cubed)))(2.0).item() == 6.0
    assert list(inspect.signature(cubed).parameters) == ["x"]
    for text in ("The cube.", "cubed = x**3", "d/dx = 3 * x**2", ">>> 1 + 1"):
        assert text in cubed.__doc__


def test_a_users_operation_broadcasts():
    weighted = cr.elementwise(
        "weighted",
        formula="a * b**2",
        derivative={"a": "b**2", "b": "2 * a * b"},
        forward=lambda k, a, b: a * b * b,
        vjp={"a": lambda k, g, b: g * b * b, "b": lambda k, g, a, b: g * 2 * a * b},
    )
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(2, 1)), rng.normal(size=(3,))]
    cr.assert_gradients(weighted, *arrays, order=2)


def test_redefinition_replaces_the_users_own_and_never_ours():
    own("again")
    second = own("again", vjp=lambda k, g, x: g * 100.0)
    assert RECORDS["again"].function is second
    assert cr.grad(second)(1.0).item() == 100.0
    ours = RECORDS["tanh"]
    own("tanh")
    assert RECORDS["tanh"] is ours
    x = cr.tensor(0.3, requires_grad=True)
    assert cr.tanh(x).item() == np.tanh(0.3)


def test_a_vjp_that_reads_an_unknown_name_is_refused_at_definition():
    with pytest.raises(TypeError, match="operation 'cubed': a VJP reads an unknown name 'z'"):
        own(vjp=lambda k, g, z: g)


def test_vjps_for_unknown_arguments_are_refused_at_definition():
    with pytest.raises(TypeError, match="unknown arguments"):
        cr.operation("bad", forward=lambda k, x: x * 2, vjp={"z": lambda k, g: g})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda k, g, x: g.sum(),
        lambda k, g, x: k.sum(g, axis=0, keepdims=True),
        lambda k, g, x: k.sum(g, axis=1),
        lambda k, g, x: k.concat([g, g]),
        lambda k, g, x: 2.0,
        lambda k, g, x: (g, g),
    ],
    ids=["0-d", "kept axis", "lost axis", "longer", "number", "tuple"],
)
def test_a_vjp_of_the_wrong_shape_is_refused_by_name(wrong):
    x = cr.tensor(np.ones((2, 3)), requires_grad=True)
    y = own("misshapen", vjp=wrong)(x)
    with pytest.raises(cr.GradientError, match="VJP of 'misshapen' for 'x'"):
        y.backward(upstream_for((2, 3), 0))


def test_a_joint_vjp_with_too_few_gradients_is_refused_by_name():
    product = cr.operation(
        "short", forward=lambda k, a, b: a * b, joint=lambda k, g, needed, a, b: [g * b]
    )
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(cr.GradientError, match="'short'"):
        product(x, x).backward([1.0, -1.0])


@pytest.mark.parametrize("reserved", ["y", "residuals"])
def test_an_argument_with_the_name_of_the_result_is_refused(reserved):
    """Else a VJP that reads `y` gets the result where the argument is meant: a wrong gradient."""
    space: dict = {"__name__": "users"}
    exec(
        f"forward = lambda k, x, {reserved}: x * x * {reserved}\n"
        f"vjp = lambda k, g, x, {reserved}: g * 2 * x * {reserved}",
        space,
    )
    with pytest.raises(TypeError, match=f"operation 'named': .*'{reserved}'"):
        cr.operation("named", forward=space["forward"], vjp={"x": space["vjp"]})


@pytest.mark.parametrize(
    "names",
    [("query", "key", "value"), ("device", "record", "apply"), ("Tensor", "compute", "nothing")],
)
def test_arguments_may_have_any_name(names):
    space: dict = {"__name__": "users"}
    a, b, c = names
    exec(
        f"forward = lambda k, {a}, {b}, {c}: {a} * {b} * {c}\n"
        f"vjp = lambda k, g, {a}, {c}: g * {a} * {c}",
        space,
    )
    function = cr.operation("named", forward=space["forward"], vjp={b: space["vjp"]})
    x, y, z = (cr.tensor(v, requires_grad=True) for v in (2.0, 3.0, 5.0))
    function(x, y, z).backward()
    assert y.grad.item() == 10.0


def test_residuals_without_a_definition_lose_no_second_derivative():
    """On Tensors a raw residual would be a constant: x**3 would have second derivative 4 x."""
    squared = cr.operation(
        "remembers", forward=lambda k, x: (x * x, x), vjp=lambda k, g, residuals: 2 * g * residuals
    )
    x = cr.tensor(3.0, requires_grad=True)
    assert cr.grad(squared(x) * x, x).item() == 27.0
    with pytest.raises((cr.GradientError, TypeError), match="definition"):
        cr.grad(squared(x) * x, x, create_graph=True)


def test_a_function_may_come_from_no_module():
    space: dict = {}
    exec("forward = lambda k, x: x * 2", space)
    function = cr.operation("doubled", forward=space["forward"], vjp=lambda k, g: g * 2)
    assert cr.grad(function)(1.0).item() == 2.0


def test_a_definition_gives_the_second_derivative():
    squared = cr.operation(
        "defined",
        forward=lambda k, x: (x * x, x),
        vjp=lambda k, g, residuals: 2 * g * residuals,
        definition=lambda x: x * x,
    )
    cr.assert_gradients(lambda x: squared(x) * x, np.array([3.0, -1.0]), order=2)


@pytest.mark.parametrize("forward", [lambda k, x: x, lambda k, x: x[::2]], ids=["same", "view"])
def test_a_users_result_does_not_share_the_memory_of_its_argument_unknown_to_us(forward):
    identity = cr.operation("same", forward=forward, vjp={"x": lambda k, g, x: g})
    x = cr.tensor([1.0, 2.0])
    y = identity(x)
    y += 1
    assert x.tolist() == [1.0, 2.0]


def test_a_users_vjp_may_return_an_array_that_it_keeps():
    weights = np.array([1.0, -2.0])
    linear = cr.operation("linear", forward=lambda k, x: x * weights, vjp=lambda k, g: weights)
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    linear(x).backward([1.0, 1.0])
    assert not np.shares_memory(x.grad.numpy(), weights)


# Docs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
def test_every_function_tells_what_it_does(name):
    function = BUILTIN[name].function
    assert function.__name__ == name
    assert function.__doc__.strip()[0].isalnum() or function.__doc__[0] in "-`"
    parameters = list(inspect.signature(function).parameters)
    known = [*BUILTIN[name].arguments, *BUILTIN[name].statics]
    assert parameters == known or (BUILTIN[name].call and sorted(parameters) == sorted(known))
    if BUILTIN[name].differentiable:
        assert BUILTIN[name].formula in function.__doc__
        assert "d/d" in function.__doc__ or BUILTIN[name].variadic


@pytest.mark.parametrize("name", BUILTIN)
def test_the_examples_of_every_record_run(name):
    function = BUILTIN[name].function
    for test in doctest.DocTestFinder(recurse=False).find(function, name, globs={}):
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def modules():
    found = pkgutil.walk_packages(engine.__path__, "chainrule.engine.")
    return ["chainrule.engine", *(each.name for each in found)]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_every_module_run(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
