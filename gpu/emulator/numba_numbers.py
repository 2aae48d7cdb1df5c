"""Numbers as Numba's compiled CUDA code has them, where Python's or NumPy's own would differ.

The emulated kernels see the modules `np` and `math`, and the built-in `min` and `max`, through the
stand-ins made here. What they keep of a GPU: an integer wraps around at its width, unsigned ones
follow Numba's rules of promotion, `math.exp` of a float32 is a float32 and overflows to infinity,
and `max` passes over a NaN. Signed integers narrower than 64 bits are promoted to 64 bits by Numba
at each operation, so Python's integers do for them.
"""

from __future__ import annotations

import builtins
import functools
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

_WIDTH = 1 << 64


class Unsigned(int):
    """An unsigned integer: with another one it gives one of 64 bits, with a signed one a signed.

    `bits` is its width, which only `-` and `~` keep.
    """

    bits = 64

    def __neg__(self) -> Unsigned:
        return Unsigned(int.__neg__(self) % (1 << self.bits))

    def __invert__(self) -> Unsigned:
        return Unsigned(int.__invert__(self) % (1 << self.bits))


class _Unsigned32(Unsigned):
    bits = 32


class _Unsigned16(Unsigned):
    bits = 16


class _Unsigned8(Unsigned):
    bits = 8


_UNSIGNED = {each.bits: each for each in (Unsigned, _Unsigned32, _Unsigned16, _Unsigned8)}


def _rule(name: str) -> Callable[[Any, Any], Any]:
    plain = getattr(int, name)

    def operation(self: Unsigned, other: Any) -> Any:
        if isinstance(other, Unsigned):
            return Unsigned(plain(self, other) % _WIDTH)
        if isinstance(other, int):
            signed = INTEGERS["int64"]
            return signed.wrap(plain(signed.wrap(self), other))
        return NotImplemented

    return operation


def _shift(name: str) -> Callable[[Any, Any], Any]:
    plain = getattr(int, name)

    def operation(self: Unsigned, other: Any) -> Any:
        return Unsigned(plain(self, other) % _WIDTH) if isinstance(other, int) else NotImplemented

    return operation


for _name in ("add", "sub", "mul", "floordiv", "mod", "pow", "and", "or", "xor"):
    for _side in ("__", "__r"):
        setattr(Unsigned, f"{_side}{_name}__", _rule(f"{_side}{_name}__"))
Unsigned.__lshift__ = _shift("__lshift__")  # type: ignore[method-assign]
Unsigned.__rshift__ = _shift("__rshift__")  # type: ignore[method-assign]


class IntegerType:
    """One of NumPy's integer types, as a kernel calls it: `np.uint32(value)` wraps around."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)
        self.bits = 8 * self.dtype.itemsize
        self.signed = self.dtype.kind == "i"
        self.unsigned = _UNSIGNED[self.bits]

    def __call__(self, value: Any = 0) -> int:
        """The value, truncated towards zero and wrapped to the width of the type."""
        if not isinstance(value, int):
            value = int(value) if np.isfinite(value) else 0
        return self.wrap(value)

    def wrap(self, value: int) -> int:
        """The integer of this type that has the same last bits.

        >>> IntegerType("int8").wrap(200), IntegerType("uint8").wrap(-1)
        (-56, 255)
        """
        value = int(value) & ((1 << self.bits) - 1)
        if self.signed:
            return value - (1 << self.bits) if value >> (self.bits - 1) else value
        return self.unsigned(value)


INTEGERS = {
    name: IntegerType(name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


def number(value: Any) -> Any:
    """A scalar as the kernel sees it: integers by Numba's rules, floating ones as NumPy's.

    >>> number(np.int32(3)), number(np.float32(0.5))
    (3, np.float32(0.5))
    """
    if isinstance(value, np.integer):
        return INTEGERS[value.dtype.name](int(value))
    if isinstance(value, np.bool_):
        return bool(value)
    return np.float64(value) if type(value) is float else value


def _floating(value: Any) -> Any:
    return value if isinstance(value, np.floating) else np.float64(value)


def _of_numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: function(*map(_floating, arguments))


def _of_python(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(value: Any) -> Any:
        value = _floating(value)
        return type(value)(function(value))

    return call


def _to_integer(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value: INTEGERS["int64"](function(_floating(value)))


def _largest(pick: Callable[..., Any], fpick: Callable[..., Any]) -> Callable[..., Any]:
    def of_two(a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, int):
            return pick(a, b)
        return fpick(a, b)  # fmax and fmin of CUDA: of a NaN and a number, the number

    return lambda *values: functools.reduce(of_two, values)


_SAME_NAMES = [
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "hypot"),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "copysign", "fmod", "fabs"),
]
_OTHER_NAMES = {
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "pow": np.power,
}


class _Shown:
    """A module, with some of its names replaced."""

    def __init__(self, module: Any, replaced: dict[str, Any]) -> None:
        self.__dict__.update(replaced)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


_math = _Shown(
    math,
    {
        **{name: _of_numpy(getattr(np, name)) for name in _SAME_NAMES},
        **{name: _of_numpy(function) for name, function in _OTHER_NAMES.items()},
        **{name: _of_python(getattr(math, name)) for name in ("erf", "erfc", "gamma", "lgamma")},
        **{name: _to_integer(getattr(np, name)) for name in ("floor", "ceil", "trunc")},
    },
)
_numpy = _Shown(np, INTEGERS)
_builtins = {**vars(builtins), "max": _largest(max, np.fmax), "min": _largest(min, np.fmin)}


#: What kernels see instead, by the identity of what they name.
_STAND_INS: dict[int, Any] = {
    id(np): _numpy,
    id(math): _math,
    **{id(getattr(np, name)): stand_in for name, stand_in in INTEGERS.items()},
    **{id(vars(math)[name]): vars(_math)[name] for name in vars(math) if name in vars(_math)},
    **{id(vars(builtins)[name]): _builtins[name] for name in ("max", "min")},
}


def _cell(cell: types.CellType) -> types.CellType:
    """The cell of a closure, or one that holds a stand-in."""
    try:
        stand_in = _STAND_INS.get(id(cell.cell_contents))
    except ValueError:  # not assigned yet
        return cell
    return cell if stand_in is None else types.CellType(stand_in)


def compiled(function: types.FunctionType) -> types.FunctionType:
    """The function with CUDA's numbers in place of Python's, and a code object of its own."""
    names = {name: _STAND_INS.get(id(value), value) for name, value in function.__globals__.items()}
    names["__builtins__"] = _builtins
    copy = types.FunctionType(
        function.__code__.replace(),
        names,
        function.__name__,
        function.__defaults__,
        tuple(map(_cell, function.__closure__ or ())),
    )
    functools.update_wrapper(copy, function)
    return copy
