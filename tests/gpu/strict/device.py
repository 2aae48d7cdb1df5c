"""The devices of the stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.engine.devices import Device, register_device
from chainrule.gpu.backends import RawEmulated
from chainrule.gpu.devices import GpuDevice

from .arrays import StrictArray
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


class Unwrapped:
    """The emulator, which is given the memory of the stand-in's arrays."""

    def __init__(self) -> None:
        self.emulated = RawEmulated()

    def launch(
        self, entry: Any, real: str, grid: Any, shared: int, arguments: Sequence[Any]
    ) -> None:
        """See `chainrule.gpu.backends.Backend`."""
        given = [each._a if type(each) is StrictArray else each for each in arguments]
        self.emulated.launch(entry, real, grid, shared, given)


class LaunchingDevice(GpuDevice):
    """A device whose arrays are the stand-in's, with the GPU's kernels in CUDA C, emulated.

    So the host's side of the kernels, too, is given what CuPy would give it.
    """

    __slots__ = ()

    on_host = False

    def __init__(self) -> None:
        super().__init__("strict-raw", module, {"raw": Unwrapped()})

    def from_host(self, array: Any) -> Any:
        """A copy of a NumPy array."""
        return module.array(array)

    def _fetched(self, array: Any) -> np.ndarray[Any, Any]:
        copied: np.ndarray[Any, Any] = array.get()
        return copied


strict_device = register_device(StrictDevice())
launching_device = register_device(LaunchingDevice())
