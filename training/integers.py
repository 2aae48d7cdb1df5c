"""Arguments that are integers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def check_integer(value: Any, name: str, *, least: int, where: str) -> int:
    """An argument that is an integer of at least `least`.

    Raises:
        TypeError: it is no integer.
        ValueError: it is too small.

    >>> check_integer(3, "patience", least=0, where="EarlyStopping")
    3
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{where}: {name} must be an integer of at least {least}, got {value!r} "
            f"({type(value).__name__})"
        ) from None
    if number < least:
        raise ValueError(f"{where}: {name} must be at least {least}, got {number}")
    return number
