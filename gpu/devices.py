"""The devices "cuda" and "emulated", made when they are first asked for.

On both, the kernel sets "raw" (CUDA C, the default) and "numba" (Numba CUDA) launch the entries of
the table, and the rest is array code: CuPy's on a GPU, NumPy's in the emulator. A tensor of the
emulated device is kept apart from the CPU's as one on a GPU would be, so that a program which runs
there moves its data where it must.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from chainrule.engine.devices import Device, on_new_thread, register_maker
from chainrule.engine.errors import DeviceError

#: The kernel sets of a GPU, the default first.
SETS = ("raw", "numba", "reference")


class GpuDevice(Device):
    """A GPU, or the emulator in its place.

    Attributes: `copies_back`, how many arrays were copied to the host since it was made.
    """

    __slots__ = ("_backends", "copies_back")

    on_host = False

    def __init__(self, name: str, xp: Any, backends: dict[str, Any]) -> None:
        from .table import replacements

        ours = replacements()
        sets = {each: {} if each == "reference" else ours for each in SETS}
        super().__init__(name, xp, sets, SETS[0], bound=True)
        self._backends = backends
        self.copies_back = 0

    def backend(self, kernel_set: str) -> Any:
        """What runs the kernels of a set.

        Raises DeviceError for the set "reference", which launches nothing.
        """
        try:
            return self._backends[kernel_set]
        except KeyError:
            raise DeviceError(
                f"device {self.name!r}: the kernel set {kernel_set!r} launches no kernels; use "
                "cr.kernels('raw') or cr.kernels('numba')"
            ) from None

    def holds(self, array: Any) -> bool:
        """Is it an array in the memory of this device?"""
        return isinstance(array, self.xp.ndarray)

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """A copy of an array of this device as a NumPy array."""
        self.copies_back += 1
        return self._fetched(array)

    def _fetched(self, array: Any) -> np.ndarray[Any, Any]:
        raise NotImplementedError

    def synchronize(self) -> None:
        """Waits until all that was launched has run."""


class EmulatedDevice(GpuDevice):
    """The GPU's kernels, run on the CPU."""

    __slots__ = ()

    def __init__(self) -> None:
        from .backends import NumbaEmulated, RawEmulated

        super().__init__("emulated", np, {"raw": RawEmulated(), "numba": NumbaEmulated()})

    def from_host(self, array: Any) -> Any:
        """A copy of a NumPy array, which stands for the one in a GPU's memory."""
        return np.array(array)

    def _fetched(self, array: Any) -> np.ndarray[Any, Any]:
        return np.array(array)


class Lost:
    """Stands in place of CuPy and of kernels in a process that cannot use the GPU."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        raise DeviceError(
            f"device {self._name!r}: this process was forked from one that computes on the GPU, "
            "which CUDA does not survive; start it with multiprocessing.get_context('spawn'), or "
            "have only one of the two use the GPU"
        )


class CudaDevice(GpuDevice):
    """An NVIDIA GPU, through CuPy. One process computes on one GPU."""

    __slots__ = ("index",)

    def __init__(self, name: str, index: int) -> None:
        import cupy

        from .backends import NumbaCuda, RawCuda

        super().__init__(name, cupy, {"raw": RawCuda(), "numba": NumbaCuda()})
        self.index = index
        self._use()
        if index:  # CuPy's threads begin with GPU 0
            on_new_thread.append(self._use)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._lose)

    def _lose(self) -> None:
        """In a process that was forked: CUDA does not survive it, and says so obscurely."""
        lost: Any = Lost(self.name)
        self.xp = self.kernels = lost
        self.sets = {}

    def _use(self) -> None:
        """Has this thread compute on this GPU."""
        self.xp.cuda.Device(self.index).use()

    def holds(self, array: Any) -> bool:
        """Is it an array in the memory of this GPU, and not of another one?"""
        return isinstance(array, self.xp.ndarray) and array.data.device_id == self.index

    def from_host(self, array: Any) -> Any:
        """A copy of a NumPy array in the GPU's memory."""
        if self.index:
            self._use()
        return self.xp.array(array)

    def _fetched(self, array: Any) -> np.ndarray[Any, Any]:
        fetched: np.ndarray[Any, Any] = self.xp.asnumpy(array)
        return fetched

    def memory(self) -> tuple[int, int]:
        """Bytes of the GPU's memory that are free, or kept by CuPy for the next array, and all."""
        free, total = self.xp.cuda.runtime.memGetInfo()
        return free + self.xp.get_default_memory_pool().free_bytes(), total

    def synchronize(self) -> None:
        """Waits until all that was launched has run."""
        self.xp.cuda.get_current_stream().synchronize()


#: The GPU that this process computes on, once it has been asked for.
_chosen: CudaDevice | None = None


def make_cuda(name: str) -> Device:
    """The device "cuda", or "cuda:1".

    Raises DeviceError, with the reason and the remedy, if it is not usable here.
    """
    global _chosen
    _, colon, number = name.partition(":")
    if colon and not (number.isascii() and number.isdecimal()):
        raise DeviceError(f"device: {name!r} is unknown; a GPU is 'cuda', 'cuda:0', 'cuda:1', ...")
    index = int(number or 0)
    if _chosen is None:
        from .probing import require

        require(name)
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        if index >= count:
            raise DeviceError(f"device: there is no {name!r} here; CUDA sees {count} GPUs")
        _chosen = CudaDevice(f"cuda:{index}" if index else "cuda", index)
    if number and _chosen.index != index:
        raise DeviceError(
            f"device: this process computes on {_chosen.name!r}, and one process computes on one "
            f"GPU; for {name!r} start another one, or set CUDA_VISIBLE_DEVICES={index}"
        )
    return _chosen


def make_emulated(name: str) -> Device:
    """The device "emulated", on which the GPU's kernels run on the CPU."""
    if name != "emulated":
        raise DeviceError(f"device: {name!r} is unknown; the emulator is 'emulated'")
    return EmulatedDevice()


def _usable(name: str) -> bool:
    from .probing import usable

    return usable(name)


register_maker("cuda", make_cuda, SETS, functools.partial(_usable, "cuda"))
register_maker("emulated", make_emulated, SETS, functools.partial(_usable, "emulated"))
