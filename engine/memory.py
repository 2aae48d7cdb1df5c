"""What takes the memory of a device, told when there is no more."""

from __future__ import annotations

import gc
import math
import re
from typing import Any

from .devices import Device
from .errors import OutOfMemoryError, describe
from .tape import Node
from .tensor import Tensor, is_array

#: How many kinds of arrays an error lists.
LISTED = 5


def out_of_memory(where: str, device: Device, error: MemoryError, told: str = "") -> MemoryError:
    """The error for memory that ran out in a function: what was asked for, and what takes it.

    Arguments: `error`, the array library's; `told`, what the function was given, in words.
    """
    wanted, free_and_total = requested(error), device.memory()
    sizes = [] if wanted is None else [f"{in_bytes(wanted)} were asked for"]
    if free_and_total is not None:
        free, total = map(in_bytes, free_and_total)
        sizes.append(f"{free} of {total} are free")
    text = f"{where}: out of memory on {device.name!r}: {', '.join(sizes) or error}"
    text += f"; {told}" if told else ""
    held = live_arrays(device)
    if held:
        text += "; the largest arrays that are held:" + "".join(
            f"\n  {in_bytes(size):>9}  {what}" for size, what in held[:LISTED]
        )
        others = sum(size for size, _ in held[LISTED:])
        text += f"\n  {in_bytes(others):>9}  others" if others else ""
    text += (
        "\nTake smaller batches; give cr.checkpoint parts of the model, whose results are then "
        "computed again and not kept; take float32 where there is float64; drop what is no longer "
        "needed, such as a list of losses (keep loss.item())"
    )
    return OutOfMemoryError(text)


def requested(error: MemoryError) -> int | None:
    """How many bytes were asked for, if the array library's error tells.

    >>> requested(MemoryError("Out of memory allocating 1,024 bytes (allocated so far: 8 bytes)."))
    1024
    """
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is not None and dtype is not None:  # NumPy's
        return math.prod(shape) * int(dtype.itemsize)
    found = re.search(r"allocating ([\d,]+) bytes", str(error))  # CuPy's
    return int(found[1].replace(",", "")) if found else None


def in_bytes(count: int) -> str:
    """A number of bytes, as text.

    >>> in_bytes(512), in_bytes(3_000_000)
    ('512 B', '2.86 MB')
    """
    number = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.2f} {unit}"
        number /= 1024
    return f"{number:.2f} TB"


def live_arrays(device: Device) -> list[tuple[int, str]]:
    """The memory that tensors and graphs hold on a device: sizes in bytes and what it is.

    The largest first; arrays of one kind together, views with what they are views of.
    """
    tensors, nodes = [], []
    for each in gc.get_objects():
        if type(each) is Tensor and getattr(each, "_device", None) is device:
            tensors.append(each)
        elif type(each) is Node and getattr(each, "kernels", None) is not None:
            nodes.append(each)
    kinds: dict[str, tuple[int, int, int]] = {}  # what it is -> bytes, how many, the order
    seen: set[int] = set()

    def enter(array: Any, what: str) -> None:
        whole = _base(array)
        if id(whole) not in seen:
            seen.add(id(whole))
            size, count, order = kinds.get(what, (0, 0, len(kinds)))
            kinds[what] = size + int(whole.nbytes), count + 1, order

    for tensor in tensors:
        enter(tensor._data, f"{describe(tensor._data)}, {_origin(tensor._node)}")
    for node in nodes:
        if node.kernels.device is device and node.plan is not None:
            for array in _arrays(node.saved):
                what = f"{describe(array)}, kept for the gradient of '{node.plan.record.name}'"
                enter(array, what + _line(node))
    rows = [
        (size, order, what if count == 1 else f"{count} of {what}")
        for what, (size, count, order) in kinds.items()
        if size
    ]
    return [(size, what) for size, _, what in sorted(rows, key=lambda row: (-row[0], row[1]))]


def _origin(node: Node | None) -> str:
    """Where a tensor comes from."""
    if node is None:
        return "a tensor without a gradient"
    if node.plan is None:
        return "a tensor whose gradient is asked for"
    return f"made by '{node.plan.record.name}'" + _line(node)


def _line(node: Node) -> str:
    """The user's line, which is known under anomaly detection."""
    place = getattr(node.static, "place", None)
    return "" if place is None else f", {place}"


def _arrays(saved: Any) -> list[Any]:
    """The arrays in what a node has saved, in tuples there, too."""
    found = []
    for each in saved:
        if isinstance(each, (tuple, list)):
            found += _arrays(each)
        elif is_array(each) and hasattr(each, "nbytes"):
            found.append(each)
    return found


def _base(array: Any) -> Any:
    """The array that owns the memory, as far as the library tells."""
    while (base := getattr(array, "base", None)) is not None and hasattr(base, "nbytes"):
        array = base
    return array
