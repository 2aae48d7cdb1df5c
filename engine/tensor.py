"""The Tensor: an array, the device it lives on, and the node that says how it was computed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .devices import Device, cpu, get_device, moved, state
from .dtypes import as_dtype, default_dtype
from .errors import (
    DtypeError,
    GradientError,
    ShapeError,
    apart,
    describe,
    dropped,
    elsewhere,
    unfitting,
    unseeded,
    untracked,
)
from .tape import Node, Storage, Watch, leaf, mark_changed, next_moment

new, ndarray = object.__new__, np.ndarray


def is_array(value: Any) -> bool:
    """Is it an array of this or that library, or a NumPy scalar, rather than a Python number?"""
    return hasattr(value, "dtype")


def to_array(data: Any, dtype: Any = None, where: str = "tensor", device: Device = cpu) -> Any:
    """A fresh array of `data`, with a dtype that a Tensor may have.

    Raises DtypeError for data that are no numbers, ShapeError for ragged lists; GradientError,
    while recording, for tensors that require gradients, since the array would lose them.
    """
    listed = isinstance(data, (list, tuple))
    tensors = [each for each in (data if listed else (data,)) if isinstance(each, Tensor)]
    if state.recording and any(each._node is not None for each in tensors):
        raise dropped(where, tensors, listed)
    if tensors and listed:
        data = [on_host(each) if isinstance(each, Tensor) else each for each in data]
    elif tensors:
        data = moved(data._data, data._device, device)
    # Python floats have no dtype of their own: they take the default one.
    weak = not (is_array(data) or (listed and any(is_array(each) for each in data)))
    try:
        array = data if is_array(data) else np.array(data)
    except ValueError as error:
        raise ShapeError(f"{where}: the rows of the list differ in length: {error}") from error
    kind = as_dtype(array.dtype, where)
    if dtype is not None:
        kind = as_dtype(dtype, where)
    elif weak and kind == np.float64:
        kind = default_dtype()
    return device.xp.array(array, dtype=kind)


def on_host(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The elements as a NumPy array: those of the CPU themselves, a copy of any other device's."""
    return tensor._device.to_host(tensor._data)


def as_operand(value: Any, where: str) -> Any:
    """What an operation computes with: Python numbers and Tensors as they are, arrays copied.

    Python numbers are weak: they take the dtype of what they meet. Arrays keep theirs.
    """
    if isinstance(value, (bool, int, float, Tensor)) and not isinstance(value, np.generic):
        return value
    if isinstance(value, (np.ndarray, np.generic, list, tuple)):
        return to_array(value, where=where)
    raise DtypeError(
        f"{where}: cannot compute with {describe(value)} of type {type(value).__name__}; "
        "give a Tensor, an array of NumPy or a number (cr.from_dlpack takes arrays of others)"
    )


def device_for(data: Any, device: Any) -> Device:
    """The device of a new tensor: the one that is named, or that of the data, or the default."""
    first = data[0] if isinstance(data, (list, tuple)) and data else data
    if device is None and isinstance(first, Tensor):
        return first._device
    if device is None and hasattr(data, "__cuda_array_interface__"):
        return get_device("cuda")
    return get_device(device)


def together(device: Device, value: Any, where: str) -> Any:
    """The raw operand for an operation on a device: numbers and host arrays go to any.

    Raises DeviceError for a Tensor of another device.
    """
    if isinstance(value, Tensor):
        if value._device is not device:
            raise apart(where, device.name, value.device)
        return value._data
    return device.from_host(value) if type(value) is np.ndarray else value


