"""Elementwise: exponentials and logarithms."""

from __future__ import annotations

from ..record import elementwise

_positive = (0.1, 5.0)


exp = elementwise(
    "exp",
    summary="e to the power of a number.",
    formula="exp(x)",
    derivative="exp(x)",
    forward=lambda k, x: k.exp(x),
    vjp=lambda k, g, y: g * y,
    methods=("exp",),
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
