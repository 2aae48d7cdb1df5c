"""Planting: a wrong VJP put in the place of a right one, in a record of the table, for a while.

Everything that uses the record sees it: calls, compositions, layers, and the checker itself.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.engine import backward
from chainrule.engine.calls import kinks_of
from chainrule.engine.record import RECORDS, Record, apply
from chainrule.engine.tensor import Tensor

from .kinds import KINDS, Kind, Pull, raw

#: Operations whose kinks are singular (an infinite slope, or a jump): no interval to lie in.
SINGULAR = ("sign", "cbrt", "reciprocal")
#: Operations of two arguments, with the function that is 0 where they have a kink.
PAIRED = {
    "maximum": lambda a, b: a - b,
    "minimum": lambda a, b: a - b,
    "absolute_error": lambda a, b: a - b,
    "hinge": lambda a, b: 1 - a * b,
}
#: Operations that choose among the elements of one argument.
CHOOSING = ("max", "min", "norm", "sort", "top_k", "median", "max_pool")


#: Operations in which equal extremes share the gradient.
SHARING = ("maximum", "minimum", "max", "min", "norm")


def has_ties(record: Record) -> bool:
    """Is there a point, other than a singular one, at which the record has one-sided slopes?"""
    kinked = record.elementwise and record.kinks and record.name not in SINGULAR
    return bool(kinked) or record.name in PAIRED or record.name in CHOOSING


def _ties_of(record: Record) -> Callable[[Mapping[str, Any]], Any] | None:
    """A function of what a VJP reads: the mask of the entries at a tie or a kink."""
    if not has_ties(record):
        return None

    def ties(values: Mapping[str, Any]) -> Any:
        arrays = [raw(each) for name, each in values.items() if name in record.arguments]
        if record.name in PAIRED:
            return PAIRED[record.name](*np.broadcast_arrays(*arrays)) == 0
        (x,) = arrays
        static = {name: each for name, each in values.items() if name in record.statics}
        if record.name == "norm":
            order = abs(static["ord"])
            smooth = np.zeros(x.shape, bool)
            return x == 0 if order == 1 else _extremes(abs(x), static) if order > 9 else smooth
        if record.name in ("max", "min"):
            return _extremes(x, static)
        if record.name in CHOOSING:  # made of others: which elements are compared is not known
            return np.isin(x, [each for each in x.flat if np.sum(x == each) > 1])
        return np.isin(x, kinks_of(record, static))

    return ties


def _extremes(x: Any, static: Mapping[str, Any]) -> Any:
    """The largest or smallest elements, where several are equal."""
    tied = np.zeros(x.shape, bool)
    for extreme in (np.max, np.min):
        hit = x == extreme(x, axis=static["axis"], keepdims=True)
        tied |= hit & (np.sum(hit, axis=static["axis"], keepdims=True) > 1)
    return tied


@dataclass(frozen=True)
class Mutant:
    """A kind of wrong VJP in a record: in the gradient of the argument at `position`."""

    kind: Kind
    record: Record
    position: int

    def __repr__(self) -> str:
        name = self.record.argument_base(self.position)
        place = f"{name}[{self.position}]" if self.record.variadic else name
        return f"{self.kind.name} in {self.record.name}, {place}"

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """Puts the wrong VJP in place for the length of a `with` block."""
        record, kind = self.record, self.kind
        names = ("vjps", "joint", "definition", "forward", "plans")
        kept = {name: getattr(record, name) for name in names}
        unbroadcast = backward.unbroadcast
        record.plans = {}
        try:
            if kind.name.startswith("unbroadcast"):
                backward.unbroadcast = self._unbroadcast(kind.name)
            elif kind.name == "second: definition":
                record.definition = _curved(kept["definition"])
            elif kind.name == "swapped gradients":
                self._swap()
            elif kind.name == "detached branch":
                self._detach()
            else:
                self._change()
            yield
        finally:
            backward.unbroadcast = unbroadcast
            for name, value in kept.items():
                setattr(record, name, value)

    # In the VJP -----------------------------------------------------------------------------

    def _change(self) -> None:
        record, position = self.record, self.position
        if record.composed:
            faulty, right = _identity(self.kind, _ties_of(record)), record.forward

            def forward(space: Any, /, *arguments: Any, **static: Any) -> Any:
                given = list(arguments)
                given[position] = faulty(given[position])
                return right(space, *given, **static)

            record.forward = forward
        elif record.joint is not None:
            record.joint = self._faulty(record.joint, position)
        else:
            name = record.arguments[position]
            record.vjps = {**record.vjps, name: self._faulty(record.vjps[name])}

    def _faulty(self, vjp: Callable[..., Any], position: int | None = None) -> Callable[..., Any]:
        """The VJP (or of a joint one, the entry at `position`), made wrong."""
        return faulty_vjp(self.kind, vjp, self.record, _ties_of(self.record), position)

    # Beside it ------------------------------------------------------------------------------

    def _swap(self) -> None:
        record = self.record
        if record.joint is not None:
            joint = record.joint

            def swapped(k: Any, g: Any, needed: Any, *read: Any) -> Any:
                results = list(joint(k, g, needed, *read))
                turned = [*results[1:], results[0]]
                fits = all(
                    a is not None and b is not None and a.shape == b.shape
                    for a, b in zip(results, turned, strict=True)
                )
                return turned if fits else results

            swapped.__signature__ = inspect.signature(joint)  # type: ignore[attr-defined]
            record.joint = swapped
        else:
            names = [*record.vjps]
            vjps = [record.vjps[name] for name in names]
            record.vjps = dict(zip(names, [*vjps[1:], vjps[0]], strict=True))

    def _detach(self) -> None:
        record, position = self.record, self.position
        if record.joint is not None:
            joint = record.joint

            def partly(k: Any, g: Any, needed: Any, *read: Any) -> Any:
                results = list(joint(k, g, needed, *read))
                if results[position] is not None:
                    results[position] = 0 * results[position]
                return results

            partly.__signature__ = inspect.signature(joint)  # type: ignore[attr-defined]
            record.joint = partly
        else:
            lost = record.arguments[position]
            record.vjps = {name: vjp for name, vjp in record.vjps.items() if name != lost}

    def _unbroadcast(self, how: str) -> Callable[..., Any]:
        """The undoing of a broadcast, wrong for the gradient of this argument."""
        right = backward.unbroadcast

        def wrong(k: Any, gradient: Any, shape: Any, record: Record, position: int) -> Any:
            result = right(k, gradient, shape, record, position)
            if record is not self.record or position != self.position or not gradient.size:
                return result
            size = int(np.prod(shape))
            if how == "unbroadcast mean":
                return result * (size / gradient.size)
            if how == "unbroadcast axis":
                return k.reshape(k.sum(k.reshape(gradient, (-1, size)), axis=0), shape)
            extra = gradient.ndim - len(shape)
            first = [0 if i < extra else slice(None) for i in range(gradient.ndim)]
            for i, n in enumerate(shape):
                if n != gradient.shape[extra + i]:
                    first[extra + i] = slice(0, 1)
            return k.reshape(gradient[tuple(first)] * 1, shape)

        return wrong


def faulty_vjp(
    kind: Kind,
    vjp: Callable[..., Any],
    record: Record,
    ties: Callable[[Mapping[str, Any]], Any] | None,
    position: int | None,
) -> Callable[..., Any]:
    """A VJP made wrong; of a joint one, the gradient at `position`. It reads what `vjp` reads."""
    first = 2 if position is None else 3
    signature = inspect.signature(vjp)
    reads = [*signature.parameters][first:]
    extra = []
    if ties is not None and position is None:  # it must see all the arguments
        extra = [n for n in (*record.arguments, *record.statics) if n not in reads]
        signature = signature.replace(
            parameters=[
                *signature.parameters.values(),
                *(inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in extra),
            ]
        )
    memory: dict[str, Any] = {}
    assert kind.change is not None
    change = kind.change

    def faulty(k: Any, g: Any, *given: Any) -> Any:
        values = dict(zip([*reads, *extra], given[first - 2 :], strict=True))
        if position is None:
            return change(
                Pull(k, g, values, lambda k, g, v: vjp(k, g, *[v[n] for n in reads]), memory, ties)
            )
        needed = given[0]
        results = list(vjp(k, g, needed, *given[1:]))
        place = range(len(results))[position] if -len(results) <= position < len(results) else None
        if place is None or not needed[place]:
            return results

        def right(k: Any, g: Any, v: Mapping[str, Any]) -> Any:
            return vjp(k, g, needed, *[v[n] for n in reads])[place]

        results[place] = change(Pull(k, g, values, right, memory, ties))
        return results

    faulty.__signature__ = signature  # type: ignore[attr-defined]
    return faulty


def _identity(
    kind: Kind, ties: Callable[[Mapping[str, Any]], Any] | None = None
) -> Callable[[Any], Any]:
    """The identity, with a gradient that is wrong: a fault that can be put anywhere in a graph."""
    forward = lambda k, x: x * 1.0  # noqa: E731
    record = Record("faulty", forward, {"x": lambda k, g: g * 1.0})
    seen = None if ties is None else lambda values: ties({"x": values["x"]})
    record.vjps = {"x": faulty_vjp(kind, record.vjps["x"], record, seen, None)}

    def faulty(x: Any) -> Any:
        return apply(record, [x], {}) if isinstance(x, Tensor) else x

    return faulty


faulty_identity = _identity


def _curved(definition: Callable[..., Any]) -> Callable[..., Any]:
    """A definition with the same value and first derivative, and another second one."""

    def curved(*arguments: Any, **static: Any) -> Any:
        changed = [
            x + (x - x.detach()) ** 2 if isinstance(x, Tensor) and x.dtype.kind == "f" else x
            for x in arguments
        ]
        return definition(*changed, **static)

    return curved


# All of them --------------------------------------------------------------------------------


def targets(record: Record) -> list[int]:
    """The positions of the arguments that have a gradient; of any number, the first and last."""
    if record.variadic:
        return [0, -1]
    if record.composed or record.joint is not None:
        return [*range(len(record.arguments))]
    return [i for i, name in enumerate(record.arguments) if name in record.vjps]


def fits(kind: Kind, record: Record) -> bool:
    """Can that kind be planted in that record at all?"""
    if kind.name == "second: definition":
        return record.definition is not None
    if kind.group == "second" and record.definition is not None:
        return False  # recorded gradients go through the definition
    if kind.name == "whole for ties":
        return record.name in SHARING
    if kind.group == "ties":
        return has_ties(record)
    if kind.name in ("swapped gradients", "detached branch"):
        return not record.composed and (record.joint is not None or len(record.vjps) > 1)
    if kind.name.startswith("unbroadcast"):
        return not record.composed
    return True


def mutants_of(record: Record, kinds: list[Kind] | None = None) -> list[Mutant]:
    """Every mutant of a record."""
    found = []
    for kind in KINDS if kinds is None else kinds:
        if not fits(kind, record):
            continue
        places = targets(record)
        if kind.name in ("swapped gradients", "second: definition"):
            places = places[:1]
        found += [Mutant(kind, record, place) for place in places]
    return found


def records() -> list[Record]:
    """The records of the table that have a gradient, and cases to check it on."""
    from chainrule.engine.calls import broadcasts_of, calls_of

    return [
        each
        for each in RECORDS.values()
        if each.builtin and each.differentiable and (calls_of(each) or broadcasts_of(each))
    ]
