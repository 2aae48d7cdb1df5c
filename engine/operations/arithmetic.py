"""Elementwise: the four operations, powers and roots.

Formulas and derivatives are SymPy text; a test differentiates the one and asks that it equal the
other, and that both equal what the code computes. Wider tests draw inputs from `domain`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arguments import integer
from ..cases import case
from ..definitions import elementwise, operation
from ..dtypes import as_dtype
from ..placing import constant
from ..tensor import is_array

_positive = (0.1, 5.0)


def _nothing(k: Any, g: Any) -> Any:
    """The gradient of what is constant: 0, also where g is infinite."""
    return k.where(constant(k, np.False_), g, 0.0)


add = elementwise(
    "add",
    summary="The sum of two numbers.",
    formula="a + b",
    derivative={"a": "1", "b": "1"},
    forward=lambda k, a, b: a + b,
    vjp={"a": lambda k, g: g, "b": lambda k, g: g},
    methods=("__add__", "__radd__"),
)

subtract = elementwise(
    "subtract",
    summary="The difference of two numbers.",
    formula="a - b",
    derivative={"a": "1", "b": "-1"},
    forward=lambda k, a, b: k.subtract(a, b),
    vjp={"a": lambda k, g: g, "b": lambda k, g: -g},
    methods=("__sub__", "__rsub__"),
)

multiply = elementwise(
    "multiply",
    summary="The product of two numbers.",
    formula="a * b",
    derivative={"a": "b", "b": "a"},
    forward=lambda k, a, b: a * b,
    vjp={"a": lambda k, g, b: g * b, "b": lambda k, g, a: g * a},
    methods=("__mul__", "__rmul__"),
)

divide = elementwise(
    "divide",
    summary="The quotient of two numbers.",
    formula="a / b",
    derivative={"a": "1 / b", "b": "-a / b**2"},
    forward=lambda k, a, b: a / b,
    vjp={"a": lambda k, g, b: g / b, "b": lambda k, g, y, b: -g * y / b},
    domain={"b": _positive},
    methods=("__truediv__", "__rtruediv__"),
)


def _power(k: Any, a: Any, b: Any) -> Any:
    whole = type(b) is int and b < 0 and is_array(a) and a.dtype.kind in "iu"  # refused, by k
    return a**b if isinstance(b, (int, float)) and not whole else k.power(a, b)


def _power_by_base(k: Any, g: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * (b * a ** (b - 1)) if b else _nothing(k, g)
    # b = 0 gives the constant 1, at a = 0 too, where a**(b - 1) is infinite, and for NaN.
    odd = k.logical_and(b == 0, k.logical_not(abs(a) > 0))
    return g * (b * k.power(k.where(odd, 1.0, a), b - 1.0))


def _power_by_exponent(k: Any, g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(a, (int, float)) and a > 0:
        return g * (y * math.log(a))
    # Where y = 0 (a = 0, b > 0, for one) log(a) may be infinite, yet y is 0 for every b nearby.
    flat = k.logical_or(y == 0, k.logical_and(a == 0, b == 0))
    safe = k.where(flat, 1.0, a)
    return g * k.where(flat, 0.0, k.power(safe, b) * k.log(safe))


power = elementwise(
    "power",
    summary="A number to the power of another.",
    formula="a**b",
    derivative={"a": "b * a**(b - 1)", "b": "a**b * log(a)"},
    forward=lambda k, a, b: _power(k, a, b),
    vjp={
        "a": lambda k, g, a, b: _power_by_base(k, g, a, b),
        "b": lambda k, g, y, a, b: _power_by_exponent(k, g, y, a, b),
    },
    domain={"a": _positive},
    notes="""
    Real powers: a negative base has them for integer exponents only, and gives NaN for others; its
    gradient with respect to the exponent is NaN. At a = 0 that gradient is 0 for b > 0, the limit,
    and for b = 0 as well, where `0**b` jumps (as in PyTorch). Exponents that are Python numbers are
    fastest. Raises ShapeError for integers to negative integer powers, as NumPy does; on a GPU only
    for exponents that are Python numbers, since arrays are not read there.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([-2.0, 0.0, 4.0], requires_grad=True)
    >>> (x**2).backward([1.0, 1.0, -1.0])
    >>> x.grad.tolist()
    [-4.0, 0.0, -8.0]
    """,
    methods=("__pow__", "__rpow__", "pow"),
)

negative = elementwise(
    "negative",
    summary="A number with the other sign.",
    formula="-x",
    derivative="-1",
    forward=lambda k, x: -x,
    vjp=lambda k, g: -g,
    methods=("__neg__",),
)

positive = elementwise(
    "positive",
    summary="A copy of a number.",
    formula="x",
    derivative="1",
    forward=lambda k, x: k.positive(x),
    vjp=lambda k, g: g,
    methods=("__pos__",),
)

absolute = elementwise(
    "abs",
    summary="The absolute value; its gradient at 0 is 0.",
    formula="Abs(x)",
    derivative="sign(x)",
    forward=lambda k, x: abs(x),
    vjp=lambda k, g, x: g * k.sign(x),
    kinks=(0.0,),
    methods=("abs", "__abs__"),
)

sign = elementwise(
    "sign",
    summary="-1, 0 or 1: the sign of a number. Its gradient is 0.",
    formula="sign(x)",
    derivative="0",
    forward=lambda k, x: k.sign(x),
    vjp=lambda k, g: _nothing(k, g),
    kinks=(0.0,),
    methods=("sign",),
)

square = elementwise(
    "square",
    summary="A number times itself.",
    formula="x**2",
    derivative="2 * x",
    forward=lambda k, x: x * x,
    vjp=lambda k, g, x: g * (2 * x),
    methods=("square",),
)

sqrt = elementwise(
    "sqrt",
    summary="The square root.",
    formula="sqrt(x)",
    derivative="1 / (2 * sqrt(x))",
    forward=lambda k, x: k.sqrt(x),
    vjp=lambda k, g, y: g / (2 * y),
    domain={"x": _positive},
    methods=("sqrt",),
)

cbrt = elementwise(
    "cbrt",
    summary="The real cube root, negative for negative numbers.",
    formula="sign(x) * Abs(x)**(1/3)",
    derivative="1 / (3 * cbrt(x)**2)",
    forward=lambda k, x: k.cbrt(x),
    vjp=lambda k, g, y: g / (3 * y * y),
    kinks=(0.0,),
    methods=("cbrt",),
)

reciprocal = elementwise(
    "reciprocal",
    summary="1 divided by a number.",
    formula="1 / x",
    derivative="-1 / x**2",
    forward=lambda k, x: k.reciprocal(x),
    vjp=lambda k, g, y: -g * y * y,
    kinks=(0.0,),
    notes="Of integers it is cut to an integer, as in NumPy: 0 except for 1 and -1.",
    methods=("reciprocal",),
)

#: Of operations that are made of steps; `case` draws nothing near an integer or a half.
_steps = [case((2, 3)), case(()), case((0, 2))]

floor = operation(
    "floor",
    summary="The largest integer that is not above a number. Its gradient is 0, on steps too.",
    formula="max {n integer: n <= x}",
    derivative="0",
    forward=lambda k, x: k.floor(x),
    vjp=lambda k, g: _nothing(k, g),
    methods=("floor",),
    cases=_steps,
)

ceil = operation(
    "ceil",
    summary="The smallest integer that is not below a number. Its gradient is 0, on steps too.",
    formula="min {n integer: n >= x}",
    derivative="0",
    forward=lambda k, x: k.ceil(x),
    vjp=lambda k, g: _nothing(k, g),
    methods=("ceil",),
    cases=_steps,
)

trunc = operation(
    "trunc",
    summary="The integer part of a number, towards 0. Its gradient is 0, on steps too.",
    formula="sign(x) * floor(abs(x))",
    derivative="0",
    forward=lambda k, x: k.trunc(x),
    vjp=lambda k, g: _nothing(k, g),
    methods=("trunc",),
    cases=_steps,
)

round = operation(
    "round",
    summary="The nearest integer, the even one of two. Its gradient is 0, on steps too.",
    formula="the n nearest to x, n a multiple of 10**-decimals",
    derivative="0",
    forward=lambda k, x, *, decimals=0: k.round(x, integer("round", "decimals", decimals)),
    vjp=lambda k, g: _nothing(k, g),
    notes="With `decimals`, an integer, the nearest number of so many decimal places.",
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, 1.5, -2.25])
    >>> cr.round(x).tolist(), x.round(1).tolist()
    ([0.0, 2.0, -2.0], [0.5, 1.5, -2.2])
    """,
    methods=("round",),
    cases=[*_steps, case((3,), decimals=1)],
)

