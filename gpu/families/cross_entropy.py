"""Cross-entropy of softmax(logits) and labels, or probabilities: loss and slopes in one pass."""

from __future__ import annotations

from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.kernels.losses import checked_labels

from ..rows import plan, real
from ..table import I32, I64, REAL, entry, reads, scalar, writes

_NUMBERS = (scalar("rows", I64), scalar("columns", I32), scalar("team", I32), scalar("kept", I32))
_MATRIX = "rows * columns"

sparse_cross_entropy = entry(
    "cross_entropy",
    "sparse_cross_entropy",
    *(reads("x", REAL, _MATRIX), reads("labels", I64, "rows")),
    *(writes("loss", REAL, "rows"), writes("slopes", REAL, _MATRIX)),
    *_NUMBERS,
    block=256,
    dynamic=True,
)
dense_cross_entropy = entry(
    "cross_entropy",
    "dense_cross_entropy",
    *(reads("x", REAL, _MATRIX), reads("targets", REAL, _MATRIX)),
    *(writes("loss", REAL, "rows"), writes("logarithms", REAL, _MATRIX)),
    *_NUMBERS,
    block=256,
    dynamic=True,
)
dense_cross_entropy_backward = entry(
    "cross_entropy",
    "dense_cross_entropy_backward",
    *(reads("g", REAL, "rows"), reads("logarithms", REAL, _MATRIX)),
    *(reads("targets", REAL, _MATRIX), writes("dx", REAL, _MATRIX)),
    *_NUMBERS,
    block=256,
    dynamic=True,
)

#: The kernels of the engine that have a version here.
REPLACES = (
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "sparse_softmax_cross_entropy",
)


def sparse_softmax_cross_entropy(k: Any, logits: Any, labels: Any) -> tuple[Any, Any]:
    """-log_softmax(logits)[label] of each row, and softmax(logits) - one_hot(label), its slopes.

    A label that is no class raises ValueError if the host has it; one on the GPU, which is not
    waited for, makes the loss and the slopes of its row NaN.
    """
    xp = k.xp
    labels = xp.asarray(checked_labels(labels, logits.shape[-1]))
    if not real(logits):
        return REFERENCE["sparse_softmax_cross_entropy"](k, logits, labels)
    # An unsigned label beyond the range of int64 becomes negative, which is no class either.
    labels = xp.ascontiguousarray(labels.astype("int64", copy=False))
    x = xp.ascontiguousarray(logits)
    loss, slopes = xp.empty(x.shape[:-1], x.dtype), xp.empty(x.shape, x.dtype)
    _launch(k, sparse_cross_entropy, (x, labels, loss, slopes), x)
    return loss, slopes


def softmax_cross_entropy(k: Any, logits: Any, targets: Any) -> tuple[Any, Any]:
    """-sum(targets * log_softmax(logits)) of each row, and log_softmax(logits)."""
    if not (real(logits, targets) and logits.ndim and targets.shape == logits.shape):
        return REFERENCE["softmax_cross_entropy"](k, logits, targets)
    x, targets = k.xp.ascontiguousarray(logits), k.xp.ascontiguousarray(targets)
    loss, logarithms = k.xp.empty(x.shape[:-1], x.dtype), k.xp.empty(x.shape, x.dtype)
    _launch(k, dense_cross_entropy, (x, targets, loss, logarithms), x)
    return loss, logarithms


def softmax_cross_entropy_backward(k: Any, g: Any, log_probabilities: Any, targets: Any) -> Any:
    """The gradient of the logits: g * (softmax(logits) * sum(targets) - targets)."""
    shape = log_probabilities.shape
    fit = real(log_probabilities, targets, g) and targets.shape == shape and g.shape == shape[:-1]
    if not (fit and shape):
        return REFERENCE["softmax_cross_entropy_backward"](k, g, log_probabilities, targets)
    arrays = [k.xp.ascontiguousarray(each) for each in (g, log_probabilities, targets)]
    dx = k.xp.empty(shape, log_probabilities.dtype)
    _launch(k, dense_cross_entropy_backward, (*arrays, dx), dx)
    return dx


def _launch(k: Any, launched: Any, arrays: tuple[Any, ...], x: Any) -> None:
    """Launches a kernel on rows as long as those of x."""
    columns = x.shape[-1]
    rows = x.size // columns
    team, kept, grid, shared = plan(rows, columns, x.dtype.itemsize)
    launched(k, *arrays, rows, columns, team, kept, grid=grid, shared=shared)
