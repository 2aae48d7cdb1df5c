"""The tape: nodes that remember how a value was computed.

While a thread records, every operation on a tensor that requires gradients leaves a `Node`. Nodes
point to the nodes of their inputs, never the other way, so a graph lives exactly as long as
somebody holds its result.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

from .devices import state

if TYPE_CHECKING:
    from .devices import Kernels
    from .record import Plan, Record

#: Numbers nodes and in-place changes, in the order in which they happen.
next_moment: Callable[[], int] = itertools.count(1).__next__


class Storage:
    """The memory that tensors may share; `changed` is the moment of its last in-place change."""

    changed = 0


#: The storage of what can never change: numbers, shapes, private copies.
FIXED = Storage()


#: `LATEST.changed` is the moment of the last change of any memory: no value saved after is stale.
LATEST = Storage()
LATEST.changed = 0  # its own, which is found faster than the class's
_changing = threading.Lock()  # two threads must not set it back


def mark_changed(*storages: Storage) -> None:
    """Enters that the memory of these storages is changed in place, now."""
    with _changing:
        moment = LATEST.changed = next_moment()
    for storage in storages:
        storage.changed = moment
    if state.mode is not None:
        for storage in storages:
            state.mode.changed(storage)


class Watch:
    """What somebody wants to know of a node's gradient: to keep it, or to be called with it.

    `buffer`, an array, is where a kept gradient is written, once an optimiser has packed it;
    `storage` is that of the buffer; `previous` is a weak reference to the last gradient Tensor
    that was written there.
    """

    __slots__ = ("buffer", "grad", "hooks", "keeps", "previous", "storage")

    def __init__(self, keeps: bool) -> None:
        self.keeps = keeps
        self.grad: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] = {}
        self.buffer: Any = None
        self.storage = FIXED
        self.previous: Callable[[], Any] = lambda: None

    def vacate(self) -> None:
        """Before the buffer is written: the gradient in it, if somebody holds it, moves out."""
        previous = self.previous()
        if previous is not None and previous._data is self.buffer:
            previous._data, previous._storage = self.buffer.copy(), Storage()
        mark_changed(self.storage)  # graphs that saved the buffer itself are stale


class Node:
    """One recorded operation, or (with `plan` None) a leaf: a tensor that requires gradients.

    It keeps what its VJPs read, as raw arrays, and never the result Tensor: that would be a
    reference cycle, and dropped graphs would wait for the garbage collector.
    """

    __slots__ = (
        "dtype",
        "kernels",
        "moment",
        "parents",
        "plan",
        "saved",
        "shape",
        "static",
        "storages",
        "watch",
    )

    plan: Plan | None
    static: dict[str, Any]
    parents: Sequence[Node | None] | None
    saved: tuple[Any, ...]
    storages: tuple[Storage, ...]
    kernels: Kernels
    moment: int
    shape: tuple[int, ...]
    dtype: Any
    watch: Watch | None

    @property
    def record(self) -> Record | None:
        """The record of the operation, None for a leaf."""
        return None if self.plan is None else self.plan.record


def noted(plan: Any, kernels: Any, data: Any, parents: Any, saved: Any, static: Any) -> Node:
    """The node of a value that has just been computed; `saved` are values and their storages."""
    node = Node()
    node.plan, node.kernels, node.parents, node.static = plan, kernels, parents, static
    node.saved, node.storages = saved
    node.shape, node.dtype = data.shape, data.dtype
    node.moment, node.watch = next_moment(), None
    return node


def leaf(data: Any, kernels: Kernels, storage: Storage) -> Node:
    """The node of a tensor that requires gradients and was not computed from others."""
    node = noted(None, kernels, data, (), ((), (storage,)), {})
    node.watch = Watch(keeps=True)
    return node


class _Recording(ContextDecorator):
    """A context, or decorator, in which this thread records or does not; may be entered again."""

    def __init__(self, value: bool) -> None:
        self.value = value
        self.before: list[bool] = []

    def __enter__(self) -> None:
        self.before.append(state.recording)
        state.recording = self.value

    def __exit__(self, *error: object) -> None:
        state.recording = self.before.pop()

    def _recreate_cm(self) -> _Recording:
        return _Recording(self.value)  # each call of a decorated function has its own


def no_grad() -> _Recording:
    """Within this `with` block (or decorated function), this thread records no operation.

    >>> import chainrule as cr
    >>> w = cr.tensor(2.0, requires_grad=True)
    >>> with cr.no_grad():
    ...     w -= 0.5
    >>> w.item(), (w * 1).requires_grad
    (1.5, True)
    """
    return _Recording(False)


def enable_grad() -> _Recording:
    """Within this `with` block (or decorated function), this thread records operations again.

    >>> import chainrule as cr
    >>> w = cr.tensor(2.0, requires_grad=True)
    >>> with cr.no_grad(), cr.enable_grad():
    ...     (w * w).requires_grad
    True
    """
    return _Recording(True)


def is_recording() -> bool:
    """Does this thread record operations, so that gradients can be had?

    >>> is_recording()
    True
    """
    return state.recording
