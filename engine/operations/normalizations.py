"""Normalisations: each row, or each feature of a batch, with mean 0 and variance 1."""

from __future__ import annotations

import math
from typing import Any

from ..arguments import number
from ..cases import case
from ..definitions import operation
from ..errors import DtypeError, ShapeError, describe
from ..kernels.normalizations import centered, length
from ..record import tensor_functions as F
from .reductions import axes_of, checked_axes, floating


def _epsilon(name: str, epsilon: Any) -> Any:
    value = number(name, "epsilon", epsilon)
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: epsilon must not be negative, nor infinite, got {epsilon}")
    return value


def _fits(name: str, argument: str, value: Any, x: Any, what: str) -> None:
    """Refuses a scale or an offset that would make the result larger than x."""
    shape = getattr(value, "shape", ())
    tail = x.shape[x.ndim - len(shape) :] if len(shape) <= x.ndim else None
    if tail is None or any(n not in (1, m) for n, m in zip(shape, tail, strict=True)):
        raise ShapeError(
            f"{name}: {argument} must be {what}, got {argument} with {describe(value)} for x with "
            f"{describe(x)}"
        )


def _defined(x: Any, scale: Any, offset: Any, axes: tuple[int, ...], epsilon: Any) -> Any:
    """Both operations, as compositions of others."""
    apart = centered(F, floating(x), axes)
    variance = F.sum(apart * apart, axis=axes, keepdims=True) / length(x.shape, axes)
    return apart / F.sqrt(variance + epsilon) * scale + offset


# Rows ---------------------------------------------------------------------------------------


def _layer_norm(k: Any, x: Any, scale: Any, offset: Any, axis: Any, epsilon: Any) -> Any:
    if not x.ndim:
        raise ShapeError("layer_norm: x must have an axis to normalise along, got a number")
    axes = tuple(sorted(checked_axes("layer_norm", x, axis)))
    epsilon = _epsilon("layer_norm", epsilon)
    what = "a number, or of the shape of the normalised axes, or broadcast to x"
    _fits("layer_norm", "scale", scale, x, what)
    _fits("layer_norm", "offset", offset, x, what)
    y, z, weight = k.layer_norm(floating(x), scale, offset, axes, epsilon)
    return y, (z, weight)


def _layer_norm_vjp(
    k: Any, g: Any, needed: Any, residuals: Any, scale: Any, offset: Any, axis: Any
) -> Any:
    z, weight = residuals
    axes = tuple(sorted(axes_of(axis, z.ndim)))
    return k.layer_norm_backward(g, z, weight, scale, offset, axes)


layer_norm = operation(
    "layer_norm",
    summary="The elements along axes with mean 0 and variance 1, times scale, plus offset.",
    formula="y = scale z + offset, z = (x - m) w, w = 1 / √(v + epsilon), with m and v mean and "
    "variance along the axes",
    derivative={
        "x": "w (h - mean(h) - z mean(h z)), with h = g scale",
        "scale": "Σ g z over the other axes",
        "offset": "Σ g over the other axes",
    },
    forward=lambda k, x, scale, offset, *, axis=-1, epsilon=1e-5: _layer_norm(
        k, x, scale, offset, axis, epsilon
    ),
    joint=_layer_norm_vjp,
    definition=lambda x, scale, offset, *, axis, epsilon: _defined(
        x, scale, offset, axes_of(axis, x.ndim), epsilon
    ),
    notes="""
    Arguments: `x`, at least one axis; `scale` and `offset`, of the shape of the normalised axes
    (where these are the last ones), or broadcast to x; 1.0 and 0.0 leave them out. `axis`, an int
    or a tuple; `epsilon`, added to the variance, which is the population's (divided by n).

    Elements that are all equal give exactly `offset`. Statistics are taken of the differences from
    the first element, so that numbers far from 0 lose nothing.

    Raises ShapeError for a scale or offset that does not fit, ValueError for a negative epsilon,
    and errors for `axis` as `sum` does.

    Source: Ba, Kiros and Hinton 2016, Layer Normalization, eq. 4.
    """,
    example="""
    >>> import chainrule as cr
    >>> y = cr.layer_norm([[1.0, 3.0], [1000.0, 1000.0]], 2.0, 0.5, epsilon=0.0001)
    >>> y.numpy().round(3).tolist()
    [[-1.5, 2.5], [0.5, 0.5]]
    """,
    cases=[
        case((2, 2), (2,), (2,), epsilon=0.25),
        case((1, 3), 1, 0, epsilon=0.25),
        case((3, 4), (4,), (4,), symbolic=False),
        case((2, 2, 3), (2, 3), (2, 3), axis=(-2, -1), symbolic=False),
        case((2, 3, 2), (3, 1), (1, 2), axis=1, symbolic=False),
        case((3,), (3,), 1, epsilon=0.0, symbolic=False),
        case((0, 2), (2,), (2,)),
        case((2, 0), (0,), (0,)),
    ],
)

