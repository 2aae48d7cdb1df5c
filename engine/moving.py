"""Tensors from one device to another, and to and from other libraries: always asked for, by name.

Moving is differentiable: the gradient of a moved tensor goes back to where the tensor came from.
"""

from __future__ import annotations

from typing import Any

from .devices import Device, cpu, get_device, moved
from .dtypes import as_dtype
from .errors import DeviceError, DtypeError, GradientError, describe
from .record import Record, compute
from .tensor import Tensor, wrap


def _back(k: Any, g: Any, source: Device, target: Device) -> Any:
    """The gradient, a Tensor or an array of `target`, on `source`."""
    return g.to(source) if isinstance(g, Tensor) else moved(g, target, source)


#: Not in the table: a formula that is x has nothing to prove.
_MOVE = Record(
    name="to",
    summary="x on another device.",
    forward=lambda k, x, *, source, target: moved(x, source, target),
    vjps={"x": _back},
)


def to(self: Tensor, device: Any) -> Tensor:
    """A copy of the tensor on another device; the tensor itself if it is there already.

    Arguments: `device`, a name such as "cpu", "cuda" or "emulated", or a Tensor, whose device is
    meant. The copy of a tensor that requires gradients is part of its graph: its gradient goes back
    to that one, on its device.

    Raises DeviceError for a device that is unknown, or cannot be used here; DtypeError for a dtype,
    for which there is `astype`.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x.to("emulated")
    >>> y.device, x.to("cpu") is x
    ('emulated', True)
    >>> (y * y).sum().backward()
    >>> x.grad
    tensor([2., 4.], shape=(2,), dtype=float64)
    """
    target = named_device(device, "to")
    if target is self._device:
        return self
    static = {"source": self._device, "target": target}
    key = 0b10 | (self._node is not None)
    return compute(_MOVE, target, (self._data,), (self._node,), (self._storage,), key, static)


def named_device(device: Any, where: str) -> Device:
    """The device that is meant by its name, by a Tensor on it, or by itself.

    Raises DeviceError for one that is unknown, or cannot be used here; DtypeError for a dtype.
    """
    if isinstance(device, Tensor):
        return device._device
    if isinstance(device, (str, Device)) and not _is_dtype(device):
        return get_device(device)
    raise DtypeError(
        f"{where}: give the name of a device, such as 'cpu' or 'cuda', got {describe(device)}; "
        + (
            "another dtype is had with x.astype('float32')"
            if where == "to"
            else "dtype= of a layer, or cr.set_default_dtype, says what it computes with"
        )
    )


def _is_dtype(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(("float", "int", "uint", "bool"))


def to_cpu(self: Tensor) -> Tensor:
    """The tensor on the CPU; see `to`."""
    return to(self, cpu)


def to_cuda(self: Tensor, index: int | None = None) -> Tensor:
    """The tensor on the GPU; see `to`. Arguments: `index`, the number of the GPU."""
    return to(self, "cuda" if index is None else f"cuda:{index}")


# Other libraries ----------------------------------------------------------------------------


def from_dlpack(x: Any, /, *, device: Any = None) -> Tensor:
    """A tensor that shares the memory of an array of another library, through DLPack.

    Arguments: `x`, an array with `__dlpack__` and `__dlpack_device__`, such as PyTorch's, CuPy's or
    NumPy's, on the CPU or on an NVIDIA GPU; `device`, where the tensor shall be, by default where
    the array is: moving it copies.

    Raises DtypeError for what has no `__dlpack__`, and for a dtype that a Tensor may not have;
    DeviceError for an array of a device that chainrule does not know.

    >>> import numpy as np, chainrule as cr
    >>> array = np.array([1.0, 2.0])
    >>> x = cr.from_dlpack(array)
    >>> array[0] = 5.0
    >>> x.tolist()
    [5.0, 2.0]
    """
    if not hasattr(x, "__dlpack__") or not hasattr(x, "__dlpack_device__"):
        raise DtypeError(f"from_dlpack: x must have __dlpack__, got {describe(x)}")
    if isinstance(x, Tensor):
        shared = x.detach()
        return shared if device is None else to(shared, device)
    kind, index = map(int, x.__dlpack_device__())
    where = _of_dlpack(kind, index)
    array = where.xp.from_dlpack(x)
    as_dtype(array.dtype, "from_dlpack")
    shared = wrap(array, where)
    return shared if device is None else to(shared, device)


#: The numbers that DLPack gives to the CPU, to an NVIDIA GPU, and to host memory it can reach.
_DLPACK_CPU, _DLPACK_CUDA, _DLPACK_CUDA_HOST = 1, 2, 3


def _of_dlpack(kind: int, index: int) -> Device:
    if kind in (_DLPACK_CPU, _DLPACK_CUDA_HOST):
        return cpu
    if kind == _DLPACK_CUDA:
        return get_device(f"cuda:{index}")
    raise DeviceError(
        f"from_dlpack: the array is on a device of DLPack's kind {kind}, which chainrule does not "
        "know; copy it to the CPU first"
    )


def __dlpack_device__(self: Tensor) -> tuple[int, int]:
    """Where DLPack says the memory is: the kind of device and its number."""
    if self._device.name.startswith("cuda"):
        return _DLPACK_CUDA, self._device.index  # type: ignore[attr-defined]
    return _DLPACK_CPU, 0


def _require_untracked(where: str, x: Tensor) -> None:
    if x.requires_grad:
        raise GradientError(
            f"{where}: this tensor requires gradients, which another library would drop; give "
            "x.detach()"
        )


def __dlpack__(self: Tensor, **request: Any) -> Any:
    """The memory as DLPack's capsule, for `from_dlpack` of another library: shared, not copied.

    Raises GradientError for a tensor that requires gradients, which would be dropped.
    """
    _require_untracked("__dlpack__", self)
    return self._data.__dlpack__(**request)


def __cuda_array_interface__(self: Tensor) -> dict[str, Any]:
    """The memory on an NVIDIA GPU, for Numba, CuPy and PyTorch: shared, not copied.

    Raises AttributeError for a tensor of another device: so `hasattr` tells.
    """
    if not self._device.name.startswith("cuda"):
        raise AttributeError(f"__cuda_array_interface__: this tensor is on {self.device!r}")
    _require_untracked("__cuda_array_interface__", self)
    interface: dict[str, Any] = self._data.__cuda_array_interface__
    return interface


for _name, _method in (
    ("to", to),
    ("cpu", to_cpu),
    ("cuda", to_cuda),
    ("__dlpack__", __dlpack__),
    ("__dlpack_device__", __dlpack_device__),
    ("__cuda_array_interface__", property(__cuda_array_interface__)),
):
    setattr(Tensor, _name, _method)
