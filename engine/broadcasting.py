"""Broadcasting undone: in this one place, for all operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import misshapen

if TYPE_CHECKING:
    from .record import Record


def unbroadcast(
    k: Any, gradient: Any, shape: tuple[int, ...], record: Record, position: int
) -> Any:
    """The sum of a gradient over the axes along which a value of `shape` had been repeated."""
    given = gradient.shape
    extra = len(given) - len(shape)
    tail = given[extra:] if extra >= 0 else ()
    if extra < 0 or any(b not in (a, 1) for a, b in zip(tail, shape, strict=True)):
        raise misshapen(record, position, gradient, shape)
    repeated = [extra + i for i, (a, b) in enumerate(zip(tail, shape, strict=True)) if a != b]
    gradient = k.sum(gradient, axis=(*range(extra), *repeated))
    return k.reshape(gradient, shape) if repeated else gradient
