"""Arrays as the source of a pipeline: in memory, or memory maps that are larger than it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from chainrule.training.inputs import count, mapped

from .elements import Element
from .fingerprints import array_fingerprint
from .steps import Opened, Run, Step


class ArraySource(Step):
    """The rows of checked arrays."""

    name = "arrays"

    def __init__(self, x: Any, y: np.ndarray | None) -> None:
        self.x, self.y = mapped(_shared, x), None if y is None else _shared(y)
        self.length = count(x)
        self.element = _row(self.x, self.y, 0)

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        found = {"x": array_fingerprint(self.x)}
        return found if self.y is None else {**found, "y": array_fingerprint(self.y)}

    def settings(self) -> dict[str, Any]:
        """The fingerprint of the arrays, whose contents are read once."""
        return self._fingerprint

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Rows(self.x, self.y, self.length)


class _Rows(Opened):
    def __init__(self, x: Any, y: np.ndarray | None, length: int | None) -> None:
        self.x, self.y, self.length = x, y, length

    def get(self, index: int) -> Element:
        return _row(self.x, self.y, index)

    def rows(self, which: Any) -> Element:
        return _row(self.x, self.y, which)


def _row(x: Any, y: np.ndarray | None, which: Any) -> Element:
    return Element(mapped(lambda each: each[which], x), None if y is None else y[which])


def _shared(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: it is the user's memory."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view
