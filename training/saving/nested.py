"""Nested states taken apart: plain data for JSON, arrays for `safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: In the place of an array: the name under which it is kept.
MARK = "array:"


def split(state: Any, *, copy: bool = True) -> tuple[Any, dict[str, np.ndarray]]:
    """The state with each array replaced by its name, and the arrays, or copies, by that name.

    Raises:
        TypeError: there is something that is no plain data; the message tells where.

    >>> plain, arrays = split({"best": {"w": np.zeros(2)}, "wait": 3})
    >>> plain, arrays
    ({'best': {'w': {'array:': 'best.w'}}, 'wait': 3}, {'best.w': array([0., 0.])})
    >>> join(plain, arrays)
    {'best': {'w': array([0., 0.])}, 'wait': 3}
    """
    arrays: dict[str, np.ndarray] = {}
    return _split(state, "", arrays, copy), arrays


def _split(value: Any, path: str, arrays: dict[str, np.ndarray], copy: bool) -> Any:
    if isinstance(value, np.ndarray):
        arrays[path] = np.array(value, order="C") if copy else value
        return {MARK: path}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    inside = f"{path}." if path else ""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key == MARK:
                raise TypeError(f"state: {path or 'it'} has the key {key!r}; keys must be strings")
        return {key: _split(each, f"{inside}{key}", arrays, copy) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(each, f"{inside}{i}", arrays, copy) for i, each in enumerate(value)]
    raise TypeError(
        f"state: {path or 'it'} is {value!r} ({type(value).__name__}); a state holds numbers, "
        "strings, None, arrays of NumPy, and lists and dicts of them"
    )


def join(plain: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `split` took apart; tuples have become lists.

    Raises:
        ValueError: an array is missing.
    """
    if isinstance(plain, dict):
        if set(plain) == {MARK}:
            if plain[MARK] not in arrays:
                raise ValueError(f"the array {plain[MARK]!r} is missing")
            return arrays[plain[MARK]]
        return {key: join(each, arrays) for key, each in plain.items()}
    if isinstance(plain, list):
        return [join(each, arrays) for each in plain]
    return plain
