"""Functions of Tensors, and their gradients, as subjects of a gradient check."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from ..backward import walk
from ..devices import cpu, get_device
from ..errors import DtypeError, describe
from ..random import moment, replaying
from ..tape import enable_grad, leaf, no_grad
from ..tensor import Tensor, wrap
from .differences import Array
from .stand_in import Lifted, Rounding, StandIn, Survey, observed
from .subjects import FLOAT64, Subject, converted, flat, name_of, unflat


class RecordedSubject(Subject):
    """What computes on Tensors: its gradients are those of the tape."""

    def results(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The floating results, of Tensors that stand for all the variables."""
        raise NotImplementedError

    def computing(self, tensors: Sequence[Tensor]) -> AbstractContextManager[Any]:
        """Within this, tensors stand in for the variables that the function closes over."""
        raise NotImplementedError

    def lifting(self, tensors: Sequence[Tensor]) -> AbstractContextManager[Any]:
        """The same, for Tensors of BranchingArrays."""
        raise NotImplementedError

    def gradients(self, upstreams: Sequence[Array], spaced: bool = False) -> list[list[Any]]:
        """What the backward pass gives for each upstream gradient; None for what it never meets."""
        tensors = wrapped(
            self.arrays
        )  # of the same memory, so that a VJP that writes to it is seen
        for each in tensors:
            each.requires_grad = True
        with self.computing(tensors), enable_grad():
            results = self.results(tensors)
            return [self.pull(tensors, results, each, spaced) for each in upstreams]

    def pull(
        self,
        tensors: Sequence[Tensor],
        results: Sequence[Tensor],
        upstream: Array,
        spaced: bool = False,
    ) -> list[Any]:
        """The gradients of tensors, from the recorded results; the graph is kept."""
        parts = unflat(upstream, self.shapes, spaced)
        seeds = [
            (each._node, part)
            for each, part in zip(results, parts, strict=True)
            if each._node is not None
        ]
        targets: list[Any] = [each._node for each in tensors]
        if self.source.rounding is not None:  # through Tensors, so that each step of it is seen
            lifted = [(node, wrap(part.copy(), cpu)) for node, part in seeds]
            found = walk(lifted, on_tensors=True, targets=targets, retain_graph=True)
            return [found[each]._data if each in found else None for each in targets]
        found = walk(seeds, targets=targets, retain_graph=True) if seeds else {}
        return [found.get(each) for each in targets]

    @property
    def source(self) -> TensorSubject:
        """The function at the bottom, of which this may be a higher derivative."""
        raise NotImplementedError

    @contextmanager
    def rounded(self, rng: np.random.Generator, epsilon: float) -> Iterator[None]:
        """Within this, every operation rounds its result by so much, at random."""
        self.source.rounding = (rng, epsilon)
        try:
            yield
        finally:
            self.source.rounding = None


