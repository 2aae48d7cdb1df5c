"""Elementwise: the four operations, powers and roots.

Formulas and derivatives are SymPy text; a test differentiates the one and asks that it equal the
other, and that both equal what the code computes. Wider tests draw inputs from `domain`.
"""

from __future__ import annotations

from ..cases import case
from ..dtypes import as_dtype
from ..record import elementwise, operation

_positive = (0.1, 5.0)


add = elementwise(
    "add",
    summary="The sum of two numbers.",
    formula="a + b",
    derivative={"a": "1", "b": "1"},
    forward=lambda k, a, b: a + b,
    vjp={"a": lambda k, g: g, "b": lambda k, g: g},
    methods=(
        "__add__",
        "__radd__",
    ),
)

subtract = elementwise(
    "subtract",
    summary="The difference of two numbers.",
    formula="a - b",
    derivative={"a": "1", "b": "-1"},
    forward=lambda k, a, b: k.subtract(a, b),
    vjp={"a": lambda k, g: g, "b": lambda k, g: -g},
    methods=(
        "__sub__",
        "__rsub__",
    ),
)

multiply = elementwise(
    "multiply",
    summary="The product of two numbers.",
    formula="a * b",
    derivative={"a": "b", "b": "a"},
    forward=lambda k, a, b: a * b,
    vjp={"a": lambda k, g, b: g * b, "b": lambda k, g, a: g * a},
    methods=(
        "__mul__",
        "__rmul__",
    ),
)

divide = elementwise(
    "divide",
    summary="The quotient of two numbers.",
    formula="a / b",
    derivative={"a": "1 / b", "b": "-a / b**2"},
    forward=lambda k, a, b: a / b,
    vjp={"a": lambda k, g, b: g / b, "b": lambda k, g, y, b: -g * y / b},
    domain={"b": _positive},
    methods=(
        "__truediv__",
        "__rtruediv__",
    ),
)

power = elementwise(
    "power",
    summary="A number to the power of another.",
    formula="a**b",
    derivative={"a": "b * a**(b - 1)", "b": "a**b * log(a)"},
    forward=lambda k, a, b: k.power(a, b),
    vjp={
        # b = 0 gives the constant 1, at a = 0 too, where a**(b - 1) is infinite.
        "a": lambda k, g, a, b: (
            g
            * (b * a ** (b - 1) if _is_exponent(b) else b * k.power(a, k.where(b == 0, 1.0, b - 1)))
        ),
        # At a = 0 the result is 0 for every b > 0, and log(a) is infinite.
        "b": lambda k, g, y, a: g * (y * k.log(k.where(a == 0, 1.0, a))),
    },
    domain={"a": _positive},
    methods=(
        "__pow__",
        "__rpow__",
    ),
)


def _is_exponent(b: object) -> bool:
    """Is it a Python number other than 0?"""
    return isinstance(b, (int, float)) and b != 0


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
    methods=(
        "abs",
        "__abs__",
    ),
)

sign = elementwise(
    "sign",
    summary="-1, 0 or 1: the sign of a number. Its gradient is 0.",
    formula="sign(x)",
    derivative="0",
    forward=lambda k, x: k.sign(x),
    vjp=lambda k, g: g * 0,
    kinks=(0.0,),
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
