"""Elementwise: operations that choose between numbers."""

from __future__ import annotations

import math

import numpy as np

from ..cases import case
from ..errors import DtypeError, describe
from ..record import elementwise, operation

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
    cases=[case(np.array([[True, False, True], [False, False, True]]), (2, 3), (2, 3))],
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
    methods=("clip",),
    cases=[case((6,), low=-1.03, high=1.03), case((4,), low=0.52), case((4,), high=0.0)],
)
