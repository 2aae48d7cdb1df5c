"""Losses that compare predictions with targets entry by entry."""

from __future__ import annotations

import math

import numpy as np

from chainrule.engine.errors import describe
from chainrule.engine.operations.arithmetic import sqrt
from chainrule.engine.operations.choices import where
from chainrule.engine.operations.losses import (
    absolute_error,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    poisson,
    squared_error,
)
from chainrule.engine.tensor import Tensor

from .loss_base import Entrywise


class _MeanOfEntries(Entrywise):
    """Base of losses that are the mean, over the features of a sample, of one number per entry.

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).
    """

    default_name = ""

    def __init__(self, *, reduction: str | None = "mean", name: str | None = None) -> None:
        super().__init__(name or self.default_name, reduction)

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each entry."""
        raise NotImplementedError(f"{type(self).__name__} must define entries(y_true, y_pred)")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the features of each sample."""
        entries = self.entries(y_true, y_pred)
        return entries.mean(axis=-1) if entries.ndim > 1 else entries


class MeanSquaredError(_MeanOfEntries):
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

    default_name = "mean_squared_error"

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The squared differences."""
        return squared_error(y_pred, y_true)


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
        halves = 0.5 * squared_error(y_pred, y_true)
        return halves.sum(axis=tuple(range(1, halves.ndim))) if halves.ndim > 1 else halves


class MeanAbsoluteError(_MeanOfEntries):
    """Mean of the sizes of the differences of each sample.

        J = Σ_i |y_pred[i] - y_true[i]| / n      ∂J/∂y_pred[i] = sign(y_pred[i] - y_true[i]) / n

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).

    >>> import chainrule as cr
    >>> MeanAbsoluteError()([[1.0, 2.0]], cr.tensor([[1.0, 4.0]])).item()
    1.0
    """

    default_name = "mean_absolute_error"

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The sizes of the differences."""
        return absolute_error(y_pred, y_true)


class Huber(_MeanOfEntries):
    """Squared for small differences, linear for large ones: outliers pull with bounded force.

        h(d) = d² / 2 for |d| <= delta, delta (|d| - delta / 2) beyond      d = y_pred - y_true
        J = Σ_i h(d[i]) / n           ∂J/∂y_pred[i] = max(-delta, min(d[i], delta)) / n

    Arguments:
        delta: where the two meet, a positive number.
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).

    Raises:
        ValueError: delta is not a positive number.

    Source: Huber 1964, Robust estimation of a location parameter.

    >>> import chainrule as cr
    >>> Huber()([[1.0, 2.0]], cr.tensor([[1.0, 4.0]])).item()
    0.75
    """

    default_name = "huber"

    def __init__(
        self, delta: float = 1.0, *, reduction: str | None = "mean", name: str | None = None
    ) -> None:
        super().__init__(reduction=reduction, name=name)
        number = isinstance(delta, (int, float)) and not isinstance(delta, bool)
        if not number or not 0 < delta < math.inf:
            raise ValueError(f"Huber: delta must be a positive number, got {describe(delta)}")
        self.delta = delta

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """h of each difference."""
        return huber(y_pred, y_true, self.delta)


class LogCosh(_MeanOfEntries):
    """Mean of log(cosh(d)), d = y_pred - y_true: squared near 0, linear far away, and smooth.

        J = Σ_i log(cosh(d[i])) / n      ∂J/∂y_pred[i] = tanh(d[i]) / n

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).

    >>> import chainrule as cr
    >>> round(LogCosh()([0.0], cr.tensor([1000.0])).item(), 4)  # 1000 - log 2
    999.3069
    """

    default_name = "log_cosh"

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """log(cosh(d)) of each difference d."""
        return log_cosh(y_pred, y_true)


