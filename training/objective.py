"""What a compiled model computes of a batch: outputs, loss and metrics.

Where the model ends in a softmax and the loss is a cross-entropy of classes (or in a sigmoid, and
the loss is binary), the two are computed as one, from the logits: probabilities that are rounded
to 0 would cut off a loss of 200 at 87 in float32, and their gradient would vanish in the saturated
activation. It is decided here, once, by kind, for training and evaluation alike.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.hosted import brought, fetched, host_array
from chainrule.engine.masks import mask_of
from chainrule.engine.operations.activations import sigmoid
from chainrule.engine.operations.reductions import softmax
from chainrule.engine.tensor import Tensor

from .losses import (
    LOSSES,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Loss,
    SparseCategoricalCrossentropy,
    get_loss,
)
from .metric_base import Mean, Metric, Portable
from .metrics import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    get_metric,
)

FUSIBLE = (BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"softmax": softmax, "sigmoid": sigmoid}
ACCURACIES = (Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy)


class Predictor(Protocol):
    """What is asked of a model here."""

    def __call__(self, x: Any) -> Tensor:
        """The model's predictions."""

    def logits(self, x: Any) -> Tensor:
        """What comes before the model's final activation."""

    @property
    def losses(self) -> list[Tensor]:
        """Penalties, which are added to the loss."""


