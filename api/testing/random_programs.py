"""The strategy of random programs: graphs of the table's operations with shared sub-expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .composite import Draw, composite, part_of_hypothesis
from .drawing import Drawing
from .program import Program
from .recipes_arrays import ALONG, REDUCTIONS, SHAPES
from .recipes_elementwise import CHOICES, SEVERAL, UNARY, Recipe
from .recipes_indices import INDICES
from .recipes_products import MATRICES, PRODUCTS, ROWS
from .recipes_windows import WINDOWS
from .warming import warm

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Recipes by family, the plainest first: towards it hypothesis shrinks. A family is as likely as
#: it is often here.
FAMILIES: list[list[Recipe]] = [
    *(UNARY, UNARY, SEVERAL, SEVERAL, SEVERAL, REDUCTIONS, SHAPES, SHAPES, INDICES, INDICES),
    *(CHOICES, ALONG, PRODUCTS, [*MATRICES, *ROWS], WINDOWS),
]

#: The numbers of axes of inputs, and their lengths.
_AXES = (0, 1, 2, 3, 2)
_SIDES = (2, 1, 3, 2, 3, 1, 2, 3, 2, 0)


@composite
def _programs(draw: Draw, max_operations: int, max_inputs: int) -> Program:
    st = part_of_hypothesis("strategies", "programs")
    base = tuple(_SIDES[draw(st.integers(0, 9))] for _ in range(_AXES[draw(st.integers(0, 4))]))
    inputs = {}
    for i in range(draw(st.integers(1, max_inputs))):
        inputs[f"x{i}"] = _input(draw, st, base, 0.17 * i)
    drawing = Drawing(draw, st, inputs)
    draw(st.lists(_step(drawing), min_size=1, max_size=max_operations))
    if not drawing.lines:
        drawing.add("+x0")
    tracked = [name for name, value in drawing.values.items() if value.requires_grad]
    outputs = [name for name in tracked if name not in drawing.used and name not in inputs]
    kept = {name: x for name, x in inputs.items() if name in drawing.used}
    first = draw(st.integers(0, len(drawing.lines)))
    part = (first, draw(st.integers(first, len(drawing.lines))))
    if not outputs:
        outputs = ["x0"]
        kept = {"x0": inputs["x0"], **kept}
    return Program(kept, tuple(drawing.lines), outputs, part)


def _input(draw: Draw, st: Any, base: tuple[int, ...], shift: float) -> np.ndarray[Any, Any]:
    """Numbers no two of which are close, in a shape that broadcasts with `base`."""
    shape = base[draw(st.integers(0, len(base))) :] if base else ()
    shape = tuple(1 if draw(st.integers(0, 4)) == 4 else n for n in shape)
    size = int(np.prod(shape))
    order = np.random.default_rng(draw(st.integers(0, 999))).permutation(size)
    numbers = 4 * (order + 0.59) / max(1, size) - 2 + shift / max(1, size)
    return np.asarray(numbers.round(3).reshape(shape))


@composite
def _step(draw: Draw, drawing: Drawing) -> None:
    """One more line, if what is drawn fits."""
    st = part_of_hypothesis("strategies", "programs")
    family = FAMILIES[draw(st.integers(0, len(FAMILIES) - 1))]
    recipe = family[draw(st.integers(0, len(family) - 1))]
    expression = recipe(drawing)
    if expression is not None:
        drawing.add(expression)


def programs(*, max_operations: int = 6, max_inputs: int = 3) -> SearchStrategy[Program]:
    """Random programs: graphs of the table's operations, with shared sub-expressions.

    A program has up to `max_inputs` inputs, whose shapes broadcast together, and at most
    `max_operations` lines, each of which runs one operation, or a few; all that is computed and not
    used is an output. By construction its numbers are of the order of 1, inside the domains of the
    operations, and away from kinks, steps and ties. It shrinks towards few lines and small shapes.

    The kernels of every set that a program may run are compiled when the strategy is made, so that
    hypothesis's deadline does not meet them.

    Raises ModuleNotFoundError if hypothesis is not installed.

    >>> from hypothesis import given, settings
    >>> from chainrule.testing import check_program
    >>> @settings(max_examples=5, database=None)
    ... @given(programs(max_operations=3))
    ... def test_gradients(program):
    ...     check_program(program)
    >>> test_gradients()
    """
    strategy: SearchStrategy[Program] = _programs(max_operations, max_inputs)
    warm()
    return strategy
