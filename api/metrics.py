"""Metrics, by Keras's names, and the confusion table; `compile` takes them by name, too."""

from chainrule.training.metric_base import Metric
from chainrule.training.metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalAccuracy,
    confusion_matrix,
    format_confusion,
)
from chainrule.training.metrics import (
    get_metric as get,
)

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "confusion_matrix",
    "format_confusion",
    "get",
]
