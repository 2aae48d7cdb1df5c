"""Dense layers on the CPU: large ones compiled, product, bias and activation in one.

Measured on one core of a Zen 5 in float32, in µs, the product alone, then with bias and activation
in one, then in three operations; and backward, in one and in four:

    x, units               product   relu   three   sigmoid   backward   four
    (32, 100), 500              14     14      22        17         35     41
    (32, 500), 500              65     65      74        68        140    148
    (1024, 128), 512           540    560     775       650      1,216  1,312

What is saved besides is the recording of two operations for each layer. Whether a call is compiled
depends on shapes and dtypes alone: from where on the product itself would be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import REFERENCE, cpu
from ..offers import empty
from . import blocks
from .numba_products import DTYPES

#: Products of numbers in x kernel, or elements of x in x + bias: fewer are left to NumPy.
THRESHOLDS = {
    "affine": 131_072,  # as many as make a Dense layer one operation
    "affine_backward": 131_072,
    "bias_activation": 16_384,
    "bias_activation_backward": 16_384,
}
#: Activations whose slope their result tells, by the numbers of `compiled.affine`.
NUMBERS = {"linear": 0, "relu": 1, "sigmoid": 2, "tanh": 3}
#: Elements of a row, up to which short rows are taken together.
WIDE = 256


def affine(x: Any, kernel: Any, bias: Any, activation: str) -> Any:
    """The activation of x kernel + bias."""
    rows, units = x.shape[0], kernel.shape[1]
    if x.size * units >= max(1, THRESHOLDS["affine"]) and _suit(x, kernel, bias):
        run = _compiled("affine", x.dtype)
        if run is not None:
            y = blocks.empty((rows, units), x.dtype)
            run(x, kernel, bias, y, NUMBERS[activation])
            return y
    y = cpu.sets["numba"].matmul(x, kernel)
    if y.dtype != bias.dtype:
        y = y + bias
    else:
        np.add(y, bias, out=y)
    if activation == "linear":
        return y
    if activation == "sigmoid":
        return cpu.sets["numba"].sigmoid(y)
    return np.maximum(y, 0.0, out=y) if activation == "relu" else np.tanh(y, out=y)


def affine_backward(g: Any, needed: Any, y: Any, x: Any, kernel: Any, activation: str) -> Any:
    """The gradients of x, kernel and bias; None for x and kernel if they are not `needed`."""
    work, dtype = x.size * kernel.shape[1], x.dtype
    if work < max(1, THRESHOLDS["affine_backward"]) or g.dtype != dtype or not _suit(x, kernel):
        return _reference("affine_backward", g, needed, y, x, kernel, activation)
    run = _compiled("pulled", dtype)
    if run is None:
        return _reference("affine_backward", g, needed, y, x, kernel, activation)
    g, nothing = np.ascontiguousarray(g), np.empty((0, 0), dtype)
    linear = activation == "linear"
    slope = nothing if linear else blocks.empty(g.shape, dtype)
    of_x = blocks.empty(x.shape, dtype) if needed[0] else nothing
    of_kernel = empty(kernel.shape, dtype) if needed[1] else nothing
    of_bias = empty(g.shape[1:], dtype)
    y = g if linear else np.ascontiguousarray(y)
    run(g, y, x, kernel, slope, of_x, of_kernel, of_bias, NUMBERS[activation])
    return of_x if needed[0] else None, of_kernel if needed[1] else None, of_bias


def bias_activation(x: Any, bias: Any, activation: str) -> Any:
    """The activation of x + bias; and None, or what it multiplied that by."""
    if _fits("bias_activation", x, activation) and _suit(bias) and bias.dtype == x.dtype:
        run = _compiled("biased", x.dtype)
        if run is not None:
            result, fold = blocks.empty(x.shape, x.dtype), _fold(x)
            rows = (-1, x.shape[-1] * fold)
            bias = np.tile(bias, fold) if fold > 1 else bias
            x = np.ascontiguousarray(x).reshape(rows)
            run(x, bias, result.reshape(rows), NUMBERS[activation])
            return result, None
    return _reference("bias_activation", x, bias, activation)


def bias_activation_backward(g: Any, y: Any, x: Any, bias: Any, kept: Any, activation: str) -> Any:
    """The gradients of x and of bias."""
    if _fits("bias_activation_backward", y, activation) and g.dtype == y.dtype:
        run = _compiled("unbiased", y.dtype)
        if run is not None:
            slope, fold = blocks.empty(y.shape, y.dtype), _fold(y)
            rows, total = (-1, y.shape[-1] * fold), np.empty(y.shape[-1] * fold, y.dtype)
            g, y = (np.ascontiguousarray(each).reshape(rows) for each in (g, y))
            run(g, y, slope.reshape(rows), total, NUMBERS[activation])
            return slope, total.reshape(fold, -1).sum(axis=0) if fold > 1 else total
    return _reference("bias_activation_backward", g, y, x, bias, kept, activation)


def _fits(name: str, x: Any, activation: str) -> bool:
    """Is it large enough, of a dtype that is computed here, and the activation a known one?"""
    fused = activation in NUMBERS and activation != "linear"
    return x.size >= THRESHOLDS[name] and x.size > 0 and fused and _plain(x)


def _fold(x: Any) -> int:
    """How many rows are taken as one, so that loops over them are not short; a power of two."""
    columns, fold = x.shape[-1], 1
    rows = x.size // columns
    while 2 * fold * columns <= WIDE and rows % (2 * fold) == 0:
        fold *= 2
    return fold


def _plain(x: Any) -> bool:
    return x.dtype in DTYPES and x.flags.aligned


def _suit(x: Any, *weights: Any) -> bool:
    """Are all aligned and of one dtype of the machine's, rows or columns of x contiguous?"""
    flags = x.flags
    return (
        (flags.c_contiguous or flags.f_contiguous)
        and _plain(x)
        and all(
            each.dtype == x.dtype and each.flags.c_contiguous and each.flags.aligned
            for each in weights
        )
    )


def _compiled(name: str, dtype: Any) -> Any:
    from .compiled.affine import compiled

    return compiled(name, dtype)


def _reference(name: str, *arguments: Any) -> Any:
    return REFERENCE[name](cpu.sets["numba"], *arguments)
