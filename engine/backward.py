"""The walk back over the tape: reverse-mode differentiation, the chain rule read from the end.

A node is given the gradient of the outputs with respect to its own value, and the VJPs
(vector-Jacobian products) of its operation turn it into a contribution to the gradient of each of
its inputs. Nodes are visited from the newest to the oldest: since an operation is always newer
than its inputs, a node has received every contribution before it is visited.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush, heappushpop
from typing import Any

from .broadcasting import unbroadcast
from .devices import state
from .errors import exhausted, misshapen, stale, unhooked
from .kernels.blocks import joined, whole
from .offers import keep, pull_into, undo
from .record import tensor_functions
from .tape import LATEST, Node, Watch
from .tensor import Tensor, is_array, one, seed, wrap


def walk(
    seeds: Sequence[tuple[Node, Any]],
    *,
    on_tensors: bool = False,
    targets: Sequence[Node] | None = None,
    retain_graph: bool = False,
    early: list[Watch] | None = None,
) -> dict[Node, Any]:
    """Goes back over the graph from `seeds`, pairs of a node and the gradient that it is given.

    Gradients are raw arrays; or Tensors, computed by recorded operations, if `on_tensors`.
    Without `targets` gradients are kept where they are watched: in leaves, and where
    `retain_grad()` asked; `early` is given those that are kept before the end. With targets,
    nothing is kept, and the gradients of these nodes are returned.
    """
    gradients: dict[Node, Any] = {}
    found: dict[Node, Any] = {}
    shared: set[Node] = set()  # nodes whose gradient's memory may belong to somebody else
    owned: set[Node] = set()  # nodes whose gradient is an array made here, by adding two
    heap: list[tuple[int, Node]] = []  # the computed nodes that wait, newest first, but for
    waiting: Node | None = None  # one, which in a chain is the only one
    checks = None if state.mode is None else state.mode.checks()
    oldest = 0 if targets is None else min(node.moment for node in targets)
    if checks is not None:
        checks.oldest = oldest
    for node, gradient in seeds:
        if node in gradients:
            gradients[node] = gradients[node] + gradient
        else:
            gradients[node] = gradient
            shared.add(node)
            if node.plan is None:
                continue
            if waiting is None:
                waiting = node
            else:
                heappush(heap, (-node.moment, node))
    while True:
        if waiting is None:
            if not heap:
                break
            node = heappop(heap)[1]
        elif heap:
            node = heappushpop(heap, (-waiting.moment, waiting))[1]
        else:
            node = waiting
        waiting = None
        gradient = gradients.pop(node)
        if node.watch is not None or targets is not None:
            gradient = _give(node, gradient, True, checks, targets, found)
            if targets is not None and node.moment == oldest:
                continue  # nothing below it was asked for
        plan: Any = node.plan if checks is None else checks.plan(node)
        parents = node.parents
        if parents is None:
            parents = plan.rebuild(node)
        if node.moment < LATEST.changed:
            for storage in node.storages:
                if storage.changed > node.moment:
                    raise stale(node, storage)
        if on_tensors:
            k: Any = tensor_functions
            contributions = plan.pull_tensors(gradient, node)
        else:
            k = node.kernels
            if early is not None and plan.record.offered and checks is None:
                contributions = pull_into(node, gradient, gradients, early)
            else:
                contributions = plan.pull(k, gradient, node.saved, node.static)
        if not retain_graph:
            node.parents, node.saved, node.storages = None, (), ()
        i = -1
        for contribution in contributions:
            i += 1
            parent: Any = parents[plan.positions[i]]
            if contribution is None or (oldest and parent.moment < oldest):
                continue
            if not plan.builtin and not is_array(contribution):
                raise misshapen(plan.record, plan.positions[i], contribution, parent.shape)
            if contribution.shape != parent.shape:
                where = plan.record, plan.positions[i]
                contribution = unbroadcast(k, contribution, parent.shape, *where)
            if contribution.dtype is not parent.dtype and contribution.dtype != parent.dtype:
                contribution = contribution.astype(parent.dtype)
            if parent not in gradients:
                gradients[parent] = contribution
                if parent.plan is None:
                    if (
                        contribution is gradient
                        or on_tensors
                        or not whole(contribution)
                        or plan.may_alias
                    ):
                        shared.add(parent)
                elif waiting is None:
                    waiting = parent
                else:
                    heappush(heap, (-parent.moment, parent))
            elif parent in owned:
                gradients[parent] += contribution
            else:
                alone = not (on_tensors or plan.may_alias or contribution is gradient)
                gradients[parent] = joined(gradients[parent], contribution, alone)
                shared.discard(parent)
                if parent.shape and not on_tensors:
                    owned.add(parent)
    if checks is not None:
        checks.finish(gradients | found)
    for node, gradient in gradients.items():  # the leaves
        _give(node, gradient, node in shared, checks, targets, found)
        if checks is not None and node.watch is not None and node.watch.grad is not None:
            checks.finish({node: node.watch.grad})
    return found


def _give(node: Node, gradient: Any, alien: bool, checks: Any, targets: Any, found: Any) -> Any:
    """Gives a gradient, now complete, to whoever wants it; it may come back replaced.

    Is its memory `alien`, so that it may belong to somebody else?
    """
    watch = node.watch
    if watch is not None:
        if watch.hooks:
            gradient, alien = _call_hooks(node, watch, gradient), True
            if checks is not None:
                checks.finish({node: gradient})
        if targets is None and watch.keeps:
            if watch.grad is None and watch.buffer is None and type(gradient) is not Tensor:
                raw = gradient.copy() if alien else gradient
                watch.grad = wrap(raw, node.kernels.device)
            else:
                keep(watch, gradient, node.kernels.device)
    if targets is not None and node in targets:
        found[node] = gradient
    return gradient


def backward(self: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Computes the gradients of this tensor, and adds them to `.grad` of every leaf.

    Arguments: `gradient`, the upstream gradient, of this tensor's shape (for a tensor of one
    element, 1 by default); `retain_graph`: keep the graph for another call?

    Raises GradientError if the tensor requires no gradient, if its graph was freed by an
    earlier call, or if a value that it needs was changed in place since; ShapeError if
    `gradient` is missing or does not fit.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0, 2.0], requires_grad=True)
    >>> (x**3).backward([1.0, -1.0])
    >>> x.grad.tolist()
    [3.0, -12.0]
    """
    node = self._node
    if gradient is None and node is not None and node.shape == ():
        upstream = one(node.dtype, self._device)
    else:
        upstream = seed(self, gradient, "backward")._data
    early: list[Watch] = []
    try:
        walk(((node, upstream),), retain_graph=retain_graph, early=early)  # type: ignore[arg-type]
    except BaseException as error:
        undo(early)
        if isinstance(error, MemoryError):
            raise exhausted(error, "backward", self._device) from error
        raise


Tensor.backward = backward  # type: ignore[method-assign]


def _call_hooks(node: Node, watch: Watch, gradient: Any) -> Any:
    """The gradient after every hook has seen it, and perhaps replaced it."""
    raw = type(gradient) is not Tensor
    for hook in tuple(watch.hooks.values()):
        # A copy: what a hook writes into it reaches nobody else.
        answer = hook(wrap(gradient.copy(), node.kernels.device) if raw else gradient)
        if answer is None:
            continue
        fits = type(answer) is Tensor and answer._device is node.kernels.device
        if not fits or answer.shape != node.shape:
            raise unhooked(hook, answer, node.shape, node.kernels.device.name)
        if answer.dtype != node.dtype:
            answer = answer.astype(node.dtype)
        gradient = answer._data if raw else answer
    return gradient
