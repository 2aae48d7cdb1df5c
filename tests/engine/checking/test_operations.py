"""The checks that an operation is put to can fail: each planted fault is found, and named."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.calls import calls_of
from chainrule.engine.checking.operations import check_call
from chainrule.testing import CheckError, ProofError, case, check_operation


def cube(vjp=None, forward=None, **about):
    """x**3 as a user writes it, in an array operation: nothing is proved unless it has cases."""
    about.setdefault("cases", [case((2, 3)), case(()), case((0, 2))])
    return cr.operation(
        "planted",
        forward=forward or (lambda k, x: x * x * x),
        vjp=vjp or (lambda k, g, x: g * (3 * x * x)),
        **about,
    )


def test_a_right_operation_passes_and_is_told_of():
    told = check_operation(cube())
    assert told[-1] == (
        "the gradients of planted((2, 3)), planted(()), planted((0, 2)), to second order"
    )
    assert "the VJPs of planted for (2, 3)" in told


def test_a_users_elementwise_operation_is_broadcast_and_proved():
    weighted = cr.elementwise(
        "weighted",
        formula="a * b**2",
        derivative={"a": "b**2", "b": "2 * a * b"},
        forward=lambda k, a, b: a * b * b,
        vjp={"a": lambda k, g, b: g * b * b, "b": lambda k, g, a, b: g * 2 * a * b},
    )
    told = check_operation(weighted)
    assert told[0] == "d/da (a * b**2) = b**2"
    assert "weighted((2, 1), (3,))" in told[-1]


def test_a_composition_is_checked_and_told_apart():
    halves = cr.composition(
        "halved",
        forward=lambda k, x: (k.exp(x[:1]), x[1:] * 2),
        derivative="by parts",
        cases=[case((3,))],
    )
    told = check_operation(halves)
    assert told[0] == "halved is made of exp, getitem, multiply"
    assert "halved((3,))" in told[1]


WRONG = {
    "factor": lambda k, g, x: g * (6 * x * x),
    "sign": lambda k, g, x: -g * (3 * x * x),
    "no upstream": lambda k, g, x: 3 * x * x,
    "one entry": lambda k, g, x: g * (3 * x * x) * (x < 1.0) + g * 1e-3 * (x >= 1.0),
}


@pytest.mark.parametrize("vjp", WRONG.values(), ids=WRONG)
def test_a_wrong_vjp_is_found_by_the_proof_and_by_numbers(vjp):
    with pytest.raises(ProofError, match="planted: entry"):
        check_operation(cube(vjp))
    with pytest.raises(CheckError, match=r"(gradient|linearity): planted\(\(2, 3\)\)"):
        check_operation(cube(vjp, unproved="is a test of the numeric check"))


def test_a_second_derivative_that_is_lost_is_found():
    """The VJP is right, and hides its argument from the second derivative."""
    hidden = cube(
        lambda k, g, x: g * (3 * np.asarray(getattr(x, "_data", x)) ** 2),
        unproved="is a test of the numeric check",
    )
    with pytest.raises(CheckError, match="order 2: gradient"):
        check_operation(hidden)


def test_a_float64_result_of_float32_is_found():
    wide = cube(forward=lambda k, x: x * x * x * np.ones(1), vjp=lambda k, g, x: g * 3 * x * x)
    with pytest.raises(CheckError, match="gives float64 for float32"):
        check_operation(wide)


def test_an_argument_that_is_changed_in_place_is_found():
    def spoils(k, g, x):
        result = g * (3 * x * x)
        if isinstance(x, np.ndarray) and x.dtype == np.float64:
            x *= 1.5
        return result

    with pytest.raises(CheckError):
        check_operation(cube(spoils, unproved="is a test of the numeric check"))


def test_what_cannot_be_checked_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"planted: give the record cases=\[case"):
        check_operation(cube(cases=[], unproved="is a test"))
    with pytest.raises(ValueError, match="argmax: has no gradient to check"):
        check_operation(cr.argmax)


def test_a_call_is_checked_in_every_layout_of_memory():
    seen = set()

    def forward(k, x):
        if isinstance(x, np.ndarray) and x.ndim == 2:
            seen.add((x.flags.c_contiguous, x.flags.f_contiguous))
        return x * 2.0

    doubled = cube(lambda k, g: g * 2.0, forward, cases=[case((2, 3))], unproved="is a test")
    check_call(calls_of(doubled.record)[0])
    assert seen == {(True, False), (False, True), (False, False)}
