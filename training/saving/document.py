"""Plain data as JSON can hold it: what is no plain data is refused with its place."""

from __future__ import annotations

import math
import re
import struct
from typing import Any

import numpy as np

from chainrule.engine.errors import describe

#: How deep lists and dicts may lie in each other; a JSON parser has its limits too.
DEEPEST = 64

#: The longest integer: Python reads back no more than 640 digits, where it is told to be strict.
LONGEST = 2048


def to_json(value: Any, where: str, place: str = "document") -> Any:
    """A value as JSON can hold it; `from_json` gives it back.

    Lists, tuples (which come back as lists), dicts with strings as keys, strings, numbers (those
    of NumPy become Python's), booleans and None. JSON has no NaN and no infinities: they become a
    dict with the single key `$float`; a key of your own that begins with `$` gets another one.

    Arguments:
        value: the plain data.
        where: name of the public function, for messages.
        place: the value's own name, for messages.

    Raises:
        TypeError: something in it is no plain data; the message gives its place.
        ValueError: it lies too deep (or in itself), or an integer is too long.

    >>> to_json({"loss": [np.float32(0.5), float("inf")], "$": (1, None)}, "save")
    {'loss': [0.5, {'$float': 'inf'}], '$$': [1, None]}
    >>> to_json({"layers": [{"size": 3j}]}, "save")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    TypeError: save: document['layers'][0]['size'] is 3j, which is no plain data; ...
    """
    return _to_json(value, where, place, 0)


def _to_json(value: Any, where: str, place: str, depth: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if value.bit_length() > LONGEST:
            raise ValueError(
                f"{where}: {place} is an integer of {value.bit_length()} bits, and at most "
                f"{LONGEST} can be saved"
            )
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": _name(value)}
    if isinstance(value, (list, tuple, dict)) and depth == DEEPEST:
        raise ValueError(
            f"{where}: {place} lies more than {DEEPEST} lists and dicts deep, or in itself; "
            "flatten it"
        )
    if isinstance(value, (list, tuple)):
        return [_to_json(each, where, f"{place}[{i}]", depth + 1) for i, each in enumerate(value)]
    if isinstance(value, dict):
        encoded = {}
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"{where}: a key of {place} is {describe(key)}, and only strings can be saved "
                    "as keys; convert it with str"
                )
            name = f"${key}" if key.startswith("$") else str.__str__(key)
            encoded[name] = _to_json(each, where, f"{place}[{key!r}]", depth + 1)
        return encoded
    raise TypeError(
        f"{where}: {place} is {describe(value)}, which is no plain data; give None, numbers, "
        "strings, lists and dicts of them (arrays are saved apart)"
    )


def _name(value: float) -> str:
    """The sign and the kind; a NaN's payload, which nobody sets, in hexadecimal digits."""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    bits = struct.pack(">d", value).hex()
    return "nan" if bits == "7ff8000000000000" else f"nan:{bits}"


def from_json(value: Any) -> Any:
    """What `to_json` was given, tuples and NumPy's numbers apart.

    Raises ValueError for a `$float` that `to_json` does not write.

    >>> from_json({"loss": [0.5, {"$float": "inf"}], "$$": [1, None]})
    {'loss': [0.5, inf], '$': [1, None]}
    """
    if isinstance(value, list):
        return [from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "$float" in value:
        name = value["$float"] if len(value) == 1 else None
        if name in ("inf", "-inf", "nan"):
            return float(name)
        if isinstance(name, str) and re.fullmatch("nan:[0-9a-f]{16}", name):
            return struct.unpack(">d", bytes.fromhex(name[4:]))[0]
        raise ValueError(f"{str(value)[:60]} is no number")
    return {key[1:] if key.startswith("$") else key: from_json(each) for key, each in value.items()}
