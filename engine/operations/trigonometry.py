"""Elementwise: trigonometric and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

import math
from typing import Any

from ..definitions import elementwise
from .choices import pick

_inside = (-0.9, 0.9)
_positive = (0.1, 5.0)


sin = elementwise(
    "sin",
    summary="The sine of an angle in radians.",
    formula="sin(x)",
    derivative="cos(x)",
    forward=lambda k, x: k.sin(x),
    vjp=lambda k, g, x: g * k.cos(x),
    methods=("sin",),
)

cos = elementwise(
    "cos",
    summary="The cosine of an angle in radians.",
    formula="cos(x)",
    derivative="-sin(x)",
    forward=lambda k, x: k.cos(x),
    vjp=lambda k, g, x: -g * k.sin(x),
    methods=("cos",),
)

tan = elementwise(
    "tan",
    summary="The tangent of an angle in radians.",
    formula="tan(x)",
    derivative="1 + tan(x)**2",
    forward=lambda k, x: k.tan(x),
    vjp=lambda k, g, y: g * (1 + y * y),
    domain={"x": (-1.4, 1.4)},
    methods=("tan",),
)

asin = elementwise(
    "asin",
    summary="The angle from -π/2 to π/2 whose sine is a number from -1 to 1.",
    formula="asin(x)",
    derivative="1 / sqrt(1 - x**2)",
    forward=lambda k, x: k.asin(x),
    # Not (1 - x) * (1 + x): its second derivative is NaN at 1, and loses small x.
    vjp=lambda k, g, x: g / k.sqrt(1 - x * x),
    domain={"x": _inside},
    methods=("asin",),
)

acos = elementwise(
    "acos",
    summary="The angle from 0 to π whose cosine is a number from -1 to 1.",
    formula="acos(x)",
    derivative="-1 / sqrt(1 - x**2)",
    forward=lambda k, x: k.acos(x),
    vjp=lambda k, g, x: -g / k.sqrt(1 - x * x),
    domain={"x": _inside},
    methods=("acos",),
)


def _over_square(k: Any, g: Any, x: Any) -> Any:
    """g / (1 + x**2), in which the square cannot overflow."""
    length = k.hypot(1.0, x)
    return g / length / length


atan = elementwise(
    "atan",
    summary="The angle from -π/2 to π/2 whose tangent is a number.",
    formula="atan(x)",
    derivative="1 / (1 + x**2)",
    forward=lambda k, x: k.atan(x),
    vjp=lambda k, g, x: _over_square(k, g, x),
    methods=("atan",),
)


def _turn(k: Any, a: Any, b: Any) -> Any:
    """b / (a**2 + b**2), without overflow: what atan2(a, b) turns by, per change of a."""
    length = k.hypot(a, b)
    length = k.where(length == 0, 1.0, length)
    return pick(k, abs(b) == math.inf, 0.0, b) / length / length


atan2 = elementwise(
    "atan2",
    summary="The angle from -π to π of the point (b, a), counted from the positive axis of b.",
    formula="atan2(a, b)",
    derivative={"a": "b / (a**2 + b**2)", "b": "-a / (a**2 + b**2)"},
    forward=lambda k, a, b: k.atan2(a, b),
    vjp={
        "a": lambda k, g, a, b: g * _turn(k, a, b),
        "b": lambda k, g, a, b: -g * _turn(k, b, a),
    },
    domain={"b": _positive},
    notes="""
    The ordinate comes first, as everywhere. The angle jumps where a = 0 and b < 0; its gradient
    does not. At the origin, where there is none, the gradient is 0.
    """,
    methods=("atan2",),
)


def _cosine(k: Any, y: Any, a: Any) -> Any:
    """a / hypot(a, b): 0 at the origin, and ±1 where a is infinite."""
    infinite = abs(a) == math.inf
    inside = pick(k, infinite, 0.0, a) / k.where(y == 0, 1.0, y)
    return k.where(infinite, k.sign(a), inside)


hypot = elementwise(
    "hypot",
    summary="The distance of the point (a, b) from the origin; its squares cannot overflow.",
    formula="sqrt(a**2 + b**2)",
    derivative={"a": "a / sqrt(a**2 + b**2)", "b": "b / sqrt(a**2 + b**2)"},
    forward=lambda k, a, b: k.hypot(a, b),
    vjp={
        "a": lambda k, g, y, a: g * _cosine(k, y, a),
        "b": lambda k, g, y, b: g * _cosine(k, y, b),
    },
    domain={"b": _positive},
    notes="""
    At the origin, where there is no gradient, it is 0, the mean of all directions; for an infinite
    argument it is 1 or -1 (PyTorch gives NaN at both).
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.hypot(cr.tensor([3.0, -1e200]), [4.0, 0.0]).tolist()
    [5.0, 1e+200]
    """,
    methods=("hypot",),
)

sinh = elementwise(
    "sinh",
    summary="The hyperbolic sine.",
    formula="(exp(x) - exp(-x)) / 2",
    derivative="cosh(x)",
    forward=lambda k, x: k.sinh(x),
    vjp=lambda k, g, x: g * k.cosh(x),
    methods=("sinh",),
)

cosh = elementwise(
    "cosh",
    summary="The hyperbolic cosine.",
    formula="(exp(x) + exp(-x)) / 2",
    derivative="sinh(x)",
    forward=lambda k, x: k.cosh(x),
    vjp=lambda k, g, x: g * k.sinh(x),
    methods=("cosh",),
)

asinh = elementwise(
    "asinh",
    summary="The number whose hyperbolic sine is a number.",
    formula="asinh(x)",
    derivative="1 / sqrt(1 + x**2)",
    forward=lambda k, x: k.asinh(x),
    vjp=lambda k, g, x: g / k.hypot(1.0, x),
    methods=("asinh",),
)

acosh = elementwise(
    "acosh",
    summary="The positive number whose hyperbolic cosine is a number of at least 1.",
    formula="acosh(x)",
    derivative="1 / sqrt(x**2 - 1)",
    forward=lambda k, x: k.acosh(x),
    # Two roots: the square would overflow, and make a number below -1 look like one above 1.
    vjp=lambda k, g, x: g / k.sqrt(x - 1) / k.sqrt(x + 1),
    domain={"x": (1.1, 5.0)},
    methods=("acosh",),
)

atanh = elementwise(
    "atanh",
    summary="The number whose hyperbolic tangent is a number from -1 to 1.",
    formula="atanh(x)",
    derivative="1 / (1 - x**2)",
    forward=lambda k, x: k.atanh(x),
    vjp=lambda k, g, x: g / (1 - x * x),
    domain={"x": _inside},
    methods=("atanh",),
)