class Tensor:
    """An array of numbers that can be differentiated with respect to.

    Arguments: `data`, a number, (nested) list, array or Tensor, which is copied; `dtype`, by
    default that of `data` (Python floats take `cr.default_dtype()`); `requires_grad`: should
    gradients with respect to it be kept in `.grad`? `device`, a name such as "cpu", by default
    that of a Tensor `data`, or else `cr.default_device()`.

    Raises DtypeError for data that are no numbers, and for integers that require gradients.

    >>> import chainrule as cr
    >>> x = cr.Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.], shape=(2,), dtype=float64)
    """

    __slots__ = ("__weakref__", "_data", "_device", "_mask", "_node", "_storage")

    _data: Any
    _device: Device
    _mask: Any  # unset nearly always; see masks.py
    _node: Node | None
    _storage: Storage

    def __init__(
        self, data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
    ) -> None:
        self._device = device_for(data, device)
        self._data = to_array(data, dtype, "tensor", self._device)
        self._storage, self._node = Storage(), None
        if requires_grad:
            self.requires_grad = True

    # What it is -----------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def device(self) -> str:
        """The name of the device on which it lives."""
        return self._device.name

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as a read-only view, without a copy; the gradient is not recorded.

        Raises DeviceError for a tensor of another device than the CPU.
        """
        if not self._device.on_host:
            raise elsewhere("numpy", self.device)
        view = self._data.view()
        view.flags.writeable = False
        return view

    def item(self) -> Any:
        """The only element, as a Python number.

        Raises ShapeError if there is not exactly one.
        """
        if self.size != 1:
            raise ShapeError(
                f"item: a tensor of shape {self.shape} has {self.size} elements, not one"
            )
        return on_host(self).item()

    def tolist(self) -> Any:
        """The elements as (nested lists of) Python numbers."""
        return on_host(self).tolist()

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len: a 0-d tensor has no length; use .item() for its value")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"bool: the truth value of a tensor of shape {self.shape} is ambiguous; "
                "reduce it first, for example (x > 0).all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        """The only element, outside of the graph: for logging, and `array[0] = x` of NumPy."""
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(
                "index: only 0-d integer tensors stand for an index, an axis or a length; this has "
                f"{describe(self)}; for the shape of a tensor give x.shape"
            )
        return int(self.item())

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        body = np.array2string(on_host(self), separator=", ", prefix="tensor(", threshold=200)
        parts = [body, f"shape={self.shape}", f"dtype={self.dtype}"]
        if self._device is not cpu:
            parts.append(f"device={self.device}")
        if self._node is not None:
            record = self._node.record
            parts.append("requires_grad=True" if record is None else f"op={record.name}")
        return f"tensor({', '.join(parts)})"

    def _repr_svg_(self) -> str | None:
        """The graph behind a computed tensor, for notebooks; see `draw_graph`."""
        from .pictures import shown

        return shown(self)

    # How it is differentiated ---------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Is the gradient with respect to it, or to what it was computed from, of interest?"""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        node = self._node
        if bool(value) is (node is not None):
            return
        if not value:
            if node is not None and node.record is not None:
                raise GradientError(
                    f"requires_grad: this tensor was computed by '{node.record.name}'; "
                    "use .detach() to take it out of the graph"
                )
            self._node = None
        elif self.dtype.kind != "f":
            raise DtypeError(
                f"requires_grad: only floating tensors have gradients, this has {describe(self)}; "
                "write floats (1.0 instead of 1), or use .astype('float64')"
            )
        else:
            self._node = leaf(self._data, self._device.kernels, self._storage)

    @property
    def is_leaf(self) -> bool:
        """Was it made by hand, rather than computed by a recorded operation?"""
        return self._node is None or self._node.record is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient kept by `backward()`: summed over calls, until set to None."""
        node = self._node
        return None if node is None or node.watch is None else node.watch.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        node = self._node
        if value is None:
            if node is not None and node.watch is not None:
                node.watch.grad = None
            return
        if not isinstance(value, Tensor):
            value = Tensor(value, self.dtype, False, self._device)
        kinds = [(each.shape, each.dtype, each.device) for each in (self, value)]
        if node is None or kinds[0] != kinds[1]:
            raise unfitting(self, value)
        self._watch(keeps=self.is_leaf).grad = value

    def _watch(self, keeps: bool) -> Watch:
        node = self._node
        if node is None:
            raise GradientError(
                "this tensor requires no gradient; make it with requires_grad=True, "
                "and compute outside of no_grad()"
            )
        if node.watch is None:
            node.watch = Watch(keeps=False)
        node.watch.keeps |= keeps
        return node.watch

    def retain_grad(self) -> None:
        """Asks `backward()` to keep the gradient of this computed tensor in `.grad` too.

        Raises GradientError if it requires no gradient.
        """
        self._watch(keeps=True)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Calls `hook(gradient)` whenever the gradient of this tensor has been computed.

        What the hook returns, unless it is None, replaces the gradient. Returns a function that
        removes the hook. Raises GradientError if the tensor requires no gradient.

        >>> import chainrule as cr
        >>> x = cr.tensor(3.0, requires_grad=True)
        >>> remove = x.register_hook(lambda gradient: 10 * gradient)
        >>> (x * x).backward()
        >>> x.grad.item()
        60.0
        """
        hooks = self._watch(keeps=False).hooks
        key = next_moment()
        hooks[key] = hook
        return lambda: hooks.pop(key, None) and None

    def zero_grad(self) -> None:
        """Forgets the gradient kept so far."""
        self.grad = None

    def detach(self) -> Tensor:
        """A tensor of the same memory, outside of the graph."""
        return wrap(self._data, self._device, None, self._storage)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                "deepcopy: a computed tensor would lose its graph; copy .detach() instead"
            )
        copy = Tensor(self._data, requires_grad=self.requires_grad, device=self._device)
        if self.grad is not None:
            copy.grad = self.grad.__deepcopy__(memo) if self.grad.is_leaf else self.grad
        memo[id(self)] = copy
        return copy

    # How it is changed in place ---------------------------------------------------------------

    def _change(self, function: Callable[..., Any], symbol: str, other: Any) -> Tensor:
        """`self symbol other`, in place where no gradient is at stake."""
        other = as_operand(other, symbol)
        if state.recording:
            if self._node is not None and self._node.record is None:
                raise GradientError(
                    f"{symbol}: a leaf that requires gradients cannot be changed in place while "
                    "recording; do it in `with cr.no_grad():`, or write w = w - step for a new "
                    "tensor"
                )
            if self._node is not None or (isinstance(other, Tensor) and other._node is not None):
                return NotImplemented  # Python goes on with a new tensor: x = x + other
        raw = together(self._device, other, symbol)
        try:
            function(self._data, raw, out=self._data, casting="same_kind")
        except (ValueError, TypeError) as error:
            kind = ShapeError if isinstance(error, ValueError) else DtypeError
            raise kind(
                f"{symbol}: a tensor with {describe(self)} cannot be changed in place by "
                f"{describe(other)}: {error}"
            ) from error
        mark_changed(self._storage)
        return self

    def assign(self, value: Any) -> None:
        """Copies `value` into this tensor's memory, whatever is recorded; it stays the same leaf.

        Raises ShapeError unless the shapes are equal.
        """
        if isinstance(value, Tensor):
            raw = moved(value._data, value._device, self._device)
        else:
            raw = value if is_array(value) else np.asarray(value)
        if raw.shape != self.shape:
            raise ShapeError(
                f"assign: the tensor has {describe(self)}, the new value {describe(raw)}"
            )
        self._data[...] = self._device.from_host(raw) if type(raw) is np.ndarray else raw
        mark_changed(self._storage)

    if TYPE_CHECKING:  # attached from the operation records

        def __getattr__(self, name: str) -> Any: ...

        def _binary(self, other: Any) -> Tensor: ...

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _binary
        __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _binary
        __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _binary
        __iadd__ = __isub__ = __imul__ = __itruediv__ = _binary
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = _binary

        def __setitem__(self, index: Any, value: Any) -> None: ...

        def __neg__(self) -> Tensor: ...

        __pos__ = __abs__ = __invert__ = __neg__

        def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
            """See `chainrule.engine.backward`."""


