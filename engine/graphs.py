"""A recorded graph as something to look at: its nodes in order, what is known of their values.

Nodes keep what their VJPs read and nothing else. So the value of a result is known if an operation
kept it, if its tensor is named, or if it can be computed again from what is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from heapq import nlargest
from typing import Any

import numpy as np

from .backward import walk
from .errors import DtypeError, GradientError, describe, untracked
from .tape import Node
from .tensor import Tensor, is_array, seed

OBJECT = np.dtype(object)


def arguments(node: Node) -> Iterator[tuple[int, Node | None]]:
    """The arguments of a node, each with its position; None for those that are not tracked.

    A checkpoint hands on all its gradients as one object, by a node that is no array's: left out.
    """
    for position, parent in enumerate(node.parents or ()):
        if parent is None or parent.dtype is not OBJECT:
            yield position, parent


def parents(node: Node) -> Iterator[tuple[int, Node]]:
    """The tracked arguments of a node, each with its position."""
    for position, parent in arguments(node):
        if parent is not None:
            yield position, parent


class Graph:
    """What a tensor was computed from.

    Attributes: `root`, its node; `nodes`, from the oldest to the newest, at most `limit` of them;
    `earlier`, how many older ones were left out; `names`, the names given to tensors.

    Raises DtypeError for what is no Tensor, and for names that are none; GradientError for a
    tensor that was not computed while recording, and for a graph that was freed.
    """

    def __init__(self, tensor: Any, where: str, names: Any = None, limit: int = 0) -> None:
        if not isinstance(tensor, Tensor):
            kind = f"{describe(tensor)} of type {type(tensor).__name__}"
            raise DtypeError(f"{where}: expected the Tensor that was computed, got {kind}")
        if tensor._node is None:
            raise untracked(where)
        if tensor._node.plan is None:
            raise GradientError(
                f"{where}: the tensor with {describe(tensor)} was made by hand, not computed, so "
                "there is no graph behind it; give the result of a computation, such as a loss"
            )
        self.tensor, self.root, self.where = tensor, tensor._node, where
        found, waiting = {self.root}, [self.root]
        while waiting:
            for parent in waiting.pop().parents or ():  # a loop over `parents` takes twice as long
                if parent is not None and parent not in found and parent.dtype is not OBJECT:
                    found.add(parent)
                    waiting.append(parent)
        limit = limit or len(found)
        nodes = nlargest(limit, found, key=lambda node: node.moment)[::-1]
        self.nodes: list[Node] = nodes
        self.earlier = len(found) - len(nodes)
        if freed(self.root):
            raise self._freed(self.root)
        self.names = named(names, where)

    def _freed(self, node: Node) -> GradientError:
        name = "" if node.record is None else f" behind '{node.record.name}'"
        return GradientError(
            f"{self.where}: the graph{name} (result shape {node.shape}, {node.dtype}) was freed by "
            f"an earlier backward(); call {self.where} before it, or pass it retain_graph=True"
        )

    def whole(self) -> None:
        """Raises GradientError if a part of the graph was freed."""
        for node in self.nodes:
            if freed(node):
                raise self._freed(node)

    def constant(self, node: Node, position: int) -> Any:
        """The untracked argument at that position, if the node kept it; None if it did not."""
        for kept, value in _saved(node):
            if kept == position:
                return value
        return None

    def values(self, compute: bool = False) -> dict[Node, Any]:
        """The values that are known; with `compute`, also those that follow from them."""
        known: dict[Node, Any] = {}
        for node in self.nodes:
            for position, value in _saved(node):
                owner = node if position < 0 else (node.parents or ())[position]
                if owner is not None:
                    known[owner] = value
        known |= {each._node: each._data for _, each in self.names if each._node is not None}
        known[self.root] = self.tensor._data
        if compute:
            for node in self.nodes:
                if node not in known and node.record is not None and node.record.builtin:
                    self._compute(node, known)
        return known

    def _compute(self, node: Node, known: dict[Node, Any]) -> None:
        """Computes a value again from its arguments, if they are all known."""
        given = []
        for position, parent in arguments(node):
            value = self.constant(node, position) if parent is None else known.get(parent)
            if value is None:
                return
            given.append(value)
        if given and node.record is not None and node.record.differentiable:
            result = node.record.forward(node.kernels, *given, **node.static)
            known[node] = result[0] if type(result) is tuple else result

    def gradients(self, gradient: Any = None) -> dict[Node, Any]:
        """The gradient of every node; the graph stays, no `.grad` changes, no hook is called.

        Raises GradientError for a value that was changed in place; ShapeError if the tensor has
        not one element and `gradient`, the upstream one, is missing or does not fit.
        """
        upstream = seed(self.tensor, gradient, self.where)._data
        watches = [(node, node.watch) for node in self.nodes]
        try:
            for node, _ in watches:  # hooks belong to backward(): they may print, or count
                node.watch = None
            return walk([(self.root, upstream)], targets=self.nodes, retain_graph=True)
        finally:
            for node, watch in watches:
                node.watch = watch


def freed(node: Node) -> bool:
    """Has a backward pass taken away what the node was computed from?"""
    return node.plan is not None and node.parents is None


def _saved(node: Node) -> Iterator[tuple[int, Any]]:
    """What a node keeps of its arguments, by position, and of its result, -1; if still as it was.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> [(position, value.tolist()) for position, value in _saved((x * x)._node)]
    [(1, [1.0, 2.0]), (0, [1.0, 2.0])]
    """
    if node.plan is None or any(each.changed > node.moment for each in node.storages):
        return
    for slot, value in zip(node.plan.slots, node.saved, strict=False):
        if slot == "y":
            yield -1, value
        elif slot == "a":
            yield from enumerate(value)
        elif re.fullmatch(r"a\[\d+\]", slot):
            yield int(slot[2:-1]), value


def named(names: Any, where: str) -> list[tuple[str, Tensor]]:
    """The names given to tensors: by a mapping of either direction, a layer or a model.

    Raises DtypeError for anything else.
    """
    if names is None:
        return []
    if hasattr(names, "named_parameters"):
        return list(names.named_parameters())
    if not isinstance(names, Mapping):
        raise DtypeError(
            f"{where}: names must map tensors to names (or names to tensors), or be a layer or a "
            f"model, whose parameters have names; got {type(names).__name__}"
        )
    found = []
    for key, value in names.items():
        name, tensor = (value, key) if isinstance(key, Tensor) else (key, value)
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DtypeError(
                f"{where}: names must map tensors to names, or names to tensors; got "
                f"{type(key).__name__} for {type(value).__name__}"
            )
        found.append((name, tensor))
    return found


def to_numpy(value: Any) -> np.ndarray[Any, Any]:
    """An array of any device, or a number, as an array of NumPy."""
    return np.asarray(value.get() if is_array(value) and hasattr(value, "get") else value)
