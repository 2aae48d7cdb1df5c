"""Devices, and the namespaces of kernels that compute on them.

A *kernel* is a computation worth writing more than once: its reference is plain array code (in
`engine/kernels/`), and a device may have faster versions that replace it. A *kernel set* is a
complete choice: the reference, with some kernels replaced. The namespace `k` that operation
records compute with is one device's kernel set.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

from .errors import DeviceError, unknown_device, unpickled

#: Elements: arrays of as many are large, and some records compute with other kernels on them.
LARGE = 65_536


def are_large(operands: Sequence[Any]) -> bool:
    """Is the first operand that is no number large?"""
    first = operands[0] if hasattr(operands[0], "size") else operands[-1]
    return bool(first.size >= LARGE)


#: kernel name -> its reference, a function of (xp, *arguments) in plain array code.
REFERENCE: dict[str, Callable[..., Any]] = {}


def reference(function: Callable[..., Any]) -> Callable[..., Any]:
    """Enters a function of (xp, *arguments) in the kernel table, under its own name."""
    REFERENCE[function.__name__] = function
    return function


class Kernels:
    """The namespace `k` of one kernel set: its kernels, and for the rest the array functions.

    Attributes: `name` of the set; `device` it computes on; `xp`, the array module.
    """

    name: str
    device: Device
    xp: Any

    def __init__(
        self, name: str, device: Device, xp: Any, faster: dict[str, str], bound: bool = False
    ) -> None:
        self.name, self.device, self.xp, self._faster = name, device, xp, faster
        self._bound = bound  # do the faster kernels take this namespace, as references do?

    def __getattr__(self, name: str) -> Any:
        """Finds a kernel, or an array function, at its first use; later uses find it set."""
        if name in self.__dict__.get("_faster", ()):
            value = getattr(importlib.import_module(self._faster[name]), name)
            value = functools.partial(value, self) if self._bound else value
        elif name in REFERENCE:
            value = functools.partial(REFERENCE[name], self)
        else:
            value = getattr(self.xp, name)
        setattr(self, name, value)
        return value

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of the kernels for which this set has a version of its own."""
        return tuple(self._faster)

    def __repr__(self) -> str:
        return f"<kernel set {self.name!r} of device {self.device.name!r}>"


class Device:
    """Where arrays live and which kernel sets compute there.

    Attributes: `name`; `xp`, the array module; `kernels`, the set used by default; `sets`, all;
    `on_host`, are its arrays the host's own, to be read without a copy?
    """

    __slots__ = ("kernels", "name", "sets", "xp")

    on_host = True

    def __init__(
        self,
        name: str,
        xp: Any,
        sets: dict[str, dict[str, str]],
        default: str,
        bound: bool = False,
    ) -> None:
        self.name, self.xp = name, xp
        self.sets = {each: Kernels(each, self, xp, faster, bound) for each, faster in sets.items()}
        self.kernels = self.sets[default]

    def from_host(self, array: Any) -> Any:
        """An array of this device with the elements of a NumPy array."""
        return array

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """A NumPy array with the elements of an array of this device."""
        host: np.ndarray[Any, Any] = array
        return host

    def memory(self) -> tuple[int, int] | None:
        """Bytes of memory that are free, and all; None if that is not known.

        >>> free, total = get_device("cpu").memory() or (0, 1)
        >>> free <= total
        True
        """
        try:
            page = os.sysconf("SC_PAGE_SIZE")
            return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):  # not every system tells
            return None

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __deepcopy__(self, memo: Any) -> Device:
        return self

    def __reduce__(self) -> Any:
        raise unpickled()


def moved(array: Any, source: Device, target: Device) -> Any:
    """An array of one device on another; the same array if that is the same device."""
    return array if source is target else target.from_host(source.to_host(array))


_devices: dict[str, Device] = {}


class Maker(NamedTuple):
    """Who makes the devices of a kind: the function, their kernel sets, and whether they work."""

    make: Callable[[str], Device]
    sets: tuple[str, ...]
    usable: Callable[[], bool]


_makers: dict[str, Maker] = {}
_making = threading.RLock()


def register_device(device: Device) -> Device:
    """Makes a device known by its name."""
    _devices[device.name] = device
    return device