def wrap(
    data: Any, device: Device, node: Node | None = None, storage: Storage | None = None
) -> Tensor:
    """A Tensor around an array that it does not copy."""
    tensor = new(Tensor)
    tensor._data = data if isinstance(data, ndarray) else device.xp.asarray(data)
    tensor._device, tensor._node = device, node
    tensor._storage = Storage() if storage is None else storage
    return tensor


@functools.cache
def one(dtype: np.dtype[Any], device: Device) -> Any:
    """The number 1, the upstream gradient of most backward passes, as a read-only array."""
    one = device.xp.ones((), dtype)
    if isinstance(one, np.ndarray):
        one.flags.writeable = False
    return one


def seed(output: Tensor, gradient: Any, where: str) -> Tensor:
    """The upstream gradient of an output: as given, or 1 for a single element.

    Raises ShapeError if it is missing or does not fit, GradientError if there is nothing to do.
    """
    if output._node is None:
        raise untracked(where)
    if gradient is None:
        if output.size != 1:
            raise unseeded(where, output, None)
        gradient = output._device.xp.ones(output.shape, output.dtype)
        return wrap(gradient, output._device)
    if not isinstance(gradient, Tensor):
        gradient = Tensor(gradient, output.dtype, device=output._device)
    if gradient.shape != output.shape or gradient._device is not output._device:
        raise unseeded(where, output, gradient)
    return gradient if gradient.dtype == output.dtype else gradient.astype(output.dtype)
