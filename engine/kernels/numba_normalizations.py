"""Normalisations compiled by Numba: the references' passes over memory, row by row in the cache.

Measured on one core of a Zen 5 in float32, in µs, the reference against these loops, forward and
backward, for 1,024 rows of 128 and 4,096 rows of 512:

    layer_norm   180 + 225 / 41 + 30     2,800 + 4,400 / 475 + 550
    batch_norm   145 + 135 / 45 + 37     2,250 + 2,400 / 900 + 830

Loading Numba and the compiled loops takes about 0.6 s, which layer_norm earns back in 1,800 steps
of the smaller size. Whether a call is compiled depends on the shapes and dtypes alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import REFERENCE, get_device
from .blocks import empty
from .normalizations import trailing
from .numba_products import DTYPES

#: Elements of x: fewer are left to the reference.
THRESHOLDS = dict.fromkeys(
    ("layer_norm", "layer_norm_backward", "batch_norm", "batch_norm_backward"), 32_768
)


def layer_norm(
    x: Any, scale: Any, offset: Any, axes: tuple[int, ...], epsilon: float
) -> tuple[Any, Any, Any]:
    """scale * z + offset, where z is x normalised along axes; z; and its weight."""
    if not _fit("layer_norm", x, (scale, offset), axes):
        return _reference("layer_norm", x, scale, offset, axes, epsilon)
    from .compiled import normalizations as compiled

    rows = _rows(x, axes)
    y, z, weight = empty(x.shape, x.dtype), empty(x.shape, x.dtype), _kept(x, axes)
    outputs = (y.reshape(rows.shape), z.reshape(rows.shape), weight.reshape(-1))
    parameters = (*map(_flat, (scale, offset)), np.array([epsilon], x.dtype))
    compiled.layer_norm(x.dtype)(rows, *parameters, *outputs)
    return y, z, weight


def layer_norm_backward(
    g: Any, z: Any, weight: Any, scale: Any, offset: Any, axes: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """The gradients of x, scale and offset."""
    if g.dtype != z.dtype or not _fit("layer_norm_backward", z, (scale, offset), axes):
        return _reference("layer_norm_backward", g, z, weight, scale, offset, axes)
    from .compiled import normalizations as compiled

    rows, result = _rows(z, axes), empty(z.shape, z.dtype)
    sums = np.zeros((2, *scale.shape), z.dtype)
    given = (_rows(g, axes), rows, weight.reshape(-1), _flat(scale))
    written = (result.reshape(rows.shape), sums.reshape(2, -1))
    compiled.layer_norm_backward(z.dtype)(*given, *written)
    return result, sums[0], sums[1]


def batch_norm(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, ...]:
    """scale * z + offset, with z normalised over the batch; z; its weight; means; variances."""
    if not _fit("batch_norm", x, (scale, offset), (x.ndim - 1,)):
        return _reference("batch_norm", x, scale, offset, epsilon)
    from .compiled import normalizations as compiled

    rows = _rows(x, (x.ndim - 1,))
    y, z = empty(x.shape, x.dtype), empty(x.shape, x.dtype)
    weight, mean, variance = (np.empty(x.shape[-1], x.dtype) for _ in range(3))
    outputs = (y.reshape(rows.shape), z.reshape(rows.shape), weight, mean, variance)
    parameters = (*map(np.ascontiguousarray, (scale, offset)), np.array([epsilon], x.dtype))
    compiled.batch_norm(x.dtype)(rows, *parameters, *outputs)
    return y, z, weight.reshape((1,) * (x.ndim - 1) + (-1,)), mean, variance


def batch_norm_backward(g: Any, z: Any, weight: Any, scale: Any) -> tuple[Any, Any, Any]:
    """The gradients of x, and of scale and offset as vectors of the features."""
    axes = (z.ndim - 1,)
    if g.dtype != z.dtype or not _fit("batch_norm_backward", z, (scale,), axes):
        return _reference("batch_norm_backward", g, z, weight, scale)
    from .compiled import normalizations as compiled

    rows, result = _rows(z, axes), empty(z.shape, z.dtype)
    sums = np.zeros((2, z.shape[-1]), z.dtype)
    given = (_rows(g, axes), rows, weight.reshape(-1), np.ascontiguousarray(scale))
    compiled.batch_norm_backward(z.dtype)(*given, result.reshape(rows.shape), sums)
    return result, sums[0], sums[1]


# The arrays ---------------------------------------------------------------------------------


def _fit(name: str, x: Any, parameters: tuple[Any, ...], axes: tuple[int, ...]) -> bool:
    """Is x large enough, and do the parameters lie along its last axes?"""
    return (
        x.size >= max(1, THRESHOLDS[name])
        and x.dtype in DTYPES
        and trailing(x, axes)
        and all(
            getattr(each, "shape", None) == x.shape[axes[0] :] and each.dtype == x.dtype
            for each in parameters
        )
    )


def _rows(x: Any, axes: tuple[int, ...]) -> Any:
    """x as a matrix, in whose columns are the elements along axes, which are the last ones."""
    rows = int(np.prod(x.shape[: axes[0]]))
    return np.ascontiguousarray(x).reshape(rows, -1)


def _kept(x: Any, axes: tuple[int, ...]) -> Any:
    return np.empty(x.shape[: axes[0]] + (1,) * len(axes), x.dtype)


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](get_device("cpu").sets["reference"], *arguments)


def _flat(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1)
