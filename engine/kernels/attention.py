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
