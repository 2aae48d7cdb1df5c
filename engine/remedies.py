"""What to do about the errors of the array library: found on the error path only.

Each rule is a pattern of the error's text, and a function of the failed call that says which
lengths, axes or indices disagree and what would fit. A rule that finds nothing to say says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Failure:
    """A call that failed: the error, the names of its array arguments and their values."""

    error: Exception
    match: re.Match[str]
    record: Any
    inputs: Sequence[Any]
    static: Mapping[str, Any]

    @property
    def arrays(self) -> list[tuple[str, tuple[int, ...]]]:
        """The names and shapes of the arguments."""
        return [
            (self.record.argument_name(i), tuple(np.shape(each)))
            for i, each in enumerate(self.inputs)
        ]

    @property
    def numbers(self) -> list[int]:
        """The numbers that the pattern found in the error's text."""
        return [int(each) for each in self.match.groups() if each is not None]


RULES: list[tuple[re.Pattern[str], Callable[[Failure], str]]] = []


def _rule(pattern: str) -> Callable[[Callable[[Failure], str]], Callable[[Failure], str]]:
    def enter(function: Callable[[Failure], str]) -> Callable[[Failure], str]:
        RULES.append((re.compile(pattern), function))
        return function

    return enter


def remedy(error: Exception, record: Any, inputs: Sequence[Any], static: Mapping[str, Any]) -> str:
    """What to do about the error, to be put after its text; empty if there is nothing to say."""
    for name, value in static.items():
        if name != "index" and hasattr(value, "requires_grad"):
            what = "of a tensor x, give x.shape" if name == "shape" else "give int(x)"
            return f"; {name} must be a Python number or tuple, not a Tensor: {what}"
    for pattern, function in RULES:
        match = pattern.search(str(error))
        if match is not None:
            text = function(Failure(error, match, record, inputs, static))
            return f"; {text}" if text else ""
    return ""


# Shapes that do not broadcast --------------------------------------------------------------------


def fits(*shapes: tuple[int, ...]) -> bool:
    """Can arrays of these shapes be computed with elementwise?

    >>> fits((2, 1), (3,)), fits((2,), (3,))
    (True, False)
    """
    return all(
        len({shape[-i] for shape in shapes if len(shape) >= i} - {1}) <= 1
        for i in range(1, max(map(len, shapes), default=0) + 1)
    )


