"""The elementwise operations: formula, derivative and code of each, on a few screens.

Formulas and derivatives are SymPy text; a test differentiates the one and asks that it equal the
other, and that both equal what the code computes. Wider tests draw inputs from `domain`.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import as_dtype
from ..errors import DtypeError, describe
from ..record import elementwise, operation

_positive = (0.1, 5.0)

# Arithmetic ---------------------------------------------------------------------------------

add = elementwise(
    "add",
    summary="The sum of two numbers.",
    formula="a + b",
    derivative={"a": "1", "b": "1"},
    forward=lambda k, a, b: a + b,
    vjp={"a": lambda k, g: g, "b": lambda k, g: g},
)

subtract = elementwise(
    "subtract",
    summary="The difference of two numbers.",
    formula="a - b",
    derivative={"a": "1", "b": "-1"},
    forward=lambda k, a, b: k.subtract(a, b),
    vjp={"a": lambda k, g: g, "b": lambda k, g: -g},
)

multiply = elementwise(
    "multiply",
    summary="The product of two numbers.",
    formula="a * b",
    derivative={"a": "b", "b": "a"},
    forward=lambda k, a, b: a * b,
    vjp={"a": lambda k, g, b: g * b, "b": lambda k, g, a: g * a},
)

divide = elementwise(
    "divide",
    summary="The quotient of two numbers.",
    formula="a / b",
    derivative={"a": "1 / b", "b": "-a / b**2"},
    forward=lambda k, a, b: a / b,
    vjp={"a": lambda k, g, b: g / b, "b": lambda k, g, y, b: -g * y / b},
    domain={"b": _positive},
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
)

positive = elementwise(
    "positive",
    summary="A copy of a number.",
    formula="x",
    derivative="1",
    forward=lambda k, x: k.positive(x),
    vjp=lambda k, g: g,
)

absolute = elementwise(
    "abs",
    summary="The absolute value; its gradient at 0 is 0.",
    formula="Abs(x)",
    derivative="sign(x)",
    forward=lambda k, x: abs(x),
    vjp=lambda k, g, x: g * k.sign(x),
    kinks=(0.0,),
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
)

sqrt = elementwise(
    "sqrt",
    summary="The square root.",
    formula="sqrt(x)",
    derivative="1 / (2 * sqrt(x))",
    forward=lambda k, x: k.sqrt(x),
    vjp=lambda k, g, y: g / (2 * y),
    domain={"x": _positive},
)

# Exponentials and logarithms ----------------------------------------------------------------

exp = elementwise(
    "exp",
    summary="e to the power of a number.",
    formula="exp(x)",
    derivative="exp(x)",
    forward=lambda k, x: k.exp(x),
    vjp=lambda k, g, y: g * y,
)

log = elementwise(
    "log",
    summary="The natural logarithm.",
    formula="log(x)",
    derivative="1 / x",
    forward=lambda k, x: k.log(x),
    vjp=lambda k, g, x: g / x,
    domain={"x": _positive},
)

log1p = elementwise(
    "log1p",
    summary="log(1 + x), exact for small x too.",
    formula="log(1 + x)",
    derivative="1 / (1 + x)",
    forward=lambda k, x: k.log1p(x),
    vjp=lambda k, g, x: g / (1 + x),
    domain={"x": (-0.9, 5.0)},
)

expm1 = elementwise(
    "expm1",
    summary="exp(x) - 1, exact for small x too.",
    formula="exp(x) - 1",
    derivative="exp(x)",
    forward=lambda k, x: k.expm1(x),
    vjp=lambda k, g, y: g * (y + 1),
)

# Trigonometric functions --------------------------------------------------------------------

sin = elementwise(
    "sin",
    summary="The sine of an angle in radians.",
    formula="sin(x)",
    derivative="cos(x)",
    forward=lambda k, x: k.sin(x),
    vjp=lambda k, g, x: g * k.cos(x),
)

cos = elementwise(
    "cos",
    summary="The cosine of an angle in radians.",
    formula="cos(x)",
    derivative="-sin(x)",
    forward=lambda k, x: k.cos(x),
    vjp=lambda k, g, x: -g * k.sin(x),
)

# Activations (DERIVATIONS 4.1) --------------------------------------------------------------

relu = elementwise(
    "relu",
    summary="The rectified linear unit; its gradient at 0 is 0.",
    formula="Max(0, x)",
    derivative="Heaviside(x, 0)",
    forward=lambda k, x: k.maximum(x, 0.0),
    vjp=lambda k, g, y: g * (y > 0),
    kinks=(0.0,),
    example="""
    >>> import chainrule as cr
    >>> cr.relu(cr.tensor([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """,
)

sigmoid = elementwise(
    "sigmoid",
    summary="The logistic function, from 0 to 1; cannot overflow.",
    formula="1 / (1 + exp(-x))",
    derivative="sigmoid(x) * (1 - sigmoid(x))",
    forward=lambda k, x: k.sigmoid(x),
    vjp=lambda k, g, y: g * (y * (1 - y)),
    example="""
    >>> import chainrule as cr
    >>> cr.sigmoid(cr.tensor([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """,
)

tanh = elementwise(
    "tanh",
    summary="The hyperbolic tangent, from -1 to 1; cannot overflow.",
    formula="(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
    derivative="1 - tanh(x)**2",
    forward=lambda k, x: k.tanh(x),
    vjp=lambda k, g, y: g * (1 - y * y),
)

softplus = elementwise(
    "softplus",
    summary="log(1 + exp(x)), a smooth relu; cannot overflow.",
    formula="log(1 + exp(x))",
    derivative="1 / (1 + exp(-x))",
    forward=lambda k, x: k.softplus(x),
    vjp=lambda k, g, x: g * k.sigmoid(x),
)

# Choices ------------------------------------------------------------------------------------

maximum = elementwise(
    "maximum",
    summary="The larger of two numbers; equal numbers share the gradient.",
    formula="Max(a, b)",
    derivative={"a": "Heaviside(a - b, 1/2)", "b": "Heaviside(b - a, 1/2)"},
    forward=lambda k, a, b: k.maximum(a, b),
    vjp={
        "a": lambda k, g, a, b: k.where(a == b, g / 2, k.where(a > b, g, 0.0)),
        "b": lambda k, g, a, b: k.where(a == b, g / 2, k.where(b > a, g, 0.0)),
    },
)

minimum = elementwise(
    "minimum",
    summary="The smaller of two numbers; equal numbers share the gradient.",
    formula="Min(a, b)",
    derivative={"a": "Heaviside(b - a, 1/2)", "b": "Heaviside(a - b, 1/2)"},
    forward=lambda k, a, b: k.minimum(a, b),
    vjp={
        "a": lambda k, g, a, b: k.where(a == b, g / 2, k.where(a < b, g, 0.0)),
        "b": lambda k, g, a, b: k.where(a == b, g / 2, k.where(b < a, g, 0.0)),
    },
)

where = elementwise(
    "where",
    summary="`a` where the condition holds, `b` elsewhere. The condition has no gradient.",
    formula="Piecewise((a, condition), (b, True))",
    derivative={
        "a": "Piecewise((1, condition), (0, True))",
        "b": "Piecewise((0, condition), (1, True))",
    },
    forward=lambda k, condition, a, b: k.where(condition, a, b),
    vjp={
        "a": lambda k, g, condition: k.where(condition, g, 0.0),
        "b": lambda k, g, condition: k.where(condition, 0.0, g),
    },
)


def _bound(value: object, name: str) -> object:
    if value is None or isinstance(value, (int, float, np.integer, np.floating)):
        return value
    raise DtypeError(
        f"clip: {name} must be a number or None, got {describe(value)}; for bounds that are "
        "tensors use cr.maximum and cr.minimum"
    )


clip = operation(
    "clip",
    summary="Numbers held between two bounds (numbers, or None); 0 gradient beyond them.",
    formula="min(max(x, low), high)",
    derivative="1 for low <= x <= high, 0 elsewhere",
    forward=lambda k, x, *, low=None, high=None: k.clip(
        x, _bound(low, "low"), _bound(high, "high")
    ),
    vjp=lambda k, g, x, low, high: k.where(
        (x >= (-math.inf if low is None else low)) * (x <= (math.inf if high is None else high)),
        g,
        0.0,
    ),
)

# Comparisons, which have no gradient --------------------------------------------------------

equal = operation(
    "equal", summary="a == b, element by element.", forward=lambda k, a, b: k.equal(a, b)
)
not_equal = operation(
    "not_equal", summary="a != b, element by element.", forward=lambda k, a, b: k.not_equal(a, b)
)
less = operation("less", summary="a < b, element by element.", forward=lambda k, a, b: k.less(a, b))
less_equal = operation(
    "less_equal", summary="a <= b, element by element.", forward=lambda k, a, b: k.less_equal(a, b)
)
greater = operation(
    "greater", summary="a > b, element by element.", forward=lambda k, a, b: k.greater(a, b)
)
greater_equal = operation(
    "greater_equal",
    summary="a >= b, element by element.",
    forward=lambda k, a, b: k.greater_equal(a, b),
)
logical_not = operation(
    "logical_not", summary="not x, element by element.", forward=lambda k, x: k.logical_not(x)
)
isfinite = operation(
    "isfinite",
    summary="Is it neither infinite nor NaN? Element by element.",
    forward=lambda k, x: k.isfinite(x),
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
)
