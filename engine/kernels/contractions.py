"""Einstein sums: what subscripts mean for given shapes, and the kernel that computes them."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..devices import reference
from ..errors import ShapeError

#: With fewer products than this NumPy's own loop is faster than arranging operands for BLAS:
#: measured for square matrices, they are even at 20 to 24 rows.
_FEW = 8000


@dataclass(frozen=True)
class Step:
    """One contraction of operands, the result of which takes its place behind the others.

    Attributes: `positions` of the operands, `text`, the subscripts. For two operands also
    `arranged`, for each the subscripts of what is done in it alone, the order of its axes and its
    shape then; whether they are multiplied as matrices or elementwise; and the shape of the
    product, and the order of its axes in the result.
    """

    positions: tuple[int, ...]
    text: str
    arranged: tuple[tuple[str | None, tuple[int, ...], tuple[int, ...]], ...] | None = None
    product: bool = False
    shape: tuple[int, ...] = ()
    order: tuple[int, ...] = ()


@dataclass(frozen=True)
class Contraction:
    """Subscripts, worked out for operands of given shapes.

    Attributes: `inputs`, a letter for each axis of each operand, ellipses spelled out and without
    the axes that are broadcast (of length 1, where the letter stands for more); `shapes` of the
    operands without those axes; `output`, the letters of the result; `sizes`, what each letter
    stands for; `steps`, of two operands each where possible (None: all at once).
    """

    inputs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    output: str
    sizes: dict[str, int]
    steps: tuple[Step, ...] | None


@functools.lru_cache(maxsize=1024)
def contraction(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> Contraction:
    """What `subscripts` mean for operands of these shapes.

    Raises ShapeError for subscripts that are malformed, or do not fit the operands.

    >>> found = contraction("...i,ij", ((5, 3), (3, 4)))
    >>> found.inputs, found.output, sorted(found.sizes.values())
    (('ai', 'ij'), 'aj', [3, 4, 5])
    """
    inputs, output = _labels(subscripts, shapes)
    sizes: dict[str, int] = {}
    for i, (labels, shape) in enumerate(zip(inputs, shapes, strict=True)):
        for axis, (label, length) in enumerate(zip(labels, shape, strict=True)):
            first = labels.index(label)
            if shape[first] != length:
                raise _misfit(subscripts, shapes, i, first, i, axis, label)
            known = sizes.get(label, 1)
            if known != 1 and length not in (1, known):
                j = next(j for j in range(i) if _length(inputs[j], shapes[j], label) == known)
                raise _misfit(subscripts, shapes, j, inputs[j].index(label), i, axis, label)
            sizes[label] = length if known == 1 else known
    kept = tuple(
        tuple(a for a, label in enumerate(labels) if shape[a] == sizes[label])
        for labels, shape in zip(inputs, shapes, strict=True)
    )
    inputs = tuple("".join(t[a] for a in axes) for t, axes in zip(inputs, kept, strict=True))
    shapes = tuple(tuple(s[a] for a in axes) for s, axes in zip(shapes, kept, strict=True))
    steps = None
    if len(inputs) > 1 and math.prod(sizes.values()) > _FEW:
        steps = _steps(inputs, shapes, output, sizes)
    return Contraction(inputs, shapes, output, sizes, steps)


def _steps(
    inputs: tuple[str, ...],
    shapes: tuple[tuple[int, ...], ...],
    output: str,
    sizes: dict[str, int],
) -> tuple[Step, ...]:
    """In which order operands are contracted: NumPy's choice, if there are more than two."""
    order: list[tuple[int, ...]] = [(0, 1)]
    if len(inputs) > 2:
        stand_ins = [np.broadcast_to(0.0, shape) for shape in shapes]
        text = f"{','.join(inputs)}->{output}"
        order = np.einsum_path(text, *stand_ins, optimize="greedy")[0][1:]
    left, steps = list(inputs), []
    for positions in order:
        rest = [labels for i, labels in enumerate(left) if i not in positions]
        needed = set(output).union(*rest)
        taken = dict.fromkeys("".join(left[i] for i in positions))
        wanted = "".join(each for each in taken if each in needed) if rest else output
        steps.append(_step(tuple(positions), left, wanted, sizes))
        left = [*rest, wanted]
    return tuple(steps)


