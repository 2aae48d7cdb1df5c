"""What every loss does: check its arguments, give a value for each sample, reduce these."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from chainrule.engine.configured import Configured
from chainrule.engine.dtypes import as_dtype
from chainrule.engine.errors import DtypeError, GradientError, ShapeError, apart, describe
from chainrule.engine.hosted import host_array
from chainrule.engine.tensor import Tensor

REDUCTIONS = {"mean": "mean", "sum_over_batch_size": "mean", "sum": "sum", None: None}


class Loss(Configured):
    """Base of losses: a subclass gives the value of each sample in `call`.

    Constructor arguments of a subclass, kept in attributes of the same names, are its
    configuration: with them a model is saved and made again (see `chainrule.load_model`).

    Arguments:
        name: name in messages.
        reduction: "mean" over all values that `call` returns (Keras's "sum_over_batch_size" is the
            same), "sum" of them, or None for the values themselves.

    Raises:
        ValueError: there is no such reduction.

    >>> import chainrule as cr
    >>> class MeanCube(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return (abs(y_pred - y_true) ** 3).mean(axis=-1)
    >>> MeanCube("mean_cube")([[1.0, 2.0]], cr.tensor([[1.0, 4.0]])).item()
    4.0
    """

    #: Is `y_pred` what comes before the final activation?
    from_logits = False
    #: The final activation with which this loss can be computed as one, from logits.
    activation: str | None = None

    def __init__(self, name: str, reduction: str | None = "mean") -> None:
        self.name = name
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{name}: unknown reduction {reduction!r}; the known ones are 'mean', 'sum' and "
                "None, which gives one value per sample"
            )
        self.reduction = REDUCTIONS[reduction]

    def __call__(self, y_true: Any, y_pred: Any) -> Tensor:
        """The loss of predictions, given their targets.

        Arguments:
            y_true: targets, an array, a list or a Tensor without gradient.
            y_pred: predictions, a floating Tensor or array, shape (batch, ...).

        Returns:
            a Tensor of shape (); of shape (batch, ...) with `reduction=None`. It has the dtype of
            the predictions.

        Raises:
            ShapeError: the shapes do not fit together.
            DtypeError: predictions are not floating, or labels no integers.
            ValueError: a target is outside the classes, or a probability outside [0, 1].
            GradientError: the targets require gradients.
        """
        if isinstance(y_true, Tensor):
            if y_true.requires_grad:
                raise GradientError(
                    f"{self.name}: y_true requires gradients, but a loss gives targets none; the "
                    "order is (y_true, y_pred); to stop the gradient, give y_true.detach()"
                )
            if isinstance(y_pred, Tensor) and y_true._device is not y_pred._device:
                raise apart(self.name, y_pred.device, y_true.device)
            y_true = host_array(y_true)
        y_pred = y_pred if isinstance(y_pred, Tensor) else Tensor(y_pred)
        if y_pred.dtype.kind != "f":
            raise DtypeError(
                f"{self.name}: y_pred must be floating, got {describe(y_pred)}; the order is "
                "(y_true, y_pred)"
            )
        y_true = np.asarray(y_true)
        as_dtype(y_true.dtype, f"{self.name}: y_true")
        self.check(y_true, y_pred.shape)
        return self.reduce(self.call(self.targets(y_true, y_pred), y_pred))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The value of each sample, shape (batch, ...), from targets that were checked."""
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def check(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        *,
        where: str | None = None,
        y_name: str = "y_true",
    ) -> None:
        """Prove that targets fit predictions of a shape, before these are computed.

        Arguments:
            y_true: targets.
            shape: shape of the predictions, (batch, ...).
            where: name of the public function, for messages; None is the loss's own name.
            y_name: name of the targets, for messages.

        Raises:
            ShapeError, DtypeError, ValueError: as for a call.
        """
        if not shape or 0 in shape or y_true.shape[:1] != shape[:1]:
            remedy = "there must be one target for each sample, and at least one sample"
            raise self.refusal(y_true, shape, where, y_name, remedy)
        if y_true.shape != shape and y_true.size == math.prod(shape):
            remedy = "one of them would be broadcast against the other; reshape the targets: "
            remedy += reshape_to(shape, y_name)
            raise self.refusal(y_true, shape, where, y_name, remedy)

    def check_predictions(self, y_pred: Tensor) -> None:
        """Prove that predictions have values that the loss can read; by default, all have.

        It reads them, for which a GPU has to wait: a training asks it once.
        """

    def targets(self, y_true: np.ndarray, y_pred: Tensor) -> Tensor:
        """Targets as a Tensor beside the predictions: floating ones in their dtype."""
        dtype = y_pred.dtype if y_true.dtype.kind == "f" else None
        return Tensor(y_true, dtype, device=y_pred.device)

    def example(self, shape: tuple[int, ...]) -> np.ndarray:
        """Targets that fit predictions of a shape: what a model's cost is measured with."""
        return np.full(shape, 1 / max(1, *shape[-1:]), np.float32)

    def reduce(self, values: Tensor) -> Tensor:
        """The values reduced as `reduction` says."""
        if self.reduction is None:
            return values
        return values.mean() if self.reduction == "mean" else values.sum()

    def with_logits(self) -> Loss:
        """The same loss, reading what comes before the final activation `activation`."""
        twin = copy.copy(self)
        twin.from_logits = True
        return twin

    def refusal(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        where: str | None,
        y_name: str,
        remedy: str,
    ) -> ShapeError:
        """The error that says which shapes do not fit, and what would."""
        return ShapeError(
            f"{where or self.name}: {y_name} has {describe(y_true)}, but the predictions have "
            f"shape {shape}; {remedy}"
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reduction={self.reduction!r})"


def reshape_to(shape: tuple[int, ...], y_name: str) -> str:
    """The line that gives targets that shape, with the batch left open."""
    return f"{y_name}.reshape({', '.join(['-1', *map(str, shape[1:])])})"


class Entrywise(Loss):
    """Base of losses whose targets have the shape of the predictions."""

    def check(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        *,
        where: str | None = None,
        y_name: str = "y_true",
    ) -> None:
        """Prove that targets have the predictions' shape; see `Loss.check`."""
        super().check(y_true, shape, where=where, y_name=y_name)
        if y_true.shape != shape:
            remedy = f"{self.name} needs equal shapes, one target for each prediction"
            raise self.refusal(y_true, shape, where, y_name, remedy)

    def targets(self, y_true: np.ndarray, y_pred: Tensor) -> Tensor:
        """Targets as a Tensor of the predictions' dtype."""
        return Tensor(y_true, y_pred.dtype, device=y_pred.device)
