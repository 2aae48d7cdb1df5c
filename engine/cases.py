"""The cases of an operation: calls, stated in its record, on which all that is claimed is checked.

The proof runs them on symbols, the numeric checks of first and second order on drawn numbers, and
the parity tests on every kernel set. An elementwise operation needs none: its cases are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .record import Record

#: Where numbers are drawn from, unless the record's domain says otherwise.
DOMAIN = (-2.0, 2.0)


@dataclass(frozen=True)
class Case:
    """A call of an operation.

    Attributes: `arguments`, for each array argument either a shape (a tuple), for which numbers or
    symbols are drawn, or a constant (an array, a list or a number: labels, indices, conditions);
    `static`, the static arguments; `prepare`, a function of drawn Tensors that makes valid
    arguments of them (a positive definite matrix, say), differentiable like any other;
    `symbolic`: can the proof run this case on symbols?
    """

    arguments: Sequence[Any]
    static: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[..., Sequence[Any]] | None = None
    symbolic: bool = True

    def drawn(self) -> list[int]:
        """The positions of the arguments for which numbers are drawn."""
        return [i for i, each in enumerate(self.arguments) if isinstance(each, tuple)]

    def draw(self, record: Record, seed: int = 0) -> list[Any]:
        """The arguments, with arrays of float64 in place of shapes.

        No two of the numbers drawn from one domain are equal, or close to it: they are points of
        a grid, in random order.

        >>> import chainrule as cr
        >>> [each.shape for each in case((2, 3), (3,)).draw(cr.matmul.record)]
        [(2, 3), (3,)]
        """
        shapes = [self.arguments[i] for i in self.drawn()]
        sizes = [int(np.prod(shape)) for shape in shapes]
        rng = np.random.default_rng(seed)
        # Off the middle: 0, a kink of many operations, is not on the grid.
        grid = (rng.permutation(sum(sizes)) + 0.59) / max(1, sum(sizes))
        pieces = np.split(grid, np.cumsum(sizes)[:-1]) if sizes else []
        drawn = iter(zip(pieces, shapes, strict=True))
        arguments = []
        for position, each in enumerate(self.arguments):
            if isinstance(each, tuple):
                low, high = record.domain.get(record.argument_base(position), DOMAIN)
                piece, shape = next(drawn)
                each = (low + (high - low) * piece).reshape(shape)
            arguments.append(np.asarray(each) if isinstance(each, list) else each)
        return arguments

    def __repr__(self) -> str:
        told = [each if isinstance(each, tuple) else "constant" for each in self.arguments]
        return ", ".join([*map(str, told), *(f"{k}={v}" for k, v in self.static.items())])


def case(
    *arguments: Any,
    prepare: Callable[..., Sequence[Any]] | None = None,
    symbolic: bool = True,
    **static: Any,
) -> Case:
    """A case, written as the call is: shapes (or constants) in place of arrays, static arguments.

    >>> case((2, 3), axis=1)
    (2, 3), axis=1
    """
    return Case(arguments, static, prepare, symbolic)
