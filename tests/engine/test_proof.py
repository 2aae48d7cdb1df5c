"""The derivative is proved: of every record, in the statement and in the code, entry by entry."""

from __future__ import annotations

import subprocess
import sys

import pytest

import chainrule as cr
from chainrule.engine.record import RECORDS

pytest.importorskip("sympy")

from chainrule.engine.errors import ProofError
from chainrule.engine.proof import parts, prove
from chainrule.engine.terms import Term, symbols

BUILTIN = {name: record for name, record in RECORDS.items() if record.builtin}
DIFFERENTIABLE = {name: record for name, record in BUILTIN.items() if record.differentiable}
PROVED = [name for name, record in DIFFERENTIABLE.items() if not record.unproved]
UNPROVED = [name for name, record in DIFFERENTIABLE.items() if record.unproved]


@pytest.mark.parametrize("name", PROVED)
def test_formula_derivative_and_code_agree(name):
    record, proved = BUILTIN[name], prove(BUILTIN[name])
    symbolic = [each for each in record.cases if each.symbolic and each.prepare is None]
    statement = len(record.derivative) + 2 if record.elementwise else 0
    assert len(proved) == statement + (1 if record.composed else len(symbolic))


@pytest.mark.parametrize("name", [name for name in PROVED if BUILTIN[name].composed])
def test_compositions_are_made_of_other_operations(name):
    assert parts(BUILTIN[name]) <= set(DIFFERENTIABLE) - {name}


@pytest.mark.parametrize("name", UNPROVED)
def test_an_excused_record_really_cannot_run_on_symbols(name):
    case = BUILTIN[name].cases[0]
    with pytest.raises(ProofError, match=f"{name}: cannot run on symbols"):
        prove(BUILTIN[name], case.arguments, **case.static)
    with pytest.raises(ProofError, match=f"{name}: is not proved: it "):
        prove(BUILTIN[name])


def test_a_record_without_gradient_has_nothing_to_prove():
    with pytest.raises(ProofError, match="argmax: has no gradient"):
        prove(cr.argmax)


def test_an_array_operation_without_cases_asks_for_shapes():
    double = cr.operation("double", forward=lambda k, x: x + x, vjp=lambda k, g: g + g)
    assert prove(double, [(2,)]) == ["the VJPs of double for (2,)"]
    with pytest.raises(ProofError, match="double: is not elementwise; give the shapes"):
        prove(double)


def cube(derivative="3 * x**2", vjp=None, forward=None, formula="x**3", **about):
    return cr.elementwise(
        "planted",
        formula=formula,
        derivative=derivative,
        forward=forward or (lambda k, x: x * x * x),
        vjp=vjp or (lambda k, g, x: g * (3 * x * x)),
        **about,
    )


def test_a_right_record_of_ones_own_is_proved():
    assert prove(cube())[0] == "d/dx (x**3) = 3 * x**2"


@pytest.mark.parametrize("wrong", ["6 * x**2", "-3 * x**2", "3 * x**2 - 1e-9", "3 * x", "0"])
def test_a_wrong_statement_is_rejected(wrong):
    with pytest.raises(ProofError, match=r"planted: states the derivative .* 3\*x\*\*2"):
        prove(cube(derivative=wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda k, g, x: g * (6 * x * x),
        lambda k, g, x: -g * (3 * x * x),
        lambda k, g, x: g * (3 * x),
        lambda k, g, x: 3 * x * x,  # forgets the upstream gradient
        lambda k, g, x: k.where(x > 0, g * (3 * x * x), 0.0),  # wrong on one side only
    ],
    ids=["factor 2", "sign", "power", "no upstream", "one side"],
)
def test_a_wrong_vjp_is_rejected(wrong):
    with pytest.raises(ProofError, match="planted: the VJP of 'x' computes"):
        prove(cube(vjp=wrong))


def test_a_wrong_forward_function_is_rejected():
    with pytest.raises(ProofError, match="planted: the forward function computes"):
        prove(cube(forward=lambda k, x: x * x * x + 1e-6))


def test_code_that_is_right_on_symbols_and_wrong_on_numbers_is_rejected():
    def cancels(k, g, x):
        big = 1e9
        return g * (3 * ((x * x + big) - big))

    with pytest.raises(ProofError, match=r"at \{x: "):
        prove(cube(vjp=cancels))


