"""Roots and sums of squares along axes: variance, standard deviation, and the vector norms."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from ..kernels.normalizations import centered
from ..placing import certain
from .reductions import axes_of, checked_axes, count, floating, reduction, share, spread


def _divisor(name: str, x: Any, axes: tuple[int, ...], correction: Any) -> Any:
    """n - correction, by which the sum of squares is divided."""
    if isinstance(correction, (bool, np.bool_)) or not isinstance(
        correction, (int, float, np.integer, np.floating)
    ):
        raise DtypeError(f"{name}: correction must be a number, got {describe(correction)}")
    n = count(x.shape, axes)
    empty = 0 in [length for i, length in enumerate(x.shape) if i not in axes]
    if not n - correction > 0 and not empty:
        raise ShapeError(
            f"{name}: correction={correction} leaves nothing to divide by, since n = {n} along "
            f"axis={axes}; x has {describe(x)}; reduce more elements, or give a smaller correction"
        )
    return n - float(correction) if n - correction > 0 else 1.0


def _var(k: Any, x: Any, axis: Any, keepdims: bool, correction: Any) -> Any:
    axes = checked_axes("var", x, axis)
    divisor = _divisor("var", x, axes, correction)
    apart = centered(k, floating(x), axes)
    return k.sum(apart * apart, axes, keepdims) / divisor


def _var_vjp(k: Any, g: Any, x: Any, axis: Any, keepdims: bool, correction: Any) -> Any:
    axes = axes_of(axis, x.ndim)
    weight = g * 2 / _divisor("var", x, axes, correction)
    return spread(k, weight, x.shape, axis, keepdims) * centered(k, x, axes)


_CORRECTION = """
`correction` is subtracted from n: 0 gives the population's, 1 the sample's (NumPy calls it
ddof). Raises ShapeError if it leaves nothing to divide by, where NumPy warns and gives NaN or
infinity; and errors for `axis` as `sum` does.
"""

var = operation(
    "var",
    summary="The variance of the elements along axes.",
    formula="y = Σ_i (x[i] - m)² / (n - correction), with m the mean",
    derivative="∂y/∂x[i] = 2 (x[i] - m) / (n - correction)",
    forward=lambda k, x, *, axis=None, correction=0, keepdims=False: reduction(
        "var", partial(_var, correction=correction)
    )(k, x, axis=axis, keepdims=keepdims),
    vjp=_var_vjp,
    notes=_CORRECTION,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0, 3.0])
    >>> round(x.var().item(), 6), x.var(correction=1).item()
    (0.666667, 1.0)
    """,
    methods=("var",),
    cases=[
        case((2, 3), axis=1, correction=1),
        case((2, 2), keepdims=True),
        case((2, 2, 2), axis=(0, -1), correction=0.5),
        case((1, 2), axis=0),
        case((0, 0), axis=0),
        case((), symbolic=False),
    ],
)


def _std(k: Any, x: Any, axis: Any, keepdims: bool, correction: Any) -> Any:
    axes = checked_axes("std", x, axis)
    divisor = _divisor("std", x, axes, correction)
    return _root_of_squares(k, centered(k, floating(x), axes), axes, keepdims, divisor)


def _std_vjp(k: Any, g: Any, y: Any, x: Any, axis: Any, keepdims: bool, correction: Any) -> Any:
    axes = axes_of(axis, x.ndim)
    weight = k.where(y == 0, 0.0, g / _divisor("std", x, axes, correction))
    length = spread(k, k.where(y == 0, 1.0, y), x.shape, axis, keepdims)
    # This order: the quotient is of the order of 1, also where both numbers are tiny.
    return spread(k, weight, x.shape, axis, keepdims) * (centered(k, x, axes) / length)


std = operation(
    "std",
    summary="The standard deviation of the elements along axes.",
    formula="y = √(Σ_i (x[i] - m)² / (n - correction)), with m the mean",
    derivative="∂y/∂x[i] = (x[i] - m) / ((n - correction) y), and 0 where y = 0",
    forward=lambda k, x, *, axis=None, correction=0, keepdims=False: reduction(
        "std", partial(_std, correction=correction)
    )(k, x, axis=axis, keepdims=keepdims),
    vjp=_std_vjp,
    notes=_CORRECTION
    + """
    Where all elements are equal there is no derivative; the gradients of every order are 0 there.
    Squares neither overflow nor vanish.
    """,
    methods=("std",),
    cases=[
        case((2, 3), axis=1, correction=1),
        case((3,), keepdims=True),
        case((2, 1, 2), axis=(0, 2)),
        case((0, 0), axis=0),
    ],
)

# Norms --------------------------------------------------------------------------------------


def _root_of_squares(k: Any, x: Any, axes: tuple[int, ...], keepdims: bool, divisor: Any) -> Any:
    """√(Σ x² / divisor), without overflow or underflow of the squares."""
    with np.errstate(over="ignore", under="ignore"):
        total = k.sum(x * x, axes, keepdims)
    # Between these bounds float32 too has lost none of the squares that matter.
    if x.dtype.kind == "O" or certain(((total > 1e-30) & (total < 1e30)).all()):
        return k.sqrt(total / divisor)
    return _root_of_powers(k, abs(x), axes, keepdims, 2) / math.sqrt(divisor)


