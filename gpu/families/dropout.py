"""Dropout, by the words of Philox that every device makes alike."""

from __future__ import annotations

from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.kernels.philox import threshold

from ..table import I64, REAL, U32, U64, entry, reads, scalar, writes

dropout_forward = entry(
    "dropout",
    "dropout_forward",
    reads("x", REAL, "size"),
    writes("y", REAL, "size"),
    scalar("size", I64),
    scalar("scale", REAL),
    scalar("threshold", U32),
    scalar("key", U64),
    scalar("first", U64),
)


def dropout(k: Any, x: Any, rate: float, key: int, first: int) -> Any:
    """x / (1 - rate), but 0 where the word that belongs to the element is below the threshold."""
    if not x.size or x.dtype.name not in ("float32", "float64"):
        return REFERENCE["dropout"](k, x, rate, key, first)
    shape, x = x.shape, k.xp.ascontiguousarray(x)
    y = k.xp.empty(x.shape, x.dtype)
    numbers = (1 / (1 - rate), threshold(rate), key, first // 4)
    dropout_forward(k, x, y, x.size, *numbers, grid=min(-(-x.size // 1024), 65_536))
    return y.reshape(shape)


REPLACES = ("dropout",)
