"""Arguments of pipelines, checked."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np


def whole(value: Any, where: str, name: str, least: int) -> int:
    """An integer of at least so much, as a Python integer.

    Raises TypeError or ValueError for anything else.

    >>> whole(np.int64(3), "take", "count", 1)
    3
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{where}: {name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{where}: {name} must be at least {least}, got {number}")
    return number


def refuse(given: Mapping[str, Any], where: str, remedies: Mapping[str, str]) -> None:
    """Raise TypeError for the first argument that there is not, with what stands for it.

    >>> refuse({"drop_remainder": True}, "batch", {"drop_remainder": "it is called drop_last"})
    Traceback (most recent call last):
        ...
    TypeError: batch: there is no argument 'drop_remainder'; it is called drop_last
    """
    for name in given:
        remedy = remedies.get(name)
        raise TypeError(
            f"{where}: there is no argument {name!r}" + ("" if remedy is None else f"; {remedy}")
        )


def permutation(order: Any, length: int, where: str) -> np.ndarray:
    """An order of so many elements, as an array of integers.

    Raises ValueError unless each of 0 to length − 1 is in it once.

    >>> permutation([1, 0], 2, "open")
    array([1, 0])
    """
    order = np.asarray(order)
    if order.shape == (length,) and order.dtype.kind in "iu":
        seen = np.zeros(length, bool)
        seen[order[(order >= 0) & (order < length)]] = True
        if seen.all():
            return order
    raise ValueError(
        f"{where}: order must be a permutation of 0 to {length - 1}, got shape {order.shape}, "
        f"{order.dtype}; give what order(seed, epoch) returned for the same data"
    )
