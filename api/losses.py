"""Losses, by Keras's names; `compile` takes them by name, too."""

from chainrule.training.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    HalfSquaredError,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from chainrule.training.losses import (
    get_loss as get,
)

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "HalfSquaredError",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
]
