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

#: With fewer products than this NumPy's own loop is faster than arranging operands for BLAS: for
#: square matrices they are even at 16**3 to 20**3.
_FEW = 6000


@dataclass(frozen=True)
class Contraction:
    """Subscripts, worked out for operands of given shapes.

    Attributes: `inputs`, a letter for each axis of each operand, ellipses spelled out and without
    the axes that are broadcast (of length 1, where the letter stands for more); `shapes` of the
    operands without those axes; `output`, the letters of the result; `sizes`, what each letter
    stands for; `steps`, in which order operands are paired (None: all at once).
    """

    inputs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    output: str
    sizes: dict[str, int]
    steps: tuple[tuple[int, ...], ...] | None


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
    steps: tuple[tuple[int, ...], ...] | None = None
    if len(inputs) > 1 and math.prod(sizes.values()) > _FEW:
        steps = ((0, 1),)
        if len(inputs) > 2:
            stand_ins = [np.broadcast_to(0.0, shape) for shape in shapes]
            text = f"{','.join(inputs)}->{output}"
            steps = tuple(np.einsum_path(text, *stand_ins, optimize="greedy")[0][1:])
    return Contraction(inputs, shapes, output, sizes, steps)


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


@reference
def einsum(xp: Any, subscripts: str, *operands: Any) -> Any:
    """The Einstein sum; large ones of floating numbers go to BLAS, two operands at a time."""
    plan = contraction(subscripts, tuple([x.shape for x in operands]))
    if plan.steps is None or any(x.dtype.kind != "f" for x in operands):
        return xp.xp.einsum(subscripts, *operands)
    arrays = [xp.reshape(x, shape) for x, shape in zip(operands, plan.shapes, strict=True)]
    labels = list(plan.inputs)
    for number, step in enumerate(plan.steps, 1):
        taken = [(arrays.pop(i), labels.pop(i)) for i in sorted(step, reverse=True)]
        wanted = plan.output
        if number < len(plan.steps):
            used = set(plan.output).union(*labels)
            wanted = "".join(sorted(used.intersection(*[set().union(*(t for _, t in taken))])))
        if len(taken) == 2:
            (b, b_labels), (a, a_labels) = taken
            result = _pair(xp, a, a_labels, b, b_labels, wanted)
        else:
            text = f"{','.join(t for _, t in taken)}->{wanted}"
            result = xp.xp.einsum(text, *(array for array, _ in taken))
        arrays.append(result)
        labels.append(wanted)
    return arrays[0]


def _pair(xp: Any, a: Any, a_labels: str, b: Any, b_labels: str, output: str) -> Any:
    """The Einstein sum of two operands as one product: of stacked matrices, or elementwise.

    Letters fall in four groups: of both operands and the output (stacked), of both only (summed
    over by the matrix product), of the left or of the right one only.
    """
    a, a_labels = _own(xp, a, a_labels, set(b_labels + output))
    b, b_labels = _own(xp, b, b_labels, set(a_labels + output))
    both = [each for each in a_labels if each in b_labels]
    inner = [each for each in both if each not in output]
    stacked = [each for each in both if each in output]
    left = [each for each in a_labels if each not in both]
    right = [each for each in b_labels if each not in both]
    sizes = dict(zip(a_labels + b_labels, a.shape + b.shape, strict=True))

    def arranged(x: Any, labels: str, *groups: list[str]) -> Any:
        x = xp.permute_dims(x, [labels.index(each) for group in groups for each in group])
        return xp.reshape(x, [math.prod(sizes[each] for each in group) for group in groups])

    if not inner:
        order = [[each] for each in output]
        for x, labels in ((a, a_labels), (b, b_labels)):
            present = [each for each in output if each in labels]
            x = xp.permute_dims(x, [labels.index(each) for each in present])
            order.append(xp.reshape(x, [sizes[e] if e in labels else 1 for e in output]))
        return order[-2] * order[-1]
    product = xp.matmul(
        arranged(a, a_labels, stacked, left, inner), arranged(b, b_labels, stacked, inner, right)
    )
    labels = [*stacked, *left, *right]
    product = xp.reshape(product, [sizes[each] for each in labels])
    return xp.permute_dims(product, [labels.index(each) for each in output])


def _own(xp: Any, x: Any, labels: str, needed: set[str]) -> tuple[Any, str]:
    """An operand whose letters are all different, and all needed elsewhere: others are summed."""
    kept = "".join(each for each in dict.fromkeys(labels) if each in needed)
    return (x if kept == labels else xp.xp.einsum(f"{labels}->{kept}", x)), kept
