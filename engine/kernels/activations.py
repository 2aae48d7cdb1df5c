"""References of the activation kernels."""

from __future__ import annotations

from typing import Any

from ..devices import reference


def _floating(x: Any) -> Any:
    """Integers and booleans as float64: the negative of an unsigned one would wrap around."""
    return x * 1.0 if x.dtype.kind in "biu" else x


@reference
def sigmoid(xp: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)), computed from exp(-|x|), which cannot overflow."""
    x = _floating(x)
    decay = xp.exp(-abs(x))
    # The numerator is 1 from 0 on, and exp(x) before; a choice by `where` would be slower.
    return xp.maximum(decay, x >= 0) / (1 + decay)


@reference
def softplus(xp: Any, x: Any) -> Any:
    """log(1 + exp(x)), computed from exp(-|x|), which cannot overflow."""
    x = _floating(x)
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-abs(x)))


@reference
def softmax(xp: Any, x: Any, axis: int) -> Any:
    """exp(x) / sum(exp(x)) along an axis, shifted by its maximum so that it cannot overflow."""
    powers = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return powers / xp.sum(powers, axis=axis, keepdims=True)


@reference
def log_softmax(xp: Any, x: Any, axis: int) -> Any:
    """log(softmax(x)) along an axis: finite wherever the logits are finite."""
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