def test_a_kink_must_be_declared():
    def bend(**about):
        return cube(
            formula="Abs(x - 1)",
            derivative="sign(x - 1)",
            forward=lambda k, x: abs(x - 1),
            vjp=lambda k, g, x: g * k.sign(x - 1),
            **about,
        )

    assert prove(bend(kinks=(1.0,)))
    with pytest.raises(ProofError, match=r"has a kink at \{1\}"):
        prove(bend())


def test_the_gradient_at_a_kink_is_checked():
    with pytest.raises(ProofError, match="the VJP of 'x'"):
        prove(
            cube(
                formula="Max(0, x)",
                derivative="Heaviside(x, 0)",
                forward=lambda k, x: k.maximum(x, 0.0),
                vjp=lambda k, g, x: g * (x >= 0),
                kinks=(0.0,),
            )
        )


def test_a_statement_that_is_missing_or_unreadable_is_rejected():
    with pytest.raises(ProofError, match="states no derivative with respect to 'x'"):
        prove(cube(derivative=""))
    with pytest.raises(ProofError, match="cannot read"):
        prove(cube(derivative="3 * x**"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda k, g, y, axis: 2 * y * (g - k.sum(g * y, axis=axis, keepdims=True)),
        lambda k, g, y, axis: -y * (g - k.sum(g * y, axis=axis, keepdims=True)),
        lambda k, g, y, axis: y * g,
        lambda k, g, y, axis: y * (g - k.sum(g * y, axis=0, keepdims=True)),
    ],
    ids=["factor 2", "sign", "missing term", "axis"],
)
def test_a_wrong_vjp_of_an_array_operation_is_rejected(wrong):
    operation = cr.operation(
        "planted_softmax", forward=lambda k, x, *, axis=-1: k.softmax(x, axis), vjp=wrong
    )
    with pytest.raises(ProofError, match=r"entry \(0, 0\) of the VJP of 'x'"):
        prove(operation, [(2, 2)])


def test_a_joint_vjp_that_exchanges_its_gradients_is_rejected():
    swapped = cr.operation(
        "planted_product",
        forward=lambda k, a, b: a * b,
        joint=lambda k, g, needed, a, b: [g * a, g * b],
    )
    with pytest.raises(ProofError, match="the VJP of 'a'"):
        prove(swapped, [(2,), (2,)])


def test_broadcast_arguments_are_proved_with_the_sum_that_undoes_it():
    assert prove(cr.multiply, [(2, 3), (3,)])
    assert prove(cr.divide, [(1,), (2, 2)])


def test_a_term_decides_comparisons_by_its_value():
    x = symbols("x", (2,), [-1.0, 2.0])
    assert list(x > 0) == [False, True]
    assert abs(x[0]).expression == -x[0].expression
    assert Term.of(0.5).expression * 2 == 1


def test_sympy_is_loaded_at_the_first_proof_only():
    code = "import sys, chainrule.engine.proof; assert 'sympy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def squared(vjp, **about):
    return cr.elementwise(
        "planted",
        formula="x**2",
        derivative="2 * x",
        forward=lambda k, x: x * x,
        vjp=vjp,
        **about,
    )


@pytest.mark.parametrize(
    ("vjp", "about"),
    [
        (
            lambda k, g, x: g * k.where((x > 50) & (x < 53), 0 * x, 2 * x),
            {"domain": {"x": (-100, 100)}},
        ),
        (lambda k, g, x: g * 2 * k.minimum(x, 10.0), {}),
        (lambda k, g, x: g * 2 * abs(x), {}),
        (lambda k, g, x: g * k.where(x * x > 9.5, x, 2 * x), {"domain": {"x": (-5, 5)}}),
    ],
    ids=["a window", "beyond what is drawn", "one side", "a polynomial"],
)
def test_a_branch_of_the_code_that_no_drawn_number_takes_is_found(vjp, about):
    with pytest.raises(ProofError, match="the VJP of 'x' computes"):
        prove(squared(vjp, **about))


def test_a_branch_that_is_right_is_no_objection():
    folded = squared(lambda k, g, x: g * 2 * k.where(x > 7, 7 + (x - 7), x))
    assert prove(folded)[0] == "d/dx (x**2) = 2 * x"
