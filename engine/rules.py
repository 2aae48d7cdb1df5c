"""The chain rule of single operations in LaTeX: an upstream gradient times the local derivative."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from .graphs import arguments, parents, to_numpy
from .latex import ATOM, PRODUCT, SUM, Math, formula, number, prose, symbol, upright
from .notation import TRANSPOSES, Notation, is_activation
from .products import Product, fraction, product
from .tape import Node

#: Operations that only give their argument another shape or dtype.
RESHAPED = ("reshape", "expand_dims", "squeeze", "astype", "positive", "broadcast_to")


class Rules:
    """Formulas and local derivatives of nodes, written in the names of a notation.

    Attributes: `where`, lines that explain functions whose formulas are not written out.
    """

    def __init__(self, notation: Notation) -> None:
        self.notation, self.graph = notation, notation.graph
        self.where: dict[str, str] = {}

    def argument(self, node: Node, position: int) -> Math:
        """The name of an argument; of a part of a layer's sum, its formula."""
        parent = (node.parents or ())[position]
        if parent is None:
            return self.notation.constants[node, position]
        return (
            self.formula(parent) if parent in self.notation.inner else self.notation.names[parent]
        )

    def _arguments(self, node: Node, expanded: bool = False) -> dict[str, Math]:
        """The arguments by their names in the record; differences written out if `expanded`."""
        record: Any = node.record
        found = {}
        for position, parent in arguments(node):
            name = self.argument(node, position)
            if expanded and parent in self.notation.automatic and parent is not None:
                name = self.expanded(parent)
            found[record.argument_name(position)] = name
        for key, value in node.static.items():
            if isinstance(value, (int, float)):
                text = number(value)
                found[key] = Math(text, SUM if text.startswith("-") else ATOM, True)
        return found

    def expanded(self, node: Node) -> Math:
        """A difference or a sum in place of its name, if it is one of two names."""
        assert node.record is not None
        if node.record.name in ("add", "subtract"):
            return self.formula(node)
        return self.notation.names[node]

    # Forward -----------------------------------------------------------------------------------

    def formula(self, node: Node) -> Math:
        """What the node computes, in the names of its arguments."""
        record: Any = node.record
        names = self._arguments(node)
        listed = [self.argument(node, i) for i, _ in arguments(node)]
        first = listed[0] if listed else Math("")
        scalar = node.shape == ()
        if record.name == "matmul":
            return Math(rf"{first.at(ATOM)}\, {listed[1].at(ATOM)}", PRODUCT, scalar)
        if record.name in ("sum", "mean"):
            parent = next(parents(node))[1]
            count = math.prod(parent.shape) // max(1, math.prod(node.shape))
            over = f"{fraction(Fraction(1, count))} " if record.name == "mean" and count else ""
            return Math(rf"{over}\sum{self._axes(node)} {first.at(PRODUCT)}", PRODUCT, scalar)
        if record.name in TRANSPOSES and len(node.shape) == 2:
            return self._transposed(first)
        if record.elementwise and not is_activation(node):
            written = formula(record.formula, names)
            if written is not None:
                return written._replace(scalar=scalar)
        if record.name == "getitem":
            return Math(f"{first.at(ATOM)}[{index_text(node.static.get('index'))}]", ATOM, scalar)
        self._explain(node)
        statics = [
            rf"\text{{{symbol_text(key)}}}={prose(repr(value))}"
            for key, value in node.static.items()
            if isinstance(value, (int, float, tuple))
            and repr(value) != repr(record.defaults.get(key))
        ]
        if is_activation(node):
            statics = []
        inside = ", ".join([each.text for each in listed] + statics)
        return Math(f"{self.function(node)}({inside})", ATOM, scalar)

    def _axes(self, node: Node) -> str:
        """The axis of a reduction, as an index of its sign; nothing if it is over all of them."""
        axis = node.static.get("axis")
        if axis is None or len(node.shape) == 0:
            return ""
        count = len(next(parents(node))[1].shape)
        axes = [each % count for each in (axis if isinstance(axis, tuple) else (axis,))]
        return rf"_{{\text{{axis {', '.join(map(str, axes))}}}}}"

    def function(self, node: Node) -> str:
        """The name of the node's function, with its static numbers if they are not the usual."""
        record: Any = node.record
        text = upright(record.name)
        changed = [
            number(value)
            for key, value in node.static.items()
            if is_activation(node) and record.elementwise and isinstance(value, (int, float))
            if value != record.defaults.get(key)
        ]
        return text + (f"_{{{', '.join(changed)}}}" if changed else "")

    def _explain(self, node: Node, derivative: str = "") -> None:
        """Enters the record's formula, and the derivative for an argument, under `where`."""
        record: Any = node.record
        names = {each: Math(symbol(each)) for each in (*record.arguments, *record.statics)}
        for key, value in node.static.items():
            if isinstance(value, (int, float)):
                names[key] = Math(number(value), ATOM, True)
        name = self.function(node)
        if is_activation(node) and record.elementwise:
            for mark, text in (("", record.formula), ("'", record.derivative.get("x", ""))):
                written = formula(text, names) if text else None
                if written is not None:
                    plain = written.text.replace(r" \circ ", r"\, ")  # of numbers, not arrays
                    self.where.setdefault(name + mark, f"{name}{mark}(x) = {plain}")
            return
        if record.formula:
            self.where.setdefault(name, rf"{name}\colon\; {prose(record.formula)}")
        if derivative and record.derivative.get(derivative):
            told = prose(record.derivative[derivative])
            line = rf"{name}\colon\; \text{{for }}{symbol(derivative)}\text{{: }} {told}"
            self.where.setdefault(f"{name} {derivative}", line)

    # Backward ----------------------------------------------------------------------------------

    def local(self, node: Node, position: int, upstream: Product) -> Product:
        """The contribution of a node to the gradient of its argument at that position."""
        record: Any = node.record
        parent: Any = (node.parents or ())[position]
        found = self._local(node, position, upstream)
        shape = node.shape if record.elementwise else parent.shape
        if record.name == "matmul" and min(len(parent.shape), len(node.shape)) >= 2:
            shape = (*node.shape[:-2], *parent.shape[-2:])
        return self._unbroadcast(found, shape, parent.shape)

    def _local(self, node: Node, position: int, upstream: Product) -> Product:
        record: Any = node.record
        name, base = record.name, record.argument_base(position)
        if name == "matmul":
            return self._matmul(node, position, upstream)
        if name in ("sum", "mean"):
            parent = next(parents(node))[1]
            count = math.prod(parent.shape) // max(1, math.prod(node.shape))
            share = Product(Fraction(1, count if name == "mean" and count else 1))
            return self._repeated(upstream, node, parent) * share
        if name in RESHAPED and math.prod(node.shape) == math.prod((node.parents or ())[0].shape):  # type: ignore[union-attr]
            return upstream  # the same numbers, in another shape
        if name in TRANSPOSES and len(node.shape) == 2:
            size, array = upstream.array()
            return Product(size, (self._transposed(array),))
        if is_activation(node) and record.elementwise:
            self._explain(node)
            slope = Math(f"{self.function(node)}'({self.argument(node, position).text})")
            return upstream * Product(Fraction(1), (slope,))
        special = self._softmax(node, position, upstream)
        if special is not None:
            return special
        numbers = {
            record.argument_name(i): self.notation.numbers[node, i]
            for i, _ in arguments(node)
            if (node, i) in self.notation.numbers
        }
        text = record.derivative.get(base, "")
        parsed = record.elementwise or name in ("sigmoid_cross_entropy",)
        slopes = product(text, self._arguments(node, expanded=True), numbers) if parsed else None
        if slopes is not None:
            step = r"\mathrm{H}"
            if any(step in each.text for each in slopes.factors):
                self.where.setdefault(step, rf"{step}(x) = [x > 0] + \tfrac12\, [x = 0]")
            return upstream * slopes
        self._explain(node, base)
        size, array = upstream.array()
        result = self.notation.names[node].text
        argument = self.argument(node, position).text
        jacobian = rf"\frac{{\partial {result}}}{{\partial {argument}}}"
        if not node.shape:
            return upstream * Product(Fraction(1), (Math(jacobian),))
        jacobian = rf"\left({jacobian}\right)^{{\mathsf T}}"
        return Product(size, (Math(rf"{jacobian}\, {array.at(ATOM)}", PRODUCT),))

    def _matmul(self, node: Node, position: int, upstream: Product) -> Product:
        """g bᵀ and aᵀ g; a vector on the left is a row, one on the right a column."""
        other = self.argument(node, 1 - position)
        if not node.shape:  # a row times a column
            return upstream * Product(Fraction(1), (other,))
        size, array = upstream.array()
        turned = self._transposed(other)
        pair = (array, turned) if position == 0 else (turned, array)
        return Product(size, (Math(r"\, ".join(each.at(ATOM) for each in pair), PRODUCT),))

    @staticmethod
    def _transposed(value: Math) -> Math:
        mark = r"^{\mathsf T}"
        if value.text.endswith(mark) and value.level == ATOM:
            return Math(value.text.removesuffix(mark))
        base = value.text if value.level == ATOM and "^" not in value.text else f"({value.text})"
        return Math(base + mark)

    def _softmax(self, node: Node, position: int, upstream: Product) -> Product | None:
        """Softmax and its losses, where the gradient has the form of a difference."""
        record: Any = node.record
        name, base = record.name, record.argument_base(position)
        first = self.argument(node, position)
        if name in ("softmax_cross_entropy", "sparse_softmax_cross_entropy") and base == "logits":
            upstream = self._repeated(upstream, node, (node.parents or ())[position])
            target = self.argument(node, 1)
            if name.startswith("sparse"):
                second = rf"\mathrm{{onehot}}({target.text})"
            elif not self._sums_to_one(node, 1):
                weight = Math(rf"\mathrm{{softmax}}({first.text}) \sum {target.text}", PRODUCT)
                return upstream * Product(
                    Fraction(1), (Math(f"{weight.text} - {target.text}", SUM),)
                )
            else:
                second = target.text
            found = Math(rf"\mathrm{{softmax}}({first.text}) - {second}", SUM)
            return upstream * Product(Fraction(1), (found,))
        if name not in ("softmax", "log_softmax"):
            return None
        own = self.notation.names[node]
        chances = own if name == "softmax" else Math(rf"\mathrm{{softmax}}({first.text})")
        users = self.notation.users[node]
        if len(users) == 1 and users[0].record is not None:
            place = [i for i, each in enumerate(users[0].parents or ()) if each is node]
            loss = {"softmax": "cross_entropy", "log_softmax": "multiply"}[name]
            if users[0].record.name == loss and len(place) == 1:
                other = 1 - place[0]
                target = self.argument(users[0], other)
                factors = self._targets(upstream, target, own, name)
                if factors is not None and self._sums_to_one(users[0], other):
                    difference = Math(f"{chances.text} - {target.at(PRODUCT)}", SUM)
                    size = -upstream.coefficient
                    return Product(size, (*factors, difference))
        size, array = upstream.array()
        if name == "softmax":
            inner = rf"{array.at(PRODUCT)} - \sum {array.at(PRODUCT)} \circ {own.text}"
            return Product(size, (own, Math(inner, SUM)))
        inner = rf"{array.at(PRODUCT)} - {chances.text} \circ \sum {array.at(PRODUCT)}"
        return Product(size, (Math(inner, SUM),))

    @staticmethod
    def _targets(upstream: Product, target: Math, own: Math, name: str) -> tuple[Math, ...] | None:
        """What is left of the upstream gradient without the targets (over the probabilities)."""
        quotient = rf"\frac{{{target.text}}}{{{own.text}}}"
        wanted = quotient if name == "softmax" else target.text
        rest = [each for each in upstream.factors if each.text != wanted]
        one = len(rest) == len(upstream.factors) - 1 and all(each.scalar for each in rest)
        return tuple(rest) if one else None

    def _sums_to_one(self, node: Node, position: int) -> bool:
        """Do the targets of each row add up to one, as far as they are known?"""
        value = self.graph.constant(node, position)
        if value is None or np.ndim(value) == 0:
            return False
        return bool(np.allclose(to_numpy(value).sum(axis=-1), 1, rtol=0, atol=1e-6))

    def _repeated(self, upstream: Product, node: Node, parent: Any) -> Product:
        """The gradient of a reduction, repeated along the axes that are gone."""
        if len(node.shape) == len(parent.shape) or all(each.scalar for each in upstream.factors):
            return upstream
        name = r"\mathrm{repeated}"
        told = rf"{name}_k\colon\; \text{{k times along the axis summed over}}"
        self.where.setdefault(name, told)
        times = math.prod(parent.shape) // max(1, math.prod(node.shape))
        name += f"_{{{times}}}"
        size, array = upstream.array()
        return Product(size, (Math(f"{name}({array.text})"),))

    def _unbroadcast(
        self, found: Product, shape: tuple[int, ...], wanted: tuple[int, ...]
    ) -> Product:
        """The sum over the axes along which the argument had been repeated."""
        extra = len(shape) - len(wanted)
        repeated = (
            [
                i < extra or shape[i] != wanted[i - extra]
                for i in range(max(len(shape), len(wanted)))
            ]
            if extra >= 0
            else []
        )
        if not any(repeated):
            return found
        count = math.prod(size for size, each in zip(shape, repeated, strict=True) if each)
        if all(each.scalar for each in found.factors):
            return found * Product(Fraction(count))
        letters = iter("nmkl" + "i" * len(shape))
        marks = [next(letters) if each else ":" for each in repeated]
        indices = ", ".join(each for each in marks if each != ":")
        while marks[-1] == ":":
            marks.pop()
        size, array = found.array()
        summed = rf"\sum_{{{indices}}} {array.at(ATOM)}[{', '.join(marks)}]"
        summed = summed.replace("_{n} ", "_n ", 1)
        return Product(size, (Math(summed, PRODUCT, math.prod(wanted) == 1),))


def index_text(index: Any) -> str:
    r"""An index as it is written between brackets; arrays of indices are dots.

    >>> index_text((0, slice(1, None, 2), None, ...))
    '0, 1::2, \\mathrm{new}, \\ldots'
    """
    parts = []
    for each in index if isinstance(index, tuple) else (index,):
        if isinstance(each, slice):
            ends = ["" if end is None else str(end) for end in (each.start, each.stop)]
            parts.append(":".join(ends + ([] if each.step is None else [str(each.step)])))
        elif each is None:
            parts.append(r"\mathrm{new}")
        else:
            parts.append(str(each) if isinstance(each, (int, np.integer)) else r"\ldots")
    return ", ".join(parts)


def symbol_text(name: str) -> str:
    """A static argument's name as text."""
    return name.replace("_", r"\_")
