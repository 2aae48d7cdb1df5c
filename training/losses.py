"""Losses: one number that says how far predictions are from their targets, and its gradient.

A loss is called as `loss(y_true, y_pred)`. It first gives one value for each sample (or position
of a sequence), then reduces them. Nothing is broadcast: what does not fit is an error that says
what would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.making import Kind, made
from chainrule.engine.tensor import Tensor

from .crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from .entrywise_losses import (
    CosineSimilarity,
    HalfSquaredError,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
)
from .loss_base import Loss

__all__ = [
    "ABBREVIATIONS",
    "LOSSES",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CosineSimilarity",
    "FunctionLoss",
    "HalfSquaredError",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "get_loss",
]


class FunctionLoss(Loss):
    """A loss made of a function of (y_true, y_pred), both Tensors.

    Arguments:
        function: returns a Tensor, one value per sample, or a single one: the mean of the batch.
        name: name in messages; None is the function's own.

    >>> import chainrule as cr
    >>> loss = FunctionLoss(lambda y_true, y_pred: abs(y_pred - y_true), name="distance")
    >>> loss([1.0, 2.0], cr.tensor([1.5, 4.5])).item()
    1.5
    """

    def __init__(self, function: Callable[..., Tensor], *, name: str | None = None) -> None:
        super().__init__(name or str(getattr(function, "__name__", type(function).__name__)))
        self.function = function

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """What the function returns, if it is one value per sample, or a single one."""
        values = self.function(y_true, y_pred)
        if not isinstance(values, Tensor):
            raise TypeError(
                f"{self.name}: the loss must return a Tensor, got {type(values).__name__}; compute "
                "with Tensors and the functions of chainrule, so that it can be differentiated"
            )
        if values.ndim and len(values) != len(y_pred):
            raise ShapeError(
                f"{self.name}: the loss returned {describe(values)} for a batch of {len(y_pred)}; "
                "return one value per sample, or a single one"
            )
        return values


LOSSES: dict[str, type[Any]] = {
    "mean_squared_error": MeanSquaredError,
    "half_squared_error": HalfSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "hinge": Hinge,
    "kl_divergence": KLDivergence,
    "poisson": Poisson,
    "cosine_similarity": CosineSimilarity,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
#: What a configuration of a loss may describe.
KIND = Kind("loss", Loss, {cls.__name__: cls for cls in LOSSES.values()})
ABBREVIATIONS = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "kld": "kl_divergence",
    "logcosh": "log_cosh",
}


def get_loss(
    identifier: str | Loss | dict[str, Any] | Callable[..., Any], *, where: str = "get_loss"
) -> Loss:
    """The loss that is meant by a name, a function or a loss.

    Arguments:
        identifier: a name (one of `LOSSES` or its abbreviation); a `Loss`, returned as it is; what
            `to_config` of one returned; or a function `(y_true, y_pred)` of Tensors that returns
            a value per sample.
        where: name of the public function, for messages.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
        TypeError: it is none of the three.

    >>> get_loss("mse")
    MeanSquaredError(reduction='mean')
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        name = ABBREVIATIONS.get(identifier, identifier)
        if name not in LOSSES:
            known = ", ".join([*LOSSES, *ABBREVIATIONS])
            raise ValueError(f"{where}: unknown loss {identifier!r}; the known ones are {known}")
        named: Loss = LOSSES[name]()
        return named
    if isinstance(identifier, dict):
        described: Loss = made(identifier, KIND)
        return described
    if callable(identifier) and not isinstance(identifier, type):
        return FunctionLoss(identifier)
    got = repr(identifier) if identifier is None else type(identifier).__name__
    if isinstance(identifier, type):
        got = f"the class {identifier.__name__} (write {identifier.__name__}(...))"
    raise TypeError(
        f"{where}: a loss must be a name, a Loss or a function (y_true, y_pred), got {got}"
    )
