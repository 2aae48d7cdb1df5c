"""What some records compute with on large arrays: kernels, one pass over memory each.

On small arrays an operator of Python's is the shortest way to NumPy; on large ones a kernel set may
have a faster. The formulas and the results are the records' own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..record import Record
from .activations import relu
from .arithmetic import add, divide, multiply, square, subtract
from .reductions import sum


def _on_large(
    operation: Callable[..., Any], forward: Callable[..., Any], **vjps: Callable[..., Any]
) -> None:
    """Enters what an operation computes with on large arrays: VJPs that are not given stay."""
    record: Record = operation.record  # type: ignore[attr-defined]
    known: Mapping[str, Any] = {**record.vjps, **vjps}
    large = dataclasses.replace(record, forward=forward, vjps=known)
    large.function = record.function
    vars(record)["large"] = large


def _sum(k: Any, x: Any, *, axis: Any = None, keepdims: Any = False) -> Any:
    if axis is None and keepdims is False:
        return k.total(x)
    return sum.record.forward(k, x, axis=axis, keepdims=keepdims)  # type: ignore[attr-defined]


_on_large(add, lambda k, a, b: k.plus(a, b))
_on_large(subtract, lambda k, a, b: k.minus(a, b), b=lambda k, g: k.times(g, -1.0))
_on_large(
    multiply,
    lambda k, a, b: k.times(a, b),
    a=lambda k, g, b: k.times(g, b),
    b=lambda k, g, a: k.times(g, a),
)
_on_large(
    divide,
    lambda k, a, b: k.over(a, b),
    a=lambda k, g, b: k.over(g, b),
    b=lambda k, g, y, b: k.over(k.times(k.times(g, -1.0), y), b),
)
_on_large(square, lambda k, x: k.times(x, x), x=lambda k, g, x: k.times(g, k.times(x, 2.0)))
_on_large(relu, lambda k, x: k.relu(x), x=lambda k, g, y: k.relu_backward(g, y))
_on_large(sum, _sum)