def _root_of_powers(k: Any, size: Any, axes: tuple[int, ...], keepdims: bool, order: Any) -> Any:
    """(Σ size^order)^(1 / order), of numbers that are not negative.

    They are taken relative to the largest, or, for a negative order, to the smallest: its power is
    1, no other is larger, and the sum is at least 1. So nothing overflows that should not.
    """
    if not count(size.shape, axes) and order > 0:
        return k.sum(size, axes, keepdims)
    extreme = (size.max if order > 0 else size.min)(axis=axes, keepdims=True)
    one = (size == extreme) | (extreme == 0)
    ratio = k.where(one, 1.0, k.where(one, 0.0, size) / k.where(extreme == 0, 1.0, extreme))
    y = extreme * k.sum(ratio**order, axes, True) ** (1 / order)
    return y if keepdims else k.sum(y, axes, False)


def _order(order: Any) -> float:
    """The order of a norm, if it is a number."""
    if (
        isinstance(order, (bool, np.bool_))
        or not isinstance(order, (int, float, np.integer, np.floating))
        or order != order
    ):
        raise DtypeError(
            f"norm: ord must be a number (2, 1, 0, float('inf'), ...), got {describe(order)}; for "
            "the Frobenius norm of a matrix leave it at 2, over both axes"
        )
    return float(order)


def _norm(k: Any, x: Any, axis: Any, keepdims: bool, ord: Any) -> Any:
    order, axes, x = _order(ord), checked_axes("norm", x, axis), floating(x)
    if order == 2:
        return _root_of_squares(k, x, axes, keepdims, 1)
    if order == 0:
        return k.sum((x != 0).astype(x.dtype), axes, keepdims)
    if order == 1 or (order == math.inf and not count(x.shape, axes)):
        return k.sum(abs(x), axes, keepdims)
    if abs(order) == math.inf:
        return (abs(x).max if order > 0 else abs(x).min)(axis=axes, keepdims=keepdims)
    return _root_of_powers(k, abs(x), axes, keepdims, order)


def _norm_vjp(k: Any, g: Any, y: Any, x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    if ord == 1:
        return spread(k, g, x.shape, axis, keepdims) * k.sign(x)
    if abs(ord) == math.inf:
        return share(k, g, y, abs(x), axis, keepdims) * k.sign(x)
    g, y = (spread(k, each, x.shape, axis, keepdims) for each in (g, y))
    if ord == 0:
        return g * 0
    # At the origin, where y = 0, quotient and power are kept away from what is not defined.
    origin = y == 0
    slope = k.where(origin, 1.0, x) / k.where(origin, 1.0, y)
    if ord != 2:
        size = abs(slope)
        power = k.power(k.where(size == 0, 1.0, size), float(ord) - 1)
        slope = k.sign(x) * k.where(size == 0, 0.0, power)
    return k.where(origin, 0.0, g * slope)


norm = operation(
    "norm",
    summary="The vector norm of the elements along axes (the array API's vector_norm).",
    formula="y = (Σ_i |x[i]|^ord)^(1 / ord)",
    derivative="∂y/∂x[i] = sign(x[i]) (|x[i]| / y)^(ord - 1), and 0 where x[i] = 0 or y = 0",
    forward=lambda k, x, *, ord=2, axis=None, keepdims=False: reduction(
        "norm", partial(_norm, ord=ord)
    )(k, x, axis=axis, keepdims=keepdims),
    vjp=_norm_vjp,
    notes="""
    `ord` is a number: 2, 1, any other; inf and -inf give the largest and the smallest absolute
    value (equal ones share the gradient), 0 the number of elements that are not 0 (gradient 0).
    Over both axes of a matrix, ord=2 is its Frobenius norm. Powers neither overflow nor vanish.
    The norm of nothing is 0.

    At the origin there is no derivative: the gradients of every order are 0 there. So they are
    for an element that is 0 where the true one is infinite (ord < 1; second order: ord < 2). An
    infinite element has gradient NaN if ord is neither 1 nor infinite.

    Raises DtypeError if `ord` is no number, ShapeError for a negative `ord` of no elements, and
    errors for `axis` as `sum` does.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([3.0, -4.0], requires_grad=True)
    >>> x.norm().backward()
    >>> x.norm().item(), x.norm(ord=1).item(), x.grad.tolist()
    (5.0, 7.0, [0.6, -0.8])
    """,
    methods=("norm",),
    cases=[
        case((2, 3), axis=1),
        case((2, 2), keepdims=True),
        case((2, 1, 2), axis=(0, -1)),
        case((2, 3), ord=1, axis=0),
        case((2, 3), ord=math.inf, axis=1),
        case((2, 3), ord=-math.inf, axis=1, keepdims=True),
        case((2, 3), ord=0, axis=1),
        case((2, 2), ord=-1, axis=0),
        case((2,), ord=0.5, symbolic=False),
        case((3,), ord=3, symbolic=False),
        case((2, 2), ord=-1.5, axis=0, symbolic=False),
        case((0, 2), axis=0),
        case((), axis=0),
    ],
)
