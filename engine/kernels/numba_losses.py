"""Cross-entropies on the CPU: many logits in compiled loops, a few in few operations of NumPy.

Measured on one core of a Zen 5 in float32, in µs, the reference against these:

    rows, classes        sparse      probabilities   their gradient
    32, 10              11 / 10           10 / 10          5 / 5
    1,024, 32          109 / 40          133 / 47         43 / 12
    1,024, 1,000      890 / 450      1,690 / 500       870 / 250
    640, 5,000      2,650 / 660      6,130 / 880     2,930 / 440

Much of the larger times is for fresh pages of memory. Whether a call is compiled depends on shapes
and dtypes alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import REFERENCE, cpu
from .blocks import empty
from .losses import checked_labels
from .numba_products import DTYPES

#: Logits: fewer are left to NumPy. From labels a batch of ten classes is computed here, as it is at
#: the end of most classifiers: 17 µs of a step by NumPy, 4 by the loop.
THRESHOLDS = {
    "softmax_cross_entropy": 32_768,
    "softmax_cross_entropy_backward": 32_768,
    "sparse_softmax_cross_entropy": 256,
}


def sparse_softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """-log_softmax(logits)[label] of each row, and softmax(logits) - one_hot(label), its slopes."""
    if logits.dtype.kind != "f" or not logits.size:
        return REFERENCE["sparse_softmax_cross_entropy"](cpu.sets["numba"], logits, labels)
    classes, labels = logits.shape[-1], np.array(labels)  # nobody changes a copy once it is checked
    checked_labels(labels, classes)
    rows, flat = logits.reshape(-1, classes), labels.reshape(-1).astype(np.int64, copy=False)
    if _fits("sparse_softmax_cross_entropy", logits):
        losses, slopes = np.empty(len(rows), rows.dtype), empty(rows.shape, rows.dtype)
        run = _compiled("sparse", rows.dtype)
        run(np.ascontiguousarray(rows), np.ascontiguousarray(flat), losses, slopes)
    else:
        losses, slopes = _few(rows, flat)
    return losses.reshape(labels.shape), slopes.reshape(logits.shape)


def _few(rows: Any, labels: Any) -> tuple[Any, Any]:
    """The same of a few rows; the classes of many are taken along the first axis, which is fast."""
    count, classes = rows.shape
    tall = count >= classes
    axis = 0 if tall else 1
    slopes = (rows.T if tall else rows).copy("C")
    slopes -= np.maximum.reduce(slopes, axis=axis, keepdims=True)
    at = labels * count + np.arange(count) if tall else np.arange(0, rows.size, classes) + labels
    line = slopes.reshape(-1)
    picked = line.take(at)
    np.exp(slopes, out=slopes)
    total = np.add.reduce(slopes, axis=axis, keepdims=True)
    slopes /= total
    line[at] -= 1
    return np.log(total).reshape(-1) - picked, slopes.T.copy("C") if tall else slopes


def softmax_cross_entropy(logits: Any, targets: Any) -> Any:
    """-sum(targets * log_softmax(logits)) of each row, and log_softmax(logits)."""
    if not _fits("softmax_cross_entropy", logits) or not _alike(logits, targets):
        return REFERENCE["softmax_cross_entropy"](cpu.sets["numba"], logits, targets)
    rows = (-1, logits.shape[-1])
    losses, logs = np.empty(logits.shape[:-1], logits.dtype), empty(logits.shape, logits.dtype)
    given = (np.ascontiguousarray(each).reshape(rows) for each in (logits, targets))
    _compiled("dense", logits.dtype)(*given, losses.reshape(-1), logs.reshape(rows))
    return losses, logs


def softmax_cross_entropy_backward(g: Any, log_probabilities: Any, targets: Any) -> Any:
    """The gradient of the logits: g * (softmax(logits) * sum(targets) - targets)."""
    name, logs = "softmax_cross_entropy_backward", log_probabilities
    if not _fits(name, logs) or not _alike(logs, targets) or g.dtype != logs.dtype:
        return REFERENCE[name](cpu.sets["numba"], g, logs, targets)
    rows, result = (-1, logs.shape[-1]), empty(logs.shape, logs.dtype)
    given = (np.ascontiguousarray(each).reshape(rows) for each in (logs, targets))
    _compiled("pulled", logs.dtype)(
        np.ascontiguousarray(g).reshape(-1), *given, result.reshape(rows)
    )
    return result


def _fits(name: str, logits: Any) -> bool:
    return logits.size >= max(1, THRESHOLDS[name]) and logits.dtype in DTYPES


def _alike(logits: Any, targets: Any) -> bool:
    return targets.shape == logits.shape and targets.dtype == logits.dtype


def _compiled(name: str, dtype: Any) -> Any:
    from .compiled.losses import compiled

    return compiled(name, dtype)