def _labels(subscripts: str, shapes: Sequence[tuple[int, ...]]) -> tuple[tuple[str, ...], str]:
    """The letters of each operand's axes and of the result's, ellipses spelled out."""

    def wrong(what: str) -> ShapeError:
        told = ", ".join(f"operands[{i}] has shape {shape}" for i, shape in enumerate(shapes))
        return ShapeError(f"einsum: subscripts {subscripts!r} {what}; {told}")

    left, arrow, right = "".join(subscripts.split()).partition("->")
    terms = left.split(",")
    for term in (*terms, right):
        letters = term.replace("...", "", 1)
        for each in letters:
            if each not in string.ascii_letters:
                raise wrong(
                    f"hold {each!r}: only letters, ',', one '->' and one '...' an operand may stand"
                )
    if len(terms) != len(shapes):
        raise wrong(f"are for {len(terms)} operands, and {len(shapes)} were given")
    spread = []  # how many axes each ellipsis stands for
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        count = len(term.replace("...", ""))
        if count > len(shape) or ("..." not in term and count < len(shape)):
            more = "" if "..." in term else " (add '...' for those not named)"
            raise wrong(f"name {count} axes of operands[{i}], which has {len(shape)}{more}")
        spread.append(len(shape) - count if "..." in term else 0)
    most = max(spread)
    free = [each for each in string.ascii_letters if each not in subscripts]
    if most > len(free):
        raise wrong(f"need {most} letters more for '...', and {len(free)} are left")
    ellipsis = "".join(free[:most])
    every = "".join(terms).replace(".", "")
    if not arrow:
        right = "..." + "".join(each for each in sorted(set(every)) if every.count(each) == 1)
    elif most and "..." not in right:
        raise wrong("have axes under '...' in an operand, and no '...' after '->'")
    for each in right.replace(".", ""):
        if each not in every:
            raise wrong(f"name {each!r} after '->', which no operand has")
        if right.count(each) > 1:
            raise wrong(f"name {each!r} after '->' more than once")
    inputs = (
        term.replace("...", ellipsis[most - n :]) for term, n in zip(terms, spread, strict=True)
    )
    return tuple(inputs), right.replace("...", ellipsis)


def _length(labels: str, shape: tuple[int, ...], label: str) -> int:
    return shape[labels.index(label)] if label in labels else 1


def _misfit(subscripts: str, shapes: Any, i: int, a: int, j: int, b: int, label: str) -> ShapeError:
    """The error of a letter that stands for two lengths."""
    name = f"label {label!r}" if label in subscripts else "an axis under '...'"
    places = [
        f"axis {axis} of operands[{n}] with shape {shapes[n]}" for n, axis in ((i, a), (j, b))
    ]
    return ShapeError(
        f"einsum: {subscripts!r}: {name} has length {shapes[i][a]} on {places[0]}, and length "
        f"{shapes[j][b]} on {places[1]}; the lengths must be equal"
        + (", or 1 in one of two operands" if i != j else "")
    )


def _step(
    positions: tuple[int, ...], inputs: list[str], output: str, sizes: dict[str, int]
) -> Step:
    """How to contract those of the operands with the letters `inputs`.

    Of two operands, letters fall in four groups: of both and the output (stacked), of both only
    (summed over, by the matrix product), of the left or of the right one only. First the letters
    that one operand has twice, or has alone and not for the output, are taken care of in it.
    """
    taken = [inputs[i] for i in positions]
    text = f"{','.join(taken)}->{output}"
    if len(taken) != 2:
        return Step(positions, text)
    owned, own = [], []
    for mine, other in (taken, taken[::-1]):
        kept = "".join(each for each in dict.fromkeys(mine) if each in other + output)
        own.append(None if kept == mine else f"{mine}->{kept}")
        owned.append(kept)
    a, b = owned
    both = [each for each in a if each in b]
    inner = [each for each in both if each not in output]
    stacked = [each for each in both if each in output]
    left, right = ([each for each in labels if each not in both] for labels in owned)
    if not inner:
        orders = [[each for each in output if each in labels] for labels in owned]
        shapes = [tuple(sizes[e] if e in labels else 1 for e in output) for labels in owned]
        final: list[str] = []
    else:
        groups = (stacked, left, inner), (stacked, inner, right)
        orders = [[each for group in three for each in group] for three in groups]
        shapes = [tuple(math.prod(sizes[e] for e in group) for group in three) for three in groups]
        final = [*stacked, *left, *right]
    arranged = tuple(
        (text, tuple(labels.index(each) for each in order), shape)
        for text, labels, order, shape in zip(own, owned, orders, shapes, strict=True)
    )
    return Step(
        positions,
        text,
        arranged,
        bool(inner),
        tuple(sizes[each] for each in final),
        tuple(final.index(each) for each in output) if inner else (),
    )


@reference
def einsum(xp: Any, subscripts: str, *operands: Any) -> Any:
    """The Einstein sum; large ones of floating numbers go to BLAS, two operands at a time."""
    plan = contraction(subscripts, tuple([x.shape for x in operands]))
    if plan.steps is None or any(x.dtype.kind != "f" for x in operands):
        return xp.xp.einsum(subscripts, *operands)
    arrays = [x.reshape(shape) for x, shape in zip(operands, plan.shapes, strict=True)]
    for step in plan.steps:
        taken = [arrays[i] for i in step.positions]
        arrays = [x for i, x in enumerate(arrays) if i not in step.positions]
        if step.arranged is None:
            arrays.append(xp.xp.einsum(step.text, *taken))
            continue
        a, b = (
            (x if text is None else xp.xp.einsum(text, x)).transpose(axes).reshape(shape)
            for x, (text, axes, shape) in zip(taken, step.arranged, strict=True)
        )
        if step.product:
            arrays.append(xp.matmul(a, b).reshape(step.shape).transpose(step.order))
        else:
            arrays.append(a * b)
    return arrays[0]
