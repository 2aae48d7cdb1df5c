"""The one launcher: checks a launch against the table, and hands it to the device.

A kernel that is given a wrong pointer or size reads and writes anywhere, so nothing reaches one
unchecked: the number of arguments, the dtype, order in memory and number of elements of every
array, the range of every number, which is cast to the parameter's type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from chainrule.engine.errors import DeviceError, DtypeError, ShapeError, describe

from .table import INSTANCES, Entry, Slot

#: The most blocks along each axis of a grid.
LARGEST_GRID = (2**31 - 1, 65_535, 65_535)
#: Bytes of shared memory that a block may have on every GPU without being asked for.
LARGEST_SHARED = 48 * 1024


def launch(k: Any, entry: Entry, arguments: Sequence[Any], grid: Any, shared: int = 0) -> None:
    """Runs an entry of the table on the device of `k`; a grid of no blocks runs nothing.

    Arguments: `arguments`, arrays of the device and numbers, in the order of the parameters;
    `grid`, the number of blocks, or a tuple of up to three; `shared`, bytes of shared memory
    beside what the kernel declares.

    Raises TypeError for a wrong number of arguments; DtypeError and ShapeError for an array that
    is of another dtype, not contiguous, or of another size; ShapeError for a number that does not
    fit its parameter; DeviceError for an array of another device.
    """
    if len(arguments) != len(entry.parameters):
        raise TypeError(
            f"{entry.name}: takes {len(entry.parameters)} arguments "
            f"({', '.join(each.name for each in entry.parameters)}), got {len(arguments)}"
        )
    blocks = _grid(entry, grid)
    if shared and not entry.dynamic:
        raise ShapeError(f"{entry.name}: takes no shared memory by size; declare dynamic=True")
    if not 0 <= shared <= LARGEST_SHARED:
        raise ShapeError(
            f"{entry.name}: a block may have up to {LARGEST_SHARED} bytes of shared memory, "
            f"asked for {shared}"
        )
    real = _real(entry, arguments)
    # This runs before every kernel, and a GPU is done with a small one in a few microseconds: so
    # what is right is seen to be so at once, and what may be wrong is looked at again.
    cast, arrays, numbers = [], [], []
    for slot, given in zip(entry.slots[real], arguments, strict=True):
        if slot.make is None:
            if not (given is None and slot.optional) and not _fits(k, slot, given):
                _refuse_array(k, entry, slot, given)
            arrays.append(given)
        elif type(given) in slot.plain and slot.least <= given <= slot.most:
            numbers.append(given)
            given = slot.make(given)
        else:
            given = _number(entry, slot, given)
            numbers.append(given.item())
        cast.append(given)
    for parameter, given, size in zip(entry.arrays, arrays, entry.sizes(*numbers), strict=True):
        if given is not None and given.size != size:
            raise ShapeError(
                f"{entry.name}: {parameter.name} must have {parameter.size} = {size} elements, "
                f"got {describe(given)}"
            )
    if 0 in blocks:
        return
    k.device.backend(k.name).launch(entry, real, blocks, shared, cast)


def _grid(entry: Entry, grid: Any) -> tuple[int, int, int]:
    given = tuple(grid) if isinstance(grid, (tuple, list)) else (grid,)
    blocks = (*map(int, given), 1, 1)[:3]
    if len(given) > 3 or any(
        not 0 <= each <= most for each, most in zip(blocks, LARGEST_GRID, strict=True)
    ):
        raise ShapeError(
            f"{entry.name}: grid must be up to three numbers of blocks, at most {LARGEST_GRID}, "
            f"got {grid}"
        )
    return blocks[0], blocks[1], blocks[2]


#: What the instances are called, by the dtype itself: to spell its name takes longer.
_REAL: dict[Any, str] = {np.dtype(each): each for each in INSTANCES}


def _real(entry: Entry, arguments: Sequence[Any]) -> str:
    """The type of the instance: the dtype of the first array of real numbers."""
    for parameter, given in zip(entry.parameters, arguments, strict=True):
        if parameter.access is not None and parameter.type.c is None and given is not None:
            name = _REAL.get(getattr(given, "dtype", None))
            if name is None:
                raise DtypeError(
                    f"{entry.name}: {parameter.name} must be of float32 or float64, got "
                    f"{describe(given)}; convert it with .astype('float32')"
                )
            return name
    return "float32"


def _fits(k: Any, slot: Slot, given: Any) -> bool:
    """May a kernel have this array?"""
    return (
        k.device.holds(given)
        and given.dtype == slot.dtype
        and given.flags.c_contiguous
        and not (slot.written and isinstance(given, np.ndarray) and not given.flags.writeable)
    )


def _refuse_array(k: Any, entry: Entry, slot: Slot, given: Any) -> NoReturn:
    """Raises the error for an array that does not fit."""
    where = f"{entry.name}: {slot.name}"
    if given is None:
        raise TypeError(f"{where} must be an array, got None")
    if not k.device.holds(given):
        raise DeviceError(
            f"{where} must be an array of device {k.device.name!r}, got {type(given).__module__}."
            f"{type(given).__name__} with {describe(given)}{_place(given)}; move it there first"
        )
    if given.dtype != slot.dtype:
        raise DtypeError(f"{where} must be of {slot.dtype}, got {describe(given)}")
    if not given.flags.c_contiguous:
        raise ShapeError(
            f"{where} must lie in memory in order, without gaps, got {describe(given)} with "
            f"strides {given.strides}; make it so with xp.ascontiguousarray"
        )
    raise ShapeError(f"{where} is written to, and is read-only; give a copy")


def _place(given: Any) -> str:
    """Which GPU has an array, for the message that it is the wrong one."""
    number = getattr(getattr(given, "data", None), "device_id", None)
    return "" if number is None else f" in the memory of GPU {number}"


def _number(entry: Entry, slot: Slot, given: Any) -> Any:
    """A number that is cast with care: it may be NumPy's, infinite or NaN, too large, or none."""
    kind = slot.dtype
    try:
        if kind.kind == "f":
            with np.errstate(over="ignore"):
                return kind.type(given)
        if int(given) != given:
            raise TypeError("it is not a whole number")
        if not slot.least <= int(given) <= slot.most:
            raise ShapeError(
                f"{entry.name}: {slot.name} is {given}; it must be from {slot.least} to "
                f"{slot.most}: no single dimension of a GPU array may be longer. Cut the array "
                "along that axis"
            )
        return kind.type(int(given))
    except ShapeError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise DtypeError(
            f"{entry.name}: {slot.name} must be a number for {kind}, got {describe(given)}: {error}"
        ) from error
