"""What a gradient check is of: arrays, a function of them, and the gradients that it claims.

All kinds of things are made to look alike: functions of Tensors, layers, models with their loss,
pairs of NumPy functions, and the gradients of all these (whose gradients are second derivatives).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..errors import DtypeError, ShapeError, describe
from ..tensor import Tensor
from .differences import EPSILON, Array

FLOAT64 = np.dtype("float64")


def flat(arrays: Sequence[Any]) -> Any:
    """All entries of the arrays, end to end."""
    if len(arrays) == 1:
        return arrays[0].reshape(-1)
    return np.concatenate([each.reshape(-1) for each in arrays]) if arrays else np.zeros(0)


def unflat(vector: Array, shapes: Sequence[tuple[int, ...]], spaced: bool = False) -> list[Array]:
    """The arrays of these shapes whose entries, end to end, are the vector's.

    If `spaced`, their entries lie apart in memory, and with the first axis running fastest.

    >>> [each.tolist() for each in unflat(np.arange(3.0), [(), (2, 1)])]
    [0.0, [[1.0], [2.0]]]
    """
    sizes = [int(np.prod(shape)) for shape in shapes]
    ends = np.cumsum([0, *sizes])
    parts = [vector[a : a + n].reshape(s) for a, n, s in zip(ends, sizes, shapes, strict=False)]
    return (
        [np.repeat(each.T[..., None], 2, axis=-1)[..., 0].T for each in parts] if spaced else parts
    )


class Subject:
    """What is checked.

    Attributes: `name`; `labels` and `arrays` of its variables, of float64; `shapes` of its results;
    `notes`; `trusted`: is all that it computes made of operations of the table, so that the complex
    step may be relied upon? `noise`, the size of what
    rounding leaves of each result.
    """

    name = ""
    labels: list[str]
    arrays: list[Array]
    shapes: list[tuple[int, ...]]
    notes: list[str]
    noise: Array = np.zeros(())
    trusted = False

    def value(self, arrays: Sequence[Array]) -> Array:
        """The results, end to end."""
        raise NotImplementedError

    def lifted(self, arrays: Sequence[Any]) -> Any:
        """The results, end to end, of arrays some of which are BranchingArrays."""
        raise NotImplementedError

    def gradients(self, upstreams: Sequence[Array], spaced: bool = False) -> list[list[Any]]:
        """For each upstream gradient (end to end), the gradient of each variable."""
        raise NotImplementedError

    def rounded(self, rng: np.random.Generator, epsilon: float) -> AbstractContextManager[Any]:
        """Within this, every step rounds its result by so much, where the steps can be seen."""
        return nullcontext()


def answers_to_rounding(
    subject: Subject, upstream: Array | None, rng: np.random.Generator
) -> list[Array]:
    """How far rounding moves each entry of the results or, given `upstream`, of the gradients.

    The spread over a few points, some units in the last place apart, every operation rounding its
    result at random as well: 1 - tanh(20)² answers to nothing else.
    """
    before, found = subject.arrays, []
    try:
        for _ in range(8):
            subject.arrays = [jittered(each, rng) for each in before]
            try:
                with subject.rounded(rng, 2 * EPSILON):
                    found.append(_answers(subject, upstream, rng))
            except Exception:  # there may be no higher derivative, through which steps are seen
                found.append(_answers(subject, upstream, rng))
    finally:
        subject.arrays = before
    return [np.ptp(np.stack(each), axis=0) for each in zip(*found, strict=True)]


def _answers(subject: Subject, upstream: Array | None, rng: np.random.Generator) -> list[Array]:
    if upstream is None:
        return [subject.value(subject.arrays)]
    return filled(subject.gradients([jittered(upstream, rng)])[0], subject.arrays)


def jittered(array: Array, rng: np.random.Generator, epsilon: float = EPSILON) -> Array:
    """The array, every entry of it moved by a few units in the last place."""
    return array * (1 + epsilon * rng.uniform(-8.0, 8.0, array.shape))


def filled(gradients: Sequence[Any], arrays: Sequence[Array]) -> list[Array]:
    """Gradients as arrays, zeros in the place of None."""
    return [
        np.zeros(array.shape) if each is None else np.asarray(each)
        for each, array in zip(gradients, arrays, strict=True)
    ]


class NumpySubject(Subject):
    """A pair of plain NumPy functions, `f(*inputs)` and `vjp(upstream, *inputs)`."""

    def __init__(self, function: Callable[..., Any], vjp: Callable[..., Any], inputs: Any) -> None:
        self.function, self.vjp = function, vjp
        self.name = name_of(function)
        self.notes = []
        self.labels = [f"input {i}" for i in range(len(inputs))]
        self.arrays = []
        for label, each in zip(self.labels, inputs, strict=True):
            array = np.asarray(each._data if isinstance(each, Tensor) else each)
            self.arrays.append(converted(array, label, self.notes))
        results = self._results(self.arrays)
        self.shapes = [each.shape for each in results]
        self.many = _several(self.function(*self.arrays))

    def _results(self, arrays: Sequence[Any]) -> list[Any]:
        found = self.function(*arrays)
        results = [*found] if _several(found) else [found]
        for each in results:
            if isinstance(each, Tensor) or not (hasattr(each, "dtype") or np.isscalar(each)):
                raise DtypeError(
                    f"gradcheck: with vjp=, {self.name} must return an array, or a tuple of "
                    f"arrays, got {describe(each)} of type {type(each).__name__}"
                )
        arrays = [each if isinstance(each, np.ndarray) else np.asarray(each) for each in results]
        for each in arrays:
            if each.dtype.kind not in "fc":
                raise DtypeError(
                    f"gradcheck: {self.name} is not differentiable: it returns {describe(each)}"
                )
        return arrays

    def value(self, arrays: Sequence[Array]) -> Array:
        """The results, end to end."""
        return np.array(flat(self._results(arrays)), FLOAT64)

    def lifted(self, arrays: Sequence[Any]) -> Any:
        """The results, end to end, of arrays some of which are BranchingArrays."""
        return flat(self._results(arrays))

    def gradients(self, upstreams: Sequence[Array], spaced: bool = False) -> list[list[Any]]:
        """What `vjp` returns for each upstream gradient."""
        found = []
        for upstream in upstreams:
            parts = unflat(upstream, self.shapes, spaced)
            answer = self.vjp(tuple(parts) if self.many else parts[0], *self.arrays)
            answer = [*answer] if isinstance(answer, (tuple, list)) else [answer]
            if len(answer) != len(self.arrays):
                raise ShapeError(
                    f"gradcheck: vjp must return a gradient for each of {len(self.arrays)} "
                    f"inputs, got {len(answer)}"
                )
            found.append(answer)
        return found


def _several(found: Any) -> bool:
    """Is it several results, rather than one (which may be a list of numbers)?"""
    arrays = isinstance(found, list) and all(isinstance(each, np.ndarray) for each in found)
    return isinstance(found, tuple) or (arrays and bool(found))


def name_of(function: Any) -> str:
    """What a function is called in reports."""
    return getattr(function, "__name__", None) or getattr(function, "name", None) or repr(function)


def converted(array: Any, label: str, notes: list[str]) -> Array:
    """A copy as float64; a note says so where it was something else.

    Raises DtypeError for what is no real number.
    """
    if array.dtype.kind not in "fiu":
        raise DtypeError(
            f"gradcheck: {label} has {describe(array)}; give real numbers, of floating dtype"
        )
    if array.dtype != FLOAT64:
        notes.append(f"{label} was {array.dtype}, and is checked in float64")
    return np.array(array, FLOAT64)
