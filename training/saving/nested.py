"""Nested states taken apart: plain data for JSON, arrays for `safetensors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: In the place of an array, or of a long list of numbers: the name under which it is kept.
MARK, LIST = "array:", "list:"

#: Lists of so many numbers are kept as an array, which is quicker to write and to read.
LONG = 100


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
        return {MARK: _add(np.array(value, order="C") if copy else value, path, arrays)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    inside = f"{path}." if path else ""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"state: {path or 'it'} has the key {key!r}; keys must be strings")
            if key in (MARK, LIST):
                raise TypeError(f"state: {path or 'it'} has the key {key!r}; give it another name")
        return {key: _split(each, f"{inside}{key}", arrays, copy) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        numbers = _numbers(value)
        if numbers is not None:
            return {LIST: _add(numbers, path, arrays)}
        return [_split(each, f"{inside}{i}", arrays, copy) for i, each in enumerate(value)]
    raise TypeError(
        f"state: {path or 'it'} is {value!r} ({type(value).__name__}); a state holds numbers, "
        "strings, None, arrays of NumPy, and lists and dicts of them"
    )


def _add(array: np.ndarray, path: str, arrays: dict[str, np.ndarray]) -> str:
    """Enter an array under its path, or a name of its own: {"a.b": …, "a": {"b": …}} has two."""
    name, number = path, 1
    while name in arrays:
        name, number = f"{path}#{number}", number + 1
    arrays[name] = array
    return name


def _numbers(value: list[Any] | tuple[Any, ...]) -> np.ndarray | None:
    """A long list of floats, or of integers of 64 bits, as an array; None if it is none."""
    if len(value) < LONG:
        return None
    if all(type(each) is float for each in value):
        return np.array(value, np.float64)
    if all(type(each) is int and -(2**63) <= each < 2**63 for each in value):
        return np.array(value, np.int64)
    return None


def join(plain: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `split` took apart; tuples have become lists.

    Raises:
        ValueError: an array is missing.
    """
    if isinstance(plain, dict):
        for mark in (MARK, LIST):
            if set(plain) == {mark}:
                if plain[mark] not in arrays:
                    raise ValueError(f"the array {plain[mark]!r} is missing")
                array = arrays[plain[mark]]
                return array if mark == MARK else array.tolist()
        return {key: join(each, arrays) for key, each in plain.items()}
    if isinstance(plain, list):
        return [join(each, arrays) for each in plain]
    return plain
