"""Losses: how far predictions are from their targets, element by element or row by row.

The cross-entropies from logits are in forms that cannot overflow; their rows lie along the last
axis. Targets have gradients too, labels (integers) none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..cases import case
from ..definitions import elementwise, operation
from ..errors import DtypeError, ShapeError, describe
from ..record import tensor_functions as F
from .choices import where
from .indexing import take_along_axis
from .reductions import log_softmax


def _probabilities(logits: Any, targets: Any) -> Any:
    """Targets, if they have a number for each class."""
    if not logits.ndim or np.shape(targets)[-1:] != logits.shape[-1:]:
        raise ShapeError(
            "softmax_cross_entropy: targets must have a probability for each class, as many as the "
            f"last axis of logits is long; logits has {describe(logits)}, targets has "
            f"{describe(targets)}; labels go to cr.sparse_softmax_cross_entropy"
        )
    return targets


def _labels(logits: Any, labels: Any) -> Any:
    """Labels, if they are integers, and one for each row."""
    labels = labels if hasattr(labels, "dtype") else np.asarray(labels)
    if labels.dtype.kind in "iu" and labels.shape == logits.shape[:-1]:
        return labels
    told = f"logits has {describe(logits)}, labels has {describe(labels)}"
    if labels.dtype.kind not in "iu":
        raise DtypeError(
            f"sparse_softmax_cross_entropy: labels must be integers; {told}; use .astype('int64'), "
            "or cr.softmax_cross_entropy for probabilities"
        )
    remedy = "; labels.squeeze(-1) would fit" if labels.shape == (*logits.shape[:-1], 1) else ""
    raise ShapeError(
        f"sparse_softmax_cross_entropy: labels must have shape {logits.shape[:-1]}, one for "
        f"each row of logits; {told}{remedy}"
    )


softmax_cross_entropy = operation(
    "softmax_cross_entropy",
    summary="Cross-entropy of softmax(logits) and target probabilities, of each row.",
    formula="y = -Σ_i targets[i] log softmax(logits)[i]",
    derivative={
        "logits": "softmax(logits) Σ_j targets[j] - targets",
        "targets": "-log softmax(logits)",
    },
    forward=lambda k, logits, targets: k.softmax_cross_entropy(
        logits, _probabilities(logits, targets)
    ),
    vjp={
        "logits": lambda k, g, residuals, targets: k.softmax_cross_entropy_backward(
            g, residuals, targets
        ),
        "targets": lambda k, g, residuals: -k.expand_dims(g, -1) * residuals,
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
    forward=lambda k, logits, labels: k.sparse_softmax_cross_entropy(
        logits, _labels(logits, labels)
    ),
    vjp={
        "logits": lambda k, g, residuals: k.times(
            k.broadcast_to(k.expand_dims(g, -1), residuals.shape), residuals
        )
    },
    indices=("labels",),
    notes="""
    The slopes, softmax(logits) - one_hot(label), are computed along with the loss.

    Raises DtypeError for labels that are not integers, ShapeError for those that are not one for
    each row. A label that is no class raises ValueError if the host has it; one on a GPU, which is
    not waited for, makes the loss of its row NaN, and the gradient too.
    """,
    definition=lambda logits, labels: (
        -take_along_axis(log_softmax(logits, axis=-1), F.expand_dims(labels, -1), axis=-1)[..., 0]
    ),
    cases=[case((2, 3), np.array([1, 2])), case((2, 2, 3), np.array([[0, 2], [1, 1]]))],
)

sigmoid_cross_entropy = operation(
    "sigmoid_cross_entropy",
    summary="Binary cross-entropy of sigmoid(logits) and targets in [0, 1], of each element.",
    formula="y = log(1 + exp(logits)) - targets * logits",
    derivative={"logits": "sigmoid(logits) - targets", "targets": "-logits"},
    forward=lambda k, logits, targets: (
        k.maximum(logits, 0.0) - targets * logits + k.log1p(k.exp(-abs(logits)))
    ),
    vjp={
        "logits": lambda k, g, logits, targets: g * (k.sigmoid(logits) - targets),
        "targets": lambda k, g, logits: -g * logits,
    },
    cases=[case((4,), (4,))],
)


def smallest(x: Any) -> float:
    """The smallest normal number of a floating dtype: as a probability, log(0) is cut there."""
    return float(np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).tiny)


cross_entropy = elementwise(
    "cross_entropy",
    summary="-targets * log(probabilities), of each element; a probability of 0 counts as the "
    "smallest positive normal number, in the value and in the gradient, which is never lost.",
    formula="-targets * log(probabilities)",
    derivative={"probabilities": "-targets / probabilities", "targets": "-log(probabilities)"},
    forward=lambda k, probabilities, targets: (
        targets * -k.log(_at_least(k, probabilities, targets))
    ),
    vjp={
        "probabilities": lambda k, g, probabilities, targets: (
            -g * targets / _at_least(k, probabilities, targets)
        ),
        "targets": lambda k, g, probabilities: -g * k.log(_at_least(k, probabilities, g)),
    },
    domain={"probabilities": (0.1, 0.9)},
    cases=[case((2, 3), np.array([[0.25, 0.5, 0.0], [1.0, 0.0, 0.75]]))],
)

kl_divergence = elementwise(
    "kl_divergence",
    summary="targets * log(targets / probabilities), of each element: the terms of the "
    "Kullback-Leibler divergence; 0 where the target is 0. Probabilities of 0 count as the "
    "smallest positive normal number.",
    formula="targets * log(targets / probabilities)",
    derivative={
        "probabilities": "-targets / probabilities",
        "targets": "log(targets / probabilities) + 1",
    },
    forward=lambda k, probabilities, targets: targets * _log_ratio(k, targets, probabilities),
    vjp={
        "probabilities": lambda k, g, probabilities, targets: (
            -g * targets / _at_least(k, probabilities, g)
        ),
        "targets": lambda k, g, probabilities, targets: (
            g * (_log_ratio(k, targets, probabilities) + 1)
        ),
    },
    notes="Source: Kullback & Leibler 1951, On information and sufficiency.",
    domain={"probabilities": (0.1, 0.9), "targets": (0.1, 0.9)},
)


def _at_least(k: Any, x: Any, other: Any) -> Any:
    """x, or the smallest positive normal number where that is larger.

    A Python number takes the dtype of the other argument.
    """
    x = x if hasattr(x, "dtype") else x + 0 * other
    return k.maximum(x, smallest(x))


def _log_ratio(k: Any, a: Any, b: Any) -> Any:
    return k.log(_at_least(k, a, b)) - k.log(_at_least(k, b, a))


# Distances ----------------------------------------------------------------------------------


def _difference(k: Any, predictions: Any, targets: Any) -> Any:
    """predictions - targets; of unsigned integers and booleans in float64, or it would wrap."""
    return k.subtract(_signed(predictions), _signed(targets))


def _signed(x: Any) -> Any:
    return x * 1.0 if hasattr(x, "dtype") and x.dtype.kind in "bu" else x


squared_error = elementwise(
    "squared_error",
    summary="The square of the difference.",
    formula="(predictions - targets)**2",
    derivative={
        "predictions": "2 * (predictions - targets)",
        "targets": "2 * (targets - predictions)",
    },
    forward=lambda k, predictions, targets: k.square(_difference(k, predictions, targets)),
    vjp={
        "predictions": lambda k, g, predictions, targets: g * (2 * (predictions - targets)),
        "targets": lambda k, g, predictions, targets: g * (2 * (targets - predictions)),
    },
)

absolute_error = elementwise(
    "absolute_error",
    summary="The size of the difference; its gradient is 0 where there is none.",
    formula="Abs(predictions - targets)",
    derivative={
        "predictions": "sign(predictions - targets)",
        "targets": "sign(targets - predictions)",
    },
    forward=lambda k, predictions, targets: abs(_difference(k, predictions, targets)),
    vjp={
        "predictions": lambda k, g, predictions, targets: g * k.sign(predictions - targets),
        "targets": lambda k, g, predictions, targets: g * k.sign(targets - predictions),
    },
)

huber = operation(
    "huber",
    summary="Half the squared difference d up to a size of delta, and linear beyond it.",
    formula="y = d² / 2 where |d| ≤ delta, delta (|d| - delta / 2) elsewhere",
    derivative={
        "predictions": "d, held between -delta and delta",
        "targets": "-d, held between -delta and delta",
    },
    notes="""
    Arguments: `delta`, a positive number. Raises ValueError for any other.

    Source: Huber 1964, Robust estimation of a location parameter.
    """,
    forward=lambda k, predictions, targets, *, delta=1.0: _huber(k, predictions, targets, delta),
    vjp={
        "predictions": lambda k, g, predictions, targets, delta: (
            g * k.clip(predictions - targets, -delta, delta)
        ),
        "targets": lambda k, g, predictions, targets, delta: (
            g * k.clip(targets - predictions, -delta, delta)
        ),
    },
    cases=[case((6,), (6,), delta=0.875), case((2, 3), (3,), delta=0.5)],
)


def _huber(k: Any, predictions: Any, targets: Any, delta: Any) -> Any:
    if isinstance(delta, bool) or not isinstance(delta, (int, float)) or not 0 < delta < math.inf:
        raise ValueError(f"delta must be a positive number, got {describe(delta)}")
    size = abs(_difference(k, predictions, targets))
    near = k.minimum(size, delta)
    return near * (size - near / 2)


log_cosh = elementwise(
    "log_cosh",
    summary="The logarithm of the hyperbolic cosine of the difference d: about d² / 2 for a small "
    "one, |d| - log 2 for a large one; cannot overflow.",
    formula="log(cosh(predictions - targets))",
    derivative={
        "predictions": "tanh(predictions - targets)",
        "targets": "tanh(targets - predictions)",
    },
    forward=lambda k, predictions, targets: _log_cosh(k, abs(_difference(k, predictions, targets))),
    vjp={
        "predictions": lambda k, g, predictions, targets: g * k.tanh(predictions - targets),
        "targets": lambda k, g, predictions, targets: g * k.tanh(targets - predictions),
    },
)


def _log_cosh(k: Any, size: Any) -> Any:
    """log(cosh(size)) = size + log((1 + exp(-2 size)) / 2), written with expm1 and log1p."""
    return size + k.log1p(k.expm1(-2.0 * size) / 2)


hinge = operation(
    "hinge",
    summary="max(0, 1 - targets * predictions), for targets of -1 and 1.",
    formula="y = max(0, 1 - targets predictions)",
    derivative={
        "predictions": "-targets where y > 0, 0 elsewhere",
        "targets": "-predictions where y > 0, 0 elsewhere",
    },
    forward=lambda k, predictions, targets: k.maximum(
        1 - _signed(targets) * _signed(predictions), 0.0
    ),
    vjp={
        "predictions": lambda k, g, y, targets: -g * targets * (y > 0),
        "targets": lambda k, g, y, predictions: -g * predictions * (y > 0),
    },
    cases=[case((4,), np.array([1.0, -1.0, 1.0, -1.0])), case((2, 1), (3,))],
)

poisson = elementwise(
    "poisson",
    summary="predictions - targets * log(predictions): the negative logarithm of the probability "
    "of a count, but for a term without predictions. Predictions of 0 count as the smallest "
    "positive normal number.",
    formula="predictions - targets * log(predictions)",
    derivative={"predictions": "1 - targets / predictions", "targets": "-log(predictions)"},
    forward=lambda k, predictions, targets: (
        predictions - targets * k.log(_at_least(k, predictions, targets))
    ),
    vjp={
        "predictions": lambda k, g, predictions, targets: (
            g * (1 - targets / _at_least(k, predictions, targets))
        ),
        "targets": lambda k, g, predictions: -g * k.log(_at_least(k, predictions, g)),
    },
    domain={"predictions": (0.1, 5.0)},
)
