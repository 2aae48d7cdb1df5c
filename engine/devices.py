"""Devices, and the namespaces of kernels that compute on them.

A *kernel* is a computation worth writing more than once: its reference is plain array code (in
`engine/kernels/`), and a device may have faster versions that replace it. A *kernel set* is a
complete choice: the reference, with some kernels replaced. The namespace `k` that operation
records compute with is one device's kernel set.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np

from .errors import DeviceError

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

    def __init__(self, name: str, device: Device, xp: Any, faster: dict[str, str]) -> None:
        self.name, self.device, self.xp, self._faster = name, device, xp, faster

    def __getattr__(self, name: str) -> Any:
        """Finds a kernel, or an array function, at its first use; later uses find it set."""
        if name in self.__dict__.get("_faster", ()):
            value = getattr(importlib.import_module(self._faster[name]), name)
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

    Attributes: `name`; `xp`, the array module; `kernels`, the set used by default; `sets`, all.
    """

    __slots__ = ("kernels", "name", "sets", "xp")

    def __init__(self, name: str, xp: Any, sets: dict[str, dict[str, str]], default: str) -> None:
        self.name, self.xp = name, xp
        self.sets = {each: Kernels(each, self, xp, faster) for each, faster in sets.items()}
        self.kernels = self.sets[default]

    def __repr__(self) -> str:
        return f"device({self.name!r})"

    def __deepcopy__(self, memo: Any) -> Device:
        return self


_devices: dict[str, Device] = {}


def register_device(device: Device) -> Device:
    """Makes a device known by its name."""
    _devices[device.name] = device
    return device


def get_device(device: str | Device) -> Device:
    """The device of that name.

    Raises DeviceError for an unknown one, listing the known.

    >>> get_device("cpu")
    device('cpu')
    """
    if isinstance(device, Device):
        return device
    try:
        return _devices[device]
    except (KeyError, TypeError):
        raise DeviceError(
            f"device: {device!r} is unknown; known: {', '.join(map(repr, _devices))}"
        ) from None


def devices() -> list[str]:
    """The names of the devices that tensors can live on.

    >>> devices()
    ['cpu']
    """
    return list(_devices)


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


state = ThreadState()


@contextmanager
def kernels(name: str) -> Iterator[None]:
    """Computes with the kernel set of that name in this thread, for the length of a `with` block.

    Raises DeviceError if no device has such a set.

    >>> import chainrule as cr
    >>> with cr.kernels("reference"):
    ...     cr.tanh(cr.tensor(0.0)).item()
    0.0
    """
    known = sorted({each for device in _devices.values() for each in device.sets})
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
_BUFFERED = "chainrule.engine.kernels.buffered_"  # NumPy alone, in memory that is made once

cpu = register_device(
    Device(
        "cpu",
        np,
        sets={
            "reference": {},
            "numba": {
                "sgd_step": _NUMBA + "optimizers",
                "adam_step": _NUMBA + "optimizers",
                "dropout": _NUMBA + "philox",
                "erf": _NUMBA + "special",
                "erfc": _NUMBA + "special",
                "im2col": _STRIDED + "convolutions",
                "layer_norm": _NUMBA + "normalizations",
                "layer_norm_backward": _NUMBA + "normalizations",
                "batch_norm": _NUMBA + "normalizations",
                "batch_norm_backward": _NUMBA + "normalizations",
                "softmax": _NUMBA + "attention",
                "softmax_backward": _NUMBA + "attention",
                "masked_softmax": _NUMBA + "attention",
                "masked_softmax_backward": _NUMBA + "attention",
                "lstm_sequence": _BUFFERED + "recurrent",
                "lstm_sequence_backward": _BUFFERED + "recurrent",
                "gru_sequence": _BUFFERED + "recurrent",
                "gru_sequence_backward": _BUFFERED + "recurrent",
                "simple_rnn_sequence": _BUFFERED + "recurrent",
                "simple_rnn_sequence_backward": _BUFFERED + "recurrent",
            },
        },
        default="numba",
    )
)
