"""Checkpoints: a function's inner values are computed again for its gradient, not kept.

A function's graph from its arguments to its results is replaced by two kinds of nodes, in the
order in which the backward pass meets them:

    result i  ->  the call  ->  (nothing, until the walk comes by)

A result hands its gradient on to the call. When all results have done so, the walk asks the call
for its parents, as it asks any node (`Plan.rebuild`). Only then does the call run its function
again; the parents are the nodes of the fresh results, and the walk goes on through the fresh graph
as if it had been there all the time: to the tensors that the function was given or closes
over, in the same order of operations, hence with the same bits. The fresh graph is freed as it
is walked, or dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .devices import Mode, state
from .errors import GradientError, describe, freed
from .foreign import held
from .masks import mask_of, with_mask
from .random import Moment, moment, replaying
from .record import Plan, Record
from .tape import Node, Storage, next_moment
from .tensor import Tensor

#: Of what both kinds of nodes are, for error messages and pictures; not an operation of the table.
_RECORD = Record(
    "checkpoint",
    forward=lambda k, *tensors: tensors,
    vjps={},
    summary="A function that is computed again.",
)


def checkpoint(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """function(*args, **kwargs), of which only the results are kept: the rest is computed again.

    When the backward pass comes to the results it runs the function a second time, and goes on
    through what that run has recorded. So a chain of n such calls needs, at its peak, the n
    results and the inner values of *one* call, for one more forward pass in time.

    Arguments: `function`, and what it is to be given, Tensors or anything else. It may close over
    Tensors, and return a Tensor, or Tensors among other things in tuples, lists and dicts.

    The gradients of arguments and of what the function closes over are those of the plain call,
    bit for bit; those of second order (`create_graph=True`, for which the second run's values are
    kept) agree to rounding. The second run has the first one's random numbers, kernel set and mode
    (training or not), and leaves the source of random numbers where it was; running statistics
    are updated by the first run only. Arrays among the arguments are copied. Where nothing is
    recorded, or nothing requires a gradient, the call is a plain call.

    The function is to compute the same both times, from the same tensors; what else it does (print,
    append to a list) happens twice. All its results are one operation: a backward pass through
    one of them frees the others, unless it is told to retain the graph.

    Raises, from the backward pass, GradientError if an argument, a parameter or a value that a
    gradient needs was changed in place since the call; if the second run does not compute from
    the same tensors that require gradients; and if its results differ from the first ones, in
    number, shape, dtype, or beyond rounding (half of the digits).

    >>> import chainrule as cr
    >>> w = cr.tensor(0.5, requires_grad=True)
    >>> y = cr.checkpoint(lambda x: cr.exp(cr.sin(w * x)), 2.0)
    >>> y.backward()
    >>> w.grad.item() == cr.grad(lambda w: cr.exp(cr.sin(w * 2.0)))(0.5).item()
    True
    """
    if not state.recording:
        return function(*args, **kwargs)
    run = _Run(
        function,
        _map(_keep, args),
        _map(_keep, kwargs),
        moment(),
        None if state.mode is None else state.mode.kernel_set,
        state.training,
        next_moment(),
    )
    result = function(*args, **kwargs)
    tensors = _tensors(result)
    computed = {
        i: each
        for i, each in enumerate(tensors)
        if each._node is not None and each._node.plan is not None and each._node.moment > run.start
    }
    if not computed:
        return result
    boundary, storages = _boundary([each._node for each in computed.values()], run.start)
    given = (*_leaves(run.args), *_leaves(run.kwargs))
    storages.update(dict.fromkeys(each.storage for each in given if isinstance(each, _Kept)))

    call = _node(_Call(len(computed)), next(iter(computed.values())))
    call.parents, call.storages = None, ()
    call.shape, call.dtype = _Upstreams.shape, _Upstreams.dtype
    call.saved = (run, boundary, {i: (t._data, t._storage) for i, t in computed.items()})
    replaced: dict[int, Tensor] = {}
    for number, tensor in enumerate(computed.values()):
        node = _node(_Result(number), tensor)
        node.parents, node.storages, node.saved = (call, *boundary), tuple(storages), ()
        replaced[id(tensor)] = _like(tensor, node)
    return _map(lambda each: replaced.get(id(each), each), result)


class _Kept:
    """A Tensor argument, as it was: the Tensor itself may become another leaf, or none."""

    def __init__(self, tensor: Tensor) -> None:
        self.storage = tensor._storage
        self.tensor = _like(tensor, tensor._node)


def _like(tensor: Tensor, node: Node | None) -> Tensor:
    """The same array, with the same mask, computed by `node`."""
    other = with_mask(tensor, mask_of(tensor))
    other._node = node
    return other


def _keep(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _Kept(value)
    return value.copy() if held(value) else value


class _Run(NamedTuple):
    """A call that can be made again: of what, and in which state of the thread."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    random: Moment
    kernel_set: str | None
    training: bool
    start: int

    def again(self) -> Any:
        """What the function returns now."""

        def given(value: Any) -> Any:
            return _Kept(value.tensor).tensor if isinstance(value, _Kept) else value

        with replaying(self.random), _as_before(self.kernel_set, self.training):
            return self.function(*_map(given, self.args), **_map(given, self.kwargs))


