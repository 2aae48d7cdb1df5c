"""Users' own operations, defined wrongly or used in surprising ways: refused, or guarded."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.record import MANY_PLANS, RECORDS
from chainrule.testing import CheckError, case, check_operation


def leaf(values):
    return cr.tensor(values, requires_grad=True)


# Refused at definition ------------------------------------------------------------------------


def test_one_vjp_for_several_arguments_is_refused():
    """Else the second would have no gradient, silently."""
    with pytest.raises(TypeError, match=r"operation 'wdot': has 2 arguments; give a VJP by name"):
        cr.operation("wdot", forward=lambda k, x, w: x * w, vjp=lambda k, g, w: g * w)


def test_any_number_of_tensors_needs_a_joint_vjp():
    with pytest.raises(TypeError, match=r"operation 'sums': .*as one sequence; give joint"):
        cr.operation("sums", forward=lambda k, *xs: xs[0], vjp={"xs": lambda k, g: g})


def test_a_name_that_is_none_is_refused():
    with pytest.raises(TypeError, match="name must be an identifier of Python's, got 'my op'"):
        cr.operation("my op", forward=lambda k, x: x * 2, vjp=lambda k, g: g * 2)


# Refused when called ----------------------------------------------------------------------------


def test_three_results_and_float16_are_refused_by_name():
    triple = cr.operation("triple", forward=lambda k, x: (x, x, x), vjp=lambda k, g: g)
    with pytest.raises(cr.DtypeError, match=r"triple: forward must return .* a tuple of 3"):
        triple(leaf([1.0]))
    half = cr.operation("half", forward=lambda k, x: x.astype("float16"), vjp=lambda k, g: g)
    with pytest.raises(cr.DtypeError, match="half: the result is of float16"):
        half(leaf([1.0]))


@pytest.mark.parametrize("result", [[1.0], np.ones(2), (), None])
def test_a_composition_returns_tensors(result):
    wrong = cr.composition("wrong", forward=lambda k, x: result)
    with pytest.raises(cr.DtypeError, match="wrong: forward of a composition must return a Tensor"):
        wrong(leaf([1.0]))


def test_a_static_argument_that_requires_gradients_is_refused():
    scaled = cr.operation(
        "scaled", forward=lambda k, x, *, c: x * float(c), vjp=lambda k, g, c: g * float(c)
    )
    with pytest.raises(cr.GradientError, match="scaled: c is a static argument"):
        scaled(leaf([1.0, 2.0]), c=leaf(2.0))
    assert scaled(leaf([1.0]), c=cr.tensor(2.0)).tolist() == [2.0]


# Guarded ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [np.ones(3), [1.0, 1.0, 1.0]], ids=["array", "list"])
def test_a_static_argument_is_as_it_was_when_given(given):
    weighted = cr.operation(
        "weighted_by",
        forward=lambda k, x, *, w: x * np.asarray(w),
        vjp=lambda k, g, w: g * np.asarray(w),
    )
    x = leaf([1.0, 1.0, 1.0])
    y = weighted(x, w=given)
    given[0] = 5.0
    y.backward([1.0, -2.0, 3.0])
    assert x.grad.tolist() == [1.0, -2.0, 3.0]


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "prod", "logsumexp", "norm"])
def test_a_list_of_axes_is_as_it_was_when_given(name):
    values, upstream, axes = np.array([[1.0, 2.0], [4.0, 3.0]]), [1.0, -10.0], [0]
    expected, x = leaf(values), leaf(values)
    getattr(cr, name)(expected, axis=0).backward(upstream)
    y = getattr(cr, name)(x, axis=axes)
    axes[0] = 1
    y.backward(upstream)
    assert x.grad.tolist() == expected.grad.tolist()


def test_residuals_do_not_share_memory_that_others_change():
    squared = cr.operation(
        "squared_again",
        forward=lambda k, x: (x * x, x),
        vjp=lambda k, g, residuals: 2 * g * residuals,
    )
    x = leaf([1.0, 2.0])
    y = squared(x)
    with cr.no_grad():
        x *= 10
    y.backward([1.0, -1.0])
    assert x.grad.tolist() == [2.0, -4.0]
    power = cr.operation(
        "power_again",
        forward=lambda k, x: (k.exp(x),) * 2,
        vjp=lambda k, g, residuals: g * residuals,
    )
    x = leaf([1.0, 2.0])
    y = power(x)
    with cr.no_grad():
        y *= 10
    y.backward([1.0, -1.0])
    np.testing.assert_array_equal(x.grad.numpy(), [np.exp(1.0), -np.exp(2.0)])


def test_a_redefinition_reaches_the_compositions_that_use_it():
    cr.operation("changing", forward=lambda k, x: x * 1, vjp=lambda k, g: g)
    uses = cr.composition("uses_changing", forward=lambda k, x: k.changing(x))
    assert uses(2.0).item() == 2.0
    cr.operation("changing", forward=lambda k, x: x * 100, vjp=lambda k, g: g * 100)
    assert uses(2.0).item() == 200.0


def test_plans_of_many_kinds_of_calls_are_not_kept_for_ever():
    rng, record = np.random.default_rng(0), RECORDS["stack"]
    for _ in range(MANY_PLANS + 50):
        cr.stack([leaf(1.0) if each else cr.tensor(1.0) for each in rng.random(12) < 0.5])
    assert len(record.plans) <= MANY_PLANS


# Found by the checks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "definition", [lambda x: cr.sin(x) * 5, lambda x: cr.exp(x) + 1], ids=["other", "constant"]
)
def test_a_wrong_definition_is_found(definition):
    wrong = cr.operation(
        "defined_wrongly",
        forward=lambda k, x: (k.exp(x),) * 2,
        vjp=lambda k, g, residuals: g * residuals,
        definition=definition,
        cases=[case((3,))],
    )
    with pytest.raises(CheckError, match=r"recorded gradient|definition"):
        check_operation(wrong)


def test_a_forgotten_vjp_is_found():
    partial = cr.operation(
        "half_done",
        forward=lambda k, x, w: k.matmul(x, w),
        vjp={"x": lambda k, g, w: k.matmul(g, k.matrix_transpose(w))},
        cases=[case((2, 3), (3, 2))],
    )
    with pytest.raises(CheckError, match="the result depends on 'w', which has no VJP"):
        check_operation(partial)


def test_a_joint_vjp_that_is_wrong_for_one_alone_is_found():
    wrong = cr.operation(
        "together_only",
        forward=lambda k, a, b: a * b,
        joint=lambda k, g, needed, a, b: (g * b if all(needed) else g, g * a),
        cases=[case((3,), (3,))],
    )
    with pytest.raises(CheckError, match="gradient 0 alone"):
        check_operation(wrong)


def test_a_proof_off_the_domain_says_what_is_missing():
    pytest.importorskip("sympy")
    logarithm = cr.elementwise(
        "logarithm",
        formula="log(x)",
        derivative="1 / x",
        forward=lambda k, x: k.log(x),
        vjp=lambda k, g, x: g / x,
    )
    with pytest.raises(CheckError, match=r"cannot run on symbols.*give the record a domain"):
        check_operation(logarithm)