def register_maker(
    kind: str, make: Callable[[str], Device], sets: tuple[str, ...], usable: Callable[[], bool]
) -> None:
    """Makes a kind of devices known, such as "cuda": one is made when its name is first used."""
    _makers[kind] = Maker(make, sets, usable)


def get_device(device: str | Device | None) -> Device:
    """The device of that name, which is made at its first use; the default one for None.

    Raises DeviceError for an unknown one, listing the known, and for one that cannot be used here.

    >>> get_device("cpu")
    device('cpu')
    """
    if type(device) is str:
        found = _devices.get(device)
        if found is not None:
            return found
        maker = _makers.get(device.partition(":")[0])
        if maker is not None:
            with _making:  # two threads must not make two of one
                return _devices.get(device) or _devices.setdefault(device, maker.make(device))
    elif device is None:
        return default_device()
    elif isinstance(device, Device):
        return device
    raise unknown_device(device, list(dict.fromkeys([*_devices, *_makers])))


def devices() -> list[str]:
    """The names of the devices that tensors can live on, here and now.

    >>> "cpu" in devices()
    True
    """
    made = list(_devices)
    return made + [kind for kind, each in _makers.items() if kind not in made and each.usable()]


#: What `set_default_device` has set, and what the environment named when this was imported.
_default: Device | None = None
_named = os.environ.get("CHAINRULE_DEVICE") or "cpu"


def set_default_device(device: str | Device | None) -> None:
    """Sets the device of tensors and layers that are given none.

    Until it is called (and after `set_default_device(None)`) that is the one which the environment
    variable CHAINRULE_DEVICE named when chainrule was imported, or else "cpu".

    Raises DeviceError for a device that is unknown, or cannot be used here.

    >>> set_default_device("cpu")
    >>> default_device()
    device('cpu')
    >>> set_default_device(None)
    """
    global _default
    _default = None if device is None else get_device(device)


def default_device() -> Device:
    """The device of tensors and layers that are given none: "cpu" unless set.

    Raises DeviceError if CHAINRULE_DEVICE names one that is unknown, or cannot be used here.
    """
    if _default is not None:
        return _default
    try:
        return get_device(_named)
    except DeviceError as error:
        raise DeviceError(f"CHAINRULE_DEVICE={_named}: {error}") from None


@contextmanager
def default_on_cpu() -> Iterator[None]:
    """Has tensors and layers that are given no device on the CPU, for the length of a `with` block.

    It is so in all threads: it is for checks, which compute there whatever the default is.
    """
    global _default
    before, _default = _default, cpu
    try:
        yield
    finally:
        _default = before


class Observer(Protocol):
    """Somebody who is told of what a thread computes, while a `Mode` names it."""

    def compute(self, *call: Any) -> Any:
        """The result of `record.compute(*call)`, run in the mode that was there before."""

    def changed(self, storage: Any) -> None:
        """Is told that the memory of `storage` has just been changed in place."""

    def checks(self) -> Any:
        """Who accompanies one walk back over the tape; see `anomaly.Checks`."""


class Mode(NamedTuple):
    """What is unusual about a thread's computing: the kernel set it chose, and who observes it."""

    kernel_set: str | None = None
    observer: Observer | None = None

    def kernels(self, device: Device) -> Kernels:
        """The kernel set that computes on a device: the one chosen, if the device has it."""
        return device.sets.get(self.kernel_set or "", device.kernels)

    def changed(self, storage: Any) -> None:
        """Tells the observer, if there is one, of a change in place."""
        if self.observer is not None:
            self.observer.changed(storage)

    def returned(self, layer: Any, result: Any) -> None:
        """Tells the observer, if it wants to hear it, what a layer returned."""
        hear = getattr(self.observer, "returned", None)
        if hear is not None:
            hear(layer, result)

    def checks(self) -> Any:
        """What the observer, if there is one, sends along with a walk back over the tape."""
        return None if self.observer is None else self.observer.checks()


#: Called in every thread when it first computes, the one that loads this not among them.
on_new_thread: list[Callable[[], None]] = []


class ThreadState(threading.local):
    """What each thread has of its own.

    Attributes: `recording`, does it record operations? `mode`, what is unusual about its
    computing; None nearly always, and then the only thing that an operation reads; `layers`, the
    layers that are being called, each with its name, while there is a mode; `recomputing`, does it
    run a checkpointed function again, for its gradient? What is to happen once for each forward
    pass, such as an update of running statistics, is not to happen then. `training`, do layers
    that tell training from prediction behave as in training?
    """

    recording: bool = True
    mode: Mode | None = None
    layers: tuple[tuple[str, Any], ...] = ()
    recomputing: bool = False
    training: bool = False
    offers: Any = None

    def __init__(self) -> None:
        for each in on_new_thread:
            each()


