"""Checks of the arguments that constructors of layers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule.engine.errors import describe


def is_integer(value: Any) -> bool:
    """Is it an integer of Python's or NumPy's, and no boolean?"""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def positive_integer(value: Any, name: str, where: str) -> int:
    """The value as a Python integer.

    Raises TypeError if it is no integer, ValueError if it is less than 1.

    >>> positive_integer(np.int64(3), "units", "Dense")
    3
    """
    if not is_integer(value):
        raise TypeError(f"{where}: {name} must be a positive integer, got {value!r}")
    if value <= 0:
        raise ValueError(f"{where}: {name} must be a positive integer, got {value!r}")
    return int(value)


def integers(value: Any, count: int, name: str, where: str) -> tuple[int, ...]:
    """A positive integer for each of `count` axes: the same for all if one is given.

    Raises TypeError or ValueError for anything else.

    >>> integers(3, 2, "kernel_size", "Conv2D"), integers((1, 2), 2, "kernel_size", "Conv2D")
    ((3, 3), (1, 2))
    """
    if is_integer(value):
        return (positive_integer(value, name, where),) * count
    if not isinstance(value, (tuple, list)):
        raise TypeError(
            f"{where}: {name} must be a positive integer, or {count} of them, got {value!r}"
        )
    if len(value) != count:
        raise ValueError(
            f"{where}: {name} must be a positive integer, or one for each of {count} axes, got "
            f"{value!r}"
        )
    return tuple(positive_integer(each, f"each number of {name}", where) for each in value)


def fraction(value: Any, name: str, where: str) -> float:
    """The value as a float, at least 0 and less than 1.

    Raises TypeError if it is no number, ValueError if it lies elsewhere.

    >>> fraction(0.5, "rate", "Dropout")
    0.5
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{where}: {name} must be a number, got {describe(value)}")
    if not 0 <= value < 1:
        raise ValueError(f"{where}: {name} must be at least 0 and less than 1, got {value}")
    return float(value)


def choice(value: Any, known: Iterable[str], name: str, where: str) -> str:
    """The value, which must be one of the known words.

    Raises ValueError, listing them.

    >>> choice("same", ("valid", "same"), "padding", "Conv2D")
    'same'
    """
    words = list(known)
    if not isinstance(value, str) or value not in words:
        raise ValueError(
            f"{where}: {name} must be one of {', '.join(map(repr, words))}, got {value!r}"
        )
    return value
