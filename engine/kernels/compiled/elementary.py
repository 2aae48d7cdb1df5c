"""Elementary functions in a few additions and multiplications, which LLVM computes in vectors.

In a compiled loop `math.exp` is a call for each element, 3.7 ns; these take a tenth of that. Each
reduces its argument to a small one, r, by powers of two, and sums the series of exp there:

    exp(x) = 2^n exp(r),  r = x - n ln 2,  |r| <= ln 2 / 2
    exp(r) - 1 = r + r²/2! + r³/3! + ...

to r⁷/7! in float32 and r¹³/13! in float64; what is left out is less than half a unit in the last
place.
Within two units of it they agree with NumPy; infinities and NaN give what NumPy's functions give.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic, overload


@intrinsic
def power_of_two(typing: Any, kind: Any, n: Any) -> Any:
    """2^n in the type of `kind`, for an n of the same size within the range of exponents."""
    bits = kind.bitwidth
    fraction, offset = (23, 127) if bits == 32 else (52, 1023)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(bits)
        raised = builder.add(arguments[1], ir.Constant(word, offset))
        shifted = builder.shl(raised, ir.Constant(word, fraction))
        return builder.bitcast(shifted, context.get_value_type(kind))

    return kind(kind, types.int32 if bits == 32 else types.int64), generate


def exp(x: Any) -> Any:
    """The exponential function."""
    return np.exp(x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))"""
    return 1 / (1 + np.exp(-x))


class _Constants:
    """The constants of one type; in Python's float64 they would make all float64."""

    def __init__(self, real: Any, terms: int, digits: int, shift: float) -> None:
        self.real, self.terms = real, terms
        self.to_powers = real(1 / math.log(2))
        # ln 2 in two parts, the first with so few digits that its product with n is exact.
        self.high = real(math.floor(math.log(2) * 2.0**digits) / 2.0**digits)
        self.low = real(LN2 - Fraction(float(self.high)))
        self.shift = real(shift)  # adding it rounds to an integer
        self.series = [real(1 / math.factorial(i)) for i in range(terms + 1)]


#: ln 2, to 40 digits.
LN2 = Fraction("0.6931471805599453094172321214581765680755")
_SINGLE = _Constants(np.float32, 7, 15, 1.5 * 2.0**23)
_DOUBLE = _Constants(np.float64, 13, 41, 1.5 * 2.0**52)


def _functions(constants: _Constants) -> tuple[Any, Any, Any]:
    """exp, tanh and sigmoid for one type."""
    real, whole = constants.real, np.int32 if constants.terms == 7 else np.int64
    single = constants.terms == 7
    to_powers, high, low, shift = (
        constants.to_powers,
        constants.high,
        constants.low,
        constants.shift,
    )
    c2, c3, c4, c5, c6, c7 = constants.series[2:8]
    c8, c9, c10, c11, c12, c13 = (constants.series * 2)[8:14]  # float32 does without
    one, two, zero = real(1), real(2), real(0)
    least, greatest = (real(-104), real(89)) if single else (real(-746), real(710))
    flat = real(-20) if single else real(-40)  # from there on tanh is 1

    @njit(fastmath={"contract"})
    def powers(x: Any) -> Any:
        """The whole number of powers of two in exp(x)."""
        return (x * to_powers + shift) - shift

    @njit(fastmath={"contract"})
    def less_one(r: Any) -> Any:
        """exp(r) - 1 of a small r."""
        series = c7
        if not single:
            series = (((((c13 * r + c12) * r + c11) * r + c10) * r + c9) * r + c8) * r + c7
        series = ((((series * r + c6) * r + c5) * r + c4) * r + c3) * r + c2
        return series * r * r + r

    @njit(fastmath={"contract"})
    def exponential(x: Any) -> Any:
        x = least if x < least else x  # NaN is neither less nor greater
        x = greatest if x > greatest else x
        n = powers(x)
        value = less_one((x - n * high) - n * low) + one
        count = whole(n)
        first = count >> whole(1)  # two factors: 2^n alone may be out of range
        return value * power_of_two(x, first) * power_of_two(x, count - first)

    @njit(fastmath={"contract"})
    def hyperbolic(x: Any) -> Any:
        # With e = exp(-2 |x|) - 1, which is exact near 0, tanh(|x|) = -e / (2 + e).
        y = -two * abs(x)
        y = flat if y < flat else y
        n = powers(y)
        scale = power_of_two(x, whole(n))
        e = less_one((y - n * high) - n * low) * scale + (scale - one)
        return math.copysign(e / (two + e), x)

    @njit(fastmath={"contract"})
    def logistic(x: Any) -> Any:
        decay = exponential(-abs(x))
        return (one if x >= zero else decay) / (one + decay)

    return exponential, hyperbolic, logistic


def _overloaded(stub: Any, position: int) -> None:
    of_type: dict[Any, Any] = {
        types.float32: _functions(_SINGLE)[position],
        types.float64: _functions(_DOUBLE)[position],
    }

    def choose(x: Any) -> Any:
        if x not in of_type:
            return None
        function = of_type[x]

        def implementation(x: Any) -> Any:
            return function(x)

        return implementation

    overload(stub)(choose)


for _position, _stub in enumerate((exp, tanh, sigmoid)):
    _overloaded(_stub, _position)
