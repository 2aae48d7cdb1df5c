"""Metrics: averages over samples, summed batch by batch, and the confusion table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.engine.making import Kind, made

from .data import check_targets, describe
from .metric_base import Metric, Portable
from .progress import display_width


def _check_same_shape(y_true: np.ndarray, y_pred: np.ndarray, name: str) -> None:
    if y_true.shape == y_pred.shape:
        return
    remedy = "targets and predictions need the same shape"
    if y_true.size == y_pred.size:
        remedy += f"; reshape the targets: y.reshape({_reshape_arguments(y_pred.shape)})"
    _refuse_shapes(y_true, y_pred, name, remedy)


def _reshape_arguments(shape: tuple[int, ...]) -> str:
    """The shape with the batch left open: the last batch is shorter than the data."""
    return ", ".join(["-1", *map(str, shape[1:])])


def _refuse_shapes(y_true: np.ndarray, y_pred: np.ndarray, name: str, remedy: str) -> None:
    raise ValueError(
        f"{name}: y_true has {describe(y_true)}, y_pred has {describe(y_pred)}; {remedy}"
    )


def _predicted_class(xp: Any, y_pred: Any) -> Any:
    """The most probable class, the first of equals; -1, which is no class, where there is a NaN."""
    best = y_pred.argmax(axis=-1)
    if y_pred.dtype.kind == "f":  # argmax finds NaN, if there is one, in place of a maximum
        top = xp.take_along_axis(y_pred, best[..., None], axis=-1)[..., 0]
        best[xp.isnan(top)] = -1
    return best


def _check_class_axis(y_true: np.ndarray, y_pred: np.ndarray, name: str) -> None:
    if y_pred.ndim < 2 or y_pred.shape[-1] == 0:
        _refuse_shapes(
            y_true, y_pred, name, "the predictions need an axis of classes: (batch, ..., classes)"
        )


class BinaryAccuracy(Portable):
    """Share of yes-or-no predictions that are right: 1 where y_pred > threshold, else 0.

    A NaN prediction is wrong, whatever the target.

    Arguments:
        threshold: probability above which the answer is yes.
        from_logits: whether predictions are logits, the threshold's logit being the border then.
        name: name in logs.

    Raises:
        ValueError: the threshold is not strictly between 0 and 1.

    >>> metric = BinaryAccuracy()
    >>> metric.update(np.array([[1], [0], [1]]), np.array([[0.9], [0.2], [0.4]]))
    >>> round(metric.result(), 4)
    0.6667
    """

    higher_is_better = True

    def __init__(
        self,
        threshold: float = 0.5,
        *,
        from_logits: bool = False,
        name: str = "binary_accuracy",
    ) -> None:
        super().__init__(name)
        if not 0 < threshold < 1:
            raise ValueError(
                f"BinaryAccuracy: threshold must lie between 0 and 1, both excluded, got "
                f"{threshold}; it is a probability, also with from_logits=True"
            )
        self.threshold = threshold
        self.from_logits = from_logits

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """Whether each prediction is right; targets, 0 or 1, of the predictions' shape."""
        _check_same_shape(y_true, y_pred, self.name)
        border = self.threshold
        if self.from_logits:
            border = math.log(self.threshold / (1 - self.threshold))
        return (y_true == (y_pred > border)) & ~xp.isnan(y_pred)