class Hinge(_MeanOfEntries):
    """Mean of max(0, 1 - y_true y_pred): a margin of 1 between two classes, labelled -1 and 1.

        ∂J/∂y_pred[i] = -y_true[i] / n where the margin is not kept, 0 elsewhere

    Targets of 0 and 1 are taken for -1 and 1, as in Keras.

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).

    Raises, when called:
        ValueError: a target is none of -1, 0 and 1.

    >>> import chainrule as cr
    >>> Hinge()([[1.0, -1.0]], cr.tensor([[0.5, -3.0]])).item()
    0.25
    """

    default_name = "hinge"

    def check(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        *,
        where: str | None = None,
        y_name: str = "y_true",
    ) -> None:
        """Prove that the targets fit, and are labels; see `Loss.check`."""
        super().check(y_true, shape, where=where, y_name=y_name)
        wrong = np.setdiff1d(y_true, [-1, 0, 1])
        if wrong.size:
            raise ValueError(
                f"{where or self.name}: {y_name} must be -1 and 1 (or 0 and 1), got {wrong[0]}"
            )

    def targets(self, y_true: np.ndarray, y_pred: Tensor) -> Tensor:
        """The labels -1 and 1."""
        if not (y_true < 0).any():
            y_true = 2.0 * y_true - 1.0
        return super().targets(y_true, y_pred)

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """max(0, 1 - y_true y_pred) of each entry."""
        return hinge(y_pred, y_true)


class KLDivergence(_MeanOfEntries):
    """Kullback–Leibler divergence of each row of probabilities from its target row.

        J = Σ_i y_true[i] log(y_true[i] / y_pred[i])      ∂J/∂y_pred[i] = -y_true[i] / y_pred[i]

    A target of 0 takes no part; a prediction of 0 counts as the smallest positive normal number.

    Arguments:
        reduction: "mean" over rows, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., classes) and lie in [0, 1].

    Source: Kullback and Leibler 1951, On information and sufficiency.

    >>> import chainrule as cr
    >>> KLDivergence()([[0.0, 1.0]], cr.tensor([[0.5, 0.5]])).item() == -cr.log(0.5).item()
    True
    """

    default_name = "kl_divergence"

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The sum over the classes of each row."""
        entries = self.entries(y_true, y_pred)
        return entries.sum(axis=-1) if entries.ndim > 1 else entries

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The terms of the sum."""
        return kl_divergence(y_pred, y_true)


class Poisson(_MeanOfEntries):
    """Mean of y_pred - y_true log(y_pred): predictions are the expected counts, targets the counts.

        ∂J/∂y_pred[i] = (1 - y_true[i] / y_pred[i]) / n

    Arguments:
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features), or (batch,).

    >>> import chainrule as cr
    >>> Poisson()([[2.0, 0.0]], cr.tensor([[1.0, 3.0]])).item()
    2.0
    """

    default_name = "poisson"

    def entries(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """y_pred - y_true log(y_pred) of each entry."""
        return poisson(y_pred, y_true)


class CosineSimilarity(Entrywise):
    """Minus the cosine of the angle between each prediction and its target, both vectors.

        J = -Σ_i y_true[i] y_pred[i] / (|y_true| |y_pred|)

    -1 is the best: the same direction. A vector of zeros has no direction, and gives 0.

    Arguments:
        axis: the axis along which the vectors lie.
        reduction: "mean" over vectors, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., features).

    >>> import chainrule as cr
    >>> CosineSimilarity()([[3.0, 0.0]], cr.tensor([[2.0, 0.0]])).item()
    -1.0
    """

    def __init__(
        self, axis: int = -1, *, reduction: str | None = "mean", name: str = "cosine_similarity"
    ) -> None:
        super().__init__(name, reduction)
        self.axis = axis

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Minus the cosine of each pair of vectors."""
        product = (y_true * y_pred).sum(axis=self.axis)
        lengths = y_true.square().sum(axis=self.axis) * y_pred.square().sum(axis=self.axis)
        nothing = lengths == 0
        return -where(nothing, 0.0, product / sqrt(where(nothing, 1.0, lengths)))
