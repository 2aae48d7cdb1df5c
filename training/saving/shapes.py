"""Input shapes as plain data: one shape, or a list, tuple or dict of them."""

from __future__ import annotations

from typing import Any


def shape_to_plain(shape: Any) -> Any:
    """A shape as a list of numbers and None; several as a dict that tells how they are held.

    >>> shape_to_plain((None, 3)), shape_to_plain([(None, 3), (None, 4)])
    ([None, 3], {'list': [[None, 3], [None, 4]]})
    """
    if isinstance(shape, dict):
        return {"dict": {str(key): shape_to_plain(each) for key, each in shape.items()}}
    if isinstance(shape, (list, tuple)) and any(isinstance(each, (list, tuple)) for each in shape):
        kind = "list" if isinstance(shape, list) else "tuple"
        return {kind: [shape_to_plain(each) for each in shape]}
    if isinstance(shape, (list, tuple)):
        return [None if each is None else int(each) for each in shape]
    return None


def shape_from_plain(value: Any) -> Any:
    """What `shape_to_plain` was given.

    Raises ValueError for anything else.

    >>> shape_from_plain({"tuple": [[None, 3], [None, 4]]})
    ((None, 3), (None, 4))
    """
    if isinstance(value, list) and all(
        each is None or (type(each) is int and each >= 0) for each in value
    ):
        return tuple(value)
    if isinstance(value, dict) and len(value) == 1:
        [(kind, within)] = value.items()
        if kind == "dict" and isinstance(within, dict):
            return {key: shape_from_plain(each) for key, each in within.items()}
        if kind in ("list", "tuple") and isinstance(within, list):
            shapes = [shape_from_plain(each) for each in within]
            return shapes if kind == "list" else tuple(shapes)
    raise ValueError(f"{value!r} is no shape, which is a list of lengths and None")
