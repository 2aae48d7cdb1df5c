"""What a computation consists of: each operation with its layer, products, time and what is kept.

`Trace` observes a forward pass and the backward pass that follows it. It changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from .devices import Mode, state
from .record import Record, compute
from .tape import Node, Storage

#: The layers around an operation, from the outermost, by name.
Path = tuple[str, ...]


@dataclass
class Cost:
    """What the operations of one layer cost together.

    Attributes: `products`, multiplications and additions in products of matrices, forward;
    `pulled_products`, backward; `elements`, numbers that other operations computed, forward;
    `pulled_elements`, numbers in gradients, backward; `kept`, bytes kept until the backward pass;
    `seconds` and `pulled_seconds`, within operations.
    """

    products: int = 0
    pulled_products: int = 0
    elements: int = 0
    pulled_elements: int = 0
    kept: int = 0
    seconds: float = 0.0
    pulled_seconds: float = 0.0


def products(
    record: Record, y: tuple[int, ...], shapes: list[Any], static: Mapping[str, Any]
) -> dict[str, int]:
    """The operations in products of matrices of one call: of the result "y", of each gradient.

    What all gradients need together, however many there are, may stand under "".

    >>> import chainrule as cr
    >>> products(cr.matmul.record, (2, 5), [(2, 3), (3, 5)], {})
    {'y': 60, 'a': 60, 'b': 60}
    """
    names = [record.argument_name(i) for i in range(len(shapes))]
    if record.products is None:
        return dict.fromkeys(["y", *names], 0)
    found = record.products(y, *shapes, **static)
    return found if isinstance(found, dict) else dict.fromkeys(["y", *names], found)


@dataclass
class Trace:
    """An observer (see `devices.Mode`) that adds up what each layer costs.

    Attributes: `costs`, by the path of layers; what is computed outside of any stands under ().
    """

    kernel_set: str | None = None
    costs: dict[Path, Cost] = field(default_factory=dict)
    _calls: dict[int, tuple[Path, dict[str, int]]] = field(default_factory=dict)

    def at(self, path: Path) -> Cost:
        """What the layer of that path costs, so far."""
        return self.costs.setdefault(path, Cost())

    def compute(self, *call: Any) -> Any:
        """The result of `record.compute`, entered."""
        record, _, arrays, _, _, _, static = call
        before, state.mode = state.mode, None if self.kernel_set is None else Mode(self.kernel_set)
        begin = perf_counter()
        try:
            tensor = compute(*call)
        finally:
            taken = perf_counter() - begin
            state.mode = before
        path = tuple(name for name, _ in state.layers)
        shapes = [np.shape(each) for each in arrays]
        each = products(record, tensor.shape, shapes, static)
        counted = each["y"]
        cost = self.at(path)
        if state.recomputing:  # a checkpoint runs in the backward pass
            cost.pulled_seconds += taken
            cost.pulled_products += counted
        else:
            cost.seconds += taken
            cost.products += counted
        if not counted and not record.view:
            cost.elements += tensor.size
        if tensor._node is not None:
            self._calls[tensor._node.moment] = path, each
        return tensor

    def call(self, node: Node) -> tuple[Path, dict[str, int]]:
        """The layers in which a node was made, and its operations by argument."""
        return self._calls.get(node.moment, ((), {}))

    def changed(self, storage: Storage) -> None:
        """Changes in place are nobody's cost."""

    def checks(self) -> _Pulls:
        """Who goes along with the backward pass."""
        return _Pulls(self)

    def keep(self, result: Any, besides: set[int]) -> None:
        """Enters the memory that the graph of a Tensor keeps, but for arrays of these ids.

        What several operations keep counts for the first.
        """
        seen = set(besides)
        for node in sorted(_graph(result._node), key=lambda node: node.moment):
            for array in _arrays(node.saved):
                base = array
                while isinstance(base.base, np.ndarray):
                    base = base.base
                if id(base) not in seen:
                    seen.add(id(base))
                    self.at(self.call(node)[0]).kept += base.nbytes


class _Pulls:
    """Goes along with one walk back over the tape, and times every pull."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def plan(self, node: Node) -> Any:
        """The node's plan, timed."""
        return _Timed(self.trace, node)

    def finish(self, gradients: Any) -> None:
        """There is nothing to look at."""


class _Timed:
    """A plan whose pulls are entered in a trace."""

    def __init__(self, trace: Trace, node: Node) -> None:
        plan: Any = node.plan
        self._trace, self._node, self._plan = trace, node, plan
        self.positions, self.record = plan.positions, plan.record
        self.builtin, self.may_alias = plan.builtin, plan.may_alias

    def rebuild(self, node: Node) -> Any:
        """The parents of a checkpoint's node, whose operations are entered one by one."""
        return self._plan.rebuild(node)

    def pull(self, k: Any, gradient: Any, saved: Any, static: Any) -> Any:
        """The contributions, entered."""
        node, trace = self._node, self._trace
        begin = perf_counter()
        found = self._plan.pull(k, gradient, saved, static)
        taken = perf_counter() - begin
        path, counted = trace.call(node)
        cost = trace.at(path)
        cost.pulled_seconds += taken
        cost.pulled_products += counted.get("", 0)
        for position in self.positions:
            cost.pulled_products += counted.get(self.record.argument_name(position), 0)
        cost.pulled_elements += sum(math.prod(np.shape(each)) for each in found if each is not None)
        return found

    def pull_tensors(self, gradient: Any, node: Node) -> Any:
        """The same on Tensors, of which the operations are entered one by one."""
        return self._plan.pull_tensors(gradient, node)


def _graph(node: Node | None) -> Iterator[Node]:
    """The node and all that it was computed from, each once."""
    waiting, seen = [node], set()
    while waiting:
        each = waiting.pop()
        if each is not None and each not in seen:
            seen.add(each)
            yield each
            waiting += each.parents or ()


def _arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays in what a node saved."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _arrays(each)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Observes what this thread computes, for the length of a `with` block.

    >>> import chainrule as cr
    >>> w = cr.ones((3, 5), requires_grad=True)
    >>> with tracing() as trace:
    ...     (cr.ones((2, 3)) @ w).sum().backward()
    >>> trace.costs[()].products, trace.costs[()].pulled_products
    (60, 60)
    """
    before = state.mode
    trace = Trace(None if before is None else before.kernel_set)
    state.mode = Mode(trace.kernel_set, trace)
    try:
        yield trace
    finally:
        state.mode = before
