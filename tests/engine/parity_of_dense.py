"""How the kernels of dense layers and of cross-entropies are tested against their references.

With u = eps / 2, a sum of n products, in any order, contracted or not, is off by at most n u times
the sum of their sizes, on either side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .parity_of_rows import Array, Draw, eps, matrix, wide

rows, features = st.sampled_from([1, 3, 40]), st.sampled_from([1, 5, 33])
units = st.sampled_from([1, 2, 16, 37])
BY_RESULT = ["relu", "sigmoid", "tanh"]


def draw_affine(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    n, k, m = draw(rows), draw(features), draw(units)
    x, kernel, bias = (matrix(draw, dtype, each) for each in ((n, k), (k, m), (m,)))
    x.flags.writeable = kernel.flags.writeable = False
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    return [x, kernel, bias, draw(st.sampled_from(["linear", *BY_RESULT]))]


def affine_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """The sum before the activation, none of which is steeper than 1, and the activation's own."""
    x, kernel, bias = wide(*arguments[:3])
    size = abs(x) @ abs(kernel) + abs(bias)
    return (x.shape[1] + 2) * eps(after) * size + _own(arguments[-1], after)


def _own(activation: str, after: Array) -> Array:
    """The errors of both sides' activations: within two units each, of numbers below 1."""
    return np.asarray(0.0 if activation in ("linear", "relu") else 4 * eps(after))


def draw_affine_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    """All gradients: None cannot be compared."""
    x, kernel, _, activation = draw_affine(draw, dtype)
    g, y = (matrix(draw, dtype, (len(x), kernel.shape[1])) for _ in range(2))
    if draw(st.booleans()):
        g = np.asfortranarray(g)
    return [g, (True, True, True), None if activation == "linear" else y, x, kernel, activation]


def affine_backward_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """The gradient before the activation is off by few roundings of its largest term; then sums."""
    g, _, y, x, kernel, _ = arguments
    g, y, x, kernel = wide(g, np.zeros_like(g) if y is None else y, x, kernel)
    size = abs(g) * (1 + abs(y) + y * y)
    summed = sum(g.shape) + 8
    if after.shape == x.shape != kernel.shape:
        return summed * eps(after) * (size @ abs(kernel).T)
    if after.ndim == 1:
        return summed * eps(after) * size.sum(axis=0)
    of_kernel = summed * eps(after) * (abs(x).T @ size)
    if x.shape == kernel.shape:  # which of the two is not told
        return np.maximum(of_kernel, summed * eps(after) * (size @ abs(kernel).T))
    return of_kernel


def draw_biased(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    shape = draw(st.sampled_from([(1, 1), (3, 5), (2, 8, 4), (40, 33), (600, 16)]))
    x, bias = matrix(draw, dtype, shape), matrix(draw, dtype, shape[-1:])
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    return [x, bias, draw(st.sampled_from(BY_RESULT))]


def biased_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    return _own(arguments[-1], after)


def draw_biased_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    g, _, activation = draw_biased(draw, dtype)
    return [g, matrix(draw, dtype, g.shape), None, None, None, activation]


def biased_backward_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    g, y = wide(*arguments[:2])
    size = eps(after) * abs(g) * (1 + abs(y) + y * y)
    if after.shape == g.shape:
        return 4 * size
    return (g.size // g.shape[-1] + 4) * size.reshape(-1, g.shape[-1]).sum(axis=0)


# Cross-entropies ----------------------------------------------------------------------------


def draw_sparse(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    shape, classes = draw(st.sampled_from([(1,), (5,), (2, 3), (70,)])), draw(units)
    logits = matrix(draw, dtype, (*shape, classes))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    kind = draw(st.sampled_from(["int64", "int32", "uint8"]))
    return [logits, random.integers(0, classes, shape).astype(kind)]


def draw_soft(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    logits, _ = draw_sparse(draw, dtype)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    targets = random.integers(0, 4, logits.shape) / 4
    return [logits, targets.astype(dtype)]


def _spread(logits: Array) -> Array:
    """How far logits lie below the largest of their row; that is rounded, and exponentiated."""
    return np.asarray(np.ptp(logits, axis=-1, keepdims=True))


def sparse_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Sums of as many exponentials; the difference of two logits, its rounding made relative."""
    (logits,) = wide(arguments[0])
    classes = logits.shape[-1]
    if after.shape == logits.shape:  # slopes, of exponentials whose arguments are rounded alike
        return np.asarray((classes + 16) * eps(after))
    return eps(after) * (classes + 16 + 2 * _spread(logits)[..., 0])


def soft_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    logits, targets = wide(*arguments)
    classes = logits.shape[-1]
    one = eps(after) * (classes + 16 + 2 * _spread(logits) + 2 * np.log(classes))
    if after.shape == logits.shape:
        return np.broadcast_to(one, logits.shape)
    return (one[..., 0] * (1 + classes)) * (1 + targets.sum(axis=-1))


def draw_soft_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    logs, targets = draw_soft(draw, dtype)
    logs = -abs(logs)
    return [matrix(draw, dtype, logs.shape[:-1]), logs, targets]


def soft_backward_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    g, _, targets = wide(*arguments)
    mass = targets.sum(axis=-1, keepdims=True)
    return (targets.shape[-1] + 8) * eps(after) * abs(g)[..., None] * (mass + 1)


DENSE: dict[str, tuple[Callable[..., list[Any]], Callable[..., Array]]] = {
    "affine": (draw_affine, affine_allows),
    "affine_backward": (draw_affine_backward, affine_backward_allows),
    "bias_activation": (draw_biased, biased_allows),
    "bias_activation_backward": (draw_biased_backward, biased_backward_allows),
    "sparse_softmax_cross_entropy": (draw_sparse, sparse_allows),
    "softmax_cross_entropy": (draw_soft, soft_allows),
    "softmax_cross_entropy_backward": (draw_soft_backward, soft_backward_allows),
}


def warm_dense(k: Any, dtype: np.dtype[Any]) -> None:
    """Compiles them all for a dtype."""
    x, bias = np.ones((2, 2), dtype), np.ones(2, dtype)
    y = k.affine(x, x, bias, "relu")
    k.affine_backward(x, (True, True, True), y, x, x, "relu")
    k.bias_activation(x, bias, "relu"), k.bias_activation_backward(x, y, None, None, None, "relu")
    k.sparse_softmax_cross_entropy(x, np.zeros(2, int)), k.softmax_cross_entropy(x, x)
    k.softmax_cross_entropy_backward(bias, x, x)
