"""Checks of static arguments: axes, shapes and counts, with errors that say what would do."""

from __future__ import annotations

import numbers
import operator
from typing import Any

import numpy as np

from .errors import DtypeError, ShapeError, describe


def integer(where: str, name: str, value: Any, *, at_least: int | None = None) -> int:
    """A static argument that must be an integer (a Tensor or a boolean is none).

    Raises DtypeError for anything else, ShapeError if it is too small.

    >>> integer("repeat", "repeats", np.int64(3), at_least=0)
    3
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise DtypeError(f"{where}: {name} must be an integer, got {describe(value)}")
    if at_least is not None and value < at_least:
        raise ShapeError(f"{where}: {name} must be at least {at_least}, got {value}")
    return operator.index(value)


def number(where: str, name: str, value: Any) -> Any:
    """A static argument that must be a real number, as a Python number, whose dtype is weak.

    Raises DtypeError for anything else: a Tensor, a text, a boolean.

    >>> number("elu", "alpha", np.float64(0.5))
    0.5
    """
    if type(value) is float or type(value) is int:
        return value
    real = value.item() if isinstance(value, np.generic) else value
    if isinstance(real, bool) or not isinstance(real, numbers.Real):
        raise DtypeError(
            f"{where}: {name} must be a number, got {describe(value)} of type "
            f"{type(value).__name__}"
        )
    return real


def boolean(where: str, name: str, value: Any) -> bool:
    """A static argument that must be True or False.

    Raises DtypeError for anything else.

    >>> boolean("sort", "descending", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise DtypeError(f"{where}: {name} must be True or False, got {describe(value)}")
    return bool(value)


def axis_of(
    where: str, axis: Any, x: Any, *, name: str = "axis", new: int = 0, of: str = "x"
) -> int:
    """An axis of the array `x` (or, with `new`, of one with so many axes more), from 0.

    `of` is what errors call the array.

    Raises DtypeError if it is no integer, ShapeError if there is no such axis.

    >>> axis_of("flip", -1, np.zeros((2, 3)))
    1
    """
    number, count = integer(where, name, axis), x.ndim + new
    if not -count <= number < count:
        known = f"from {-count} to {count - 1}" if count else "left out: there is none"
        more = f", with {new} new" if new else ""
        raise ShapeError(
            f"{where}: {name} must be {known}, got {number}; {of} has {describe(x)}{more}"
        )
    return number % count


def axes_of(where: str, axis: Any, x: Any, *, name: str = "axis", new: int = 0) -> tuple[int, ...]:
    """Axes of the array `x`, from 0: `axis` is an int, a tuple or list of ints, or None for all.

    Raises DtypeError, ShapeError as `axis_of` does, and for an axis that is named twice.

    >>> axes_of("sum", (0, -1), np.zeros((2, 3, 4)))
    (0, 2)
    """
    if axis is None:
        return tuple(range(x.ndim + new))
    several = isinstance(axis, (tuple, list))
    axes = tuple(axis_of(where, a, x, name=name, new=new) for a in (axis if several else (axis,)))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{where}: {name}={axis!r} names an axis twice; x has {describe(x)}")
    return axes


def shape_of(
    where: str, shape: Any, *, name: str = "shape", unknown: bool = False
) -> tuple[int, ...]:
    """A shape, given as an int or a sequence of ints; with `unknown` one length may be -1.

    Raises ShapeError for anything else: a Tensor, a negative length, a float.

    >>> shape_of("zeros", (2, 3)), shape_of("reshape", -1, unknown=True)
    ((2, 3), (-1,))
    """
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    least = -1 if unknown else 0
    if not all(
        isinstance(each, (int, np.integer)) and not isinstance(each, bool) and each >= least
        for each in lengths
    ):
        got = describe(shape)
        remedy = "; of a tensor x, give x.shape" if hasattr(shape, "dtype") else ""
        one = " (one may be -1)" if unknown else ""
        raise ShapeError(
            f"{where}: {name} must be an int or a tuple of ints that are not negative{one}, "
            f"got {got}{remedy}"
        )
    if lengths.count(-1) > 1:
        raise ShapeError(f"{where}: {name}={shape!r}: only one length may be -1")
    return tuple(operator.index(each) for each in lengths)


def frozen(value: Any) -> Any:
    """A static argument that nobody can change later: tuples in place of lists and arrays.

    A Tensor stays what it is, for the checks above to refuse.

    >>> frozen([1, np.array([2, 3])]), frozen(4)
    ((1, (2, 3)), 4)
    """
    if type(value) is tuple and {*map(type, value)} <= {int}:
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(frozen, value)) if isinstance(value, (tuple, list)) else value
