r"""What the values of a recorded graph are called, as in DERIVATIONS.md where it is a network.

A sum of products with weights, and of biases, is a pre-activation: it is called z_l, its gradient
\delta_l, its weights W_l (in a recurrent network U_l too), its biases b_l, and what an activation
makes of it a_l, or y at the end. The target is \hat y. Layers are numbered from the input.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from .graphs import Graph, arguments, parents, to_numpy
from .latex import ATOM, SUM, Math, number, symbol
from .products import fraction
from .tape import Node
from .tensor import is_array

TRANSPOSES = ("matrix_transpose", "permute_dims", "swapaxes")
OUTPUTS = ("softmax", "log_softmax")
LOSSES = ("targets", "labels")
#: What the weights of one layer are called, and its biases, if there are several.
WEIGHTS, BIASES = "WUV", "bcd"


def is_activation(node: Node) -> bool:
    """Is it an activation function of one argument?"""
    record = node.record
    if record is None or sum(each is not None for each in node.parents or ()) != 1:
        return False
    module = record.forward.__module__ or ""
    return record.name in OUTPUTS or (record.elementwise and module.endswith(".activations"))


class Notation:
    """The names of nodes and of untracked arguments, and which nodes are parts of a layer's sum.

    Attributes: `names` of nodes; `constants`, names of untracked arguments, by node and position;
    `numbers`, those of them that are one number; `errors`, the nodes z with the names of their
    gradients; `inner`, the terms of such sums, which have no line of their own; `automatic`, the
    nodes whose name says nothing; `output`, that of the network, if it is one.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.names: dict[Node, Math] = {}
        self.constants: dict[tuple[Node, int], Math] = {}
        self.numbers: dict[tuple[Node, int], float] = {}
        self.errors: dict[Node, str] = {}
        self.inner: set[Node] = set()
        self.automatic: set[Node] = set()
        self.output: Node | None = None
        self.users: dict[Node, list[Node]] = {node: [] for node in graph.nodes}
        for node in graph.nodes:
            for _, parent in parents(node):
                self.users[parent].append(node)
        known = set(graph.nodes)
        for name, tensor in graph.names:
            if tensor._node in known:
                self._name(tensor._node, symbol(name))
        self._constants()
        self._network()
        self._root()
        self._targets()
        self._rest()

    def _name(self, node: Node, text: str, level: int = ATOM) -> None:
        self.names.setdefault(node, Math(text, level, node.shape == ()))

    # Untracked arguments -----------------------------------------------------------------------

    def _constants(self) -> None:
        """Names those that the user has named, and those that are numbers."""
        given = [(symbol(name), each) for name, each in self.graph.names if each._node is None]
        known = self.graph.values() if given else {}
        for node in self.graph.nodes:
            for position, parent in arguments(node):
                if parent is not None:
                    continue
                value = self.graph.constant(node, position)
                if value is not None and not np.shape(value):
                    exact = float(to_numpy(value))
                    text = fraction(Fraction(exact)) if math.isfinite(exact) else number(exact)
                    if math.isfinite(exact):
                        self.numbers[node, position] = exact
                    level = SUM if text.startswith("-") else ATOM
                    self.constants[node, position] = Math(text, level, True)
                for name, tensor in given:
                    if value is tensor._data or (
                        value is None and self._explains(node, position, tensor._data, known)
                    ):
                        self.constants[node, position] = Math(name, ATOM, tensor.shape == ())
                        self.numbers.pop((node, position), None)

    def _explains(self, node: Node, position: int, data: Any, known: dict[Node, Any]) -> bool:
        """Is this array the argument that was not kept: does it give just the known result?"""
        record = node.record
        if record is None or not record.elementwise or node not in known:
            return False
        given = [
            data if i == position else known.get(parent) if parent is not None else None
            for i, parent in arguments(node)
        ]
        if any(each is None for each in given):
            return False
        try:
            result = record.forward(node.kernels, *given, **node.static)
        except ValueError:  # shapes that do not fit
            return False
        same = is_array(result) and result.shape == node.shape
        return same and bool((result == known[node]).all())

    # Networks ----------------------------------------------------------------------------------

    def _weight(self, node: Node) -> int | None:
        """The position of the weight in a product; None if it is no such product."""
        if node.record is None or node.record.name != "matmul":
            return None
        for position in (1, 0):
            parent = (node.parents or ())[position]
            while parent is not None and parent.record and parent.record.name in TRANSPOSES:
                parent = next(parents(parent))[1]
            if parent is not None and parent.plan is None and len(parent.shape) == 2:
                return position
        return None

    def _is_affine(self, node: Node, sums: set[Node]) -> bool:
        """Is it a product with a weight, or a sum with such a term (known to be in `sums`)?"""
        if self._weight(node) is not None:
            return True
        if node.record is None or node.record.name not in ("add", "subtract"):
            return False
        terms = [each for each in node.parents or () if each is not None]
        return any(each in sums for each in terms) and all(
            each.plan is None
            or (each in sums and len(self.users[each]) == 1 and each not in self.names)
            for each in terms
        )

    def _network(self) -> None:
        sums: set[Node] = set()
        for node in self.graph.nodes:
            if self._is_affine(node, sums):
                sums.add(node)
        for node in sums:
            if node.record is not None and self._weight(node) is None:
                self.inner |= {each for _, each in parents(node) if each in sums}
        layers = sorted(sums - self.inner, key=lambda node: node.moment)
        for number_, node in enumerate(layers, 1):
            index = f"_{number_}" if number_ < 10 else f"_{{{number_}}}"
            weights, biases = self._parts(node)
            for letters, parts in ((WEIGHTS, weights), (BIASES, biases)):
                fresh = [each for each in parts if each not in self.names]
                for letter, each in zip(letters, fresh, strict=False):
                    self._name(each, letter + index)
            self._name(node, "z" + index)
            own = self.names[node].text
            self.errors[node] = rf"\delta{index}" if own == "z" + index else rf"\delta_{{{own}}}"
            activated = [each for each in self.users[node] if is_activation(each)]
            if len(activated) == 1:
                last = number_ == len(layers)
                self._name(activated[0], "y" if last else "a" + index)
            self.output = activated[0] if len(activated) == 1 else node

    def _parts(self, node: Node) -> tuple[list[Node], list[Node]]:
        """The weights and the biases of a sum, from left to right."""
        position = self._weight(node)
        if position is not None:
            weight = (node.parents or ())[position]
            while weight is not None and weight.plan is not None:
                weight = next(parents(weight))[1]
            return ([] if weight is None else [weight]), []
        weights: list[Node] = []
        biases: list[Node] = []
        for _, parent in parents(node):
            if parent.plan is None:
                biases.append(parent)
            else:
                found = self._parts(parent)
                weights, biases = weights + found[0], biases + found[1]
        return weights, biases

    # The rest ----------------------------------------------------------------------------------

    def _root(self) -> None:
        taken = {each.text for each in self.names.values()}
        one = math.prod(self.graph.root.shape) == 1
        self._name(self.graph.root, "J" if one else "y" if "y" not in taken else "u")

    def _targets(self) -> None:
        """What a loss compares the output with: an argument of that name, or a difference."""
        for node in self.graph.nodes:
            record = node.record
            for position, parent in arguments(node):
                if parent is not None or record is None or (node, position) in self.constants:
                    continue
                other = (node.parents or ())[1 - position] if len(node.parents or ()) == 2 else None
                after = other is not None and other.record is not None
                logs = after and other is not None and "log" in getattr(other.record, "name", "")
                if (
                    record.argument_base(position) in LOSSES
                    or (record.name == "subtract" and other is self.output is not None)
                    or (record.name == "multiply" and logs and node.shape == other.shape)  # type: ignore[union-attr]
                ):
                    self.constants[node, position] = Math(r"\hat y")

    def _rest(self) -> None:
        """Names for inputs (x), constants (c) and intermediate values (v), numbered if several."""
        inputs: list[tuple[list[tuple[Node, int]], Node | None]] = []
        others: list[tuple[Node, int]] = []
        arrays: dict[int, list[tuple[Node, int]]] = {}
        for node in self.graph.nodes:
            if node.plan is None and node not in self.names:
                inputs.append(([], node))
            for position, parent in arguments(node):
                if parent is not None or (node, position) in self.constants:
                    continue
                value = self.graph.constant(node, position)
                if value is not None and id(value) in arrays:
                    arrays[id(value)].append((node, position))
                elif node.record is not None and node.record.name == "matmul":
                    arrays[id(value)] = [(node, position)]
                    inputs.append((arrays[id(value)], None))
                else:
                    others.append((node, position))
        for count, (places, leaf) in enumerate(inputs, 1):
            text = self._fresh("x" if len(inputs) == 1 else f"x_{{{count}}}")
            if leaf is not None:
                self._name(leaf, text)
            self.constants |= {place: Math(text) for place in places}
        for count, place in enumerate(others, 1):
            self.constants[place] = Math(self._fresh("c" if len(others) == 1 else f"c_{{{count}}}"))
        waiting = [n for n in self.graph.nodes if n not in self.names and n not in self.inner]
        count = 0
        for node in waiting:
            base = self._transposed(node)
            if base is not None:
                self._name(node, rf"{base.text}^{{\mathsf T}}")
                continue
            count += 1
            self._name(node, self._fresh("v" if len(waiting) == 1 else f"v_{{{count}}}"))
            self.automatic.add(node)

    def _fresh(self, text: str) -> str:
        r"""The name, without braces around one digit, primed if the user has given it away."""
        text = text[:-3] + text[-2] if text.endswith("}") and text[-3] == "{" else text
        taken = {each.text for each in (*self.names.values(), *self.constants.values())}
        while text in taken:
            text = text.replace("_", "'_", 1) if "_" in text else text + "'"
        return text

    def _transposed(self, node: Node) -> Math | None:
        """The name of the matrix of which the node is the transpose, if it is one."""
        if node.record is None or node.record.name not in TRANSPOSES:
            return None
        _, parent = next(parents(node))
        name = self.names.get(parent)
        square = len(node.shape) == 2 and node.shape == parent.shape[::-1]
        return name if square and name is not None and "^" not in name.text else None
