"""Strategies for hypothesis: shapes, dtypes, tensors, and the operands of the table's operations.

They shrink towards few elements and simple numbers (1, 2, 0.5, ...), and reject nothing that they
have drawn: what must not be near a kink, or equal, is drawn from a grid that has it left out.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.engine.calls import Call, calls_of, invoke, kinks_of
from chainrule.engine.cases import DOMAIN
from chainrule.engine.errors import describe
from chainrule.engine.record import RECORDS, Record
from chainrule.engine.tensor import Tensor

from .composite import Draw, composite, part_of_hypothesis
from .grid import simple_numbers

Shape = tuple[int, ...]

#: Elementwise operations with a kink where two arguments are equal; and others with one where two
#: elements are.
PAIRS = ("maximum", "minimum", "absolute_error")
TIES = (*PAIRS, "max", "min", "sort", "top_k", "median", "argsort", "argmax", "argmin")


def _strategies(wanted_by: str) -> Any:
    return part_of_hypothesis("strategies", wanted_by)


def _arrays(wanted_by: str) -> Any:
    return part_of_hypothesis("extra.numpy", wanted_by)


def shapes(*, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3) -> Any:
    """Shapes, 0-d and empty ones included; `hypothesis.extra.numpy.array_shapes` with other bounds.

    >>> shapes(max_dims=2)
    array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    """
    return _arrays("shapes").array_shapes(
        min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )


def dtypes(kinds: str = "f") -> Any:
    """Dtypes that a Tensor may have, float64 first.

    Arguments: `kinds`, NumPy's letters: "f" for float64 and float32, "i" for integers, "u" for
    unsigned ones, "b" for booleans; several may be given.

    Raises ValueError for other letters.
    """
    known = {
        "f": ("float64", "float32"),
        "i": ("int64", "int32", "int16", "int8"),
        "u": ("uint8", "uint16", "uint32", "uint64"),
        "b": ("bool",),
    }
    if not kinds or not {*kinds} <= {*known}:
        raise ValueError(f"dtypes: kinds must be letters of {''.join(known)!r}, got {kinds!r}")
    return _strategies("dtypes").sampled_from(
        [np.dtype(each) for kind in kinds for each in known[kind]]
    )


def broadcastable_shapes(
    n: int, *, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> Any:
    """Tuples of `n` shapes that broadcast together.

    It is `hypothesis.extra.numpy.mutually_broadcastable_shapes`, which also gives the shape of the
    result; the function of this name there draws shapes that fit a given one.

    Raises TypeError if `n` is no integer.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(
            f"broadcastable_shapes: n must be how many shapes to draw, got {describe(n)}; shapes "
            "that fit a given one are drawn by hypothesis.extra.numpy.broadcastable_shapes"
        )
    drawn = _arrays("broadcastable_shapes").mutually_broadcastable_shapes(
        num_shapes=n, min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )
    return drawn.map(lambda group: group.input_shapes)


@composite
def tensors(
    draw: Draw,
    shape: Any = None,
    dtype: Any = None,
    *,
    elements: Any = None,
    low: float = -3.0,
    high: float = 3.0,
    requires_grad: Any = False,
    unique: bool = False,
) -> Tensor:
    """Tensors; every argument may be a value or a strategy.

    Arguments: `shape`, by default any of `shapes()`; `dtype`, by default float64; `elements`, a
    strategy for the numbers, by default those from `low` to `high` that the dtype has, both ends
    included; `requires_grad`; `unique`: are all elements different?

    Raises what `hypothesis.extra.numpy.arrays` raises.

    >>> import chainrule as cr
    >>> from hypothesis import given, settings
    >>> @settings(database=None)
    ... @given(tensors(shape=(2, 3), low=0.0, high=1.0))
    ... def test_bounds(x):
    ...     assert x.shape == (2, 3) and 0 <= x.min().item() and x.max().item() <= 1
    >>> test_bounds()
    """
    st = _strategies("tensors")

    def value(given: Any) -> Any:
        return draw(given) if isinstance(given, st.SearchStrategy) else given

    shape = value(shapes() if shape is None else shape)
    kind = np.dtype(value("float64" if dtype is None else dtype))
    if elements is None:
        elements = _numbers(st, kind, low, high)
    array = draw(_arrays("tensors").arrays(kind, shape, elements=elements, unique=unique))
    return Tensor(array, requires_grad=bool(value(requires_grad)))


