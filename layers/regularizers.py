"""Regularisers: penalties on large weights, added to the loss, by Keras's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np

from chainrule.engine.making import Kind, made
from chainrule.engine.operations.arithmetic import square
from chainrule.engine.tensor import Tensor

from .config import Configured


class Regularizer(Configured):
    """Makes a penalty, a Tensor of shape (), of a weight: `regularizer(weight)`.

    A subclass defines `__call__`.
    """

    name: ClassVar[str] = ""

    def __call__(self, weight: Tensor) -> Tensor:
        """The penalty."""
        raise NotImplementedError(f"{type(self).__name__}: define __call__(self, weight)")

    @classmethod
    def by_name(cls) -> Regularizer:
        """What its name alone means."""
        return cls()

    def identifier(self) -> Any:
        """Its name, if that means one with these arguments."""
        known = REGULARIZERS.get(self.name) is type(self)
        if known and self.get_config() == self.by_name().get_config():
            return self.name
        return self.to_config()


class L1(Regularizer):
    """l1 Σ |w|, whose gradient l1 sign(w) drives weights to 0 exactly.

    Arguments: `l1`, the factor, at least 0.

    Raises ValueError for a factor that is negative or not finite.

    >>> import chainrule as cr
    >>> L1(0.5)(cr.tensor([1.0, -3.0])).item()
    2.0
    """

    name = "l1"

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = _factor(l1, "L1: l1")

    def __call__(self, weight: Tensor) -> Tensor:
        """l1 Σ |w|"""
        return self.l1 * abs(weight).sum()


class L2(Regularizer):
    """l2 Σ w², whose gradient 2 l2 w shrinks weights in proportion.

    Arguments: `l2`, the factor, at least 0.

    Raises ValueError for a factor that is negative or not finite.

    >>> import chainrule as cr
    >>> L2(0.5)(cr.tensor([1.0, -3.0])).item()
    5.0
    """

    name = "l2"

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = _factor(l2, "L2: l2")

    def __call__(self, weight: Tensor) -> Tensor:
        """l2 Σ w²"""
        return self.l2 * square(weight).sum()


class L1L2(Regularizer):
    """l1 Σ |w| + l2 Σ w².

    Arguments: `l1` and `l2`, the factors, at least 0; one that is not given is 0. The name "l1_l2"
    means 0.01 for both.

    Raises ValueError for a factor that is negative or not finite.

    >>> import chainrule as cr
    >>> L1L2(l1=1.0, l2=0.5)(cr.tensor([1.0, -3.0])).item()
    9.0
    """

    name = "l1_l2"

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = _factor(l1, "L1L2: l1"), _factor(l2, "L1L2: l2")

    @classmethod
    def by_name(cls) -> Regularizer:
        """Both factors 0.01."""
        return cls(0.01, 0.01)

    def __call__(self, weight: Tensor) -> Tensor:
        """l1 Σ |w| + l2 Σ w²"""
        return self.l1 * abs(weight).sum() + self.l2 * square(weight).sum()


#: Every regulariser by its name, which is Keras's.
REGULARIZERS: dict[str, type[Regularizer]] = {cls.name: cls for cls in (L1, L2, L1L2)}
#: What a configuration of a regulariser may describe.
KIND = Kind("regularizer", Regularizer, {cls.__name__: cls for cls in REGULARIZERS.values()})


def _factor(value: Any, where: str) -> float:
    number = isinstance(value, (int, float, np.integer, np.floating)) and value is not True
    if not number or not 0 <= value < np.inf:
        raise ValueError(f"{where} must be a number of at least 0, got {value!r}")
    return float(value)


def get_regularizer(identifier: Any) -> Callable[[Tensor], Tensor] | None:
    """The regulariser meant by a name, None, a `Regularizer`, or a callable weight -> penalty.

    Raises ValueError for anything else, listing the names that are known.

    >>> get_regularizer("l2"), get_regularizer(None)
    (L2(), None)
    """
    if identifier is None:
        return None
    if isinstance(identifier, str) and identifier in REGULARIZERS:
        return REGULARIZERS[identifier].by_name()
    if isinstance(identifier, dict) and set(identifier) == {"class_name", "config"}:
        return cast("Regularizer", made(identifier, KIND))
    elif isinstance(identifier, type) and issubclass(identifier, Regularizer):
        return identifier.by_name()
    elif callable(identifier):
        return cast("Callable[[Tensor], Tensor]", identifier)
    raise ValueError(
        f"regularizer: {identifier!r} is unknown; known: {', '.join(map(repr, REGULARIZERS))}, "
        "L1(...), L2(...), L1L2(...), or a callable weight -> penalty"
    )
