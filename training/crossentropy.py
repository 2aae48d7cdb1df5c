"""Cross-entropies: the losses of classifiers, from probabilities or from logits."""

from __future__ import annotations

import math

import numpy as np

from chainrule.engine.errors import DtypeError, describe
from chainrule.engine.hosted import host_array
from chainrule.engine.operations.indexing import take_along_axis
from chainrule.engine.operations.losses import (
    cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_softmax_cross_entropy,
)
from chainrule.engine.operations.shapes import expand_dims
from chainrule.engine.tensor import Tensor

from .data import check_targets
from .loss_base import Entrywise, Loss, reshape_to

ROUNDING = 1e-4  # by which a probability may exceed 1; a float32 softmax stays well below


class _CrossEntropy(Entrywise):
    """What the cross-entropies share: predictions are probabilities, or logits."""

    def __init__(self, from_logits: bool, reduction: str | None, name: str) -> None:
        super().__init__(name, reduction)
        self.from_logits = from_logits

    def check_predictions(self, y_pred: Tensor) -> None:
        """Prove that they are probabilities, if they are no logits; see `Loss`."""
        if not self.from_logits:
            self._check_probabilities(y_pred)

    def _look(self, y_pred: Tensor) -> None:
        """The same in a training step, on the host, where it costs next to nothing."""
        if y_pred._device.on_host:
            self._check_probabilities(y_pred)

    def _check_probabilities(self, y_pred: Tensor) -> None:
        raw = host_array(y_pred)
        low, high = raw.min(), raw.max()
        if low < 0 or high > 1 + ROUNDING:
            raise ValueError(
                f"{self.name}: y_pred has values from {low:g} to {high:g}, which are no "
                f"probabilities; end the model with a {self.activation} activation, or, if they "
                "are logits, use from_logits=True"
            )

    def _check_unit_interval(self, y_true: np.ndarray, where: str | None, y_name: str) -> None:
        inside = (y_true >= 0) & (y_true <= 1)
        if inside.all():
            return
        first = tuple(map(int, np.argwhere(~inside)[0]))
        raise ValueError(
            f"{where or self.name}: {y_name}[{', '.join(map(str, first))}] = {y_true[first]} is "
            f"outside [0, 1] ({describe(y_true)}); the targets of {self.name} are probabilities"
        )

    def _check_classes(
        self, y_true: np.ndarray, shape: tuple[int, ...], where: str | None, y_name: str
    ) -> None:
        if len(shape) < 2 or shape[-1] == 1:
            remedy = (
                f"{self.name} needs predictions of shape (batch, ..., classes) with at least two "
                "classes; for one yes-or-no output use a sigmoid and 'binary_crossentropy'"
            )
            raise self.refusal(y_true, shape, where, y_name, remedy)
        Loss.check(self, y_true, shape, where=where, y_name=y_name)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(from_logits={self.from_logits}, reduction={self.reduction!r})"
        )


class BinaryCrossentropy(_CrossEntropy):
    """Cross-entropy of yes-or-no predictions, averaged over the outputs of each sample.

        J = -[t log p + (1 - t) log(1 - p)]             ∂J/∂p = (p - t) / (p (1 - p))
        J = log(1 + e^z) - t z,  p = σ(z)               ∂J/∂z = σ(z) - t

    for a target t and a probability p, or a logit z with `from_logits=True`. A probability of
    exactly 0 or 1 counts as the smallest positive number away from it: the loss stays finite and
    its gradient is not lost.

    Arguments:
        from_logits: are predictions logits, rather than probabilities?
        reduction: "mean" over samples, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., outputs), or (batch,); targets are in [0, 1].

    Source: C. M. Bishop, Pattern Recognition and Machine Learning, 2006, equation 5.21.

    >>> import chainrule as cr
    >>> round(BinaryCrossentropy()([[1.0], [0.0]], cr.tensor([[0.5], [0.5]])).item(), 4)
    0.6931
    >>> BinaryCrossentropy(from_logits=True)([[0.0]], cr.tensor([[200.0]])).item()
    200.0
    """

    activation = "sigmoid"

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "mean",
        name: str = "binary_crossentropy",
    ) -> None:
        super().__init__(from_logits, reduction, name)

    def check(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        *,
        where: str | None = None,
        y_name: str = "y_true",
    ) -> None:
        """Prove that targets have the predictions' shape and lie in [0, 1]; see `Loss.check`."""
        super().check(y_true, shape, where=where, y_name=y_name)
        self._check_unit_interval(y_true, where, y_name)

    def example(self, shape: tuple[int, ...]) -> np.ndarray:
        """Targets for predictions of a shape: all 0."""
        return np.zeros(shape, np.float32)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The mean over the outputs of each sample."""
        if self.from_logits:
            values = sigmoid_cross_entropy(y_pred, y_true)
        else:
            self._look(y_pred)
            values = cross_entropy(y_pred, y_true) + cross_entropy(1.0 - y_pred, 1.0 - y_true)
        return values.mean(axis=-1) if values.ndim > 1 else values


class CategoricalCrossentropy(_CrossEntropy):
    """Cross-entropy of class probabilities and one-hot (or any other) target probabilities.

        J = -Σ_i t[i] log p[i]                          ∂J/∂p[i] = -t[i] / p[i]
        J = -Σ_i t[i] log softmax(z)[i]                 ∂J/∂z[i] = softmax(z)[i] Σ_j t[j] - t[i]

    for targets t and probabilities p, or logits z with `from_logits=True`. Probabilities are taken
    as they are, not rescaled to the sum 1; one of exactly 0 counts as the smallest positive
    number: the loss stays finite and its gradient is not lost.

    Arguments:
        from_logits: are predictions logits, rather than probabilities?
        reduction: "mean" over samples and positions, "sum" of them, or None.
        name: name in messages.

    Both arguments of a call have shape (batch, ..., classes).

    Source: C. M. Bishop, Pattern Recognition and Machine Learning, 2006, equation 5.24.

    >>> import chainrule as cr
    >>> z = cr.tensor([[0.0, 0.0]], requires_grad=True)
    >>> loss = CategoricalCrossentropy(from_logits=True)([[0.0, 1.0]], z)
    >>> loss.backward()
    >>> round(loss.item(), 4), z.grad.tolist()
    (0.6931, [[0.5, -0.5]])
    """

    activation = "softmax"

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "mean",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, reduction, name)

    def check(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        *,
        where: str | None = None,
        y_name: str = "y_true",
    ) -> None:
        """Prove that targets are probabilities of the same classes; see `Loss.check`."""
        self._check_classes(y_true, shape, where, y_name)
        if y_true.shape in (shape[:-1], (*shape[:-1], 1)):
            remedy = (
                "these look like class labels: use the loss 'sparse_categorical_crossentropy', or "
                f"make them one-hot: cr.one_hot({y_name}, {shape[-1]})"
            )
            raise self.refusal(y_true, shape, where, y_name, remedy)
        if y_true.shape[:-1] == shape[:-1] and y_true.shape != shape:
            remedy = (
                f"targets of {y_true.shape[-1]} classes do not fit {shape[-1]} units; one-hot "
                f"targets are made by cr.one_hot(labels, {shape[-1]})"
            )
            raise self.refusal(y_true, shape, where, y_name, remedy)
        super().check(y_true, shape, where=where, y_name=y_name)
        self._check_unit_interval(y_true, where, y_name)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The cross-entropy of each sample, or position."""
        if self.from_logits:
            return softmax_cross_entropy(y_pred, y_true)
        self._look(y_pred)
        return cross_entropy(y_pred, y_true).sum(axis=-1)


