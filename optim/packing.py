"""Packing: parameters laid side by side in one buffer, so that one kernel call steps many.

A *block* is the flat memory of parameters of one dtype on one device, with their gradients in a
second array of the same layout. Each parameter has a *place* in a block: it stays the Tensor that
it was, and its array becomes a view of the block. A parameter has one place, whichever optimisers
step it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.engine.devices import Device, moved
from chainrule.engine.tape import Storage, Watch, mark_changed
from chainrule.engine.tensor import Tensor, wrap

#: Bytes: a cache line, and the widest vector register. Every parameter starts on a multiple.
ALIGNMENT = 64


def aligned_zeros(device: Device, dtype: np.dtype[Any], size: int) -> Any:
    """A flat array of zeros on a device, whose first element is aligned."""
    spare = ALIGNMENT // dtype.itemsize
    array = device.xp.zeros(size + spare, dtype)
    if isinstance(array, np.ndarray):
        address = array.__array_interface__["data"][0]
    else:
        address = array.__cuda_array_interface__["data"][0]
    first = -address % ALIGNMENT // dtype.itemsize
    return array[first : first + size]


class Block:
    """Flat memory for the values and the gradients of parameters of one dtype on one device."""

    __slots__ = ("device", "gradients", "values")

    def __init__(self, device: Device, dtype: np.dtype[Any], size: int) -> None:
        self.device = device
        self.values = aligned_zeros(device, dtype, size)
        self.gradients = aligned_zeros(device, dtype, size)


class Place:
    """Where a parameter lies in a block: elements `start` to `stop`; the next begins at `end`.

    `value` and `gradient` are views of the parameter's shape. `watch` is where the engine keeps the
    parameter's gradient; a parameter that was frozen and unfrozen has a new one.
    """

    __slots__ = (
        "__weakref__",
        "block",
        "end",
        "gradient",
        "start",
        "stop",
        "tensor",
        "value",
        "watch",
    )

    def __init__(self, block: Block, start: int, tensor: Tensor) -> None:
        self.block, self.start, self.stop = block, start, start + tensor.size
        self.end = start + padded(tensor)
        self.value = block.values[start : self.stop].reshape(tensor.shape)
        self.gradient = block.gradients[start : self.stop].reshape(tensor.shape)
        self.tensor = weakref.ref(tensor)
        self.watch: Watch | None = None
        self.value[...] = tensor._data
        tensor._data = self.value
        _places[id(self.value)] = self

    def adopt(self, watch: Watch) -> None:
        """Has the engine write the parameter's gradients here from now on."""
        if self.watch is not None and self.watch is not watch:
            self.watch.vacate()
            self.watch.buffer = None
        self.watch = watch
        watch.buffer, watch.storage = self.gradient, Storage()

    def receive(self, watch: Watch) -> None:
        """Copies a gradient that lies elsewhere, and stays there, into the block."""
        watch.vacate()
        grad = watch.grad
        self.gradient[...] = moved(grad._data, grad._device, self.block.device)

    def show(self) -> None:
        """Before the gradient is changed in place: makes it the one that the parameter has."""
        watch = self.watch
        assert watch is not None, "it has been adopted"
        mark_changed(watch.storage)
        if watch.grad._data is not self.gradient:
            watch.grad = wrap(self.gradient, self.block.device, None, watch.storage)
            watch.previous = weakref.ref(watch.grad)


#: The places of all parameters, by the identity of the view that is the parameter's array. They
#: live as long as an optimiser that uses them.
_places: weakref.WeakValueDictionary[int, Place] = weakref.WeakValueDictionary()


def place_of(tensor: Tensor) -> Place | None:
    """Where a tensor lies; None if it was never packed, or was moved, copied or rebound since."""
    place = _places.get(id(tensor._data))
    # Two tensors may have one array (`detach` makes such): the place is that of the first.
    return place if place is not None and place.tensor() is tensor else None


def padded(tensor: Tensor) -> int:
    """The number of elements up to the next aligned one."""
    unit = ALIGNMENT // tensor.dtype.itemsize
    return -(-tensor.size // unit) * unit


def pack(tensors: Sequence[Tensor]) -> list[Place]:
    """Moves tensors into fresh memory, one block per dtype and device; returns their places.

    The values stay the same to the bit; the arrays that the tensors had are left untouched.
    """
    sizes: dict[tuple[np.dtype[Any], Device], int] = {}
    starts = []
    for tensor in tensors:
        kind = (tensor.dtype, tensor._device)
        starts.append(sizes.get(kind, 0))
        sizes[kind] = starts[-1] + padded(tensor)
    blocks = {kind: Block(kind[1], kind[0], size) for kind, size in sizes.items()}
    return [
        Place(blocks[tensor.dtype, tensor._device], start, tensor)
        for tensor, start in zip(tensors, starts, strict=True)
    ]


def adjacent(places: Sequence[Place]) -> list[list[int]]:
    """The positions in `places`, grouped into sequences that lie side by side in memory."""
    order: dict[int, int] = {}
    for place in places:
        order.setdefault(id(place.block), len(order))
    groups: list[list[int]] = []
    last: Place | None = None
    # Empty parameters begin where the next one does: `end` puts them before it.
    keys = [(order[id(place.block)], place.start, place.end) for place in places]
    for i in sorted(range(len(places)), key=keys.__getitem__):
        place = places[i]
        if last is None or last.block is not place.block or last.end != place.start:
            groups.append([])
        groups[-1].append(i)
        last = place
    return groups
