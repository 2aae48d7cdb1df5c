"""Elementwise: exponentials and logarithms."""

from __future__ import annotations

import math
from typing import Any

from ..definitions import elementwise
from .choices import pick

_positive = (0.1, 5.0)
_LOG_2, _LOG_10 = math.log(2.0), math.log(10.0)


exp = elementwise(
    "exp",
    summary="e to the power of a number.",
    formula="exp(x)",
    derivative="exp(x)",
    forward=lambda k, x: k.exp(x),
    vjp=lambda k, g, y: g * y,
    methods=("exp",),
)

exp2 = elementwise(
    "exp2",
    summary="2 to the power of a number.",
    formula="2**x",
    derivative="2**x * log(2)",
    forward=lambda k, x: k.exp2(x),
    vjp=lambda k, g, y: g * (y * _LOG_2),
    methods=("exp2",),
)

expm1 = elementwise(
    "expm1",
    summary="exp(x) - 1, exact for small x too.",
    formula="exp(x) - 1",
    derivative="exp(x)",
    forward=lambda k, x: k.expm1(x),
    # Not y + 1, in which exp(x) is lost where y is nearly -1.
    vjp=lambda k, g, x: g * k.exp(x),
    methods=("expm1",),
)

log = elementwise(
    "log",
    summary="The natural logarithm.",
    formula="log(x)",
    derivative="1 / x",
    forward=lambda k, x: k.log(x),
    vjp=lambda k, g, x: g / x,
    domain={"x": _positive},
    methods=("log",),
)

log2 = elementwise(
    "log2",
    summary="The logarithm to base 2.",
    formula="log(x) / log(2)",
    derivative="1 / (x * log(2))",
    forward=lambda k, x: k.log2(x),
    vjp=lambda k, g, x: g / (x * _LOG_2),
    domain={"x": _positive},
    methods=("log2",),
)

log10 = elementwise(
    "log10",
    summary="The logarithm to base 10.",
    formula="log(x) / log(10)",
    derivative="1 / (x * log(10))",
    forward=lambda k, x: k.log10(x),
    vjp=lambda k, g, x: g / (x * _LOG_10),
    domain={"x": _positive},
    methods=("log10",),
)

log1p = elementwise(
    "log1p",
    summary="log(1 + x), exact for small x too.",
    formula="log(1 + x)",
    derivative="1 / (1 + x)",
    forward=lambda k, x: k.log1p(x),
    vjp=lambda k, g, x: g / (1 + x),
    domain={"x": (-0.9, 5.0)},
    methods=("log1p",),
)


def _portion(k: Any, a: Any, b: Any) -> Any:
    """exp(a) / (exp(a) + exp(b)); infinities that are equal count as equal numbers."""
    same = k.logical_and(a == b, abs(a) == math.inf)
    return k.sigmoid(pick(k, same, 0.0, a) - pick(k, same, 0.0, b))


logaddexp = elementwise(
    "logaddexp",
    summary="The logarithm of a sum of two exponentials; cannot overflow.",
    formula="log(exp(a) + exp(b))",
    derivative={
        "a": "exp(a) / (exp(a) + exp(b))",
        "b": "exp(b) / (exp(a) + exp(b))",
    },
    forward=lambda k, a, b: k.logaddexp(a, b),
    vjp={
        "a": lambda k, g, a, b: g * _portion(k, a, b),
        "b": lambda k, g, a, b: g * _portion(k, b, a),
    },
    notes="""
    With probabilities kept as logarithms it adds them: -inf is the logarithm of 0, and two of
    these give -inf. Equal infinities get half of the gradient each (PyTorch gives NaN).
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.logaddexp(cr.tensor([1e4, -1e4]), [-1e4, 1e4]).tolist()
    [10000.0, 10000.0]
    """,
    methods=("logaddexp",),
)