state = ThreadState()


@contextmanager
def kernels(name: str) -> Iterator[None]:
    """Computes with the kernel set of that name in this thread, for the length of a `with` block.

    A device that has no such set goes on with its own default.

    Raises DeviceError if no device has such a set.

    >>> import chainrule as cr
    >>> with cr.kernels("reference"):
    ...     cr.tanh(cr.tensor(0.0)).item()
    0.0
    """
    known = sorted(
        {each for device in _devices.values() for each in device.sets}
        | {each for maker in _makers.values() for each in maker.sets}
    )
    if name not in known:
        raise DeviceError(f"kernels: set {name!r} is unknown; known: {', '.join(known)}")
    before = state.mode
    state.mode = Mode(name, None if before is None else before.observer)
    try:
        yield
    finally:
        state.mode = before


def active_kernels(device: Device) -> Kernels:
    """The kernel set that computes on `device` in this thread.

    >>> active_kernels(get_device("cpu")).name
    'numba'
    """
    return device.kernels if state.mode is None else state.mode.kernels(device)


_NUMBA = "chainrule.engine.kernels.numba_"
_STRIDED = "chainrule.engine.kernels.strided_"

cpu = register_device(
    Device(
        "cpu",
        np,
        sets={
            "reference": {},
            "numba": {
                "matmul": _NUMBA + "products",
                "scatter_index": _NUMBA + "indexing",
                "affine": _NUMBA + "affine",
                "affine_backward": _NUMBA + "affine",
                "bias_activation": _NUMBA + "affine",
                "bias_activation_backward": _NUMBA + "affine",
                "plus": _NUMBA + "elementwise",
                "minus": _NUMBA + "elementwise",
                "times": _NUMBA + "elementwise",
                "over": _NUMBA + "elementwise",
                "relu": _NUMBA + "elementwise",
                "relu_backward": _NUMBA + "elementwise",
                "total": _NUMBA + "elementwise",
                "sgd_step": _NUMBA + "optimizers",
                "adam_step": _NUMBA + "optimizers",
                "sum_of_squares": _NUMBA + "optimizers",
                "softmax_cross_entropy": _NUMBA + "losses",
                "softmax_cross_entropy_backward": _NUMBA + "losses",
                "sparse_softmax_cross_entropy": _NUMBA + "losses",
                "dropout": _NUMBA + "philox",
                "erf": _NUMBA + "special",
                "erfc": _NUMBA + "special",
                "conv": _NUMBA + "convolutions",
                "conv_transpose": _NUMBA + "convolutions",
                "conv_kernel_gradient": _NUMBA + "convolutions",
                "max_pool": _NUMBA + "pooling",
                "max_pool_backward": _NUMBA + "pooling",
                "avg_pool": _NUMBA + "pooling",
                "avg_pool_backward": _NUMBA + "pooling",
                "gelu": _NUMBA + "gelu",
                "gelu_backward": _NUMBA + "gelu",
                "im2col": _STRIDED + "convolutions",
                "layer_norm": _NUMBA + "normalizations",
                "layer_norm_backward": _NUMBA + "normalizations",
                "batch_norm": _NUMBA + "normalizations",
                "batch_norm_backward": _NUMBA + "normalizations",
                "attention": _NUMBA + "attention",
                "attention_backward": _NUMBA + "attention",
                "softmax": _NUMBA + "attention",
                "softmax_backward": _NUMBA + "attention",
                "masked_softmax": _NUMBA + "attention",
                "masked_softmax_backward": _NUMBA + "attention",
                "lstm_sequence": _NUMBA + "recurrent",
                "lstm_sequence_backward": _NUMBA + "recurrent",
                "gru_sequence": _NUMBA + "recurrent",
                "gru_sequence_backward": _NUMBA + "recurrent",
                "simple_rnn_sequence": _NUMBA + "recurrent",
                "simple_rnn_sequence_backward": _NUMBA + "recurrent",
            },
        },
        default="numba",
    )
)
