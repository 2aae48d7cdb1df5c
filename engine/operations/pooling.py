"""Pools: the largest element, or the mean, of each window of x, channel by channel."""

from __future__ import annotations

from typing import Any

from ..arguments import frozen
from ..cases import case
from ..definitions import operation
from ..kernels.pooling import counts, pools
from ..record import tensor_functions as F
from ..tensor import is_array
from .reductions import floating


def _array(k: Any, x: Any, pool_size: Any, strides: Any, padding: Any) -> Any:
    """x as a floating array, if windows of these options fit."""
    x = floating(x if is_array(x) else k.asarray(x))
    if x.ndim not in (3, 4):
        remedy = "; of images with one channel, give x[..., None]" if x.ndim == 2 else ""
        raise ValueError(f"x must have axes (batch, [height,] width, channels){remedy}")
    if padding not in ("valid", "same"):
        raise ValueError(f"padding must be 'valid' or 'same', got {padding!r}")
    pools(x.shape, pool_size, strides, padding)
    return x


def _patches(x: Any, pool_size: Any, strides: Any, padding: Any, value: float) -> Any:
    """What all windows see at each offset, as Tensors stacked in front."""
    seen = pools(x.shape, pool_size, strides, padding)
    if seen.padded:
        x = F.pad(x, ((0, 0), *seen.margins, (0, 0)), constant_values=value)
    return F.stack([x[(slice(None), *seen.seen(offset))] for offset in seen.offsets()])


def _mean_of_patches(x: Any, *, pool_size: Any, strides: Any, padding: Any) -> Any:
    y = _patches(x, pool_size, strides, padding, 0.0).sum(axis=0)
    for each in counts(pools(x.shape, pool_size, strides, padding), x.dtype):
        y = y / each
    return y


_NOTES = """
Arguments: `x`, (batch, width, channels) or (batch, height, width, channels); `pool_size`, the
lengths of a window, and `strides`, from one to the next, each an integer or one for each spatial
axis (strides None: those of the window, so that none overlap); `padding`, "valid" (windows see true
elements only) or "same" (lengths are those of x, divided by the strides and rounded up; an odd
margin is one longer at the end). The result is (batch, [height,] width, channels).
"""

_CASES = [
    case((2, 4, 1), pool_size=2),
    case((1, 2, 3, 2), pool_size=(2, 1)),
    case((1, 3, 3, 1), pool_size=2, strides=1),
    case((1, 5, 1), pool_size=2, strides=3, padding="same"),
    case((1, 3, 2, 1), pool_size=(3, 2), strides=(2, 1), padding="same"),
    case((0, 2, 1), pool_size=2),
]

max_pool = operation(
    "max_pool",
    summary="The largest element of each window of x, channel by channel.",
    formula="y[n, o, c] = max_i x[n, o strides + i - before, c]",
    derivative="Σ g[n, o, c] / (number of elements of window o equal to y) over the windows o "
    "whose largest element it is",
    notes=_NOTES
    + """
    Margins count as -inf. Equal largest elements share the gradient equally, as in `max`; NaN
    counts as the largest. Raises ShapeError for windows that do not fit, DtypeError for options
    that are no integers.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[[1.0], [3.0], [2.0], [2.0]]], requires_grad=True)
    >>> y = cr.max_pool(x, pool_size=2)
    >>> y.backward([[[5.0], [-8.0]]])
    >>> y.tolist(), x.grad.tolist()
    ([[[3.0], [2.0]]], [[[0.0], [5.0], [-4.0], [-4.0]]])
    """,
    forward=lambda k, x, *, pool_size, strides=None, padding="valid": k.max_pool(
        _array(k, x, pool_size, strides, padding), pool_size, strides, padding
    ),
    vjp=lambda k, g, y, x, pool_size, strides, padding: k.max_pool_backward(
        g, y, x, pool_size, strides, padding
    ),
    definition=lambda x, *, pool_size, strides, padding: _patches(
        x, pool_size, strides, padding, -float("inf")
    ).max(axis=0),
    freeze={"pool_size": frozen, "strides": frozen},
    cases=_CASES,
)

avg_pool = operation(
    "avg_pool",
    summary="The mean of each window of x, channel by channel.",
    formula="y[n, o, c] = Σ_i x[n, o strides + i - before, c] / (true elements of window o)",
    derivative="Σ g[n, o, c] / (true elements of window o) over the windows o that see it",
    notes=_NOTES
    + """
    Margins do not count: the mean is that of the true elements. Raises ShapeError for windows that
    do not fit, DtypeError for options that are no integers.
    """,
    example="""
    >>> import chainrule as cr
    >>> cr.avg_pool(cr.tensor([[[1.0], [3.0], [5.0]]]), pool_size=2, padding="same").tolist()
    [[[2.0], [5.0]]]
    """,
    forward=lambda k, x, *, pool_size, strides=None, padding="valid": k.avg_pool(
        _array(k, x, pool_size, strides, padding), pool_size, strides, padding
    ),
    vjp=lambda k, g, x_shape, pool_size, strides, padding: k.avg_pool_backward(
        g, x_shape, pool_size, strides, padding
    ),
    definition=_mean_of_patches,
    freeze={"pool_size": frozen, "strides": frozen},
    cases=_CASES,
)
