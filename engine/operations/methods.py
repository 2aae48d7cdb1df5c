"""The methods and operators of Tensor that are operations of the table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..record import RECORDS
from ..tensor import Tensor, raw_index

_OPERATORS = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "power",
    "matmul": "matmul",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "abs", "invert": "logical_not"}
_METHODS = (
    *("abs", "argmax", "argmin", "clip", "cos", "exp", "expand_dims", "log", "matmul", "max"),
    *("mean", "min", "relu", "sigmoid", "sin", "softmax", "log_softmax", "sqrt", "square"),
    *("squeeze", "sum", "tanh", "matrix_transpose", "broadcast_to"),
)


def _swapped(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Tensor]:
    return lambda self, other: function(other, self)


for short, name in _OPERATORS.items():
    function = RECORDS[name].function
    setattr(Tensor, f"__{short}__", function)
    setattr(Tensor, f"__r{short}__", _swapped(function))
for short, name in _COMPARISONS.items():
    setattr(Tensor, f"__{short}__", RECORDS[name].function)


def _equality(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Any]:
    """`==` or `!=`, which also answers for things that are no numbers, such as None."""

    def compare(self: Tensor, other: Any) -> Any:
        known = isinstance(other, (Tensor, bool, int, float, np.ndarray, np.generic, list, tuple))
        return function(self, other) if known else NotImplemented

    return compare


setattr(Tensor, "__eq__", _equality(RECORDS["equal"].function))
setattr(Tensor, "__ne__", _equality(RECORDS["not_equal"].function))
for short, name in _UNARY.items():
    setattr(Tensor, f"__{short}__", RECORDS[name].function)
for name in _METHODS:
    setattr(Tensor, name, RECORDS[name].function)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    setattr(Tensor, function.__name__, function)
    return function


def _sizes(given: tuple[Any, ...]) -> tuple[int, ...]:
    """What was given as f(2, 3) or as f((2, 3))."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    return tuple(map(operator.index, given))


@_method
def reshape(self: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape, given as numbers or as one tuple; one may be -1."""
    return RECORDS["reshape"].function(self, _sizes(shape))


@_method
def flatten(self: Tensor) -> Tensor:
    """The same elements along one axis."""
    return RECORDS["reshape"].function(self, (-1,))


@_method
def permute_dims(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order, given as numbers or as one tuple."""
    return RECORDS["permute_dims"].function(self, _sizes(axes))


@_method
def transpose(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order; in reverse if none are given, as in NumPy."""
    order = _sizes(axes) if axes else tuple(reversed(range(self.ndim)))
    return RECORDS["permute_dims"].function(self, order)


@_method
def astype(self: Tensor, dtype: Any) -> Tensor:
    """The elements converted to another dtype; between floating dtypes the gradient flows.

    Raises DtypeError for a dtype that a Tensor cannot have.
    """
    return RECORDS["astype"].function(self, dtype)


@_method
def __getitem__(self: Tensor, index: Any) -> Tensor:
    return RECORDS["getitem"].function(self, raw_index(index))


Tensor.T = property(transpose, doc="The axes in reverse order.")  # type: ignore[attr-defined]
Tensor.mT = property(RECORDS["matrix_transpose"].function)  # type: ignore[attr-defined]
