"""The proof of operations with static arguments: what depends on them wrongly is rejected."""

from __future__ import annotations

import math

import pytest

import chainrule as cr

pytest.importorskip("sympy")

import sympy

from chainrule.engine.errors import ProofError
from chainrule.engine.identities import meant
from chainrule.engine.proof import prove


def leaky(**about):
    given = {
        "formula": "Piecewise((x, x > 0), (slope * x, True))",
        "derivative": "Piecewise((1, x > 0), (slope, True))",
        "forward": lambda k, x, *, slope=0.5: k.where(x > 0, x, slope * x),
        "vjp": lambda k, g, x, slope: k.where(x > 0, g, slope * g),
        "domain": {"slope": (0.1, 0.9)},
        "kinks": (0.0,),
    }
    return cr.elementwise("planted", **given | about)


def held(**about):
    given = {
        "formula": "Piecewise((low, x < low), (high, x > high), (x, True))",
        "derivative": "Piecewise((1, (x > low) & (x < high)), (0, True))",
        "forward": lambda k, x, *, low=-1.0, high=1.0: k.minimum(k.maximum(x, low), high),
        "vjp": lambda k, g, x, low, high: k.where((x > low) * (x < high), g, 0.0),
        "domain": {"low": (-2.0, -0.5), "high": (0.5, 2.0)},
        "kinks": ("low", "high"),
    }
    return cr.elementwise("planted", **given | about)


def either(**about):
    given = {
        "formula": "Piecewise((x**3, cubic), (x**2, True))",
        "derivative": "Piecewise((3 * x**2, cubic), (2 * x, True))",
        "forward": lambda k, x, *, cubic=False: x * x * x if cubic else x * x,
        "vjp": lambda k, g, x, cubic: g * (3 * x * x) if cubic else g * (2 * x),
    }
    return cr.elementwise("planted", **given | about)


@pytest.mark.parametrize("make", [leaky, held, either])
def test_what_is_right_is_proved(make):
    assert len(prove(make())) == 3


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (leaky, "Piecewise((1, x > 0), (1/2, True))"),  # right for the default only
        (leaky, "Piecewise((slope, x > 0), (slope, True))"),
        (leaky, "Piecewise((1, x > 0), (slope**2, True))"),
        (held, "Piecewise((1, (x > -1) & (x < 1)), (0, True))"),
        (held, "Piecewise((1, x > low), (0, True))"),
        (held, "Piecewise((high, (x > low) & (x < high)), (0, True))"),
        (either, "2 * x"),
        (either, "Piecewise((3 * x**2, cubic), (x, True))"),
        (either, "Piecewise((2 * x, cubic), (3 * x**2, True))"),
    ],
)
def test_a_wrong_statement_is_rejected(make, wrong):
    with pytest.raises(ProofError, match=r"planted: (states the derivative|the VJP)"):
        prove(make(derivative=wrong))


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (leaky, lambda k, g, x, slope: k.where(x > 0, g, 0.5 * g)),  # right for the default only
        (leaky, lambda k, g, x, slope: k.where(x > 0, g, (slope + 1e-9) * g)),
        (leaky, lambda k, g, x, slope: k.where(x >= 0, g, slope * g)),  # wrong at 0 only
        (leaky, lambda k, g, x, slope: k.where(x > 0, slope * g, g)),
        (held, lambda k, g, x, low, high: k.where((x > -1.0) * (x < 1.0), g, 0.0)),
        (held, lambda k, g, x, low, high: k.where(x > low, g, 0.0)),
        (held, lambda k, g, x, low, high: k.where((x > low) * (x <= high), g, 0.0)),
        (held, lambda k, g, x, low, high: k.where((x > low) * (x < high), high * g, 0.0)),
        (either, lambda k, g, x, cubic: g * (2 * x)),
        (either, lambda k, g, x, cubic: g * (3 * x * x) if cubic else g * x),
    ],
)
def test_a_wrong_vjp_is_rejected(make, wrong):
    with pytest.raises(ProofError, match="planted: the VJP of 'x' computes"):
        prove(make(vjp=wrong))


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (leaky, lambda k, x, *, slope=0.5: k.where(x > 0, x, 0.5 * x)),
        (held, lambda k, x, *, low=-1.0, high=1.0: k.minimum(k.maximum(x, low), 1.0)),
        (either, lambda k, x, *, cubic=False: x * x),
    ],
)
def test_a_wrong_forward_function_is_rejected(make, wrong):
    with pytest.raises(ProofError, match="planted: the forward function computes"):
        prove(make(forward=wrong))


def test_kinks_that_depend_on_static_arguments_must_be_declared():
    for kinks in ((), ("low",), (-1.0, 1.0)):
        with pytest.raises(ProofError, match="planted: has a kink at"):
            prove(held(kinks=kinks))


def test_the_values_of_a_static_number_must_be_told():
    with pytest.raises(ProofError, match="static argument 'slope' may have; give an interval"):
        prove(leaky(domain={}))


@pytest.mark.parametrize("static", [{"negative_slope": 0.5}, {"negative_slope": -2}])
def test_given_static_arguments_are_proved_too(static):
    assert prove(cr.leaky_relu, [(2,)], **static)


# Floats of the code stand for what they are the nearest to ---------------------------------------


def test_a_float_is_the_constant_that_it_is_the_nearest_to():
    for text in ("sqrt(2/pi)", "2/sqrt(pi)", "1/sqrt(2*pi)", "sqrt(2)/2", "log(2)", "pi", "1/pi"):
        exact = sympy.sympify(text)
        number = sympy.Rational(float(exact))
        assert meant(number) == exact
        assert meant(number / 4) == exact / 4
        # The next float, one unit on, is another number.
        assert not meant(sympy.Rational(math.nextafter(float(exact), 9))).has(sympy.pi, sympy.log)
    assert meant(sympy.Rational(0.044715)) == sympy.Rational(44715, 10**6)
    assert meant(sympy.Rational(3, 7)) == sympy.Rational(3, 7)


def scaled(constant):
    return cr.elementwise(
        "planted",
        formula="sqrt(2 / pi) * x",
        derivative="sqrt(2 / pi)",
        forward=lambda k, x: x * math.sqrt(2 / math.pi),
        vjp=lambda k, g: g * constant,
    )


def test_a_constant_that_is_off_by_a_unit_is_rejected():
    right = math.sqrt(2 / math.pi)
    assert prove(scaled(right))
    for wrong in (math.nextafter(right, 0), math.nextafter(right, 1), 0.79788456, 2 * right):
        with pytest.raises(ProofError, match="planted: the VJP of 'x' computes"):
            prove(scaled(wrong))
