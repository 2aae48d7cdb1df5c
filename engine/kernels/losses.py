"""References of the loss kernels: a row of logits and its target give one number.

Each forward returns the losses and what its backward reads; rows are along the last axis. Labels
that only a GPU knows are not read back: the loss of one that is no class is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
    """-log_softmax(logits)[label] of each row, and softmax(logits) - one_hot(label), its slopes.

    A label that is no class raises ValueError if the host has it. One on a GPU, where reading it
    would wait for the GPU, makes the loss and the slopes of its row NaN.
    """
    classes = logits.shape[-1]
    labels, inside = xp.asarray(checked_labels(labels, classes)), None
    if on_device(labels):
        inside = (labels >= 0) & (labels < classes)
        labels = xp.where(inside, labels, 0)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    slopes = xp.exp(shifted)
    total = xp.sum(slopes, axis=-1, keepdims=True)
    slopes /= total
    at = xp.arange(labels.size), labels.reshape(-1)
    picked = shifted.reshape(-1, classes)[at].reshape(labels.shape)
    losses = xp.log(total)[..., 0] - picked
    slopes = slopes.reshape(-1, classes)  # a copy, if the rows of logits lie apart in memory
    slopes[at] -= 1
    slopes = slopes.reshape(logits.shape)
    if inside is not None:
        nothing = losses.dtype.type("nan")
        losses = xp.where(inside, losses, nothing)
        slopes = xp.where(xp.expand_dims(inside, -1), slopes, nothing)
    return losses, slopes


def checked_labels(labels: Any, classes: int) -> Any:
    """Labels; ValueError if the host has them, and one is no class."""
    if not on_device(labels) and labels.size and not _within(labels, classes):
        raise ValueError(f"labels must be from 0 to {classes - 1}, the classes of logits")
    return labels


def _within(labels: Any, classes: int) -> bool:
    """Are labels, on the host, from 0 to classes - 1?"""
    labels = np.asarray(labels)
    if labels.dtype == np.int64:  # as unsigned ones, negative labels are larger than all classes
        labels = labels.view(np.uint64)
    elif labels.min() < 0:
        return False
    return bool(np.maximum.reduce(labels, axis=None) < classes)
