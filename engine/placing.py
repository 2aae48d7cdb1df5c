"""What the host adds to a computation on another device, and what it may know of one.

Arrays of a GPU are not read by the host on the way: each such copy would wait until all that was
launched has run. So shortcuts for harmless numbers are taken where NumPy computes, and what the
host gives (a mask, positions, a table) is sent to where the computation is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .tensor import Tensor, wrap

if TYPE_CHECKING:
    from .devices import Device
    from .record import Record
    from .tape import Node, Storage


def on_device(array: Any) -> bool:
    """Is it an array, of which the host cannot read an element without a copy?"""
    if type(array) is np.ndarray:
        return False
    return hasattr(array, "dtype") and not isinstance(array, (np.ndarray, np.generic, Tensor))


def constant(k: Any, array: Any) -> Any:
    """An array of the host as an operand for `k`: on the device that k computes on.

    >>> constant(None, [True])
    [True]
    """
    xp = getattr(k, "xp", np)
    return array if xp is np else xp.asarray(array)


#: NumPy takes 0.2 µs less for an array of the dtype that it meets than for a Python number.
_ZEROS = {np.dtype(kind): np.zeros((), kind) for kind in ("float32", "float64")}
for _zero in _ZEROS.values():
    _zero.setflags(write=False)


def zero(x: Any) -> Any:
    """The number 0 as an operand beside x.

    >>> zero(np.ones(3)), zero(1)
    (array(0.), 0.0)
    """
    return _ZEROS.get(x.dtype, 0.0) if type(x) is np.ndarray else 0.0


def beside(x: Any, array: Any) -> Any:
    """A raw array, of whichever device, as an operand beside the Tensor x, on its device."""
    if not isinstance(x, Tensor) or isinstance(array, Tensor):
        return array
    return wrap(array, x._device) if on_device(array) else array


def there(array: Any, node: Node, parent: Node | None, storage: Storage) -> Tensor:
    """A raw array that a node has saved as a Tensor on its device: indices may be on the host."""
    device = node.kernels.device
    if type(array) is np.ndarray and device.xp is not np:
        array = device.from_host(array)
    return wrap(array, device, parent, storage)


def certain(flag: Any) -> bool:
    """Is a condition true, as far as the host knows without waiting? It may only save work.

    >>> certain(np.bool_(True)), certain(False)
    (True, False)
    """
    if isinstance(flag, Tensor):
        return flag._device.on_host and bool(flag)
    return not on_device(flag) and bool(flag)


def sent(record: Record, arrays: Sequence[Any], device: Device) -> list[Any]:
    """The arguments of a call on a device, where arrays of the host are sent there.

    Indices stay: they are checked on the host, which costs no copy back.
    """
    return [
        device.from_host(each)
        if type(each) is np.ndarray and record.argument_base(i) not in record.indices
        else each
        for i, each in enumerate(arrays)
    ]
