"""Training: losses, models, the training loop, data, metrics, callbacks and progress.

Losses are in `chainrule.training.losses` and metrics in `chainrule.training.metrics`: some have
the same names.
"""

from .callbacks import Callback, LambdaCallback
from .history import History
from .losses import get_loss
from .metrics import confusion_matrix, format_confusion, get_metric
from .model import Model
from .plots import plot_history
from .sequential import Sequential

__all__ = [
    "Callback",
    "History",
    "LambdaCallback",
    "Model",
    "Sequential",
    "confusion_matrix",
    "format_confusion",
    "get_loss",
    "get_metric",
    "plot_history",
]
