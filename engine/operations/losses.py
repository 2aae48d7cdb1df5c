"""Cross-entropy of each row of scores against its target, in forms that cannot overflow.

Targets have no gradient. Rows lie along the last axis; the result has one number a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..cases import case
from ..record import operation
from ..record import tensor_functions as F
from .choices import where
from .reductions import log_softmax
from .shapes import take_along_axis

softmax_cross_entropy = operation(
    "softmax_cross_entropy",
    summary="Cross-entropy of softmax(logits) and target probabilities, of each row.",
    formula="y = -Σ_i targets[i] log softmax(logits)[i]",
    derivative={"logits": "softmax(logits) Σ_j targets[j] - targets"},
    forward=lambda k, logits, targets: k.softmax_cross_entropy(logits, targets),
    vjp={
        "logits": lambda k, g, residuals, targets: k.softmax_cross_entropy_backward(
            g, residuals, targets
        )
    },
    definition=lambda logits, targets: (
        -(targets * where(targets == 0, 0.0, log_softmax(logits, axis=-1))).sum(axis=-1)
    ),
    cases=[case((2, 3), (2, 3)), case((2, 3), np.array([[0.25, 0.5, 0.0], [1.0, 0.0, 0.75]]))],
)

sparse_softmax_cross_entropy = operation(
    "sparse_softmax_cross_entropy",
    summary="Cross-entropy of softmax(logits) and an integer label, of each row.",
    formula="y = -log softmax(logits)[label]",
    derivative={"logits": "softmax(logits) - one_hot(label)"},
    forward=lambda k, logits, labels: k.sparse_softmax_cross_entropy(logits, labels),
    vjp={
        "logits": lambda k, g, residuals, labels: k.sparse_softmax_cross_entropy_backward(
            g, residuals, labels
        )
    },
    definition=lambda logits, labels: (
        -take_along_axis(log_softmax(logits, axis=-1), F.expand_dims(labels, -1), axis=-1)[..., 0]
    ),
    cases=[case((2, 3), np.array([1, 2])), case((2, 2, 3), np.array([[0, 2], [1, 1]]))],
)

sigmoid_cross_entropy = operation(
    "sigmoid_cross_entropy",
    summary="Binary cross-entropy of sigmoid(logits) and targets in [0, 1], of each element.",
    formula="y = log(1 + exp(logits)) - targets * logits",
    derivative={"logits": "sigmoid(logits) - targets"},
    forward=lambda k, logits, targets: (
        k.maximum(logits, 0.0) - targets * logits + k.log1p(k.exp(-abs(logits)))
    ),
    vjp={"logits": lambda k, g, logits, targets: g * (k.sigmoid(logits) - targets)},
    cases=[case((4,), (4,))],
)


def smallest(x: Any) -> float:
    """The smallest normal number of a floating dtype: as a probability, log(0) is cut there."""
    return float(np.finfo(x.dtype).tiny)


cross_entropy = operation(
    "cross_entropy",
    summary="-targets * log(probabilities), of each element; a probability of 0 counts as the "
    "smallest positive normal number, in the value and in the gradient, which is never lost.",
    formula="y = -targets * log(probabilities)",
    derivative={"probabilities": "-targets / probabilities"},
    forward=lambda k, probabilities, targets: (
        -targets * k.log(k.maximum(probabilities, smallest(probabilities)))
    ),
    vjp={
        "probabilities": lambda k, g, probabilities, targets: (
            -g * targets / k.maximum(probabilities, smallest(probabilities))
        )
    },
    domain={"probabilities": (0.1, 0.9)},
    cases=[case((2, 3), np.array([[0.25, 0.5, 0.0], [1.0, 0.0, 0.75]]))],
    unproved="asks the dtype of the probabilities for its smallest number",
)
