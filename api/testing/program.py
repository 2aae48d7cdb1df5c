"""A program: a straight line of operations, as the Python text that runs and that is printed."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import chainrule as cr

Array = np.ndarray[Any, Any]

#: Names of values: x0, x1, ... are the inputs, v0, v1, ... what the lines compute.
NAME = re.compile(r"\b[xv]\d+\b")

_HEAD = "import numpy as np\n\nimport chainrule as cr\n"

_TAIL = '''
def loss(*inputs):
    """Of each output y, y + y² / 2 times random signs: linear programs have second derivatives."""
    outputs = program(*inputs)
    return sum((w * (y + y * y / 2)).sum() for w, y in zip(weights, outputs))


value = loss(*inputs)
gradients = cr.grad(value, inputs, create_graph=True, allow_unused=True)
slope = sum((g * d).sum() for g, d in zip(gradients, directions))  # of the loss, along directions
second = cr.grad(slope, inputs, allow_unused=True)
'''


@dataclass(frozen=True)
class Line:
    """One line of a program: `targets = expression`.

    Attributes: `targets`, the names that it gives values to; `expression`, Python text; `constant`:
    are the values constants for derivatives? So it is with `detach()`; of an expression that does
    not say so itself, `no_grad` makes them; `many`: is there a sequence of values, however long?
    """

    targets: tuple[str, ...]
    expression: str
    constant: bool = False
    no_grad: bool = False
    many: bool = False

    @property
    def operands(self) -> list[str]:
        """The names of the values that it reads."""
        return list(dict.fromkeys(NAME.findall(self.expression)))

    @property
    def text(self) -> str:
        """The line as Python."""
        targets = ", ".join(self.targets)
        text = f"{f'[{targets}]' if self.many else targets} = {self.expression}"
        return f"with cr.no_grad():\n    {text}" if self.no_grad else text


def _indented(lines: Sequence[str], depth: int = 1) -> str:
    text = "\n".join(lines)
    return "\n".join("    " * depth + each for each in text.split("\n"))


def literal(array: Any) -> str:
    """An array as Python text that gives it again, bit for bit.

    >>> literal(np.array([[0.5, -1.0]])), literal(np.zeros((0, 2)))
    ('np.array([[0.5, -1.0]])', 'np.zeros((0, 2))')
    """
    array = np.asarray(array)
    kind = "" if array.dtype in (np.float64, np.int64, np.bool_) else f", dtype='{array.dtype}'"
    if array.size == 0:
        kind = "" if array.dtype == np.float64 else f", dtype='{array.dtype}'"
        return f"np.zeros({array.shape}{kind})"
    return f"np.array({array.tolist()}{kind})"


@dataclass(frozen=True, eq=False)
class Program:
    """A function of Tensors, written in lines, with the inputs at which it is to be differentiated.

    Attributes: `inputs`, an array of float64 for each name, x0, x1, ...; `lines`; `outputs`, the
    names of the values that it returns, all floating; `part`, from which line to which it is put
    into a checkpoint when that is checked.

    `str(program)` and `.source` are Python text that runs: inputs, forward, gradients, and the
    gradient of the gradient in a direction.

    >>> double = Program({"x0": np.array([1.0, -2.0])}, [Line(("v0",), "2 * x0")], ["v0"])
    >>> double(cr.tensor([3.0]))[0].tolist()
    [6.0]
    >>> print(double.definition)
    def program(x0):
        v0 = 2 * x0
        return [v0]
    """

    inputs: Mapping[str, Array]
    lines: Sequence[Line]
    outputs: Sequence[str]
    part: tuple[int, int] = (0, 0)

    # As Python ------------------------------------------------------------------------------

    @property
    def definition(self) -> str:
        """The function, as text."""
        return self._define([each.text for each in self.lines])

    def _define(self, body: Sequence[str]) -> str:
        head = f"def program({', '.join(self.inputs)}):"
        return "\n".join([head, _indented([*body, f"return [{', '.join(self.outputs)}]"])])

    @property
    def source(self) -> str:
        """The whole as a Python script, without what any check found."""
        x = "".join(
            f"    cr.tensor({literal(each)}, requires_grad=True),\n"
            for each in self.inputs.values()
        )
        weights = "".join(f"    {literal(each)},\n" for each in self.weights)
        directions = "".join(f"    {literal(each)},\n" for each in self.directions)
        return (
            f"{_HEAD}\n\n{self.definition}\n\n\ninputs = [\n{x}]\nweights = [\n{weights}]\n"
            f"directions = [\n{directions}]\n\n{_TAIL}"
        )

    def __str__(self) -> str:
        return self.source

    def __repr__(self) -> str:
        given = ", ".join(f"{name} of shape {x.shape}" for name, x in self.inputs.items())
        return f"<program of {len(self.lines)} operations, {given}>\n{self.definition}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis prints it."""
        printer.text(repr(self))

    # As functions ---------------------------------------------------------------------------

    def _compiled(self, text: str, **names: Any) -> Callable[..., Any]:
        space = {"np": np, "cr": cr, "__name__": "program", **names}
        exec(compile(text, "<program>", "exec"), space)
        function: Callable[..., Any] = space["program"]
        return function

    @functools.cached_property
    def function(self) -> Callable[..., list[cr.Tensor]]:
        """The function as it is printed."""
        return self._compiled(self.definition)

    def __call__(self, *inputs: Any) -> list[cr.Tensor]:
        """The outputs, of inputs in the order of their names."""
        return self.function(*inputs)

    @functools.cached_property
    def checkpointed(self) -> Callable[..., list[cr.Tensor]]:
        """The function with `part` of its lines in a checkpoint."""
        first, last = self.part
        inner = self.lines[first:last]
        made = [name for line in inner for name in line.targets]
        if not made:
            return self.function
        given = [name for line in inner for name in line.operands if name not in made]
        given = list(dict.fromkeys(given))
        body = [each.text for each in self.lines[:first]]
        body.append(f"def part({', '.join(given)}):")
        body.append(_indented([*(each.text for each in inner), f"return [{', '.join(made)}]"]))
        body.append(f"[{', '.join(made)}] = cr.checkpoint({', '.join(['part', *given])})")
        body += [each.text for each in self.lines[last:]]
        return self._compiled(self._define(body))

    def watched(self, each: Callable[[int, Any], Any]) -> Callable[..., list[cr.Tensor]]:
        """The function, whose line number i gives `each(i, value)` in place of its value."""
        body = [
            replace(line, expression=f"_each({i}, {line.expression})").text
            for i, line in enumerate(self.lines)
        ]
        return self._compiled(self._define(body), _each=each)

    def disturbed(self, each: Callable[[Any], Any]) -> Callable[..., list[cr.Tensor]]:
        """The function, which reads `each(value)` wherever it reads a value, or returns one."""
        body = [
            replace(line, expression=NAME.sub(r"_each(\g<0>)", line.expression)).text
            for line in self.lines
        ]
        body += [f"{name} = _each({name})" for name in self.outputs]
        return self._compiled(self._define(body), _each=each)

    @functools.cached_property
    def held(self) -> Callable[..., list[cr.Tensor]]:
        """The function, with what is constant for derivatives held at its value for the inputs."""
        constant = {i for i, line in enumerate(self.lines) if line.constant or line.no_grad}
        if not constant:
            return self.function
        kept: dict[int, Any] = {}

        def keep(i: int, value: Any) -> Any:
            if i in constant:
                kept[i] = value
            return value

        with cr.no_grad():
            self.watched(keep)(*self.tensors())
        return self.watched(lambda i, value: kept.get(i, value))

    # Numbers --------------------------------------------------------------------------------

    def tensors(self, dtype: Any = "float64", device: str = "cpu") -> list[cr.Tensor]:
        """The inputs as fresh Tensors that require gradients."""
        return [
            cr.tensor(each, dtype, requires_grad=True, device=device)
            for each in self.inputs.values()
        ]

    @functools.cached_property
    def weights(self) -> list[Array]:
        """Of each output, random signed numbers: the upstream gradient."""
        with cr.no_grad(), cr.kernels("reference"):
            shapes = [each.shape for each in self(*self.tensors())]
        rng = np.random.default_rng(1)
        return [signed(rng, each) for each in shapes]

    @functools.cached_property
    def directions(self) -> list[Array]:
        """Of each input, random signed numbers: where a derivative is taken along."""
        rng = np.random.default_rng(2)
        return [signed(rng, each.shape) for each in self.inputs.values()]


def signed(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Random numbers of either sign, from 0.5 to 1.5 in size, with two decimals."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.integers(50, 151, shape) / 100)
