"""Reductions along `axis`: an int, a tuple of ints, or None for all; `keepdims` keeps them as 1."""

from __future__ import annotations

from typing import Any

from ..cases import case
from ..record import operation


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes meant by `axis`, counted from 0."""
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(each % ndim for each in axes) if ndim else ()


def spread(k: Any, value: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """A reduced value, repeated along the axes of `shape` over which it had been reduced."""
    if not keepdims and axis is not None:
        reduced = axes_of(axis, len(shape))
        value = k.reshape(value, tuple(1 if i in reduced else n for i, n in enumerate(shape)))
    return k.broadcast_to(value, shape)


def count(shape: tuple[int, ...], axis: Any) -> int:
    """How many elements are reduced to one."""
    total = 1
    for each in axes_of(axis, len(shape)):
        total *= shape[each]
    return total


def _share(k: Any, g: Any, y: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """The gradient of an extreme value, shared equally among the elements that equal it."""
    extreme = spread(k, y, x.shape, axis, keepdims)
    # Where the extreme is NaN, the NaN elements are those that equal it.
    hit = k.where(extreme == extreme, x == extreme, x != x).astype(x.dtype)
    hits = k.sum(hit, axis=axis, keepdims=True)
    return spread(k, g, x.shape, axis, keepdims) * (hit / hits)


sum = operation(
    "sum",
    summary="The sum of the elements along axes.",
    formula="y = Σ_i x[i]",
    derivative="∂y/∂x[i] = 1",
    forward=lambda k, x, *, axis=None, keepdims=False: k.sum(x, axis, keepdims),
    vjp=lambda k, g, x_shape, axis, keepdims: spread(k, g, x_shape, axis, keepdims),
    methods=("sum",),
    cases=[
        case((2, 3), axis=1),
        case((2, 3), axis=None),
        case((2, 3), axis=(0, -1), keepdims=True),
        case((2, 3), axis=()),
        case((0, 3), axis=0),
        case(()),
        case((), axis=-1),
    ],
)

mean = operation(
    "mean",
    summary="The mean of the elements along axes.",
    formula="y = Σ_i x[i] / n",
    derivative="∂y/∂x[i] = 1 / n",
    forward=lambda k, x, *, axis=None, keepdims=False: x.mean(axis=axis, keepdims=keepdims),
    vjp=lambda k, g, x_shape, axis, keepdims: spread(
        k, g / count(x_shape, axis), x_shape, axis, keepdims
    ),
    methods=("mean",),
    cases=[
        case((2, 3), axis=0),
        case((2, 3), axis=None, keepdims=True),
        case((2, 1, 3), axis=(0, -1)),
    ],
)

max = operation(
    "max",
    summary="The largest element along axes; equal largest ones share the gradient.",
    formula="y = max_i x[i]",
    derivative="∂y/∂x[i] = [x[i] = y] / (number of elements equal to y)",
    forward=lambda k, x, *, axis=None, keepdims=False: x.max(axis=axis, keepdims=keepdims),
    vjp=lambda k, g, y, x, axis, keepdims: _share(k, g, y, x, axis, keepdims),
    methods=("max",),
    cases=[case((2, 3), axis=1), case((2, 3)), case((4,), keepdims=True)],
)

min = operation(
    "min",
    summary="The smallest element along axes; equal smallest ones share the gradient.",
    formula="y = min_i x[i]",
    derivative="∂y/∂x[i] = [x[i] = y] / (number of elements equal to y)",
    forward=lambda k, x, *, axis=None, keepdims=False: x.min(axis=axis, keepdims=keepdims),
    vjp=lambda k, g, y, x, axis, keepdims: _share(k, g, y, x, axis, keepdims),
    methods=("min",),
    cases=[case((3, 2), axis=0, keepdims=True), case((2, 3))],
)

argmax = operation(
    "argmax",
    summary="The index of the largest element (the first of equals) along an axis.",
    forward=lambda k, x, *, axis=None, keepdims=False: k.argmax(x, axis=axis, keepdims=keepdims),
    methods=("argmax",),
)

argmin = operation(
    "argmin",
    summary="The index of the smallest element (the first of equals) along an axis.",
    forward=lambda k, x, *, axis=None, keepdims=False: k.argmin(x, axis=axis, keepdims=keepdims),
    methods=("argmin",),
)

softmax = operation(
    "softmax",
    summary="Positive numbers along an axis that sum to 1; cannot overflow.",
    formula="y[i] = exp(x[i]) / Σ_j exp(x[j])",
    derivative="∂y[i]/∂x[j] = y[i] ([i = j] - y[j])",
    forward=lambda k, x, *, axis=-1: k.softmax(x, axis),
    vjp=lambda k, g, y, axis: y * (g - k.sum(g * y, axis=axis, keepdims=True)),
    methods=("softmax",),
    cases=[case((2, 3)), case((3, 2), axis=0), case((1,))],
)

log_softmax = operation(
    "log_softmax",
    summary="The logarithm of softmax along an axis, finite for finite numbers.",
    formula="y[i] = x[i] - log Σ_j exp(x[j])",
    derivative="∂y[i]/∂x[j] = [i = j] - exp(y[j])",
    forward=lambda k, x, *, axis=-1: k.log_softmax(x, axis),
    vjp=lambda k, g, y, axis: g - k.exp(y) * k.sum(g, axis=axis, keepdims=True),
    methods=("log_softmax",),
    cases=[case((2, 3)), case((3, 2), axis=0), case((2, 2, 2), axis=1)],
)
