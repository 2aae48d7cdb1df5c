"""How the kernels of normalisation and softmax are tested against their references.

With u = eps / 2, a sum of n terms, in any order, is off by at most n u times the sum of their
sizes. All sums here are those of rows (n elements) or of columns (of as many rows).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from chainrule.engine.devices import get_device

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

REFERENCE = get_device("cpu").sets["reference"]

row_counts, lengths = st.sampled_from([1, 3, 40]), st.sampled_from([1, 2, 5, 16, 33])


def matrix(draw: Draw, dtype: np.dtype[Any], shape: tuple[int, ...], special: bool = True) -> Array:
    """Random numbers, among which some are 0, 1, infinite or NaN.

    None is so large or small that a product leaves the range of float32: there one of two right
    answers may be infinite.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = random.standard_normal(shape) * 10.0 ** random.integers(-3, 4, shape)
    if special:
        chosen = random.random(shape) < draw(st.sampled_from([0.0, 0.02, 0.5]))
        numbers = draw(st.sampled_from([[0.0, -0.0, 1.0], [np.inf, 1.0], [np.nan, -np.inf]]))
        array[chosen] = random.choice(numbers, int(chosen.sum()))
    return array.astype(dtype)


def wide(*arrays: Any) -> list[Array]:
    """The same in float64, where what is not finite counts as 0: so it does in the result."""
    return [np.nan_to_num(np.asarray(each, np.float64), posinf=0, neginf=0) for each in arrays]


def eps(array: Array) -> float:
    return float(np.finfo(array.dtype).eps)


# Normalisations -----------------------------------------------------------------------------


