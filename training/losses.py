"""Losses: one number that says how far predictions are from their targets, and its gradient.

A loss is called as `loss(y_true, y_pred)`. It first gives one value for each sample (or position
of a sequence), then reduces them. Nothing is broadcast: what does not fit is an error that says
what would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.tensor import Tensor

from .crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from .loss_base import Entrywise, Loss

__all__ = [
    "ABBREVIATIONS",
    "LOSSES",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "FunctionLoss",
    "HalfSquaredError",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get_loss",
]


class MeanSquaredError(Entrywise):
    """Mean of the squared differences of each sample.

        J = Σ_i (y_pred[i] - y_true[i])² / n        ∂J/∂y_pred[i] = 2 (y_pred[i] - y_true[i]) / n

    The sum runs over the n features of a sample; with the reduction "mean", over all entries.

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).

    Source: C. F. Gauss, Theoria motus corporum coelestium, 1809, §179.

    >>> import chainrule as cr
    >>> MeanSquaredError()([[1.0, 2.0]], cr.tensor([[1.0, 4.0]])).item()
    2.0
    """

    def __init__(self, *, reduction: str | None = "mean", name: str = "mean_squared_error") -> None:
        super().__init__(name, reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the features of each sample."""
        squares = (y_pred - y_true).square()
        return squares.mean(axis=-1) if squares.ndim > 1 else squares


class HalfSquaredError(Entrywise):
    """Half the squared distance of each sample from its target: the derivation's J = ½‖y - ŷ‖².

        J = ½ Σ_i (y_pred[i] - y_true[i])²              ∂J/∂y_pred[i] = y_pred[i] - y_true[i]

    With the reduction "sum", the output layer's error is δ3 = (y - ŷ) ∘ σ'(z3) for each sample,
    as derived, and the gradients of the parameters are sums over the batch. With "mean", the
    default, both are divided by the number of samples, so that a learning rate suits any batch
    size; for one sample the two are the same.

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ...); all axes but the first are summed over.

    Source: DERIVATIONS.md, The worked example (4.3); y is the prediction and ŷ the target there.

    >>> import chainrule as cr
    >>> y = cr.tensor([[1.0, 4.0], [0.0, 0.0]], requires_grad=True)
    >>> loss = HalfSquaredError(reduction="sum")([[1.0, 2.0], [3.0, 0.0]], y)
    >>> loss.backward()
    >>> loss.item(), y.grad.tolist()
    (6.5, [[0.0, 2.0], [-3.0, 0.0]])
    """

    def __init__(self, *, reduction: str | None = "mean", name: str = "half_squared_error") -> None:
        super().__init__(name, reduction)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Half the sum over all entries of each sample."""
        halves = 0.5 * (y_pred - y_true).square()
        return halves.sum(axis=tuple(range(1, halves.ndim))) if halves.ndim > 1 else halves


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


LOSSES: dict[str, Callable[..., Loss]] = {
    "mean_squared_error": MeanSquaredError,
    "half_squared_error": HalfSquaredError,
    "binary_crossentropy": BinaryCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
}
ABBREVIATIONS = {"mse": "mean_squared_error"}


def get_loss(identifier: str | Loss | Callable[..., Any], *, where: str = "get_loss") -> Loss:
    """The loss that is meant by a name, a function or a loss.

    Arguments:
        identifier: a name (one of `LOSSES` or its abbreviation); a `Loss`, returned as it is; or
            a function `(y_true, y_pred)` of Tensors that returns a value per sample.
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
        return LOSSES[name]()
    if callable(identifier) and not isinstance(identifier, type):
        return FunctionLoss(identifier)
    got = repr(identifier) if identifier is None else type(identifier).__name__
    if isinstance(identifier, type):
        got = f"the class {identifier.__name__} (write {identifier.__name__}(...))"
    raise TypeError(
        f"{where}: a loss must be a name, a Loss or a function (y_true, y_pred), got {got}"
    )
