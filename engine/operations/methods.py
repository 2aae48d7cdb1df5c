"""The methods and operators of Tensor that are operations of the table."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..devices import Device
from ..errors import DtypeError, GradientError, describe
from ..indexing import repeats
from ..record import RECORDS
from ..tensor import Tensor, is_array


def _reflected(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Tensor]:
    return lambda self, other: function(other, self)


def _equality(function: Callable[..., Tensor]) -> Callable[[Tensor, Any], Any]:
    """`==` or `!=`, which also answers for things that are no numbers, such as None."""

    def compare(self: Tensor, other: Any) -> Any:
        known = isinstance(other, (Tensor, bool, int, float, np.ndarray, np.generic, list, tuple))
        return function(self, other) if known else NotImplemented

    return compare


_REFLECTED = {f"__r{each}__" for each in ("add", "sub", "mul", "truediv", "pow", "matmul")}
_REFLECTED |= {f"__r{each}__" for each in ("floordiv", "mod", "and", "or", "xor")}

for record in tuple(RECORDS.values()):
    for name in record.methods:
        function = record.function
        if name in _REFLECTED:
            function = _reflected(function)
        elif name in ("__eq__", "__ne__"):
            function = _equality(function)
        setattr(Tensor, name, function)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    setattr(Tensor, function.__name__, function)
    return function


def _sizes(where: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    """What was given as f(2, 3) or as f((2, 3))."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    try:
        return tuple(map(operator.index, given))
    except TypeError as error:
        told = ", ".join(map(describe, given))
        remedy = "; of a tensor x, give x.shape" if any(map(is_array, given)) else ""
        raise DtypeError(
            f"{where}: expected integers, or one tuple of them, got {told}{remedy}"
        ) from error


@_method
def reshape(self: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape, given as numbers or as one tuple; one may be -1."""
    return RECORDS["reshape"].function(self, _sizes("reshape", shape))


@_method
def flatten(self: Tensor) -> Tensor:
    """The same elements along one axis."""
    return RECORDS["reshape"].function(self, (-1,))


@_method
def permute_dims(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order, given as numbers or as one tuple."""
    return RECORDS["permute_dims"].function(self, _sizes("permute_dims", axes))


@_method
def transpose(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order; in reverse if none are given, as in NumPy."""
    order = _sizes("transpose", axes) if axes else tuple(reversed(range(self.ndim)))
    return RECORDS["permute_dims"].function(self, order)


@_method
def astype(self: Tensor, dtype: Any) -> Tensor:
    """The elements converted to another dtype; between floating dtypes the gradient flows.

    Raises DtypeError for a dtype that a Tensor cannot have.
    """
    return RECORDS["astype"].function(self, dtype)


Tensor.T = property(transpose, doc="The axes in reverse order.")  # type: ignore[attr-defined]
Tensor.mT = property(RECORDS["matrix_transpose"].function)  # type: ignore[attr-defined]


def _in_place(ufunc: str, symbol: str) -> Callable[[Tensor, Any], Tensor]:
    def change(self: Tensor, other: Any) -> Tensor:
        device = self._device
        function = getattr(np, ufunc) if device.xp is np else partial(_changed, device, ufunc)
        return self._change(function, symbol, other)

    return change


def _changed(device: Device, ufunc: str, a: Any, b: Any, out: Any, casting: str) -> None:
    """Changes an array of CuPy's, which has no flag that makes it read-only."""
    if repeats(a):
        raise ValueError("it repeats the memory of a smaller tensor (cr.broadcast_to)")
    if ufunc in ("power", "floor_divide", "remainder"):  # there are kernels of these names
        device.xp.positive(getattr(device.kernels, ufunc)(a, b), out=out, casting=casting)
    else:
        getattr(device.xp, ufunc)(a, b, out=out, casting=casting)


for short, ufunc, symbol in (
    ("add", "add", "+="),
    ("sub", "subtract", "-="),
    ("mul", "multiply", "*="),
    ("truediv", "divide", "/="),
    ("pow", "power", "**="),
    ("floordiv", "floor_divide", "//="),
    ("mod", "remainder", "%="),
):
    setattr(Tensor, f"__i{short}__", _in_place(ufunc, symbol))


@_method
def __imatmul__(self: Tensor, other: Any) -> Any:
    if self.requires_grad and self.is_leaf:
        raise GradientError(
            "@=: a product has memory of its own, and a leaf that requires gradients would be "
            "replaced by another tensor; write w.assign(w @ x) in `with cr.no_grad():`"
        )
    return NotImplemented


@_method
def __format__(self: Tensor, how: str) -> str:
    """Of one element, the number as Python formats it; otherwise only the plain form."""
    return format(self.item(), how) if how and self.size == 1 else format(repr(self), how)