# Batches ------------------------------------------------------------------------------------


def _batch_norm(
    k: Any, x: Any, scale: Any, offset: Any, epsilon: Any, statistics: Any
) -> tuple[Any, Any]:
    if x.ndim < 2:
        raise ShapeError(
            f"batch_norm: x must have at least 2 axes, (batch, features), got {describe(x)}"
        )
    if statistics is not None and not callable(statistics):
        raise DtypeError(
            "batch_norm: statistics must be a function of (mean, variance), or None, got "
            f"{describe(statistics)}"
        )
    epsilon = _epsilon("batch_norm", epsilon)
    for argument, value in (("scale", scale), ("offset", offset)):
        if getattr(value, "shape", ()) not in ((), x.shape[-1:]):
            raise ShapeError(
                f"batch_norm: {argument} must be a number, or of shape {x.shape[-1:]}, the last "
                f"axis of x, got {argument} with {describe(value)} for x with {describe(x)}"
            )
    y, z, weight, mean, variance = k.batch_norm(floating(x), scale, offset, epsilon)
    if statistics is not None:
        statistics(mean, variance)
    return y, (z, weight)


batch_norm = operation(
    "batch_norm",
    summary="Each feature with mean 0 and variance 1 over the batch, times scale, plus offset.",
    formula="y = scale z + offset, z = (x - m) w, w = 1 / √(v + epsilon), with m and v mean and "
    "variance of each feature, along all axes but the last",
    derivative={
        "x": "scale w (g - (Σ g + z Σ g z) / n), with n the number of elements of a feature",
        "scale": "Σ g z over all axes but the last",
        "offset": "Σ g over all axes but the last",
    },
    forward=lambda k, x, scale, offset, *, epsilon=1e-3, statistics=None: _batch_norm(
        k, x, scale, offset, epsilon, statistics
    ),
    joint=lambda k, g, needed, residuals, scale: k.batch_norm_backward(g, *residuals, scale),
    definition=lambda x, scale, offset, *, epsilon, statistics: _defined(
        x, scale, offset, tuple(range(x.ndim - 1)), epsilon
    ),
    notes="""
    Arguments: `x`, (batch, ..., features); `scale` and `offset`, (features,); 1.0 and 0.0 leave
    them out. `epsilon`, added to the variance, which is the population's (divided by n).
    `statistics`, a function that is called with the arrays of means and variances, each of shape
    (features,), whenever the operation is computed: for running averages.

    This is the form for training; with running averages in place of the batch's statistics the
    formula is elementwise. A feature that is the same everywhere gives exactly `offset`.

    Raises ShapeError for an x without features, and for a scale or offset of another shape;
    ValueError for a negative epsilon.

    Source: Ioffe and Szegedy 2015, Batch Normalization, Algorithm 1; the gradients of section 3,
    collected.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = [[1.0, 7.0], [3.0, 7.0]]
    >>> y = cr.batch_norm(x, 1.0, 0.0, epsilon=0.0001, statistics=lambda m, v: print(m, v))
    [2. 7.] [1. 0.]
    >>> y.numpy().round(3).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """,
    cases=[
        case((2, 2), (2,), (2,), epsilon=0.25),
        case((3, 1), 1, 0, epsilon=0.25),
        case((4, 3), (3,), (3,), symbolic=False),
        case((2, 3, 2), (2,), (2,), symbolic=False),
        case((3, 2), (), 1, symbolic=False),
        case((0, 2), (2,), (2,)),
        case((2, 0), (0,), (0,)),
    ],
)
