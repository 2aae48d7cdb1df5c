"""Elementwise: trigonometric and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

from ..record import elementwise

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
