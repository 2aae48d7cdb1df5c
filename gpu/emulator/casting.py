"""Arguments of a launch as C values, of exactly the types that the kernel's C++ gives them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from chainrule.engine.errors import describe

from .reports import EmulatorError

_KINDS = {"f": "float", "i": "int", "u": "uint", "b": "bool"}


def cast(name: str, position: int, parameter: Any, given: Any) -> Any:
    """The argument as a C value of exactly the parameter's type."""
    kind, size = parameter.kind.decode(), parameter.size
    where = f"{name}: argument {position}"
    if kind == "p":
        return ctypes.c_void_p(_address(where, parameter, given))
    expected = f"{_KINDS.get(kind, 'type')}{8 * size}"
    if isinstance(given, np.ndarray) and given.ndim == 0:
        given = given[()]
    if kind == "o" or not isinstance(given, (bool, int, float, np.number, np.bool_)):
        raise EmulatorError(
            f"{where}: a number for a parameter of type {expected}, got {describe(given)}"
        )
    if kind == "f":
        return (ctypes.c_float if size == 4 else ctypes.c_double)(float(given))
    if isinstance(given, (float, np.floating)) or int(given) != given:
        raise EmulatorError(
            f"{where}: an integer for a parameter of type {expected}, got {given!r}"
        )
    value = int(given)
    low, high = (
        (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1)) if kind == "i" else (0, 2 ** (8 * size))
    )
    if not low <= value < (2 if kind == "b" else high):
        raise EmulatorError(f"{where}: {value} does not fit {expected}")
    return getattr(ctypes, f"c_{_KINDS[kind] if kind != 'b' else 'uint'}{8 * size}")(value)


def _address(where: str, parameter: Any, given: Any) -> int | None:
    if given is None:
        return None
    kind, size = parameter.pointee.decode(), parameter.size
    expected = f"{_KINDS.get(kind, 'void')}{8 * size}" if kind != "v" else "any dtype"
    if not isinstance(given, np.ndarray):
        raise EmulatorError(f"{where}: an array of {expected}, or None, got {describe(given)}")
    kinds = {"b": "bu", "u": "ub" if size == 1 else "u", "v": given.dtype.kind}.get(kind, kind)
    fits = kind == "v" or (given.dtype.kind in kinds and given.dtype.itemsize == size)
    if not fits or not given.dtype.isnative:
        raise EmulatorError(f"{where}: an array of {expected}, got {describe(given)}")
    if not given.flags.c_contiguous:
        raise EmulatorError(
            f"{where}: the array ({describe(given)}) is not contiguous; np.ascontiguousarray copies"
        )
    if not parameter.constant and not given.flags.writeable:
        raise EmulatorError(f"{where}: the array is read-only, the kernel's pointer is not const")
    if given.size == 0:
        return None
    address = given.__array_interface__["data"][0]
    if address % (size * parameter.vector):
        raise EmulatorError(f"{where}: the array is not aligned to {size * parameter.vector} bytes")
    return int(address)
