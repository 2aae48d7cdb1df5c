"""Elementwise: comparisons, questions, and what combines their answers; none has a gradient."""

from __future__ import annotations

from ..definitions import operation

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
    summary="not x, element by element; numbers other than 0, NaN too, count as true.",
    forward=lambda k, x: k.logical_not(x),
    methods=("logical_not",),
)
logical_and = operation(
    "logical_and",
    summary="a and b, element by element; numbers other than 0, NaN too, count as true.",
    forward=lambda k, a, b: k.logical_and(a, b),
    methods=("logical_and",),
)
logical_or = operation(
    "logical_or",
    summary="a or b, element by element; numbers other than 0, NaN too, count as true.",
    forward=lambda k, a, b: k.logical_or(a, b),
    methods=("logical_or",),
)
logical_xor = operation(
    "logical_xor",
    summary="Either a or b, not both; numbers other than 0, NaN too, count as true.",
    forward=lambda k, a, b: k.logical_xor(a, b),
    methods=("logical_xor",),
)

_WHOLE = "Raises DtypeError for floating arguments, which have no bits to speak of."

bitwise_and = operation(
    "bitwise_and",
    summary="a & b: `and` of booleans, or of the binary digits of integers.",
    forward=lambda k, a, b: k.bitwise_and(a, b),
    notes=_WHOLE,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([0.5, 1.5, 2.5])
    >>> ((x > 1) & (x < 2)).tolist()
    [False, True, False]
    """,
    methods=("__and__", "__rand__"),
)
bitwise_or = operation(
    "bitwise_or",
    summary="a | b: `or` of booleans, or of the binary digits of integers.",
    forward=lambda k, a, b: k.bitwise_or(a, b),
    notes=_WHOLE,
    methods=("__or__", "__ror__"),
)
bitwise_xor = operation(
    "bitwise_xor",
    summary="a ^ b: either, not both, of booleans, or of the binary digits of integers.",
    forward=lambda k, a, b: k.bitwise_xor(a, b),
    notes=_WHOLE,
    methods=("__xor__", "__rxor__"),
)
bitwise_invert = operation(
    "bitwise_invert",
    summary="`~x`: not, of booleans or of the binary digits of integers.",
    forward=lambda k, x: k.bitwise_invert(x),
    notes=_WHOLE,
    methods=("__invert__",),
)

isfinite = operation(
    "isfinite",
    summary="Is it neither infinite nor NaN? Element by element.",
    forward=lambda k, x: k.isfinite(x),
    methods=("isfinite",),
)
isinf = operation(
    "isinf",
    summary="Is it infinite, with either sign? Element by element.",
    forward=lambda k, x: k.isinf(x),
    methods=("isinf",),
)
isnan = operation(
    "isnan",
    summary="Is it NaN (not a number)? Element by element.",
    forward=lambda k, x: k.isnan(x),
    methods=("isnan",),
)
