"""How the kernels of attention are tested against their references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from chainrule.engine.devices import get_device

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

REFERENCE = get_device("cpu").sets["reference"]


def drawn(draw: Draw, dtype: np.dtype[Any]) -> tuple[Any, list[Any]]:
    """A generator, and queries, keys, values, a mask and a scale.

    The arrays are contiguous, or the heads of rows side by side, or have axes that are repeated.
    Some queries, keys or values are infinite or NaN.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lead = draw(st.sampled_from([(), (3,), (2, 3), (2, 1)]))
    rows, keys = draw(st.sampled_from([1, 5, 70, 130])), draw(st.sampled_from([1, 17, 50]))
    width, depth = draw(st.sampled_from([1, 8, 33])), draw(st.sampled_from([1, 8, 50]))

    def matrices(count: int, wide: int, repeated: bool = True) -> Array:
        array = random.standard_normal((*lead, count, wide)).astype(dtype)
        if len(lead) == 2 and draw(st.booleans()):  # (batch, time, heads, width) in memory
            array = np.ascontiguousarray(array.swapaxes(1, 2)).swapaxes(1, 2)
        elif lead and repeated and draw(st.booleans()):
            array = array[:1]
        return array

    query = matrices(rows, width, repeated=False)
    key, value = matrices(keys, width), matrices(keys, depth)
    for array in (query, key, value):
        if draw(st.integers(0, 3)) == 0:
            odd = random.choice([np.inf, np.nan, -np.inf])
            array[..., random.integers(array.shape[-2]), 0] = odd
    kinds = {
        "none": True,
        "keys": random.random(keys) < 0.5,
        "some": random.random((*lead, rows, keys)) < 0.3,
        "queries": random.random((rows, 1)) < 0.5,
        "later": np.tri(rows, keys, dtype=bool),
    }
    mask = kinds[draw(st.sampled_from(sorted(kinds)))]
    return random, [query, key, value, mask, draw(st.sampled_from([0.0, 0.5, -2.0]))]


def draw_attention(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    return drawn(draw, dtype)[1]


def draw_attention_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    random, arguments = drawn(draw, dtype)
    # Where slopes cancel, a rounding decides whether an infinite query or key is multiplied by 0.
    arguments[:2] = [np.where(np.isinf(each), np.nan, each) for each in arguments[:2]]
    tamed = [np.clip(np.nan_to_num(each), -3, 3).astype(dtype) for each in arguments[:2]]
    with np.errstate(all="ignore"):
        _, weights = REFERENCE.attention(*tamed, *arguments[2:])
    shape = (*weights.shape[:-1], arguments[2].shape[-1])
    g = random.standard_normal(shape).astype(dtype)
    if draw(st.booleans()):
        g[..., 0, 0] = random.choice([np.inf, np.nan])
    return [g, weights, *arguments]


def finite(x: Array) -> Array:
    """Sizes in float64, where what is not finite counts as 0: so it does in the result."""
    return np.abs(np.nan_to_num(x.astype(np.float64), posinf=0, neginf=0))


def attention_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Scores of n products are off by (n + 3) u times their sizes' sum on either side.

    That is, relatively, how far the weights are moved; they and their sum are rounded beside it.
    A mean of values is moved by what all weights are, and its own sum of m terms is rounded.
    """
    query, key, value = (finite(each) for each in arguments[:3])
    eps = float(np.finfo(after.dtype).eps)
    with np.errstate(all="ignore"):
        scores = abs(arguments[4]) * query @ key.swapaxes(-1, -2)
    n, m = query.shape[-1], key.shape[-2]
    moved = eps * ((n + 3) * scores.max(axis=-1, keepdims=True, initial=0) + m + 8)
    size = np.maximum(1, value.max(axis=-2, keepdims=True).max(axis=-1, keepdims=True))
    return 2 * moved * size


def backward_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Chains of three products of n, m and d terms, none larger than the largest of all."""
    g, weights, query, key, value = (finite(each) for each in arguments[:5])
    eps = float(np.finfo(after.dtype).eps)
    scale = abs(arguments[6])
    slopes = (g.sum(axis=-1).max(initial=0)) * value.max(initial=0)
    terms = sum(each.shape[-1] for each in (g, weights, query)) + weights.shape[-2] + 20
    rows = weights.shape[-2]
    largest = 2 * scale * slopes * max(key.max(initial=0), rows * query.max(initial=0))
    return np.asarray(terms * eps * (largest + rows * g.max(initial=0)))


ATTENTION = {
    "attention": (draw_attention, attention_allows),
    "attention_backward": (draw_attention_backward, backward_allows),
}
