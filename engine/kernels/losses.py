"""References of the loss kernels: a row of logits and its target give one number.

Each forward returns the losses and what its backward reads; rows are along the last axis.
"""

from __future__ import annotations

import math
from typing import Any

from ..devices import reference


@reference
def softmax_cross_entropy(xp: Any, logits: Any, targets: Any) -> Any:
    """-sum(targets * log_softmax(logits)) of each row, and log_softmax(logits)."""
    log_probabilities = xp.log_softmax(logits, -1)
    # A target of 0 takes no part, even where a logit is -inf.
    terms = targets * xp.where(targets == 0, 0.0, log_probabilities)
    return -xp.sum(terms, axis=-1), log_probabilities


@reference
def softmax_cross_entropy_backward(xp: Any, g: Any, log_probabilities: Any, targets: Any) -> Any:
    """The gradient of the logits: g * (softmax(logits) * sum(targets) - targets)."""
    mass = xp.sum(targets, axis=-1, keepdims=True)
    return xp.expand_dims(g, -1) * (xp.exp(log_probabilities) * mass - targets)


@reference
def sparse_softmax_cross_entropy(xp: Any, logits: Any, labels: Any) -> Any:
    """-log_softmax(logits)[label] of each row, and softmax(logits) - one_hot(label), its slopes.

    A label that is no class raises ValueError on the CPU. On other devices, where reading labels
    would wait for them, it makes the loss and the slopes of its row NaN.
    """
    labels = xp.asarray(labels)
    classes, inside = logits.shape[-1], None
    if getattr(getattr(xp, "device", None), "on_host", True):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"labels must be from 0 to {classes - 1}, the classes of logits")
    else:
        inside = (labels >= 0) & (labels < classes)
        labels = xp.where(inside, labels, 0)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    slopes = xp.exp(shifted)
    total = xp.sum(slopes, axis=-1, keepdims=True)
    slopes /= total
    at = xp.arange(labels.size), labels.reshape(-1)
    picked = shifted.reshape(-1, classes)[at].reshape(labels.shape)
    losses = xp.log(total)[..., 0] - picked
    slopes.reshape(-1, classes)[at] -= 1
    if inside is not None:
        losses = xp.where(inside, losses, math.nan).astype(losses.dtype)
        slopes[~inside] = math.nan
    return losses, slopes
