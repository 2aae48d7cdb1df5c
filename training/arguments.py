"""The arguments of `fit` and `evaluate`, checked before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .data import check_arrays
from .integers import check_integer

VALIDATION_NAMES = ("validation_data[0]", "validation_data[1]")


def check_samples(x: Any, y: Any, *, where: str) -> tuple[Any, np.ndarray]:
    """Samples and their targets as arrays, neither of them missing.

    Raises:
        ValueError, TypeError: one is missing, or `check_arrays` refuses them.

    >>> check_samples([[1.0], [2.0]], [0, 1], where="fit")[1]
    array([0, 1])
    """
    if y is None:
        refuse_streams(x, where)
    for name, value in (("x", x), ("y", y)):
        if value is None:
            raise ValueError(f"{where}: {name} is missing; give the samples x and their targets y")
    x, targets = check_arrays(x, y, where=where)
    assert targets is not None
    return x, targets


def refuse_streams(x: Any, where: str, name: str = "x") -> None:
    """Raise TypeError for a generator, a function or a data set in the place of arrays.

    It says how a pipeline is made of it.

    >>> refuse_streams([1.0, 2.0], "fit")
    >>> refuse_streams(iter([1.0, 2.0]), "fit")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    TypeError: fit: x is a list_iterator, which can be gone through only once; give a pipeline: ...
    """
    if hasattr(x, "__next__"):
        what = (
            "which can be gone through only once; give a pipeline: "
            "cr.data.from_generator(function).batch(32), of a function that makes it anew, and "
            "yields single samples (x, y)"
        )
    elif inspect.isroutine(x):
        what = (
            "not an array; give a pipeline: cr.data.from_generator(function).batch(32), of a "
            "function that yields single samples (x, y)"
        )
    elif is_data_set(x):
        what = (
            "not an array; give a pipeline: cr.data.from_generator(lambda: (data[i] for i in "
            "range(len(data))), length=len(data)).shuffle(buffer_size=1000).batch(32), data being "
            "what gives single samples (x, y)"
        )
    else:
        return
    raise TypeError(f"{where}: {name} is a {type(x).__name__}, {what}")


def is_data_set(x: Any) -> bool:
    """Is it an object with items, or an iterable one, but none of those that arrays are made of?

    >>> is_data_set(range(3)), is_data_set([1.0]), is_data_set(np.zeros(3))
    (False, False, False)
    """
    if isinstance(x, (Sequence, Mapping, str)) or hasattr(x, "__array__"):
        return False
    has_items = hasattr(x, "__len__") and hasattr(x, "__getitem__")
    return has_items or hasattr(x, "dataset")  # the latter is PyTorch's DataLoader


def check_validation_data(
    data: Any, prepare: Callable[..., tuple[Any, Any]] | None = None
) -> tuple[Any, np.ndarray]:
    """The argument `validation_data` as a pair of arrays.

    Arguments: `prepare`, what makes ids of texts and names: `Model._prepared_data`.

    Raises:
        TypeError: it is not a pair.
        ValueError, TypeError: `check_arrays` refuses the arrays.

    >>> check_validation_data(([[1.0]], [0]))[0].shape
    (1, 1)
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2 or data[1] is None:
        got = type(data).__name__
        if isinstance(data, (tuple, list)):
            got = f"{len(data)} items" if len(data) != 2 else "(x, None)"
        refuse_streams(data, "fit", "validation_data")
        raise TypeError(
            f"fit: validation_data must be a pair (x, y) of arrays, or a pipeline, got {got}"
        )
    x, y = data if prepare is None else prepare(*data, "fit", VALIDATION_NAMES)
    x, y = check_arrays(x, y, x_name=VALIDATION_NAMES[0], y_name=VALIDATION_NAMES[1], where="fit")
    assert y is not None
    return x, y


def check_epochs(epochs: Any, initial_epoch: Any) -> tuple[int, int]:
    """The arguments `epochs` and `initial_epoch` as Python integers.

    Raises:
        TypeError: one is no integer.
        ValueError: one is too small, or they leave no epoch to train.

    >>> check_epochs(10, 0)
    (10, 0)
    """
    last = check_integer(epochs, "epochs", least=1, where="fit")
    first = check_integer(initial_epoch, "initial_epoch", least=0, where="fit")
    if first >= last:
        raise ValueError(
            f"fit: initial_epoch={first} leaves nothing to train up to epochs={last}; epochs is "
            f"the number of the last epoch, not of further ones: epochs={first + last}"
        )
    return last, first


def check_flag(value: Any, name: str, *, where: str) -> bool:
    """An argument that is True or False.

    Raises:
        TypeError: it is neither.

    >>> check_flag(True, "shuffle", where="fit")
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{where}: {name} must be True or False, got {value!r}")
    return bool(value)
