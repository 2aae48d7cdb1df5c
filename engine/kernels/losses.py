"""References of the loss kernels: a row of logits and its target give one number.

Each forward returns the losses and what its backward reads; rows are along the last axis. Labels
that only a GPU knows are not read back: the loss of one that is no class is NaN.
"""

from __future__ import annotations

from typing import Any

from ..devices import reference
from ..placing import on_device


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
    """-log_softmax(logits)[label] of each row, and log_softmax(logits)."""
    classes = logits.shape[-1]
    if not on_device(labels):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(f"labels must be from 0 to {classes - 1}, the classes of logits")
        labels = xp.asarray(labels)
    log_probabilities = xp.log_softmax(logits, -1)
    picked = xp.take_along_axis(log_probabilities, xp.expand_dims(labels, -1), -1)[..., 0]
    if on_device(labels):  # to read them would take a copy back at every step
        picked = xp.where((labels >= 0) & (labels < classes), picked, picked.dtype.type("nan"))
    return -picked, log_probabilities


@reference
def sparse_softmax_cross_entropy_backward(
    xp: Any, g: Any, log_probabilities: Any, labels: Any
) -> Any:
    """The gradient of the logits: g * (softmax(logits) - one_hot(label))."""
    gradient, labels = xp.exp(log_probabilities), xp.expand_dims(xp.asarray(labels), -1)
    xp.put_along_axis(gradient, labels, xp.take_along_axis(gradient, labels, -1) - 1, -1)
    gradient *= xp.expand_dims(g, -1)
    return gradient
