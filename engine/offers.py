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
from .tape import Node


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
    for position in plan.positions:
        if parents[position] not in buffers:
            buffers[parents[position]] = _free(parents[position], known)
    offers = [each for each in buffers.values() if each is not None]
    if not offers:
        return plan.pull(node.kernels, gradient, node.saved, node.static)
    left = state.offers = offers.copy()
    try:
        contributions = list(plan.pull(node.kernels, gradient, node.saved, node.static))
    finally:
        state.offers = None
    taken = [each for each in offers if not any(each is other for other in left)]
    given: set[Node | None] = set()
    for i, position in enumerate(plan.positions):
        contribution, parent = contributions[i], parents[position]
        for buffer in taken:
            if buffer is buffers[parent] and parent not in given:
                continue
            if isinstance(contribution, np.ndarray) and np.may_share_memory(contribution, buffer):
                contributions[i] = contribution.copy()
        given.add(parent)
    return contributions


def _free(parent: Node | None, known: dict[Node, Any]) -> Any:
    """The buffer of a leaf whose gradient is asked for the first time, if nobody sees it."""
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
    watch.vacate()
    return watch.buffer
