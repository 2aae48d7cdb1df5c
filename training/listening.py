"""An observer (see `devices.Mode`) that hears of every layer called, and what it returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.engine.devices import Mode, state
from chainrule.engine.record import compute


class Listener:
    """Tells a function of each call of a layer: `hear(layer, result)`.

    Arguments: `mode`, the mode that there was before, in which all is computed.
    """

    def __init__(self, hear: Callable[[Any, Any], None], mode: Mode | None) -> None:
        self.returned, self.mode = hear, mode

    def compute(self, *call: Any) -> Any:
        """The result of `record.compute`."""
        before, state.mode = state.mode, self.mode
        try:
            return compute(*call)
        finally:
            state.mode = before

    def changed(self, storage: Any) -> None:
        """Nothing is noted."""

    def checks(self) -> None:
        """Nothing is noted."""


@contextmanager
def listening(hear: Callable[[Any, Any], None]) -> Iterator[None]:
    """For the length of a `with` block, `hear(layer, result)` is called for each layer's call.

    >>> from chainrule.layers import Flatten
    >>> with listening(lambda layer, result: print(layer.name, result.shape)):
    ...     y = Flatten()([[1.0, 2.0]])
    flatten (1, 2)
    """
    before = state.mode
    state.mode = Mode(None if before is None else before.kernel_set, Listener(hear, before))
    try:
        yield
    finally:
        state.mode = before