def _numbers(st: Any, kind: np.dtype[Any], low: float, high: float) -> Any:
    """The numbers of a dtype from `low` to `high`, none of them denormal."""
    if kind.kind == "b":
        return st.booleans()
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return st.integers(max(math.ceil(low), info.min), min(math.floor(high), info.max))
    width = kind.itemsize * 8
    low, high = (float(kind.type(each)) for each in (low, high))
    return st.floats(low, high, width=width, allow_subnormal=False)


# Operands -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnCall:
    """An operation, and what to call it with.

    Attributes: `record` of the operation; `operands`, the Tensors that are drawn; `static`, the
    static arguments; `call`, the case that says where the operands stand, if it is not elementwise.
    Called, it gives the operation's result: for these operands, or for others in their place.
    """

    record: Record
    operands: tuple[Tensor, ...]
    static: Mapping[str, Any] = field(default_factory=dict)
    call: Call | None = None

    def __call__(self, *operands: Any) -> Any:
        """The result; several results are made one, as the checks of operations do."""
        given = operands or self.operands
        if self.call is not None:
            return self.call(*given)
        return invoke(self.record, list(given), self.static)

    def __repr__(self) -> str:
        told = [repr(each.tolist()) for each in self.operands]
        static = self.static if self.call is None else self.call.case.static
        told += [f"{name}={value!r}" for name, value in static.items()]
        return f"{self.record.name}({', '.join(told)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis prints it."""
        printer.text(repr(self))


def record_of(operation: Any, where: str) -> Record:
    """The record of an operation, which may be given by its name.

    Raises TypeError for what is none.
    """
    record = RECORDS.get(operation) if isinstance(operation, str) else operation
    record = getattr(record, "record", record)
    if not isinstance(record, Record):
        raise TypeError(
            f"{where}: expected an operation, as cr.tanh is, or its name, got {describe(operation)}"
        )
    return record


@composite
def calls(
    draw: Draw,
    operation: Any,
    *,
    shapes: Any = None,
    dtype: Any = None,
    kinks: str = "avoid",
    ties: str = "avoid",
    requires_grad: bool = False,
) -> DrawnCall:
    """Calls of an operation whose operands lie in its domain: `calls(cr.softmax)`.

    Of an elementwise operation the shapes are drawn; any other is called on the cases of its
    record, with their static arguments. Where the operation is not smooth is either avoided or
    met: numbers keep a distance from kinks, and from each other.

    Arguments: `operation`, a function of the table or made by `cr.operation`, or a name; `shapes`
    of the operands of an elementwise operation, or a strategy for them; `dtype`, by default
    float64; `kinks`, "avoid", "on" (at least one number is a kink) or "either"; `ties`, in the same
    way, for operations that order or choose; `requires_grad` of the operands.

    Raises TypeError for what is no operation; ValueError if there are no kinks or ties to meet,
    and for an operation that has no cases.

    >>> import chainrule as cr
    >>> from hypothesis import given, settings
    >>> @settings(database=None)
    ... @given(calls(cr.log))
    ... def test_log(call):
    ...     assert call.operands[0].size == 0 or (call.operands[0] > 0).all()
    ...     assert call().isfinite().all()
    >>> test_log()
    """
    record = record_of(operation, "calls")
    st = _strategies("calls")
    on_kink = _choice(draw, st, "kinks", kinks, record, bool(record.kinks))
    tied = _choice(draw, st, "ties", ties, record, record.name in TIES)
    if record.elementwise:
        groups = broadcastable_shapes(len(record.arguments)) if shapes is None else shapes
        group = draw(groups) if isinstance(groups, st.SearchStrategy) else groups
        names, call = list(record.arguments), None
    else:
        if shapes is not None or not record.cases:
            what = "shapes are" if shapes is not None else "cases=[case(...)] of its record are"
            raise ValueError(f"calls: {record.name} is not elementwise: the {what} its cases'")
        call = draw(st.sampled_from(_floating_calls(record)))
        group = [call.case.arguments[i] for i in call.variable]
        names = [record.argument_base(i) for i in call.variable]
    if call is not None and not tied:
        # Off the steps of floor, the margin of hinge, ...: where the record's checks draw.
        operands = call.draw(draw(st.integers(0, 2**16)))
    else:
        operands = _operands(draw, st, record, names, group, on_kink, tied)
    kind = np.dtype("float64" if dtype is None else dtype)
    return DrawnCall(
        record,
        tuple(Tensor(each, dtype=kind, requires_grad=requires_grad) for each in operands),
        {},
        call,
    )


