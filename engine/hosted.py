"""Arrays that come from the host: a tensor of another device knows the array it was copied from.

Ids are looked at where they lie before they are used as such, and masks are made of them. Their
tensor may be on a GPU by then; reading it back would make the program wait for the GPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .devices import Device
from .tape import Storage
from .tensor import Tensor, on_host, wrap


class Brought(Storage):
    """The memory of a tensor that was copied from the host: `data` there, `array` here."""

    def __init__(self, data: Any, array: np.ndarray[Any, Any]) -> None:
        self.data, self.array = data, array


def brought(array: np.ndarray[Any, Any], device: Device) -> Tensor:
    """A Tensor of a device with the elements of a NumPy array, which nobody changes.

    On the CPU it is a Tensor of that array, without a copy.
    """
    if device.on_host:
        return wrap(array, device)
    data = device.from_host(array)
    return wrap(data, device, None, Brought(data, array))


def fetched(x: Tensor) -> Tensor:
    """A Tensor that knows its elements on the host, so that `host_array` copies them once.

    It is not part of the graph of x.
    """
    if x._device.on_host or isinstance(x._storage, Brought):
        return x
    return wrap(x._data, x._device, None, Brought(x._data, on_host(x)))


def host_array(x: Tensor) -> np.ndarray[Any, Any]:
    """The elements as a NumPy array: that which x was brought from, if it is unchanged.

    Any other tensor of a device is copied to the host.

    >>> import numpy as np
    >>> from chainrule.engine.devices import get_device
    >>> emulated, ids = get_device("emulated"), np.array([3, 1])
    >>> host_array(brought(ids, emulated)) is ids
    True
    """
    storage = x._storage
    if isinstance(storage, Brought) and storage.data is x._data and not storage.changed:
        return storage.array
    return on_host(x)
