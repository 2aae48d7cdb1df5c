"""Computing with other numbers in the place of tensors that a function closes over.

A gradient is checked in float64, whatever a model's weights are of; and its finite differences move
the weights. `StandIn` does both from outside, while the function runs: an operation that is handed
a weight is given the tensor that stands in for it, float32 becomes float64, and a cast to float32
one to float64. Nothing of the model is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..devices import Mode, state
from ..record import compute
from ..tape import Node, Storage, noted
from ..tensor import Tensor, wrap
from .arrays import BranchingArray
from .complex_kernels import complex_kernels

FLOAT32, FLOAT64 = np.dtype("float32"), np.dtype("float64")


class Step(NamedTuple):
    """A call of `record.compute`: one operation, and what it is given."""

    record: Any
    device: Any
    arrays: Any
    parents: Any
    storages: Any
    key: int
    static: dict[str, Any]


class StandIn:
    """An observer (see `devices.Mode`) that hands operations other numbers.

    Arguments: `leaves`, and the tensors that `replace` them, also where they are detached;
    `kernel_set` to compute with.
    """

    def __init__(
        self,
        leaves: Sequence[Tensor] = (),
        replace: Sequence[Tensor] = (),
        kernel_set: str | None = None,
    ) -> None:
        self.replaced = {id(a._data): b for a, b in zip(leaves, replace, strict=True)}
        self.mode = None if kernel_set is None else Mode(kernel_set)

    def compute(self, *call: Any) -> Tensor:
        """The result of `record.compute`, of the numbers that stand in."""
        step = self._exchanged(Step(*call))
        before, state.mode = state.mode, self.mode
        try:
            return self.run(step)
        finally:
            state.mode = before

    def _exchanged(self, step: Step) -> Step:
        arrays, parents, storages = [*step.arrays], [*step.parents], [*step.storages]
        for i, parent in enumerate(parents):
            tensor = self.replaced.get(id(arrays[i]))
            if tensor is not None:
                arrays[i], storages[i] = tensor._data, tensor._storage
                parents[i] = None if parent is None else tensor._node
            if getattr(arrays[i], "dtype", None) == FLOAT32:
                arrays[i] = arrays[i].astype(FLOAT64)
        static = step.static
        if static.get("dtype") is not None and np.dtype(static["dtype"]) == FLOAT32:
            static = static | {"dtype": FLOAT64}
        return step._replace(arrays=arrays, parents=parents, storages=storages, static=static)

    def run(self, step: Step) -> Tensor:
        """The result of the operation itself."""
        return compute(*step)

    def changed(self, storage: Storage) -> None:
        """What is changed in place is found by comparing."""

    def checks(self) -> None:
        """Backward passes are left alone."""


class Rounding(StandIn):
    """The same, where every result is moved by some `epsilon` of itself, as rounding might move it.

    What is merely chosen from the arguments (a maximum, a relu) is not rounded, and stays.
    """

    def __init__(
        self,
        leaves: Sequence[Tensor],
        replace: Sequence[Tensor],
        kernel_set: str | None,
        rng: np.random.Generator,
        epsilon: float,
    ) -> None:
        super().__init__(leaves, replace, kernel_set)
        self.rng, self.epsilon = rng, epsilon

    def run(self, step: Step) -> Tensor:
        """The result, moved: also where it was saved for the backward pass."""
        tensor = compute(*step)
        result = tensor._data
        given = [
            np.asarray(each) for each in step.arrays if isinstance(each, (np.ndarray, np.float64))
        ]
        if type(result) is not np.ndarray or result.dtype != FLOAT64 or not result.flags.writeable:
            return tensor
        if any(np.may_share_memory(result, each) for each in given):
            return tensor
        # Not by the same amount everywhere: two steps would cancel each other half of the time.
        by: Any = self.epsilon * self.rng.uniform(-1.5, 1.5, result.shape)
        if given:
            chosen = np.isin(result, np.concatenate([each.reshape(-1) for each in given]))
            by = np.where(chosen, 0.0, by)
        with np.errstate(all="ignore"):
            result *= 1.0 + by
        return tensor


class Lifted(StandIn):
    """The same, where some of the numbers are `BranchingArray`s, which compute by themselves."""

    def run(self, step: Step) -> Tensor:
        """The result, a BranchingArray where an argument is one, recorded as `compute` does it."""
        record, arrays, static, residuals = step.record, step.arrays, step.static, None
        if not any(type(each) is BranchingArray for each in arrays):
            return compute(*step)
        if record.name == "astype" and np.dtype(static["dtype"]).kind == "f":
            result = arrays[0]  # a cast to a real dtype keeps the imaginary part
        else:
            result = record.forward(complex_kernels, *arrays, **static)
            if type(result) is tuple:
                result, residuals = result
        tensor = wrap(result, step.device)
        if state.recording and step.key & (step.key - 1) and record.differentiable:
            plan = record.plan(step.key)
            saved = plan.save(tensor._data, residuals, arrays, tensor._storage, step.storages)
            tensor._node = noted(plan, complex_kernels, tensor, step.parents, saved, static)
        return tensor


class Survey(StandIn):
    """Learns, on a first run, what a function is made of.

    Attributes: `leaves`, by node, the tensors that it closes over and that require gradients;
    `foreign`, the names of operations that are not the table's; `narrow`, was anything of float32?
    """

    def __init__(self, own: set[Node], kernel_set: str | None = None) -> None:
        super().__init__(kernel_set=kernel_set)
        self.own, self.leaves = own, dict[Node, Tensor]()
        self.foreign: list[str] = []
        self.narrow = False

    def compute(self, *call: Any) -> Tensor:
        """The result of `record.compute`; what it is of is written down."""
        step = Step(*call)
        for array, parent, storage in zip(step.arrays, step.parents, step.storages, strict=True):
            if parent is not None and parent.plan is None and parent not in self.own:
                self.leaves.setdefault(parent, wrap(array, step.device, parent, storage))
            self.narrow |= getattr(array, "dtype", None) == FLOAT32
        if not step.record.builtin and step.record.name not in self.foreign:
            self.foreign.append(step.record.name)
        dtype = step.static.get("dtype")
        self.narrow |= dtype is not None and np.dtype(dtype) == FLOAT32
        return super().compute(*call)


@contextmanager
def observed(observer: StandIn | None, kernel_set: str | None = None) -> Iterator[None]:
    """Computes with an observer, or only with a kernel set, for the length of a `with` block."""
    before = state.mode
    if observer is not None:
        state.mode = Mode(kernel_set, observer)
    elif kernel_set is not None:
        state.mode = Mode(kernel_set)
    else:
        state.mode = None
    try:
        yield
    finally:
        state.mode = before