def operands(operation: Any, **how: Any) -> Any:
    """The operands of `calls(operation, ...)`, a tuple of Tensors, for an elementwise operation.

    Raises ValueError for another operation: its operands fit only certain static arguments.

    >>> import chainrule as cr
    >>> from hypothesis import given, settings
    >>> @settings(database=None)
    ... @given(operands(cr.divide))
    ... def test_divide(pair):
    ...     a, b = pair
    ...     assert (a / b).isfinite().all()
    >>> test_divide()
    """
    record = record_of(operation, "operands")
    if not record.elementwise:
        raise ValueError(
            f"operands: {record.name} is not elementwise; calls({record.name}) draws its operands "
            "with the static arguments that they fit"
        )
    return calls(operation, **how).map(lambda call: call.operands)


@functools.cache
def _floating_calls(record: Record) -> list[Call]:
    """The cases of a record, those with most elements last (hypothesis prefers the first)."""
    found = calls_of(record)
    return sorted(found, key=lambda call: sum(each.size for each in call.draw(0)))


def _choice(draw: Draw, st: Any, name: str, wanted: str, record: Record, known: bool) -> bool:
    """Is a kink (or a tie) to be met?"""
    if wanted not in ("avoid", "on", "either"):
        raise ValueError(f"calls: {name} must be 'avoid', 'on' or 'either', got {wanted!r}")
    if wanted == "on" and not known:
        raise ValueError(f"calls: {record.name} has no {name}; leave {name} at 'avoid'")
    return known and (wanted == "on" or (wanted == "either" and draw(st.booleans())))


def _operands(
    draw: Draw,
    st: Any,
    record: Record,
    names: Sequence[str],
    group: Sequence[Shape],
    on_kink: bool,
    tied: bool,
) -> list[np.ndarray[Any, Any]]:
    """Arrays for the arguments of these names and shapes; see `calls`."""
    sizes = [math.prod(shape) for shape in group]
    kinks = tuple(kinks_of(record))
    arrays: list[np.ndarray[Any, Any]] = []
    used: set[float] = set()
    for name, size in zip(names, sizes, strict=True):
        low, high = record.domain.get(name, (-3.0, 3.0) if record.elementwise else DOMAIN)
        candidates = simple_numbers(low, high, kinks, 4 * sum(sizes))
        if tied:
            candidates = candidates[:2]
            numbers = draw(st.lists(st.sampled_from(candidates), min_size=size, max_size=size))
            if record.name not in PAIRS and size > 1:
                numbers[-1] = numbers[0]
            elif arrays and size:
                numbers[0] = arrays[0].flat[0] if arrays[0].size else numbers[0]
        else:
            free = [each for each in candidates if each not in used]
            numbers = draw(
                st.lists(st.sampled_from(free), min_size=size, max_size=size, unique=True)
            )
            used.update(numbers)
        if on_kink and numbers:
            numbers[0] = draw(st.sampled_from(kinks))
        arrays.append(np.array(numbers, float))
    return [each.reshape(shape) for each, shape in zip(arrays, group, strict=True)]