def _disagreement(arrays: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """Which axes of named shapes disagree, counted from the right; empty if none does."""
    parts = []
    for i in range(1, max(len(shape) for _, shape in arrays) + 1):
        lengths = [(name, shape[-i]) for name, shape in arrays if len(shape) >= i]
        if len({length for _, length in lengths} - {1}) > 1:
            told = ", ".join(f"{length} in {name}" for name, length in lengths if length != 1)
            parts.append(f"axis {-i} has length {told}")
    return " and ".join(parts)


def _new_axis(arrays: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    """An argument that would fit with one more axis of length 1, or transposed."""
    shapes = [shape for _, shape in arrays]
    for position in sorted(range(len(arrays)), key=lambda i: len(shapes[i])):
        name, shape = arrays[position]
        others = shapes[:position] + shapes[position + 1 :]
        for axis in range(len(shape), 0, -1):
            longer = (*shape[:axis], 1, *shape[axis:])
            if len(longer) <= max(map(len, others)) and fits(longer, *others):
                return (
                    f"cr.expand_dims({name}, {axis - len(shape) - 1}), or {name}.reshape{longer}, "
                    "would fit"
                )
        if len(shape) == 2 and fits(shape[::-1], *others):
            return f"{name}.T, of shape {shape[::-1]}, would fit"
    return ""


def _broadcast_to(failure: Failure) -> str:
    shape = failure.static.get("shape", ())
    wanted = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    name, given = failure.arrays[0]
    if len(given) > len(wanted):
        return f"{name} has more axes than the shape; remove some by a reshape or a sum"
    told = _disagreement([(name, given), ("shape", wanted)])
    return (
        f"counted from the right, {told}: only axes of length 1 are repeated; "
        f"{_new_axis([(name, given), ('shape', wanted)]) or f'reshape {name} first'}"
    )


@_rule("could not be broadcast|more dimensions than allowed by the axis remapping")
def _broadcast(failure: Failure) -> str:
    if failure.record.name == "broadcast_to":
        return _broadcast_to(failure)
    arrays = [(name, shape) for name, shape in failure.arrays if shape]
    if failure.record.name == "matmul":  # the last two axes are the matrices'
        stacks = [(name, shape[:-2]) for name, shape in arrays]
        told = _disagreement([(f"the stack of {name}", shape) for name, shape in stacks])
        return f"counted from the right, {told}: stacks of matrices must broadcast" if told else ""
    if failure.record.name in ("getitem", "scatter_index") or not arrays:
        return "arrays that index together must broadcast to one shape"
    told = _disagreement(arrays)
    if not told:
        return ""
    remedies = _new_axis(arrays) or "reshape one of them, or insert an axis by cr.expand_dims"
    return f"counted from the right, {told}: lengths must be equal, or one of them 1; {remedies}"


# Products of matrices ----------------------------------------------------------------------------


@_rule("core dimension|shapes .* not aligned")
def _core(failure: Failure) -> str:
    if len(failure.arrays) != 2:
        return ""
    (a, left), (b, right) = failure.arrays
    inner = right[-2] if len(right) > 1 else right[-1]
    text = (
        f"the last axis of {a}, of length {left[-1]}, must be as long as "
        f"{'axis -2' if len(right) > 1 else 'the only axis'} of {b}, of length {inner}"
    )
    fitting = []
    if len(right) > 1 and right[-1] == left[-1]:
        fitting.append(f"{a} @ {b}.mT")
    if len(left) > 1 and left[-2] == inner:
        fitting.append(f"{a}.mT @ {b}")
    if len(left) > 1 and len(right) > 1 and left[-2] == right[-1]:
        fitting.append(f"{b} @ {a}" if not fitting else "")
    fitting = [each for each in fitting if each]
    return text + (f"; {' or '.join(fitting)} would fit" if fitting else "")


@_rule("does not have enough dimensions")
def _no_axes(failure: Failure) -> str:
    return "a product of matrices takes vectors and matrices; with a single number, use a * b"


# Axes --------------------------------------------------------------------------------------------


@_rule(r"axis.* out of bounds for array of dimension (\d+)")
def _axis(failure: Failure) -> str:
    count = failure.numbers[0]
    if count == 0:
        return "an array without axes takes no axis: leave it out"
    return f"axis must be from {-count} to {count - 1}"


@_rule("axes don't match array|repeated axis in transpose")
def _axes(failure: Failure) -> str:
    count = len(failure.arrays[0][1])
    order = ", ".join(map(str, range(count)))
    return f"axes must name each of the {count} axes once: an order of ({order})"


@_rule("duplicate value in 'axis'|repeated axis")
def _twice(failure: Failure) -> str:
    return "name each axis once (-1 and the last one are the same)"


@_rule("size not equal to one")
def _squeeze(failure: Failure) -> str:
    name, shape = failure.arrays[0]
    ones = [i for i, length in enumerate(shape) if length == 1]
    return f"axes of length 1 can be removed: {name} has {ones or 'none'}"


@_rule("zero-size array|empty sequence")
def _empty(failure: Failure) -> str:
    empty = next((name for name, shape in failure.arrays if 0 in shape), "the array")
    return (
        f"{empty} has an axis of length 0, and nothing there to choose from; check its shape first"
    )


# Indices -----------------------------------------------------------------------------------------


@_rule(r"index (-?\d+) is out of bounds for (?:axis (\d+) with )?size (\d+)")
def _index(failure: Failure) -> str:
    size = failure.numbers[-1]
    axis = f"axis {failure.numbers[1]}" if len(failure.numbers) == 3 else "the array"
    if size == 0:
        return f"{axis} has length 0: it has no elements to take"
    return f"{axis} has length {size}: indices from {-size} to {size - 1}"


@_rule(r"too many indices for array.*?(\d+)-dimensional, but (\d+)")
def _too_many(failure: Failure) -> str:
    count = failure.numbers[0]
    return f"give at most {count} {'index' if count == 1 else 'indices'}, one for each axis"


@_rule("boolean index did not match")
def _mask(failure: Failure) -> str:
    name, shape = failure.arrays[0]
    return f"a mask must have the lengths of the axes of {name} that it stands for, of {shape}"


@_rule("valid indices|arrays used as indices")
def _kind_of_index(failure: Failure) -> str:
    return "floats do not index: use int(i), or i.astype('int64')"


# Sizes -------------------------------------------------------------------------------------------


@_rule("cannot reshape array of size|can only specify one unknown dimension")
def _reshape(failure: Failure) -> str:
    shape = failure.static.get("shape", ())
    wanted = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    name, given = failure.arrays[0]
    size = int(np.prod(given, dtype=np.int64))
    if wanted.count(-1) > 1:
        return "only one length may be -1"
    known = int(np.prod([each for each in wanted if each != -1], dtype=np.int64))
    if -1 in wanted:
        return f"{name} has {size} elements, which {known} does not divide"
    text = f"{name} has {size} elements, the shape {known}"
    for i, length in enumerate(wanted):
        rest = known // length if length else 0
        if rest and size and size % rest == 0:
            fitting = (*wanted[:i], -1, *wanted[i + 1 :])
            return f"{text}: they must be equal; {tuple(fitting)} would fit"
    return f"{text}: they must be equal"


@_rule("all the input array dimensions except|same number of dimensions")
def _concat(failure: Failure) -> str:
    if "number of dimensions" in str(failure.error):
        return "all must have the same number of axes: cr.expand_dims adds one, cr.stack a new one"
    axis = failure.static.get("axis", 0)
    return (
        f"all lengths but those along axis {axis} must be equal; choose another axis, or cut them"
    )


@_rule("all input arrays must have the same shape")
def _stack(failure: Failure) -> str:
    return "all must have one shape; cr.concat joins lengths that differ along an axis they have"


# Dtypes ------------------------------------------------------------------------------------------


@_rule(r"numpy boolean (?:subtract|negative)")
def _booleans(failure: Failure) -> str:
    return "use .astype('int64') to count with booleans, cr.logical_not or != for logic"


@_rule(r"Unsupported type <class 'numpy.ndarray'>")
def _of_the_host(failure: Failure) -> str:
    return "an array of NumPy's is sent to where the operation computes by k.asarray(array)"


@_rule("Integers to negative integer powers")
def _powers(failure: Failure) -> str:
    name = failure.arrays[0][0]
    return f"the results are fractions: use {name}.astype('float64'), or a floating exponent"


@_rule("not supported for the input types|Cannot cast")
def _kinds(failure: Failure) -> str:
    return "convert the arguments by .astype to a dtype that the operation takes"