class SparseCategoricalCrossentropy(_CrossEntropy):
    """Cross-entropy of class probabilities and integer labels.

        J = -log p[label]                               ∂J/∂p[i] = -[i = label] / p[i]
        J = -log softmax(z)[label]                      ∂J/∂z[i] = softmax(z)[i] - [i = label]

    for probabilities p, or logits z with `from_logits=True`: `CategoricalCrossentropy` of the
    one-hot labels, without making them.

    Arguments:
        from_logits: are predictions logits, rather than probabilities?
        reduction: "mean" over samples and positions, "sum" of them, or None.
        name: name in messages.

    In a call, predictions have shape (batch, ..., classes) and labels, integers from 0 to
    classes - 1, have shape (batch, ...).

    Source: C. M. Bishop, Pattern Recognition and Machine Learning, 2006, equation 5.24.

    >>> import chainrule as cr
    >>> round(SparseCategoricalCrossentropy()([1], cr.tensor([[0.5, 0.5]])).item(), 4)
    0.6931
    """

    activation = "softmax"

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "mean",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, reduction, name)

    def check(
        self,
        y_true: np.ndarray,
        shape: tuple[int, ...],
        *,
        where: str | None = None,
        y_name: str = "y_true",
    ) -> None:
        """Prove that labels are integers inside the classes; see `Loss.check`."""
        self._check_classes(y_true, shape, where, y_name)
        if y_true.shape != shape[:-1]:
            remedy = f"{self.name} needs labels of shape {shape[:-1]}"
            if y_true.shape == shape:
                remedy = (
                    "these look like one-hot targets: use the loss 'categorical_crossentropy', or "
                    f"take the labels: {y_name}.argmax(axis=-1)"
                )
            elif y_true.size == math.prod(shape[:-1]):
                remedy += f"; reshape them: {reshape_to(shape[:-1], y_name)}"
            raise self.refusal(y_true, shape, where, y_name, remedy)
        if y_true.dtype.kind not in "iu":
            raise DtypeError(
                f"{where or self.name}: {y_name} has {describe(y_true)}, but class labels are "
                f'integers; if these are labels, convert them: {y_name}.astype("int64")'
            )
        check_targets(y_true, shape[-1], y_name=y_name, where=where or self.name)

    def example(self, shape: tuple[int, ...]) -> np.ndarray:
        """Labels for predictions of a shape: all 0."""
        return np.zeros(shape[:-1], np.int64)

    def targets(self, y_true: np.ndarray, y_pred: Tensor) -> Tensor:
        """Labels as a Tensor of int64 beside the predictions."""
        return Tensor(y_true, "int64", device=y_pred.device)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The cross-entropy of each sample, or position."""
        if self.from_logits:
            return sparse_softmax_cross_entropy(y_pred, y_true)
        self._look(y_pred)
        picked = take_along_axis(y_pred, expand_dims(y_true, -1), axis=-1)
        return cross_entropy(picked, 1.0).squeeze(axis=-1)
