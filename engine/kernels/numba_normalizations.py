"""Normalisations compiled by Numba: the references' passes over memory, row by row in the cache.

Measured on one core of an AVX-512 machine in float32, in µs, the reference against these loops,
forward and backward, for 1,024 rows of 128 and 4,096 rows of 512:

    layer_norm   175 + 220 / 27 + 25     3,100 + 4,200 / 440 + 610

Loading Numba and the compiled loops takes about 0.6 s, which layer_norm earns back in 1,800 steps
of the smaller size. Whether a call is compiled depends on the shape alone.

Sums over a row are vector instructions, for which LLVM must be allowed to reorder them (`reassoc`).
So that it cannot undo the subtraction of the first element, which keeps numbers far from 0 exact,
what is summed was written to memory before.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from ..devices import REFERENCE, get_device
from .normalizations import trailing

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
    rows = _rows(x, axes)
    y, z, weight = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype), _kept(x, axes)
    outputs = (y.reshape(rows.shape), z.reshape(rows.shape), weight.reshape(-1))
    parameters = (scale.reshape(-1), offset.reshape(-1), x.dtype.type(epsilon))
    _compiled(_normalize_rows, x.dtype, "mvvsmmv")(rows, *parameters, *outputs)
    return y, z, weight


def layer_norm_backward(
    g: Any, z: Any, weight: Any, scale: Any, offset: Any, axes: tuple[int, ...]
) -> tuple[Any, Any, Any]:
    """The gradients of x, scale and offset."""
    if g.dtype != z.dtype or not _fit("layer_norm_backward", z, (scale, offset), axes):
        return _reference("layer_norm_backward", g, z, weight, scale, offset, axes)
    rows, result = _rows(z, axes), np.empty(z.shape, z.dtype)
    slope, total = np.zeros(scale.shape, z.dtype), np.zeros(scale.shape, z.dtype)
    read = (_rows(g, axes), rows, weight.reshape(-1), scale.reshape(-1))
    written = (result.reshape(rows.shape), slope.reshape(-1), total.reshape(-1))
    _compiled(_pull_rows, z.dtype, "mmvvmvv")(*read, *written)
    return result, slope, total


def batch_norm(x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, ...]:
    """scale * z + offset, with z normalised over the batch; z; its weight; means; variances."""
    if not _fit("batch_norm", x, (scale, offset), (x.ndim - 1,)):
        return _reference("batch_norm", x, scale, offset, epsilon)
    rows = _rows(x, (x.ndim - 1,))
    y, z = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    weight, mean, variance = (np.empty(x.shape[-1], x.dtype) for _ in range(3))
    outputs = (y.reshape(rows.shape), z.reshape(rows.shape), weight, mean, variance)
    parameters = (*map(np.ascontiguousarray, (scale, offset)), x.dtype.type(epsilon))
    _compiled(_normalize_features, x.dtype, "mvvsmmvvv")(rows, *parameters, *outputs)
    return y, z, weight.reshape((1,) * (x.ndim - 1) + (-1,)), mean, variance


def batch_norm_backward(g: Any, z: Any, weight: Any, scale: Any) -> tuple[Any, Any, Any]:
    """The gradients of x, and of scale and offset as vectors of the features."""
    axes = (z.ndim - 1,)
    if g.dtype != z.dtype or not _fit("batch_norm_backward", z, (scale,), axes):
        return _reference("batch_norm_backward", g, z, weight, scale)
    rows, result = _rows(z, axes), np.empty(z.shape, z.dtype)
    slope, total = np.zeros(z.shape[-1], z.dtype), np.zeros(z.shape[-1], z.dtype)
    read = (_rows(g, axes), rows, weight.reshape(-1), np.ascontiguousarray(scale))
    _compiled(_pull_features, z.dtype, "mmvvmvv")(*read, result.reshape(rows.shape), slope, total)
    return result, slope, total


# The arrays ---------------------------------------------------------------------------------


def _fit(name: str, x: Any, parameters: tuple[Any, ...], axes: tuple[int, ...]) -> bool:
    """Is x large enough, and do the parameters lie along its last axes?"""
    return (
        x.size >= max(1, THRESHOLDS[name])
        and x.dtype.kind == "f"
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


# The loops ----------------------------------------------------------------------------------


def _normalize_rows(
    x: Any, scale: Any, offset: Any, epsilon: Any, y: Any, z: Any, weight: Any
) -> None:
    rows, n = x.shape
    number, one = x.dtype.type(n), x.dtype.type(1)
    for i in range(rows):
        first = x[i, 0]
        for j in range(n):
            z[i, j] = x[i, j] - first
        total = x.dtype.type(0)
        for j in range(n):
            total += z[i, j]
        mean = total / number
        squares = x.dtype.type(0)
        for j in range(n):
            apart = z[i, j] - mean
            z[i, j] = apart
            squares += apart * apart
        factor = one / np.sqrt(squares / number + epsilon)
        weight[i] = factor
        for j in range(n):
            value = z[i, j] * factor
            z[i, j] = value
            y[i, j] = value * scale[j] + offset[j]


def _pull_rows(
    g: Any, z: Any, weight: Any, scale: Any, result: Any, slope: Any, total: Any
) -> None:
    rows, n = z.shape
    number = z.dtype.type(n)
    for i in range(rows):
        mean, share = z.dtype.type(0), z.dtype.type(0)
        for j in range(n):
            h = g[i, j] * scale[j]
            mean += h
            share += h * z[i, j]
            slope[j] += g[i, j] * z[i, j]
            total[j] += g[i, j]
        mean, share = mean / number, share / number
        for j in range(n):
            result[i, j] = (g[i, j] * scale[j] - mean - z[i, j] * share) * weight[i]


def _normalize_features(
    x: Any,
    scale: Any,
    offset: Any,
    epsilon: Any,
    y: Any,
    z: Any,
    weight: Any,
    mean: Any,
    variance: Any,
) -> None:
    rows, n = x.shape
    number, one = x.dtype.type(rows), x.dtype.type(1)
    for j in range(n):
        mean[j] = 0
        variance[j] = 0
    for i in range(rows):
        for j in range(n):
            apart = x[i, j] - x[0, j]
            z[i, j] = apart
            mean[j] += apart
    for j in range(n):
        mean[j] /= number
    for i in range(rows):
        for j in range(n):
            apart = z[i, j] - mean[j]
            z[i, j] = apart
            variance[j] += apart * apart
    for j in range(n):
        variance[j] /= number
        weight[j] = one / np.sqrt(variance[j] + epsilon)
        mean[j] += x[0, j]
    for i in range(rows):
        for j in range(n):
            value = z[i, j] * weight[j]
            z[i, j] = value
            y[i, j] = value * scale[j] + offset[j]


def _pull_features(
    g: Any, z: Any, weight: Any, scale: Any, result: Any, slope: Any, total: Any
) -> None:
    rows, n = z.shape
    number = z.dtype.type(rows)
    for i in range(rows):
        for j in range(n):
            slope[j] += g[i, j] * z[i, j]
            total[j] += g[i, j]
    for i in range(rows):
        for j in range(n):
            share = (z[i, j] * slope[j] + total[j]) / number
            result[i, j] = (g[i, j] - share) * (weight[j] * scale[j])


@functools.cache
def _compiled(loop: Callable[..., None], dtype: Any, kinds: str) -> Callable[..., None]:
    """A loop as machine code: compiled once for arrays of one dtype, then kept on disk.

    `kinds` has a letter for each argument: a matrix, a vector or a scalar.
    """
    import numba

    scalar = numba.from_dtype(dtype)
    types = {"m": scalar[:, ::1], "v": scalar[::1], "s": scalar}
    signature = tuple(types[kind] for kind in kinds)

    def machine(cache: bool) -> Any:
        flags = {"reassoc", "contract"}
        function = numba.njit(error_model="numpy", nogil=True, fastmath=flags, cache=cache)(loop)
        function.compile(signature)
        return function

    try:
        return machine(cache=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        # As in numba_optimizers: no folder for the cache, a full disk, or a damaged file.
        return machine(cache=False)