def draw_layer_norm(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    rows, n = draw(row_counts), draw(lengths)
    shape = draw(st.sampled_from([(rows, n), (2, rows, n)]))
    x = matrix(draw, dtype, shape) + draw(st.sampled_from([0, 1000]))
    scale, offset = (matrix(draw, dtype, (n,), special=False) for _ in range(2))
    epsilon = draw(st.sampled_from([1e-5, 0.1]))
    return [x.astype(dtype), scale, offset, (len(shape) - 1,), epsilon]


def draw_batch_norm(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, scale, offset, _, epsilon = draw_layer_norm(draw, dtype)
    return [x, scale, offset, epsilon]


def normalization_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Derived for z = w (d - mean(d)), with d the differences from the first element (exact).

    The mean is off by (n + 1) u D on either side, with D the largest |d|; so are the deviations,
    by 2 (n + 2) u D between the two sides. That moves the variance v relatively by 2 w times that,
    and its own sum by 2 (n + 2) u more, w by half of both, and z by the sum of what
    deviation and w contribute: |Δz| <= e (w D + |z| (w D + 1)) with e = (n + 4) eps. The result
    is |scale| times that, and two more roundings.
    """
    x, scale, offset = wide(*arguments[:3])
    epsilon, axes = arguments[-1], (arguments[3] if len(arguments) == 5 else range(x.ndim - 1))
    axes = tuple(axes)
    first = np.take(x, [0], axis=axes[0])
    for axis in axes[1:]:
        first = np.take(first, [0], axis=axis)
    largest = np.max(np.abs(x - first), axis=axes, keepdims=True)
    deviation = x - x.mean(axis=axes, keepdims=True)
    variance = np.mean(deviation**2, axis=axes, keepdims=True)
    w = 1 / np.sqrt(variance + epsilon)
    e = (np.prod([x.shape[i] for i in axes]) + 4) * eps(after)
    if after.shape == x.shape:
        z = np.abs(deviation) * w
        moved = e * (w * largest + (z + 1) * (w * largest + 1))
        return np.abs(scale) * moved + moved + 4 * eps(after) * (np.abs(scale) * z + np.abs(offset))
    size = np.abs(first) + largest
    whole = e * (w + w * w * largest) + e * (size + largest**2)
    return whole if after.ndim > 1 else whole.reshape(after.shape)


def draw_layer_norm_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, scale, offset, axes, epsilon = draw_layer_norm(draw, dtype)
    _, z, weight = REFERENCE.layer_norm(np.nan_to_num(x, posinf=1, neginf=1), 1, 0, axes, epsilon)
    return [matrix(draw, dtype, x.shape), z.astype(dtype), weight, scale, offset, axes]


def draw_batch_norm_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, scale, _, epsilon = draw_batch_norm(draw, dtype)
    _, z, weight, *_ = REFERENCE.batch_norm(np.nan_to_num(x, posinf=1, neginf=1), 1, 0, epsilon)
    return [matrix(draw, dtype, x.shape), z.astype(dtype), weight, scale]


def pull_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Sums of products, and a few roundings of terms of the sizes that are added here."""
    g, z, w, scale = (np.abs(each) for each in wide(*arguments[:4]))
    rows = len(arguments) == 6
    axes = tuple(arguments[-1]) if rows else tuple(range(z.ndim - 1))
    n = np.prod([z.shape[i] for i in axes])
    others = tuple(i for i in range(z.ndim) if i not in axes) if rows else axes
    if after.shape != z.shape:  # of scale, or of offset
        count = np.prod([z.shape[i] for i in others])
        return (count + 4) * eps(after) * np.sum(g * z + g, axis=others)
    if rows:
        g = g * scale
    means = (g + z * g).mean(axis=axes, keepdims=True)
    found = (n + 8) * eps(after) * w * (g + (1 + z) * means)
    return found if rows else found * scale


# Softmax ------------------------------------------------------------------------------------


def draw_softmax(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    rows, n = draw(row_counts), draw(lengths)
    shape = draw(st.sampled_from([(rows, n), (n,), (2, rows, n)]))
    return [matrix(draw, dtype, shape), draw(st.sampled_from([-1, len(shape) - 1]))]


def softmax_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """The same exponentials, over sums of n of them; exp itself may differ by a unit."""
    return (after.shape[-1] + 4) * np.spacing(np.nan_to_num(np.abs(after))).astype(np.float64)


def mask_for(draw: Draw, shape: tuple[int, ...]) -> Array:
    """A mask that is broadcast to a shape."""
    kept = draw(st.integers(0, len(shape)))
    lengths = [draw(st.sampled_from([1, n])) for n in shape[len(shape) - kept :]]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return np.asarray(random.random(lengths) < draw(st.sampled_from([0.1, 0.5, 1.0])))


def draw_masked_softmax(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, axis = draw_softmax(draw, dtype)
    return [x, mask_for(draw, x.shape), axis]


def draw_masked_softmax_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, mask, axis = draw_masked_softmax(draw, dtype)
    y = REFERENCE.masked_softmax(np.nan_to_num(x, posinf=1, neginf=1), mask, axis)
    return [matrix(draw, dtype, x.shape), y.astype(dtype), mask, axis]


def draw_softmax_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    g, y, mask, _ = draw_masked_softmax_backward(draw, dtype)
    return [g, np.where(mask, y, 0).astype(dtype), (y.ndim - 1,)]


def softmax_pull_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """y (g - sum(g y)), or g y - y sum(g y): roundings of both terms, and of the sum."""
    g, y = (np.abs(each) for each in wide(*arguments[:2]))
    total = np.sum(g * y, axis=-1, keepdims=True)
    tiny = float(np.finfo(after.dtype).tiny)
    return (y.shape[-1] + 6) * (eps(after) * y * (g + total) + tiny * (y > 0))


ROWS = {
    "layer_norm": (draw_layer_norm, normalization_allows),
    "layer_norm_backward": (draw_layer_norm_backward, pull_allows),
    "batch_norm": (draw_batch_norm, normalization_allows),
    "batch_norm_backward": (draw_batch_norm_backward, pull_allows),
    "softmax": (draw_softmax, softmax_allows),
    "softmax_backward": (draw_softmax_backward, softmax_pull_allows),
    "masked_softmax": (draw_masked_softmax, softmax_allows),
    "masked_softmax_backward": (draw_masked_softmax_backward, softmax_pull_allows),
}
