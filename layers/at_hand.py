"""Building for weights that are at hand already, in a file: none is drawn, none of another shape.

A configuration from a file may ask for a layer of any size. While a model is built for the weights
of that file, each weight must have the shape of one of them, and each of them serves once: so what
is allocated is never more than what the file holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from chainrule.engine.errors import ShapeError

_shapes: ContextVar[Counter[tuple[int, ...]] | None] = ContextVar("shapes", default=None)


@contextmanager
def weights_at_hand(shapes: Iterable[tuple[int, ...]]) -> Iterator[None]:
    """For the length of a `with` block, layers are built for weights of these shapes, as zeros.

    Their values are to be assigned afterwards; no random number is drawn.

    >>> from chainrule.layers import Dense
    >>> from chainrule.layers.at_hand import weights_at_hand
    >>> with weights_at_hand([(3, 2), (2,)]):
    ...     layer = Dense(2)
    ...     layer.build((None, 3))
    >>> layer.kernel.tolist()
    [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    token = _shapes.set(Counter(tuple(shape) for shape in shapes))
    try:
        yield
    finally:
        _shapes.reset(token)


def first_values(
    name: str, shape: tuple[int, ...], dtype: Any, initializer: Callable[..., Any], where: str
) -> Any:
    """What a weight starts as: as the initialiser says, or zeros where its values are at hand.

    Raises ShapeError if no weight at hand has that shape.
    """
    left = _shapes.get()
    if left is None:
        return initializer(shape, dtype)
    if not left[shape]:
        known = ", ".join(map(str, sorted(+left))) or "none is left"
        known = known if len(known) <= 200 else f"{known[:200]}…"
        raise ShapeError(
            f"{where}: {name} would have shape {shape}, but of the weights at hand none has: "
            f"{known}"
        )
    left[shape] -= 1
    return np.zeros(shape, dtype)
