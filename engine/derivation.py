"""The chain rule of a recorded graph, rendered as LaTeX: `derivation`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .errors import GradientError
from .graphs import Graph, parents, to_numpy
from .latex import ATOM, Math, array
from .notation import Notation
from .products import Product, added, plus
from .rules import Rules
from .tape import Node
from .tensor import Tensor

#: More lines than this nobody reads.
MOST = 500
#: A gradient longer than this is not written into the next line: its symbol stands there.
LONG = 90


class Derivation:
    """The lines of a derivation; a notebook shows it as mathematics, `str()` gives the LaTeX.

    Attributes: `forward`, what each node computes, from the inputs to the result; `backward`, the
    gradient of each node, from the result to the inputs; `where`, functions that the lines use;
    each a tuple of LaTeX equations. `latex`, all of them in one `aligned` environment.
    """

    def __init__(
        self, forward: Sequence[str], backward: Sequence[str], where: Sequence[str]
    ) -> None:
        self.forward, self.backward, self.where = tuple(forward), tuple(backward), tuple(where)

    @property
    def latex(self) -> str:
        """All lines in one environment, without dollar signs."""
        titles = (
            "From the inputs to the result",
            "Back from the result",
            "Functions; y is the result, g its gradient",
        )
        rows = []
        for title, lines in zip(titles, (self.forward, self.backward, self.where), strict=True):
            if lines:
                rows += [rf"&\textbf{{{title}}}", *map(_aligned, lines)]
        body = " \\\\\n".join(rows)
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"

    def __str__(self) -> str:
        return self.latex

    def __repr__(self) -> str:
        return f"<derivation: {len(self.forward)} lines forward, {len(self.backward)} back>"

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex}\n$$"


def _aligned(line: str) -> str:
    """The line, to be aligned at its first sign of equality, or colon."""
    for sign in (" = ", r"\colon"):
        left, found, right = line.partition(sign)
        if found:
            return f"{left} &{found.lstrip()}{right}"
    return f"&{line}"


def derivation(
    tensor: Tensor, values: bool = False, names: Any = None, gradient: Any = None
) -> Derivation:
    r"""The chain rule as it was recorded for this tensor, node by node, as LaTeX.

    First what each node computes; then, from the result back, the gradient of each: the upstream
    gradient times the local derivative, added up where a value is used twice, summed over the
    axes along which it was repeated. In a network, pre-activations are called z_l, their gradients
    \delta_l, weights W_l, activations a_l, the target \hat y, as in DERIVATIONS.md (4.3). A vector
    to the left of a matrix is a row, one to its right a column.

    Arguments: `tensor`, the result, best a loss of one element; `values`: with the numbers? Values
    that no operation kept and that cannot be computed again are left out; name their tensors to
    have them. `names`, a mapping from tensors to names (or from names to tensors; "W1" and "W_1"
    are the same, LaTeX stays as it is), or a layer or model, whose parameters have names;
    `gradient`, the upstream gradient, with values of a tensor that has not one element.

    Nothing changes: the graph is kept, no `.grad` is written, no hook is called.

    Raises DtypeError for what is no Tensor, and for names that are none; GradientError for a tensor
    that was not computed while recording, for a graph that was freed, for one of more than 500
    nodes, and with values for one of which something was changed in place; ShapeError for a
    `gradient` that is missing or does not fit.

    Source: DERIVATIONS.md, The worked example (4.3).

    >>> import chainrule as cr
    >>> w = cr.tensor(1.5, requires_grad=True)
    >>> u = w * w
    >>> print(*cr.derivation(u * cr.sin(u), names={"w": w, "u": u}).backward, sep="\n")
    \frac{\partial J}{\partial J} = 1
    \frac{\partial J}{\partial v} = u
    \frac{\partial J}{\partial u} = v + \frac{\partial J}{\partial v}\, \cos(u) = v + u\, \cos(u)
    \frac{\partial J}{\partial w} = \frac{\partial J}{\partial u}\, w + \frac{\partial J}{\partial u}\, w = 2\, \frac{\partial J}{\partial u}\, w
    """  # noqa: E501
    graph = Graph(tensor, "derivation", names)
    graph.whole()
    if len(graph.nodes) > MOST:
        raise GradientError(
            f"derivation: the graph has {len(graph.nodes)} nodes, and more than {MOST} nobody "
            "reads; derive a smaller part, such as one layer on inputs of its own, or draw the "
            "whole with draw_graph(tensor)"
        )
    numbers = gradients = None
    if values:
        gradients = graph.gradients(gradient)
        numbers = graph.values(compute=True)
    writer = _Writer(graph, numbers, gradients)
    return Derivation(writer.forward(), writer.backward(), writer.rules.where.values())  # type: ignore[arg-type]


class _Writer:
    """Writes the lines of a derivation."""

    def __init__(
        self, graph: Graph, values: dict[Node, Any] | None, gradients: dict[Node, Any] | None
    ) -> None:
        self.graph, self.values, self.gradients = graph, values, gradients
        self.notation = Notation(graph)
        self.rules = Rules(self.notation)
        self.scalar = math.prod(graph.root.shape) == 1
        self.top = self.notation.names[graph.root].text if self.scalar else "J"
        #: Of each node the gradient, as it is written where it is used.
        self.known: dict[Node, Product] = {}

    def forward(self) -> list[str]:
        """What each node computes; with values, first those of the inputs."""
        lines = []
        for node in self.graph.nodes:
            name = self.notation.names.get(node)
            if node.plan is None and name is not None and self.values and node in self.values:
                lines.append(f"{name.text} = {array(to_numpy(self.values[node]))}")
        for place, name in self.notation.constants.items():
            value = self.graph.constant(*place)
            if self.values is not None and place not in self.notation.numbers and value is not None:
                lines.append(f"{name.text} = {array(to_numpy(value))}")
        lines = list(dict.fromkeys(lines))
        for node in self.graph.nodes:
            if node.plan is None or node in self.notation.inner:
                continue
            line = f"{self.notation.names[node].text} = {self.rules.formula(node).text}"
            if self.values is not None and node in self.values:
                line += f" = {array(to_numpy(self.values[node]))}"
            lines.append(line)
        return lines

    def backward(self) -> list[str]:
        """The gradient of each node, computed ones first, from the newest to the oldest."""
        nodes = self.graph.nodes
        order = [each for each in reversed(nodes) if each.plan is not None]
        order += [each for each in nodes if each.plan is None]
        lines = []
        if self.notation.errors:
            lines.append(rf"\delta_l = {self._partial('z_l')}")
        for node in order:
            line = self._line(node)
            if line is not None:
                lines.append(line)
        return lines

    def _partial(self, name: str) -> str:
        return rf"\frac{{\partial {self.top}}}{{\partial {name}}}"

    def symbol(self, node: Node) -> Math:
        """The symbol of a node's gradient."""
        if node is self.graph.root and not self.scalar:
            return Math("G")
        name = self.notation.names[node]
        return Math(self.notation.errors.get(node) or self._partial(name.text), ATOM, name.scalar)

    def _upstream(self, node: Node) -> Product:
        """The gradient of a node as a symbol, in which its chain rule is written first."""
        if node is self.graph.root and self.scalar:
            return Product()
        if node in self.notation.inner:
            return self.known[node]
        return Product(factors=(self.symbol(node),))

    def _line(self, node: Node) -> str | None:
        """The line of one node; None for a part of a layer's sum, and where no gradient comes."""
        if node is self.graph.root:
            return self._first(node)
        shown: list[Math] = []
        found: list[Product] = []
        for user in reversed(self._users(node)):
            if user not in self.known or user.plan is None:
                continue
            for position, parent in parents(user):
                hidden = user.record is not None and user.record.name == "checkpoint"
                if parent is node and (hidden or position in user.plan.positions):
                    product = self.rules.local(user, position, self._upstream(user))
                    shown.append(product.math())
                    found.append(self.rules.local(user, position, self.known[user]))
        if not found:
            return None
        total = added(found)
        if node in self.notation.inner:
            self.known[node] = total
            return None
        written = total.math()
        name = self.symbol(node)
        long = len(found) > 1 or len(written.text) > LONG or node in self.notation.errors
        self.known[node] = Product(factors=(name,)) if long else self._expanded(total)
        line = f"{name.text} = {plus(shown).text}"
        for text in dict.fromkeys((written.text, self.known[node].math().text)):
            if text not in (plus(shown).text, name.text):
                line += f" = {text}"
        return line + self._number(node)

    def _expanded(self, product: Product) -> Product:
        """The product, with a difference written out where it stands alone: y - ŷ, not v_1."""
        named = {self.notation.names[each].text: each for each in self.notation.automatic}
        if len(product.factors) != 1 or product.factors[0].text not in named:
            return product
        node = named[product.factors[0].text]
        return Product(product.coefficient, (self.rules.expanded(node),))

    def _users(self, node: Node) -> list[Node]:
        return list(dict.fromkeys(self.notation.users[node]))

    def _first(self, node: Node) -> str:
        """The line of the result itself, from whose gradient all others come."""
        self.known[node] = self._upstream(node)
        if self.scalar:
            return f"{self._partial(self.top)} = 1"
        return rf"{self._partial(self.notation.names[node].text)} = G{self._number(node)}"

    def _number(self, node: Node) -> str:
        if self.gradients is None or node not in self.gradients:
            return ""
        return f" = {array(to_numpy(self.gradients[node]))}"