floor_divide = operation(
    "floor_divide",
    summary="a // b: the largest integer that is not above a / b. Its gradient is 0, on steps too.",
    formula="floor(a / b)",
    derivative={"a": "0", "b": "0"},
    forward=lambda k, a, b: k.floor_divide(a, b),
    vjp={"a": lambda k, g: _nothing(k, g), "b": lambda k, g: _nothing(k, g)},
    domain={"b": (0.6, 1.7)},
    methods=("__floordiv__", "__rfloordiv__"),
    cases=[case((2, 3), (3,)), case((), ()), case((2, 1), (0,))],
)

remainder = operation(
    "remainder",
    summary="a % b: what is left of a after division by b; its sign is that of b.",
    formula="a - b * floor(a / b)",
    derivative={"a": "1", "b": "-floor(a / b)"},
    forward=lambda k, a, b: k.remainder(a, b),
    vjp={"a": lambda k, g: g, "b": lambda k, g, a, b: -g * k.floor_divide(a, b)},
    domain={"b": (0.6, 1.7)},
    notes="Jumps where b divides a; the gradient there is that of the step which starts there.",
    example="""
    >>> import chainrule as cr
    >>> (cr.tensor([5.5, -1.0]) % 4).tolist()
    [1.5, 3.0]
    """,
    methods=("__mod__", "__rmod__"),
    cases=[case((2, 3), (3,)), case((), ()), case((2, 1), (0,))],
)

astype = operation(
    "astype",
    summary="The elements converted to another dtype; the gradient is converted back.",
    formula="x",
    derivative="1, if both dtypes are floating",
    # The proof runs it on arrays of symbols, which have no other dtype.
    forward=lambda k, x, *, dtype: x.astype(
        object if x.dtype.kind == "O" else as_dtype(dtype, "astype")
    ),
    vjp=lambda k, g: g,
    cases=[case((2,), dtype="float64")],
)
