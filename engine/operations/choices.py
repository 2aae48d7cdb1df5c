"""Elementwise: operations that choose between numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cases import case
from ..definitions import composition, elementwise
from ..errors import DtypeError, describe
from ..placing import constant
from ..tensor import Tensor


def pick(k: Any, condition: Any, a: Any, b: Any) -> Any:
    """`k.where`, unless the condition is Python's: then a or b as it is, a number still weak."""
    if condition is True or condition is False:
        return a if condition else b
    return k.where(condition, a, b)


maximum = elementwise(
    "maximum",
    summary="The larger of two numbers; equal numbers share the gradient.",
    formula="Max(a, b)",
    derivative={"a": "Heaviside(a - b, 1/2)", "b": "Heaviside(b - a, 1/2)"},
    forward=lambda k, a, b: k.maximum(a, b),
    vjp={
        "a": lambda k, g, a, b: k.where(a == b, g / 2, k.where(a < b, 0.0, g)),
        "b": lambda k, g, a, b: k.where(a == b, g / 2, k.where(b < a, 0.0, g)),
    },
    notes="NaN beside a number gives NaN, and both get the gradient, as in PyTorch.",
    methods=("maximum",),
)

minimum = elementwise(
    "minimum",
    summary="The smaller of two numbers; equal numbers share the gradient.",
    formula="Min(a, b)",
    derivative={"a": "Heaviside(b - a, 1/2)", "b": "Heaviside(a - b, 1/2)"},
    forward=lambda k, a, b: k.minimum(a, b),
    vjp={
        "a": lambda k, g, a, b: k.where(a == b, g / 2, k.where(b < a, 0.0, g)),
        "b": lambda k, g, a, b: k.where(a == b, g / 2, k.where(a < b, 0.0, g)),
    },
    notes="NaN beside a number gives NaN, and both get the gradient, as in PyTorch.",
    methods=("minimum",),
)


def _chosen(k: Any, condition: Any, a: Any, b: Any) -> Any:
    return k.where(constant(k, condition) if type(condition) is bool else condition, a, b)


where = elementwise(
    "where",
    summary="`a` where the condition holds, `b` elsewhere. The condition has no gradient.",
    formula="Piecewise((a, condition), (b, True))",
    derivative={
        "a": "Piecewise((1, condition), (0, True))",
        "b": "Piecewise((0, condition), (1, True))",
    },
    forward=lambda k, condition, a, b: _chosen(k, condition, a, b),
    vjp={
        "a": lambda k, g, condition: _chosen(k, condition, g, 0.0),
        "b": lambda k, g, condition: _chosen(k, condition, 0.0, g),
    },
    notes="""
    The side that is not taken gets the gradient 0, even if `g` is infinite or NaN. But where that
    side was computed from something by a function whose slope is infinite there, 0 times infinity
    is NaN: `where(x > 0, sqrt(x), 0)` at x = 0. Make what the function gets safe instead:
    `sqrt(where(x > 0, x, 1))`.
    """,
    cases=[case(np.array([[True, False, True], [False, False, True]]), (2, 3), (2, 3))],
)


def _check_bound(bound: Any, name: str) -> None:
    if bound is None or isinstance(
        bound, (int, float, Tensor, np.ndarray, np.generic, list, tuple)
    ):
        return
    raise DtypeError(
        f"clip: {name} must be a number, a Tensor, an array or None, got {describe(bound)}"
    )


def _hold(k: Any, x: Any, bound: Any, beyond: Any) -> Any:
    """The bound where x lies beyond it, or where the bound is NaN; x elsewhere."""
    missing = bound != bound  # NaN
    if missing is not False:
        beyond = k.logical_or(beyond, missing)
    return k.where(beyond, bound, x)


def _clip(k: Any, x: Any, min: Any, max: Any) -> Any:
    _check_bound(min, "min")
    _check_bound(max, "max")
    if min is None and max is None:
        return k.positive(x)
    if min is not None:
        min = np.array(min) if isinstance(min, (list, tuple)) else min
        x = _hold(k, x, min, x < min)
    if max is not None:
        max = np.array(max) if isinstance(max, (list, tuple)) else max
        x = _hold(k, x, max, x > max)
    return x


clip = composition(
    "clip",
    summary="Numbers held between two bounds: numbers, Tensors, arrays, or None.",
    formula="y = min(max(x, min), max)",
    derivative={
        "x": "1 for min <= x <= max, 0 elsewhere",
        "min": "1 for x < min <= max, 0 elsewhere",
        "max": "1 for max(x, min) > max, 0 elsewhere",
    },
    forward=lambda k, x, *, min=None, max=None: _clip(k, x, min, max),
    notes="""
    Arguments: `x`; `min`, `max`, which are broadcast with it (None: no bound on that side). Where
    min > max the result is max. On a bound the gradient is that of x, whole, as in PyTorch (not
    shared, as by `maximum` and `minimum`); beyond it, it is that of the bound, if it is a Tensor.

    Raises DtypeError for a bound that is none of these.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([-2.0, 0.5, 1.0, 3.0], requires_grad=True)
    >>> y = cr.clip(x, 0, 1)
    >>> y.backward([1.0, 2.0, 3.0, 4.0])
    >>> y.tolist(), x.grad.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0.0, 2.0, 3.0, 0.0])
    """,
    methods=("clip",),
    cases=[
        case((6,), min=-1.03, max=1.03),
        case((4,), min=0.52),
        case((4,), max=0.0),
        case(
            (2, 3),
            min=np.array([-1.0, 0.25, 1.5], np.float32),
            max=np.array([[1.25], [1.0]], np.float32),
        ),
        case((2, 3)),
    ],
)


def _real(x: Any) -> Any:
    """Integers and booleans as floats: the difference of unsigned ones would wrap around."""
    return x * 1.0 if hasattr(x, "dtype") and x.dtype.kind in "biu" else x


def _lerp(k: Any, a: Any, b: Any, weight: Any) -> Any:
    """From the nearer end, so that both ends are met exactly."""
    a, b = _real(a), _real(b)
    change = b - a
    near = abs(weight) < 0.5
    if near is True:
        return a + weight * change
    far = b - change * (1.0 - weight)
    return far if near is False else k.where(near, a + weight * change, far)


lerp = elementwise(
    "lerp",
    summary="Between a and b (or beyond) on a straight line: a for weight 0, b for weight 1.",
    formula="a + weight * (b - a)",
    derivative={"a": "1 - weight", "b": "weight", "weight": "b - a"},
    forward=lambda k, a, b, weight: _lerp(k, a, b, weight),
    vjp={
        "a": lambda k, g, weight: g * (1.0 - weight),
        "b": lambda k, g, weight: g * weight,
        "weight": lambda k, g, a, b: g * (_real(b) - _real(a)),
    },
    example="""
    >>> import chainrule as cr
    >>> cr.lerp(cr.tensor([0.0, 10.0]), [1.0, 20.0], 0.25).tolist()
    [0.25, 12.5]
    """,
    methods=("lerp",),
)
