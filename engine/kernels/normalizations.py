"""References of the normalisations: numbers less their mean, over their standard deviation.

Each forward returns the result and what its backward reads: the normalised numbers z, and their
weight 1 / sqrt(variance + epsilon), with the axes of the statistics kept as 1.
"""

from __future__ import annotations

import math
from typing import Any

from ..devices import reference


def length(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    """How many elements lie along axes; 1 if there are none, to divide by."""
    return math.prod([shape[i] for i in axes]) or 1


def centered(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """x less its mean along axes; exactly 0 where all elements are equal.

    The mean of three times 0.1 is not 0.1. So the first element is subtracted before the mean is
    taken: rounding is then relative to the differences, not to the numbers.
    """
    return _centered(xp, x, axes)[0] if x.ndim else x - x


def _centered(xp: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """The same, and the mean."""
    first = x[tuple(slice(0, 1) if i in axes else slice(None) for i in range(x.ndim))]
    x = x - first
    mean = xp.sum(x, axis=axes, keepdims=True) / length(x.shape, axes)
    return x - mean, first + mean


def trailing(x: Any, axes: tuple[int, ...]) -> bool:
    """Are the axes the last ones?"""
    return axes == tuple(range(x.ndim - len(axes), x.ndim))


def _standardized(xp: Any, x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    """z, its weight 1 / sqrt(variance + epsilon), the mean and the variance."""
    z, mean = _centered(xp, x, axes)
    variance = xp.sum(z * z, axis=axes, keepdims=True) / length(x.shape, axes)
    weight = 1 / xp.sqrt(variance + epsilon)
    return z * weight, weight, mean, variance


def _summed(xp: Any, value: Any, like: Any, axes: tuple[int, ...]) -> Any:
    """The gradient of a parameter that lies along the normalised axes: the sum over the others.

    That of a parameter of another shape is left to the backward pass, which undoes broadcasts.
    """
    kept = tuple(i for i in range(value.ndim) if i not in axes)
    if not trailing(value, axes) or getattr(like, "shape", ()) != value.shape[len(kept) :]:
        return value
    return xp.sum(value, axis=kept)


@reference
def layer_norm(
    xp: Any, x: Any, scale: Any, offset: Any, axes: tuple[int, ...], epsilon: float
) -> Any:
    """scale * z + offset, where z is x normalised along axes; z; and its weight."""
    z, weight, *_ = _standardized(xp, x, axes, epsilon)
    return z * scale + offset, z, weight


@reference
def layer_norm_backward(
    xp: Any, g: Any, z: Any, weight: Any, scale: Any, offset: Any, axes: tuple[int, ...]
) -> Any:
    """The gradients of x, scale and offset.

    That of x is weight * (h - mean(h) - z * mean(h * z)), with h = scale * g.
    """
    h, n = g * scale, length(z.shape, axes)
    mean = xp.sum(h, axis=axes, keepdims=True) / n
    slope = xp.sum(h * z, axis=axes, keepdims=True) / n
    return (
        (h - mean - z * slope) * weight,
        _summed(xp, g * z, scale, axes),
        _summed(xp, g, offset, axes),
    )


@reference
def batch_norm(xp: Any, x: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """scale * z + offset, where z is x normalised along all axes but the last; z; its weight.

    Beside these the mean and the variance of each feature, for running statistics.
    """
    z, weight, mean, variance = _standardized(xp, x, tuple(range(x.ndim - 1)), epsilon)
    # Of nothing the first element is missing.
    mean = mean if mean.size else variance
    return z * scale + offset, z, weight, xp.reshape(mean, (-1,)), xp.reshape(variance, (-1,))


@reference
def batch_norm_backward(xp: Any, g: Any, z: Any, weight: Any, scale: Any) -> Any:
    """The gradients of x, and of scale and offset as vectors of the features.

    With s = sum(g * z) and t = sum(g), those of scale and offset, that of x is
    scale * weight * (g - (t + z * s) / n).
    """
    axes = tuple(range(z.ndim - 1))
    n = length(z.shape, axes)
    slope, total = xp.sum(g * z, axis=axes), xp.sum(g, axis=axes)
    return (g - (z * slope + total) / n) * (weight * scale), slope, total
