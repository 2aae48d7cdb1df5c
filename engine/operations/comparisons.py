"""Elementwise: comparisons and questions, which have no gradient."""

from __future__ import annotations

from ..record import operation

equal = operation(
    "equal",
    summary="a == b, element by element.",
    forward=lambda k, a, b: k.equal(a, b),
    methods=("__eq__",),
)
not_equal = operation(
    "not_equal",
    summary="a != b, element by element.",
    forward=lambda k, a, b: k.not_equal(a, b),
    methods=("__ne__",),
)
less = operation(
    "less",
    summary="a < b, element by element.",
    forward=lambda k, a, b: k.less(a, b),
    methods=("__lt__",),
)
less_equal = operation(
    "less_equal",
    summary="a <= b, element by element.",
    forward=lambda k, a, b: k.less_equal(a, b),
    methods=("__le__",),
)
greater = operation(
    "greater",
    summary="a > b, element by element.",
    forward=lambda k, a, b: k.greater(a, b),
    methods=("__gt__",),
)
greater_equal = operation(
    "greater_equal",
    summary="a >= b, element by element.",
    forward=lambda k, a, b: k.greater_equal(a, b),
    methods=("__ge__",),
)
logical_not = operation(
    "logical_not",
    summary="not x, element by element.",
    forward=lambda k, x: k.logical_not(x),
    methods=("__invert__",),
)
isfinite = operation(
    "isfinite",
    summary="Is it neither infinite nor NaN? Element by element.",
    forward=lambda k, x: k.isfinite(x),
)
