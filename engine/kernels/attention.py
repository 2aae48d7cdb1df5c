"""References of the softmax of attention, which leaves out what a mask hides."""

from __future__ import annotations

from typing import Any

from ..devices import reference


@reference
def masked_softmax(xp: Any, x: Any, mask: Any, axis: int) -> Any:
    """softmax along an axis of the elements where mask holds; 0 elsewhere."""
    seen = xp.where(mask, x, -float("inf"))
    top = xp.max(seen, axis=axis, keepdims=True)
    powers = xp.exp(seen - xp.where(top == -float("inf"), 0.0, top))
    total = xp.sum(powers, axis=axis, keepdims=True)
    return powers / xp.where(total == 0, 1.0, total)


@reference
def masked_softmax_backward(xp: Any, g: Any, y: Any, mask: Any, axis: int) -> Any:
    """The gradient of x: y * (g - sum(g * y)). A hidden element's g, even if NaN, takes no part."""
    shares = xp.where(mask, g, 0.0) * y
    return shares - y * xp.sum(shares, axis=axis, keepdims=True)


@reference
def attention(xp: Any, query: Any, key: Any, value: Any, mask: Any, scale: float) -> Any:
    """For each query a mean of the values, and its weights, (..., queries, keys).

    `mask` is True, or an array that is broadcast to the weights.
    """
    # The queries are fewer numbers than the scores.
    scores = xp.matmul(query * scale, xp.matrix_transpose(key))
    if mask is not True:
        weights = xp.masked_softmax(scores, mask, -1) if xp.size(scores) else scores * 1.0
    else:
        weights = xp.softmax(scores, -1) if xp.size(scores) else scores * 1.0
    return xp.matmul(weights, value), weights


@reference
def attention_backward(
    xp: Any, g: Any, weights: Any, query: Any, key: Any, value: Any, mask: Any, scale: float
) -> Any:
    """The gradients of query, key and value."""
    slopes = xp.matmul(g, xp.matrix_transpose(value))
    if mask is not True:
        pulled = xp.masked_softmax_backward(slopes, weights, mask, -1)
    else:
        pulled = xp.softmax_backward(slopes, weights, -1)
    pulled = pulled * scale
    return (
        xp.matmul(pulled, key),
        xp.matmul(xp.matrix_transpose(pulled), query),
        xp.matmul(xp.matrix_transpose(weights), g),
    )