class CategoricalAccuracy(Portable):
    """Share of positions whose most probable class is that of the one-hot target.

    Logits serve as well as probabilities. A prediction with a NaN is wrong.

    >>> metric = CategoricalAccuracy()
    >>> metric.update(np.array([[0, 1], [1, 0]]), np.array([[0.2, 0.8], [0.1, 0.9]]))
    >>> metric.result()
    0.5
    """

    higher_is_better = True

    def __init__(self, *, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """Whether each position is right; both of shape (batch, ..., classes)."""
        _check_class_axis(y_true, y_pred, self.name)
        _check_same_shape(y_true, y_pred, self.name)
        return y_true.argmax(axis=-1) == _predicted_class(xp, y_pred)


class SparseCategoricalAccuracy(Portable):
    """Share of positions whose most probable class is the integer target.

    Logits serve as well as probabilities. A prediction with a NaN is wrong.

    >>> metric = SparseCategoricalAccuracy()
    >>> metric.update(np.array([1, 0]), np.array([[0.2, 0.8], [0.1, 0.9]]))
    >>> metric.result()
    0.5
    """

    higher_is_better = True

    def __init__(self, *, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """Whether each position is right; (batch, ...) against (batch, ..., classes)."""
        _check_class_axis(y_true, y_pred, self.name)
        positions = y_pred.shape[:-1]
        if y_true.shape != positions:
            remedy = f"the targets need shape {positions}, the predictions' without the classes"
            if y_true.size == math.prod(positions):
                remedy += f"; reshape them: y.reshape({_reshape_arguments(positions)})"
            _refuse_shapes(y_true, y_pred, self.name, remedy)
        if y_true.dtype.kind not in "iu":
            raise TypeError(
                f"{self.name}: y_true has {describe(y_true)}, but class labels are integers; "
                'if these are labels, convert them: y.astype("int64")'
            )
        return (y_true == _predicted_class(xp, y_pred)) & (y_true >= 0)


class MeanSquaredError(Portable):
    """Average of (y_pred - y_true)**2 over all elements.

    >>> metric = MeanSquaredError()
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> metric.result()
    2.0
    """

    higher_is_better = False

    def __init__(self, *, name: str = "mean_squared_error") -> None:
        super().__init__(name)

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """Squared differences in float64; both of one shape."""
        _check_same_shape(y_true, y_pred, self.name)
        return xp.square(xp.subtract(y_pred, y_true, dtype=np.float64))


class MeanAbsoluteError(Portable):
    """Average of |y_pred - y_true| over all elements.

    >>> metric = MeanAbsoluteError()
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> metric.result()
    1.0
    """

    higher_is_better = False

    def __init__(self, *, name: str = "mean_absolute_error") -> None:
        super().__init__(name)

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """Absolute differences in float64; both of one shape."""
        _check_same_shape(y_true, y_pred, self.name)
        return xp.abs(xp.subtract(y_pred, y_true, dtype=np.float64))


class Accuracy(Portable):
    """The accuracy that fits: what `"accuracy"` stands for.

    Decided as in Keras, from the loss and the shapes of each batch:

    1. predictions without a class axis (one axis only, or a last axis of 1), or the loss is
       binary cross-entropy: `BinaryAccuracy`;
    2. targets with one axis less than the predictions, or a last axis of 1:
       `SparseCategoricalAccuracy`;
    3. else `CategoricalAccuracy`.

    Arguments:
        loss: name of the loss, or None.
        from_logits: whether predictions are logits; matters for the first case only.
        name: name in logs.

    >>> metric = Accuracy()
    >>> metric.update(np.array([1, 0]), np.array([[0.2, 0.8], [0.1, 0.9]]))
    >>> metric.result()
    0.5
    """

    higher_is_better = True

    def __init__(
        self, loss: str | None = None, *, from_logits: bool = False, name: str = "accuracy"
    ) -> None:
        super().__init__(name)
        self.loss = loss
        self.from_logits = from_logits

    def resolve(self, y_true: Any, y_pred: Any) -> Portable:
        """The metric that fits these targets and predictions, by the rule above."""
        single = y_pred.ndim < 2 or y_pred.shape[-1] == 1
        if single or self.loss == "binary_crossentropy":
            return BinaryAccuracy(from_logits=self.from_logits, name=self.name)
        if y_true.ndim < y_pred.ndim or y_true.shape[-1] == 1:
            return SparseCategoricalAccuracy(name=self.name)
        return CategoricalAccuracy(name=self.name)

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """Whether each prediction is right, by the metric that fits."""
        return self.resolve(y_true, y_pred).compute(xp, y_true, y_pred)


class FunctionMetric(Metric):
    """Average of what a function gives for each sample.

    Arguments:
        function: `(y_true, y_pred)` to an array of shape (batch, ...).
        name: name in logs; None is the function's own.

    >>> metric = FunctionMetric(lambda y_true, y_pred: abs(y_pred - y_true) < 0.5, name="close")
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.1, 4.0]))
    >>> metric.result()
    0.5
    """

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        super().__init__(name or str(getattr(function, "__name__", type(function).__name__)))
        self.function = function

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """The function's values, which must be one or more for each sample."""
        values = np.asarray(self.function(y_true, y_pred))
        if values.ndim == 0 or len(values) != len(y_true):
            raise ValueError(
                f"{self.name}: the metric returned {describe(values)} for a batch of "
                f"{len(y_true)}; return one value per sample, not their mean"
            )
        return values


METRICS: dict[str, type[Any]] = {
    "accuracy": Accuracy,
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
}
#: What a configuration of a metric may describe.
KIND = Kind("metric", Metric, {cls.__name__: cls for cls in METRICS.values()})
ABBREVIATIONS = {"acc": "accuracy", "mse": "mean_squared_error", "mae": "mean_absolute_error"}


def get_metric(
    identifier: str | Metric | dict[str, Any] | Callable[..., Any],
    *,
    loss: str | None = None,
    from_logits: bool = False,
    where: str = "compile",
) -> Metric:
    """The metric that is meant by a name, a function or a metric.

    Arguments:
        identifier: a name (one of `METRICS` or its abbreviation), which is kept as the name in
            logs; a `Metric`, returned as it is; what `to_config` of one returned; or a function
            `(y_true, y_pred)` that returns values per sample.
        loss: name of the model's loss, by which `"accuracy"` decides.
        from_logits: whether the model's predictions are logits; used by the accuracies.
        where: name of the public function, for messages.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
        TypeError: it is none of the three.

    >>> get_metric("mse")
    MeanSquaredError(name='mse')
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        full_name = ABBREVIATIONS.get(identifier, identifier)
        if full_name not in METRICS:
            known = ", ".join([*METRICS, *ABBREVIATIONS])
            raise ValueError(f"{where}: unknown metric {identifier!r}; the known ones are {known}")
        if full_name == "accuracy":
            return Accuracy(loss, from_logits=from_logits, name=identifier)
        if full_name == "binary_accuracy":
            return BinaryAccuracy(from_logits=from_logits, name=identifier)
        named: Metric = METRICS[full_name](name=identifier)
        return named
    if isinstance(identifier, dict):
        described: Metric = made(identifier, KIND)
        return described
    if callable(identifier) and not isinstance(identifier, type):
        return FunctionMetric(identifier)
    got = type(identifier).__name__
    if isinstance(identifier, type):
        got = f"the class {identifier.__name__} (write {identifier.__name__}(...))"
    raise TypeError(
        f"{where}: a metric must be a name, a Metric or a function (y_true, y_pred), got {got}"
    )


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> np.ndarray:
    """Table of how often each class was taken for which.

    Arguments:
        y_true: true labels, integers, any shape.
        y_pred: predicted labels, integers, the same shape.
        classes: number of classes.

    Returns:
        shape (classes, classes), int64: entry (i, j) counts the samples of class i that were
        predicted as class j.

    Raises:
        ValueError: the shapes differ or a label is outside 0 ... classes - 1.
        TypeError: labels are not integers.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    _check_same_shape(y_true, y_pred, "confusion_matrix")
    check_targets(y_true, classes, y_name="y_true", where="confusion_matrix")
    check_targets(y_pred, classes, y_name="y_pred", where="confusion_matrix")
    pairs = y_true.astype(np.int64) * classes + y_pred.astype(np.int64)
    counts = np.bincount(pairs.ravel(), minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def format_confusion(matrix: np.ndarray, class_names: Sequence[object] | None = None) -> str:
    r"""A confusion matrix as an aligned table, with the recall of each class.

    Recall is the share of a class's samples that were found; `-` where there are no samples.

    Arguments:
        matrix: shape (classes, classes), rows the true classes.
        class_names: a name for each class; None numbers them from 0.

    Raises:
        ValueError: the matrix is not square, or the number of names is another.

    >>> print(format_confusion(np.array([[8, 2], [0, 0]]), ["cat", "dog"]))
    true \ predicted  cat  dog  recall
    cat                 8    2  0.8000
    dog                 0    0       -
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(
            f"format_confusion: matrix must be square, (classes, classes), got {describe(matrix)}"
        )
    names = [str(name) for name in (range(len(matrix)) if class_names is None else class_names)]
    if len(names) != len(matrix):
        raise ValueError(
            f"format_confusion: {len(names)} class_names for {len(matrix)} classes; "
            "give one name for each"
        )
    rows = [["true \\ predicted", *names, "recall"]]
    for index, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        total = counts.sum()
        recall = f"{counts[index] / total:.4f}" if total else "-"
        rows.append([name, *map(str, counts), recall])
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        cells = [first[0] + _gap(*first), *(_gap(*other) + other[0] for other in others)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _gap(cell: str, width: int) -> str:
    return " " * (width - display_width(cell))
