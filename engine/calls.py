"""Calls of operations as functions of what can be differentiated: what the checks are run on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .cases import Case
from .definitions import compose
from .record import RECORDS, Record, apply

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Call:
    """A case of an operation as a function of those arguments that have a gradient.

    A result of several tensors is made one: what is floating, flat, end to end.
    """

    record: Record
    case: Case

    @property
    def variable(self) -> list[int]:
        """The positions of the arguments that are drawn, and have a gradient."""
        record = self.record
        every = record.joint is not None or record.composed
        return [i for i in self.case.drawn() if every or record.argument_base(i) in record.vjps]

    @property
    def wide(self) -> bool:
        """Is an argument without gradient of float64, whatever the others are?"""
        arguments = self.case.draw(self.record)
        rest = [each for i, each in enumerate(arguments) if i not in self.variable]
        return any(np.asarray(each).dtype == np.float64 for each in rest)

    def draw(self, seed: int) -> list[Array]:
        """The arrays to call it with."""
        arguments = self.case.draw(self.record, seed)
        return [arguments[i] for i in self.variable]

    def __call__(self, *variables: Any) -> Any:
        """The result, given the variable arguments."""
        arguments = self.case.draw(self.record)
        for position, each in zip(self.variable, variables, strict=True):
            arguments[position] = each
        if self.case.prepare is not None:
            arguments = list(self.case.prepare(*arguments))
        result = invoke(self.record, arguments, self.case.static)
        if not isinstance(result, tuple):
            return result
        flat = [each.reshape(-1) for each in result if each.dtype.kind == "f"]
        return RECORDS["concat"].function(flat)

    def __repr__(self) -> str:
        return f"{self.record.name}({self.case!r})"


@dataclass(frozen=True)
class ElementwiseCall:
    """An elementwise operation on arrays of shapes that broadcast together."""

    record: Record
    shapes: tuple[tuple[int, ...], ...]
    wide = False

    def draw(self, seed: int) -> list[Array]:
        """Arrays from the domain, off its ends, off kinks, and without ties."""
        rng = np.random.default_rng(seed)
        arrays = [
            draw_values(self.record, name, shape, rng)
            for name, shape in zip(self.record.arguments, self.shapes, strict=True)
        ]
        if len(arrays) == 2 and not untied(arrays):
            arrays[0] = arrays[0] + 10.0
        return arrays

    def __call__(self, *variables: Any) -> Any:
        """The result."""
        return self.record.function(*variables)

    def __repr__(self) -> str:
        return f"{self.record.name}({', '.join(map(str, self.shapes))})"


def draw_values(
    record: Record, name: str, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Values 0.2 inside the domain, whose ends may be singular, and 0.1 from every kink."""
    low, high = record.domain.get(name, (-3.0, 3.0))
    values = rng.uniform(low + 0.2, high - 0.2, shape)
    for kink in kinks_of(record):
        near = np.abs(values - kink) < 0.1
        values = np.where(near, kink + 0.1 + rng.uniform(0, 1, shape), values)
    return values


def kinks_of(record: Record, static: Mapping[str, Any] | None = None) -> list[float]:
    """Where the kinks are, for some values of the static arguments (by default, their defaults)."""
    given = record.defaults | dict(static or {})
    return [float(given[each] if isinstance(each, str) else each) for each in record.kinks]


def untied(arrays: Sequence[Array]) -> bool:
    """Do all pairs that are broadcast together differ by more than differences reach?"""
    return bool(np.all(np.abs(np.subtract(*arrays)) > 0.1))


def invoke(record: Record, arguments: Sequence[Any], static: Mapping[str, Any]) -> Any:
    """The result of an operation for the arguments of its record, however users give them."""
    if record.call is not None:
        return (compose if record.composed else apply)(record, arguments, dict(static))
    given = (arguments,) if record.variadic else arguments
    return record.function(*given, **static)


def calls_of(record: Record) -> list[Call]:
    """A call for each case of a record."""
    return [Call(record, each) for each in record.cases]


def broadcasts_of(record: Record) -> list[ElementwiseCall]:
    """Calls of an elementwise record on 0-d, empty and broadcast arrays; none for others."""
    if not record.elementwise or not record.derivative:
        return []
    if any(name not in record.derivative for name in record.arguments):
        return []  # a condition, which its cases give
    one = [(), (3,), (2, 3), (0, 2)]
    pairs = [((), (2, 3)), ((2, 1), (3,)), ((2, 3), (2, 3)), ((0, 1), (2,))]
    count = len(record.arguments)
    if count == 1:
        return [ElementwiseCall(record, (shape,)) for shape in one]
    return [
        ElementwiseCall(record, tuple(itertools.islice(itertools.cycle(pair), count)))
        for pair in pairs
    ]