class TensorSubject(RecordedSubject):
    """A function of Tensors, and of the parameters that it closes over.

    Arguments: `function`, called with `inputs`; `variables`, the positions of the inputs that are
    checked; `named`, a function that gives the names of parameters; `kernel_set` to compute with.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Any],
        variables: Sequence[int] | None = None,
        named: Callable[[], Any] | None = None,
        kernel_set: str | None = None,
        name: str | None = None,
    ) -> None:
        self.function, self.kernel_set, self.notes = function, kernel_set, []
        self.rounding: tuple[np.random.Generator, float] | None = None
        self.name = name or name_of(function)
        self.inputs = [*inputs]
        self.positions = choose(inputs, variables, self.notes)
        self.labels = [f"input {i}" for i in self.positions]
        raw = [
            np.asarray(each._data if isinstance(each, Tensor) else each)
            for each in (inputs[i] for i in self.positions)
        ]
        self.single = [each.dtype == np.float32 for each in raw]
        pairs = zip(raw, self.labels, strict=True)
        self.arrays = [converted(each, label, self.notes) for each, label in pairs]
        self._look(named)

    def _look(self, named: Callable[[], Any] | None) -> None:
        """Runs the function once, to learn what it is made of."""
        tensors = [Tensor(each, requires_grad=True) for each in self.arrays]
        survey = Survey({each._node for each in tensors}, self.kernel_set)  # type: ignore[misc]
        self.draws = False
        self.leaves: list[Tensor] = []
        with observed(survey, self.kernel_set), enable_grad():
            results = self.results(tensors)
        weights = [] if named is None else named()
        unused = [
            (name, weight)
            for name, weight in weights
            if weight.requires_grad and weight._node not in survey.leaves
        ]
        for name, _ in unused:
            self.notes.append(
                f"{name} gets no gradient: nothing that is recorded depends on it (used through "
                ".numpy() its true gradient cannot be seen)"
            )
        self.leaves = [*survey.leaves.values(), *(weight for _, weight in unused)]
        self.plain = not (self.leaves or survey.narrow)
        if survey.narrow and not any(self.single):
            self.notes.append("float32 within it is computed in float64")
        self.narrow = survey.narrow or any(self.single)
        self.trusted = not survey.foreign
        if survey.foreign:
            self.notes.append(f"uses operations of your own: {', '.join(survey.foreign)}")
        names = {id(weight._node): name for name, weight in weights}
        for i, each in enumerate(self.leaves):
            self.labels.append(names.get(id(each._node), f"parameter {i}"))
            self.arrays.append(np.array(each._data, FLOAT64))
        if not self.arrays:
            raise ValueError(
                f"gradcheck: there is nothing to check {self.name} for: no input is a number, and "
                "it depends on no tensor that requires gradients"
            )
        self.shapes = [each.shape for each in results]
        # The first run may have drawn a layer's weights; what draws in the second, always does.
        self.moment = moment()
        self.value([each.copy() for each in self.arrays])
        self.draws = moment() != self.moment
        if self.draws:
            self.notes.append("it draws random numbers: the same ones in every evaluation")

    @property
    def source(self) -> TensorSubject:
        """Itself."""
        return self

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        """What the function returns for Tensors in the place of its variables."""
        given = list(self.inputs)
        for position, tensor in zip(self.positions, tensors, strict=False):
            given[position] = tensor
        return self.function(*given)

    def results(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The floating results, of Tensors that stand for all the variables."""
        with self._random():
            found = self(tensors[: len(self.positions)])
        several = [*found] if isinstance(found, (tuple, list)) else [found]
        for each in several:
            if not isinstance(each, Tensor):
                raise DtypeError(
                    f"gradcheck: {self.name} must return a Tensor, or a tuple of Tensors, got "
                    f"{describe(each)} of type {type(each).__name__}; for a plain NumPy function "
                    "give vjp= too"
                )
        floating = [each for each in several if each.dtype.kind in "fc"]
        if not floating:
            told = ", ".join(map(describe, several)) or "nothing"
            raise DtypeError(f"gradcheck: {self.name} is not differentiable: it returns {told}")
        return floating

    def _random(self) -> AbstractContextManager[Any]:
        return replaying(self.moment) if self.draws else nullcontext()

    def computing(self, tensors: Sequence[Tensor]) -> AbstractContextManager[Any]:
        """Within this, tensors stand in for the variables that the function closes over."""
        stand_ins = tensors[len(self.positions) :]
        if self.rounding is not None:
            rounding = Rounding(self.leaves, stand_ins, self.kernel_set, *self.rounding)
            return observed(rounding, self.kernel_set)
        observer = None if self.plain else StandIn(self.leaves, stand_ins, self.kernel_set)
        return observed(observer, self.kernel_set)

    def value(self, arrays: Sequence[Array]) -> Array:
        """The results, end to end."""
        tensors = wrapped(arrays)
        with self.computing(tensors), no_grad():
            return np.array(flat([each._data for each in self.results(tensors)]), FLOAT64)

    def lifting(self, tensors: Sequence[Tensor]) -> AbstractContextManager[Any]:
        """The same, for Tensors of BranchingArrays."""
        stand_ins = tensors[len(self.positions) :]
        return observed(Lifted(self.leaves, stand_ins, self.kernel_set), self.kernel_set)

    def lifted(self, arrays: Sequence[Any]) -> Any:
        """The results, end to end, of arrays some of which are BranchingArrays."""
        tensors = wrapped(arrays)
        with self.lifting(tensors), no_grad():
            return flat([each._data for each in self.results(tensors)])

    def by_kernels(self, kernel_set: str | None, upstream: Array) -> list[Any]:
        """The gradients, in float64, as another kernel set computes them."""
        before, self.kernel_set = self.kernel_set, kernel_set
        try:
            return self.gradients([upstream])[0]
        finally:
            self.kernel_set = before

    def natively(
        self, dtype: np.dtype[Any], device: str, kernel_set: str | None, upstream: Array
    ) -> list[Any]:
        """The gradients as a user gets them: in a dtype, on a device, nothing standing in."""
        where = get_device(device)
        tensors = [
            Tensor(each, dtype, requires_grad=True, device=where)
            for each in self.arrays[: len(self.positions)]
        ]
        with observed(None, kernel_set), enable_grad():
            results = self.results(tensors)
            parts = unflat(upstream, self.shapes)
            seeds = [
                (each._node, where.xp.asarray(part, each.dtype))
                for each, part in zip(results, parts, strict=True)
                if each._node is not None
            ]
            targets: list[Any] = [each._node for each in (*tensors, *self.leaves)]
            found = walk(seeds, targets=targets) if seeds else {}
        return [found.get(each) for each in targets]


