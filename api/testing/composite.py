"""Strategies that are written without hypothesis, which is imported when one is made."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Draws a value from a strategy.
Draw = Callable[[Any], Any]


def part_of_hypothesis(module: str, wanted_by: str) -> Any:
    """A module of hypothesis ("" is hypothesis itself), which is an extra.

    Raises ModuleNotFoundError, saying how to install it.

    >>> part_of_hypothesis("strategies", "tensors").__name__
    'hypothesis.strategies'
    """
    try:
        return importlib.import_module(f"hypothesis.{module}".rstrip("."))
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"chainrule.testing.{wanted_by}: needs hypothesis, which is not installed; "
            "install it with: pip install 'chainrule[test]'",
            name="hypothesis",
        ) from error


def composite(function: Callable[..., Any]) -> Callable[..., SearchStrategy[Any]]:
    """Hypothesis's decorator of that name, for a module that must import without hypothesis."""

    @functools.cache
    def made() -> Callable[..., Any]:
        make: Callable[..., Any] = part_of_hypothesis("strategies", function.__name__).composite
        return make(function)

    @functools.wraps(function)
    def strategy(*args: Any, **kwargs: Any) -> Any:
        return made()(*args, **kwargs)

    signature = inspect.signature(function)
    strategy.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(signature.parameters.values())[1:],
        return_annotation=inspect.Signature.empty,
    )
    return strategy
