"""Samples as one array, or as several: a tuple or a dict of arrays, one for each input of a model.

A list is one array always: it holds the samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.engine.tensor import Tensor


def several(x: Any) -> bool:
    """Is it a dict, or a tuple of arrays?

    >>> several((np.zeros(3), np.zeros(3))), several({"ids": [1, 2]}), several([np.zeros(3)])
    (True, True, False)
    """
    if isinstance(x, tuple):
        return len(x) > 0 and all(isinstance(each, (np.ndarray, Tensor)) for each in x)
    return isinstance(x, dict)


def structure(x: Any) -> str:
    """In words, what is given.

    >>> structure((np.zeros(3), np.zeros(3))), structure({"ids": np.zeros(3)})
    ('a tuple of 2 arrays', "a dict of arrays with the keys 'ids'")
    """
    if isinstance(x, dict):
        return f"a dict of arrays with the keys {', '.join(sorted(map(repr, x)))}"
    return f"a tuple of {len(x)} arrays" if several(x) else "one array"


def parts(x: Any, name: str = "x") -> list[tuple[str, Any]]:
    """The arrays, each with the name that messages give it.

    >>> [name for name, _ in parts({"ids": np.zeros(3)})]
    ["x['ids']"]
    """
    if not several(x):
        return [(name, x)]
    items = x.items() if isinstance(x, dict) else enumerate(x)
    return [(f"{name}[{key!r}]", each) for key, each in items]


def mapped(function: Callable[[Any], Any], x: Any) -> Any:
    """The same tuple or dict of what a function makes of each array; or of the one array.

    >>> mapped(len, (np.zeros(3), np.zeros(3)))
    (3, 3)
    """
    if not several(x):
        return function(x)
    if isinstance(x, dict):
        return {key: function(each) for key, each in x.items()}
    return tuple(function(each) for each in x)


def count(x: Any) -> int:
    """The number of samples, which all arrays share.

    >>> count((np.zeros((3, 2)), np.zeros(3)))
    3
    """
    return len(parts(x)[0][1])


def rows(x: Any, which: Any) -> Any:
    """Some of the samples: those of a slice or of an array of indices.

    >>> rows((np.arange(3), np.arange(3) ** 2), slice(1, None))
    (array([1, 2]), array([1, 4]))
    """
    return mapped(lambda each: each[which], x)


def several_shapes(shape: Any) -> bool:
    """Is it a dict, or a tuple of shapes?

    >>> several_shapes((None, 100)), several_shapes(((None, 100), (None, 3)))
    (False, True)
    """
    if isinstance(shape, (tuple, list)):
        return len(shape) > 0 and isinstance(shape[0], (tuple, list))
    return isinstance(shape, dict)


def mapped_shapes(function: Callable[[Any], Any], shape: Any) -> Any:
    """What a function makes of a shape, or of each in a tuple or a dict of shapes.

    >>> mapped_shapes(len, ((None, 2), (None, 3, 4)))
    (2, 3)
    """
    if not several_shapes(shape):
        return function(shape)
    if isinstance(shape, dict):
        return {key: function(each) for key, each in shape.items()}
    return tuple(function(each) for each in shape)


def known(shape: Any) -> bool:
    """Are all lengths but that of the batch given, of one input or of several?

    >>> known((None, 100)), known({"ids": (None, None)}), known(None)
    (True, False, False)
    """
    if not isinstance(shape, (tuple, dict)) or not shape:
        return False
    found: list[bool] = []
    mapped_shapes(lambda each: found.append(None not in each[1:]), shape)
    return all(found)
