"""Does an expression vanish identically, and what do the floats in it stand for?"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import Any

#: What the nearest float64 to one of these (or to a square, a cube, a simple multiple) stands for.
CONSTANTS = ("pi", "sqrt(pi)", "sqrt(2)", "sqrt(2*pi)", "sqrt(2/pi)", "log(2)", "log(10)", "E")


def is_zero(expression: Any) -> bool:
    """Does an expression vanish identically? False too if that could not be shown.

    >>> import sympy
    >>> x = sympy.Symbol("x", real=True)
    >>> is_zero(sympy.tanh(x) - 1 + 2 / (sympy.exp(2 * x) + 1)), is_zero(x - 1)
    (True, False)
    """
    import sympy

    expression = sympy.sympify(expression)
    if expression.is_zero:
        return True
    expression = expression.replace(sympy.erfc, lambda x: 1 - sympy.erf(x))
    if expression.has(sympy.log) and _cancels(sympy.exp(expression) - 1):
        return True
    if _cancels(expression):
        return True
    # One point where it is not 0 settles it; the search for a simplification may take minutes.
    free = sorted(expression.free_symbols, key=str)
    point = {s: sympy.Rational(37 + 11 * i, 101) for i, s in enumerate(free)}
    value = expression.subs(point).evalf(40)
    if value.is_Float and value.is_finite and abs(value) > 1e-30:
        return False
    return sympy.simplify(expression) == 0


def _cancels(expression: Any) -> bool:
    """Is it 0 as a rational function of exponentials? False if it is no such function."""
    import sympy

    rational = expression.rewrite(sympy.exp)
    # With x = log(E) a sum of exponentials becomes a rational function of E, which has a normal
    # form: the comparison is a decision, not a search.
    inside = {s for each in rational.atoms(sympy.exp) for s in each.free_symbols}
    rational = rational.subs({s: sympy.log(sympy.Dummy(s.name, positive=True)) for s in inside})
    try:
        return bool(sympy.cancel(sympy.together(rational)) == 0)
    except (sympy.PolynomialError, NotImplementedError):
        return False


@functools.cache
def _constants() -> list[tuple[Fraction, Any]]:
    """Powers of the nearest floats to some constants, and these powers."""
    import sympy

    found = []
    for text in CONSTANTS:
        for constant in (sympy.sympify(text), 1 / sympy.sympify(text)):
            for power in (1, 2, 3, -1, -2, -3):
                found.append((Fraction(float(constant)) ** power, constant**power))
    return found


@functools.cache
def meant(number: Any) -> Any:
    """The number that a rational of the code stands for: floats are the nearest to what is meant.

    That is a constant such as sqrt(2/pi) (a power of one, a multiple by a fraction, or by a float),
    or else the shortest decimal of which the float is the nearest.

    >>> import math, sympy
    >>> meant(sympy.Rational(math.sqrt(2 / math.pi)) / 2), meant(sympy.Rational(0.1))
    (sqrt(2)/(2*sqrt(pi)), 1/10)
    """
    import sympy

    exact = Fraction(int(number.p), int(number.q))

    def decimal(ratio: Fraction, digits: int) -> Any:
        text = repr(float(ratio))
        short = len(text.partition("e")[0].replace(".", "").strip("-0")) <= digits
        return sympy.Rational(text) if short and Fraction(float(ratio)) == ratio else None

    def simple(ratio: Fraction) -> Any:
        if max(abs(ratio.numerator), ratio.denominator) <= 1 << 16:
            return sympy.Rational(ratio.numerator, ratio.denominator)
        return None

    if simple(exact) is not None:
        return number
    for value, constant in _constants():
        factor = simple(exact / value)
        if factor is None:
            factor = decimal(exact / value, 12)
        if factor is not None:
            return factor * constant
    told = decimal(exact, 17)
    return number if told is None else told


def with_meant(expression: Any) -> Any:
    """An expression of the code, with what its numbers stand for."""
    import sympy

    return expression.xreplace({each: meant(each) for each in expression.atoms(sympy.Rational)})