class GradientSubject(RecordedSubject):
    """The gradients of a subject, as functions of its variables and of the upstream gradient.

    Their own gradients, through `create_graph`, are the second derivatives, mixed ones included;
    what they are compared with are differences of the first ones, which have been checked before.
    """

    def __init__(self, of: RecordedSubject, upstream: Array) -> None:
        self.of = of
        self.name, self.trusted = of.name, of.trusted
        self.notes = []
        parts = unflat(upstream, of.shapes)
        self.count = len(of.arrays)
        self.labels = [*of.labels, *(f"upstream {i}" for i in range(len(parts)))]
        self.arrays = [*of.arrays, *parts]
        self.shapes = [each.shape for each in of.arrays]

    @property
    def source(self) -> TensorSubject:
        """The function of which this is a derivative."""
        return self.of.source

    def computing(self, tensors: Sequence[Tensor]) -> AbstractContextManager[Any]:
        """The same as that of what it is the gradient of."""
        return self.of.computing(tensors[: self.count])

    def lifting(self, tensors: Sequence[Tensor]) -> AbstractContextManager[Any]:
        """The same, for Tensors of BranchingArrays."""
        return self.of.lifting(tensors[: self.count])

    def lifted(self, arrays: Sequence[Any]) -> Any:
        """The gradients, end to end: the VJPs run on BranchingArrays as well."""
        tensors = []
        for each in arrays[: self.count]:
            (tensor,) = wrapped([each])
            tensor._node = leaf(each, cpu.kernels, tensor._storage)
            tensors.append(tensor)
        with self.lifting(tensors), enable_grad():
            results = self.of.results(tensors)
            found = self.of.pull(tensors, results, flat(arrays[self.count :]))
        pairs = zip(found, self.shapes, strict=True)
        return flat([np.zeros(s) if each is None else each for each, s in pairs])

    def results(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of the first `count` tensors, recorded."""
        variables, upstreams = tensors[: self.count], tensors[self.count :]
        results = self.of.results(variables)
        seeds = [
            (each._node, part)
            for each, part in zip(results, upstreams, strict=True)
            if each._node is not None
        ]
        targets: list[Any] = [each._node for each in variables]
        found = walk(seeds, on_tensors=True, targets=targets, retain_graph=True) if seeds else {}
        return [
            found[node] if node in found else wrap(np.zeros(each.shape), cpu)
            for node, each in zip(targets, variables, strict=True)
        ]

    def value(self, arrays: Sequence[Array]) -> Array:
        """The gradients, end to end, as a plain backward pass gives them."""
        tensors = [Tensor(each, requires_grad=True) for each in arrays[: self.count]]
        with self.computing(tensors), enable_grad():
            results = self.of.results(tensors)
            found = self.of.pull(tensors, results, flat(arrays[self.count :]))
        pairs = zip(found, self.shapes, strict=True)
        return np.array(flat([np.zeros(s) if each is None else each for each, s in pairs]))

    def recorded_value(self) -> Array:
        """The gradients, end to end, as they are when their own computation is recorded."""
        tensors = [Tensor(each, requires_grad=True) for each in self.arrays]
        with self.computing(tensors), enable_grad():
            return np.array(flat([each._data for each in self.results(tensors)]))


def wrapped(arrays: Sequence[Any]) -> list[Tensor]:
    """Tensors around arrays, which are not copied."""
    return [wrap(each, cpu) for each in arrays]


def choose(inputs: Sequence[Any], variables: Sequence[int] | None, notes: list[str]) -> list[int]:
    """The positions of the inputs that are checked: those given, or the floating ones.

    Integers, too, if nothing is floating: somebody wrote [1, 2] for [1.0, 2.0].
    """
    if variables is not None:
        return [*variables]
    kinds = []
    for each in inputs:
        try:
            dtype = each.dtype if hasattr(each, "dtype") else np.asarray(each).dtype
        except ValueError:
            dtype = np.dtype(object)
        kinds.append(dtype.kind)
    chosen = [i for i, kind in enumerate(kinds) if kind == "f"]
    whole = [i for i, kind in enumerate(kinds) if kind in "iu"]
    if not chosen:
        return whole
    if whole:
        told = ", ".join(f"input {i}" for i in whole)
        notes.append(f"{told}: integers, held constant")
    return chosen
