"""Elementwise: the activation functions of networks (DERIVATIONS 4.1)."""

from __future__ import annotations

from ..record import elementwise

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
    methods=("relu",),
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
    methods=("sigmoid",),
)

tanh = elementwise(
    "tanh",
    summary="The hyperbolic tangent, from -1 to 1; cannot overflow.",
    formula="(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
    derivative="1 - tanh(x)**2",
    forward=lambda k, x: k.tanh(x),
    vjp=lambda k, g, y: g * (1 - y * y),
    methods=("tanh",),
)

softplus = elementwise(
    "softplus",
    summary="log(1 + exp(x)), a smooth relu; cannot overflow.",
    formula="log(1 + exp(x))",
    derivative="1 / (1 + exp(-x))",
    forward=lambda k, x: k.softplus(x),
    vjp=lambda k, g, x: g * k.sigmoid(x),
)
