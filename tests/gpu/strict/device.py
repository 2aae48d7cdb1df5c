"""The device of the stand-in."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.devices import Device, register_device

from .module import module


class StrictDevice(Device):
    """A device whose arrays are the stand-in's, with the reference kernels."""

    __slots__ = ()

    on_host = False

    def __init__(self) -> None:
        super().__init__("strict", module, {"reference": {}}, "reference")

    def from_host(self, array: Any) -> Any:
        """A copy of a NumPy array."""
        return module.array(array)

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """A copy of an array of this device as a NumPy array; it is counted."""
        copied: np.ndarray[Any, Any] = array.get()
        return copied


strict_device = register_device(StrictDevice())