class Objective:
    """Loss and metrics of a model, chosen to fit its final activation.

    Arguments:
        loss: name, `Loss` or function.
        metrics: names, `Metric`s or functions; or a single one; or None.
        final_activation: name of the model's last activation, None if there is none to speak of.

    Raises:
        ValueError: a name is unknown, two metrics have one name, or the loss has no reduction.
        TypeError: something else than a loss, or than a metric, is given.

    >>> Objective("sparse_categorical_crossentropy", ["accuracy"], "softmax").fused
    True
    >>> Objective("mse", ["mae"], "linear").fused
    False
    """

    def __init__(self, loss: Any, metrics: Any, final_activation: str | None) -> None:
        self.loss: Loss = get_loss(loss, where="compile")
        if self.loss.reduction is None:
            raise ValueError(
                f"compile: loss {self.loss.name} has reduction=None, but training needs one "
                "number; use reduction='mean' or 'sum'"
            )
        self.final_activation = final_activation
        self.fused = (
            type(self.loss) in FUSIBLE
            and not self.loss.from_logits
            and self.loss.activation == final_activation
        )
        self.computed = self.loss.with_logits() if self.fused else self.loss
        self.identifiers = identifiers = _as_list(metrics)
        self.metrics = [
            get_metric(each, loss=_kind(self.loss), from_logits=self.computed.from_logits)
            for each in identifiers
        ]
        # An accuracy sees logits only where it was made for them here, or asks for the largest.
        self._read_logits = [
            (isinstance(each, str) and isinstance(metric, ACCURACIES))
            or type(metric) in (CategoricalAccuracy, SparseCategoricalAccuracy)
            for each, metric in zip(identifiers, self.metrics, strict=True)
        ]
        self.average = Mean("loss")
        names = ["loss", *(metric.name for metric in self.metrics)]
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise ValueError(
                f"compile: two of the loss and the metrics are called {twice!r}; give one of "
                "them another name, as in BinaryAccuracy(name=...)"
            )

    def copy(self) -> Objective:
        """The same with averages of its own, for a run inside of another."""
        twin = copy.copy(self)
        twin.average = Mean("loss")
        twin.metrics = copy.deepcopy(self.metrics)
        twin.reset()
        return twin

    def reset(self) -> None:
        """Start the averages again."""
        self.average.reset()
        for metric in self.metrics:
            metric.reset()

    def state(self) -> dict[str, Any]:
        """The averages so far, as plain data: what `load_state` needs to go on from here.

        Raises TypeError if a metric cannot tell its own; see `Metric.state`.

        >>> sorted(Objective("mse", ["mae"], None).state())
        ['loss', 'metrics']
        """
        metrics = {metric.name: metric.state() for metric in self.metrics}
        return {"loss": self.average.state(), "metrics": metrics}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes on what `state()` of an objective with the same metrics returned.

        Raises ValueError if it is something else; nothing is changed then.
        """
        fits = isinstance(state, Mapping) and set(state) == {"loss", "metrics"}
        if not fits or not isinstance(state["metrics"], Mapping):
            raise ValueError(
                "load_state: expected the averages of the loss and of the metrics, got "
                f"{describe(state)}"
            )
        names = [metric.name for metric in self.metrics]
        if set(state["metrics"]) != set(names):
            raise ValueError(
                f"load_state: the averages are of the metrics {list(state['metrics'])}, but the "
                f"model was compiled with {names}"
            )
        before = self.state()
        try:
            self._take_on(state)
        except BaseException:
            self._take_on(before)
            raise

    def _take_on(self, state: Mapping[str, Any]) -> None:
        self.average.load_state(state["loss"])
        for metric in self.metrics:
            metric.load_state(state["metrics"][metric.name])

    def outputs(self, model: Predictor, x: Any) -> Tensor:
        """What the loss reads: the model's predictions; its logits where they are fused."""
        return model.logits(x) if self.fused else model(x)

    def evaluate(self, y: np.ndarray, outputs: Tensor, penalties: Sequence[Tensor] = ()) -> Tensor:
        """The loss of a batch, penalties included, which is entered in the average over samples.

        The average is per sample, also where the loss is a sum over the batch; of padded
        sequences it is per real step.
        """
        values, loss = self._loss(y, outputs)
        number = _number(loss)
        mean = number if self.computed.reduction == "mean" else number / values.size
        total = _sum(loss, penalties)
        if penalties:
            mean += _number(total) - number
        self.average.update(mean, len(y) if mask_of(outputs) is None else values.size)
        return total

    def loss_of(self, y: np.ndarray, outputs: Tensor, penalties: Sequence[Tensor] = ()) -> Tensor:
        """The loss of a batch, penalties included, which is entered nowhere."""
        return _sum(self._loss(y, outputs)[1], penalties)

    def _loss(self, y: np.ndarray, outputs: Tensor) -> tuple[Tensor, Tensor]:
        values = self.computed.call(self.computed.targets(y, outputs), outputs)
        mask = self._mask(outputs, values.shape)
        if mask is not None:
            values = values[np.nonzero(mask)]  # what padding has for a target counts nowhere
        return values, self.computed.reduce(values)

    def _mask(self, outputs: Tensor, shape: tuple[int, ...]) -> Any:
        """The mask of the outputs, for values of a shape, one for each step."""
        mask = mask_of(outputs)
        if mask is not None and shape[: mask.ndim] != mask.shape:
            raise ShapeError(
                f"{self.loss.name}: the outputs, with {describe(outputs)}, carry a mask of shape "
                f"{mask.shape}, but the loss gives values of shape {shape}; padded sequences need "
                "one value for each step, or a layer that makes one vector of a sequence"
            )
        return mask

    def update_metrics(self, y: np.ndarray, outputs: Tensor) -> None:
        """Enter a batch in the metrics; probabilities are computed only if one reads them."""
        if not self.metrics:
            return
        if not outputs._device.on_host:
            self._update_metrics_there(y, outputs.detach(), mask_of(outputs))
            return
        raw = outputs.numpy()
        mask = mask_of(outputs)
        if mask is not None:
            y, raw = y[mask], raw[mask]
        predictions = raw if not self.fused or all(self._read_logits) else None
        for metric, reads_logits in zip(self.metrics, self._read_logits, strict=True):
            if reads_logits or not self.fused:
                metric.update(y, raw)
                continue
            if predictions is None:
                assert self.final_activation is not None
                predictions = ACTIVATIONS[self.final_activation](Tensor(raw)).numpy()
            metric.update(y, predictions)

    def _update_metrics_there(self, y: np.ndarray, outputs: Tensor, mask: Any) -> None:
        """The same where the outputs are; copied to the host for metrics that ask for it."""
        device = outputs._device
        if mask is not None:
            real = np.nonzero(mask)
            y, outputs = y[real], outputs[real]
        given: dict[bool, Tensor] = {True: outputs}
        targets = brought(y, device)
        for metric, reads_logits in zip(self.metrics, self._read_logits, strict=True):
            raw = reads_logits or not self.fused
            if raw not in given:
                assert self.final_activation is not None
                given[raw] = ACTIVATIONS[self.final_activation](outputs)
            if isinstance(metric, Portable) and metric.is_portable:
                metric.update(targets, given[raw])
            else:
                given[raw] = fetched(given[raw])
                metric.update(y, host_array(given[raw]))

    def logs(self) -> dict[str, float]:
        """The averages so far, by name."""
        results = {metric.name: float(metric.result()) for metric in self.metrics}
        return {"loss": self.average.result(), **results}

    def check(
        self, y: np.ndarray, outputs: Tensor, samples: int, *, where: str, y_name: str = "y"
    ) -> None:
        """Prove that all targets fit outputs that were computed from a few samples.

        Arguments:
            y: targets, shape (n, ...).
            outputs: what `outputs` gave for `samples` samples.
            samples: how many, one for a trial.
            where: name of the public function, for messages.
            y_name: name of the targets, for messages.

        Raises:
            ShapeError, DtypeError, ValueError: as for a call of the loss.
        """
        if not isinstance(outputs, Tensor):
            raise TypeError(
                f"{where}: the model must return one Tensor, for the loss, got {len(outputs)} in a "
                f"{type(outputs).__name__}; join them, or return one"
            )
        if outputs.dtype.kind != "f":
            raise DtypeError(
                f"{where}: the model must return a floating Tensor, got {describe(outputs)}"
            )
        if outputs.shape[:1] != (samples,):
            raise ShapeError(
                f"{where}: the model returned {describe(outputs)} for {samples} samples; it must "
                "keep the first axis, (batch, ...)"
            )
        self.computed.check_predictions(outputs)
        self.check_targets(y, outputs, where=where, y_name=y_name)

    def check_targets(
        self, y: np.ndarray, outputs: Tensor, *, where: str, y_name: str = "y"
    ) -> None:
        """Prove that targets fit such outputs; see `check`."""
        try:
            self.computed.check(y, (len(y), *outputs.shape[1:]), where=where, y_name=y_name)
        except ValueError as error:
            if mask_of(outputs) is None or isinstance(error, ShapeError):
                raise
            raise ValueError(
                f"{error}; what stands beside padding counts nowhere, but it must be a target: "
                f"fill {y_name} up with 0 there"
            ) from error


def _number(loss: Tensor) -> Any:
    """The value of a loss: a number; elsewhere than on the host, a Tensor, which is not read."""
    return loss.item() if loss._device.on_host else loss.detach().astype("float64")


def _sum(loss: Tensor, penalties: Sequence[Tensor]) -> Tensor:
    for each in penalties:
        loss = loss + each
    return loss


def _as_list(metrics: Any) -> list[Any]:
    if metrics is None:
        return []
    if isinstance(metrics, (str, Metric, dict)) or not isinstance(metrics, Iterable):
        return [metrics]
    return list(metrics)


def _kind(loss: Loss) -> str:
    """The name under which a loss is known, whatever the user called this one."""
    return next((name for name, kind in LOSSES.items() if type(loss) is kind), loss.name)