@contextmanager
def _as_before(kernel_set: str | None, training: bool) -> Iterator[None]:
    before = state.recording, state.mode, state.recomputing, state.training
    observer = None if state.mode is None else state.mode.observer
    mode = Mode(kernel_set, observer)
    state.recording, state.recomputing, state.training = True, True, training
    state.mode = None if mode == Mode() else mode
    try:
        yield
    finally:
        state.recording, state.mode, state.recomputing, state.training = before


class _Upstreams:
    """The gradients of some of a call's results: an element of the direct sum of their spaces.

    To the walk it is an array of one object.
    """

    shape: tuple[int, ...] = ()
    dtype = np.dtype(object)
    base = None

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: _Upstreams) -> _Upstreams:
        # No number is in both: each result hands on its gradient once.
        return _Upstreams(self.parts | other.parts)


class _Part(Plan):
    """What both kinds of nodes share: they pull gradients of arrays and of Tensors alike."""

    def __init__(self, positions: Sequence[int]) -> None:
        self.record, self.positions = _RECORD, tuple(positions)
        self.builtin = self.may_alias = True
        self.slots, self.saves_residuals = [], False


class _Result(_Part):
    """The plan of a result's node, whose parents are the call and, to be seen, the boundary."""

    def __init__(self, number: int) -> None:
        super().__init__([0])
        self.number = number

    def pull(self, k: Any, gradient: Any, saved: Any, static: Any) -> list[Any]:
        """The gradient, on its way to the call."""
        return [_Upstreams({self.number: gradient})]

    def pull_tensors(self, gradient: Any, node: Node) -> list[Any]:
        """The same."""
        return self.pull(None, gradient, None, None)


class _Call(_Part):
    """The plan of a call's node, whose parents are made when they are needed."""

    def __init__(self, count: int) -> None:
        super().__init__(range(count))

    def pull(self, k: Any, gradient: _Upstreams, saved: Any, static: Any) -> list[Any]:
        """To each fresh result the gradient of the one whose place it takes."""
        return [gradient.parts.get(i) for i in self.positions]

    def pull_tensors(self, gradient: Any, node: Node) -> list[Any]:
        """The same."""
        return self.pull(None, gradient, None, None)

    def rebuild(self, node: Node) -> list[Node | None]:
        """The nodes of the results, computed again."""
        if not node.saved:
            raise freed(node)
        run, boundary, before = node.saved
        start = next_moment()
        tensors = _tensors(run.again())
        fresh = [tensors[i] if i < len(tensors) else None for i in before]
        for i, ((data, storage), tensor) in enumerate(zip(before.values(), fresh, strict=True)):
            same = tensor is not None and (tensor.shape, tensor.dtype) == (data.shape, data.dtype)
            if tensor is None or not same or tensor._node is None:
                found = "is missing" if tensor is None else f"has {describe(tensor)}"
                raise _different(
                    f"result {i} {found}{', and requires no gradient' if same else ''}, where "
                    f"there had been {describe(data)}"
                )
            if storage.changed <= node.moment and not _close(tensor._data, data):
                raise _different(f"result {i}, with {describe(data)}, has other values")
        nodes = [each._node for each in fresh if each is not None]
        reached, _ = _boundary(nodes, start)
        old, now = set(boundary), set(reached)
        # A leaf newer than the call is private to it, or was built by it, like a layer's weights.
        if any(each.moment < start and each not in old for each in now) or any(
            each.moment < run.start and each not in now for each in old
        ):
            raise _different("it was computed from other tensors that require gradients")
        return nodes


def _different(how: str) -> GradientError:
    return GradientError(
        f"checkpoint: the function did not compute the same when it ran again for its gradient: "
        f"{how}; it must not depend on what changes between the call and the backward pass"
    )


def _close(now: Any, before: Any) -> bool:
    """Do they agree in half of their digits? Equal as a rule; some libraries round differently."""
    if np.array_equal(now, before):
        return True
    tolerance = float(np.finfo(before.dtype).eps) ** 0.5
    finite = np.abs(before[np.isfinite(before)])
    largest = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(now, before, rtol=0, atol=tolerance * largest, equal_nan=True))


def _node(plan: Plan, tensor: Tensor) -> Node:
    node = Node()
    node.plan, node.static, node.watch = plan, {}, None
    node.kernels = tensor._node.kernels  # type: ignore[union-attr]
    node.shape, node.dtype, node.moment = tensor.shape, tensor.dtype, next_moment()
    return node


def _boundary(nodes: Sequence[Node | None], start: int) -> tuple[list[Node], dict[Storage, None]]:
    """Where a graph newer than `start` ends, and the storages that matter to its gradients."""
    boundary: dict[Node, None] = {}
    storages: dict[Storage, None] = {}
    seen: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.plan is None or node.moment < start:
            boundary[node] = None
        else:
            waiting += node.parents or ()
        if node.plan is None or node.moment > start:  # of leaves, the memory that they are
            storages.update(dict.fromkeys(node.storages))
    return list(boundary), storages


def _leaves(value: Any) -> Iterator[Any]:
    """What (nested) tuples, lists and dicts contain, in order."""
    if isinstance(value, (tuple, list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _leaves(each)
    else:
        yield value


def _tensors(value: Any) -> list[Tensor]:
    return [each for each in _leaves(value) if isinstance(each, Tensor)]


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    """The same tuples, lists and dicts, of what a function makes of what they contain."""
    if isinstance(value, dict):
        return {name: _map(function, each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        items = [_map(function, each) for each in value]
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    return function(value)
