"""Gradients that are computed into the memory where an optimiser keeps them.

An optimiser packs the gradients of its parameters (`Watch.buffer`). Instead of making a gradient
elsewhere and copying it there, a kernel that makes a large one asks `empty` for the memory of its
result, and is given the buffer if the walk has offered it. An offer need not be taken, and
one that was taken by mistake, for another array of the same shape, is undone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .devices import state
from .kernels import blocks
from .tape import Node, mark_changed


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """As `blocks.empty`, or memory that was offered for a gradient of that shape."""
    offers = state.offers
    if offers:
        for i, buffer in enumerate(offers):
            if buffer.shape == shape and buffer.dtype == dtype:
                return offers.pop(i)
    return blocks.empty(shape, dtype)


def pull_into(node: Node, gradient: Any, known: dict[Node, Any]) -> Sequence[Any]:
    """What the VJPs of a node contribute; into the buffers of leaves that have no gradient yet.

    `known` are the gradients that wait to be completed.
    """
    plan, parents = node.plan, node.parents
    assert plan is not None, "it is not a leaf"
    assert parents is not None, "it has not been freed"
    buffers: dict[Node | None, Any] = {}
    storages = []
    for position in plan.positions:
        parent = parents[position]
        if parent not in buffers:
            buffers[parent] = watch = _free(parent, known)
            if watch is not None:
                buffers[parent] = watch.buffer
                storages.append(watch.storage)
    if not storages:
        return plan.pull(node.kernels, gradient, node.saved, node.static)
    mark_changed(*storages)  # graphs that saved a buffer are stale
    offers = [each for each in buffers.values() if each is not None]
    left = state.offers = offers.copy()
    try:
        contributions = list(plan.pull(node.kernels, gradient, node.saved, node.static))
    finally:
        state.offers = None
    if len(left) == len(offers):
        return contributions
    taken = [each for each in offers if not any(each is other for other in left)]
    for i, position in enumerate(plan.positions):
        contribution, buffer = contributions[i], buffers[parents[position]]
        if contribution is buffer:
            buffers[parents[position]] = None  # given: what comes for it next is another array
        elif (
            isinstance(contribution, np.ndarray)
            and not blocks.whole(contribution)
            and any(np.may_share_memory(contribution, each) for each in taken)
        ):
            contributions[i] = contribution.copy()
    return contributions


def _free(parent: Node | None, known: dict[Node, Any]) -> Any:
    """The watch of a leaf whose gradient is asked for the first time, if nobody sees its buffer."""
    if parent is None or parent.plan is not None or parent in known:
        return None
    watch = parent.watch
    if watch is None or watch.buffer is None or watch.grad is not None or watch.hooks:
        return None
    if not isinstance(watch.buffer, np.ndarray) or watch.buffer.shape != parent.shape:
        return None
    # The buffer's storage is known to the watch and to the optimiser. If to anybody else, a graph
    # may have saved what is in the buffer, and be pulled back later in this walk.
    if sys.getrefcount(watch.storage) > 3:
        return None
    return watch
