"""Where gradients are kept, and computed into: the memory of an optimiser.

An optimiser packs the gradients of its parameters (`Watch.buffer`). Instead of making a gradient
elsewhere and copying it there, a kernel that makes a large one asks `empty` for the memory of its
result, and is given the buffer if the walk has offered it. An offer need not be taken, and
one that was taken by mistake, for another array of the same shape, is undone.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from .devices import Device, state
from .kernels import blocks
from .tape import Node, Watch, mark_changed
from .tensor import Tensor, wrap


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """As `blocks.empty`, or memory that was offered for a gradient of that shape."""
    offers = state.offers
    if offers:
        for i, buffer in enumerate(offers):
            if buffer.shape == shape and buffer.dtype == dtype:
                return offers.pop(i)
    return blocks.empty(shape, dtype)


def pull_into(
    node: Node, gradient: Any, known: dict[Node, Any], early: list[Watch]
) -> Sequence[Any]:
    """What the VJPs of a node contribute; into the buffers of leaves that have no gradient yet.

    A contribution that was computed into a buffer is kept at once, so that no other walk, of a hook
    or of another thread, takes the buffer for free. `known` are the gradients that wait to be
    completed; `early` gets the watches of those that are kept.
    """
    plan, parents = node.plan, node.parents
    assert plan is not None, "it is not a leaf"
    assert parents is not None, "it has not been freed"
    free: dict[Node | None, Watch | None] = {}
    for position in plan.positions:
        if parents[position] not in free:
            free[parents[position]] = _free(parents[position], known, gradient)
    watches = [each for each in free.values() if each is not None]
    if not watches:
        return plan.pull(node.kernels, gradient, node.saved, node.static)
    mark_changed(*[each.storage for each in watches])  # graphs that saved a buffer are stale
    offers = [each.buffer for each in watches]
    left = state.offers = offers.copy()
    try:
        contributions = list(plan.pull(node.kernels, gradient, node.saved, node.static))
    finally:
        state.offers = None
    if len(left) == len(offers):
        return contributions
    taken = [each for each in offers if not any(each is other for other in left)]
    for i, position in enumerate(plan.positions):
        contribution, watch = contributions[i], free[parents[position]]
        if watch is not None and contribution is watch.buffer and watch.grad is None:
            watch.grad = wrap(contribution, node.kernels.device, None, watch.storage)
            watch.previous = weakref.ref(watch.grad)
            early.append(watch)
            contributions[i] = None
        elif (
            isinstance(contribution, np.ndarray)
            and not blocks.whole(contribution)
            and any(np.may_share_memory(contribution, each) for each in taken)
        ):
            contributions[i] = contribution.copy()
    return contributions


def _free(parent: Node | None, known: dict[Node, Any], gradient: Any) -> Watch | None:
    """The watch of a leaf whose gradient is asked for the first time, if nobody sees its buffer."""
    if parent is None or parent.plan is not None or parent in known:
        return None
    watch = parent.watch
    if watch is None or watch.buffer is None or watch.grad is not None or watch.hooks:
        return None
    if not isinstance(watch.buffer, np.ndarray) or watch.buffer.shape != parent.shape:
        return None
    # The buffer's storage is known to the watch. If to anybody else, somebody holds the gradient
    # that is there, or a graph has saved it, and may be pulled back later in this walk.
    if sys.getrefcount(watch.storage) > 2:
        return None
    if not blocks.whole(gradient) and np.may_share_memory(gradient, watch.buffer):
        return None
    return watch


def undo(early: list[Watch]) -> None:
    """After an error on the way: the gradients that were kept before the end are none."""
    for watch in early:
        watch.grad = None


def keep(watch: Watch, gradient: Any, device: Device) -> None:
    """Adds a gradient to the one kept, or copies it."""
    kept, buffer = watch.grad, watch.buffer
    if type(gradient) is Tensor or (kept is not None and kept._node is not None):
        if type(gradient) is not Tensor:
            gradient = wrap(gradient, device)
        watch.grad = gradient * 1 if kept is None else kept + gradient
        return
    if buffer is None:
        watch.grad = wrap(kept._data + gradient, device)
    elif kept is not None and kept._data is buffer:
        buffer += gradient
        mark_changed(kept._storage)
    else:
        if kept is not None:
            gradient = kept._data + gradient
        watch.vacate()
        buffer[...] = gradient
        watch.grad = wrap(buffer, device, None, watch.storage)
        watch.previous = weakref.ref(watch.grad)
