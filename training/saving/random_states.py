"""The state of everything that draws random numbers in a run."""

from __future__ import annotations

import functools
import random as python_random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule.engine import random

Generators = list[tuple[str, np.random.Generator]]


def global_states() -> dict[str, Any]:
    """The state of chainrule's source, and of the global ones of NumPy and of Python."""
    version, words, gauss = python_random.getstate()
    then = random.moment()
    return {
        "chainrule": {
            "generator": then.generator,
            "key": then.key,
            "reserved": then.reserved,
        },
        "numpy": np.random.get_state(legacy=False),
        "python": {
            "version": version,
            "words": np.array(words, np.uint32),
            "gauss": gauss,
        },
    }


def load_global_states(state: dict[str, Any]) -> None:
    """Take on what `global_states()` returned.

    Raises:
        ValueError, TypeError, KeyError: it is no such state; some may have been taken on by then.
    """
    own = state["chainrule"]
    random.load(random.Moment(own["generator"], int(own["key"]), int(own["reserved"])))
    np.random.set_state(state["numpy"])
    python = state["python"]
    words = tuple(int(word) for word in python["words"])
    python_random.setstate((python["version"], words, python["gauss"]))


def generators_in(function: Callable[..., Any] | None) -> Generators:
    """The NumPy generators that a function holds on to, each with a name that stays the same.

    They are looked for in what `functools.partial` has bound, in default values, in the variables
    of an enclosing function, among the global names that it uses, and in the attributes of the
    object that it is, or is a method of.

    >>> source = np.random.default_rng(0)
    >>> [name for name, _ in generators_in(lambda x: x + source.normal())]
    ['global source']
    """
    found: dict[int, tuple[str, np.random.Generator]] = {}
    for name, value in _held(function, "", 0):
        found.setdefault(id(value), (name, value))
    return list(found.values())


def _held(function: Any, prefix: str, depth: int) -> Iterator[tuple[str, np.random.Generator]]:
    if function is None or depth > 4:
        return
    for name, value in _reached(function):
        if isinstance(value, np.random.Generator):
            yield f"{prefix}{name}", value
        elif isinstance(value, functools.partial) or (
            callable(value) and hasattr(value, "__code__")
        ):
            yield from _held(value, f"{prefix}{name} > ", depth + 1)


def _reached(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function can reach, by name."""
    if isinstance(function, functools.partial):
        yield "function", function.func
        yield from ((f"argument {i}", each) for i, each in enumerate(function.args))
        yield from function.keywords.items()
        return
    owner = getattr(function, "__self__", None)
    if owner is None and not hasattr(function, "__code__"):
        owner = function
    if owner is not None and not isinstance(owner, type):
        yield from getattr(owner, "__dict__", {}).items()
        method = getattr(function, "__func__", None)
        function = vars(type(owner)).get("__call__") if method is None else method
    code = getattr(function, "__code__", None)
    if code is None:
        return
    defaults = function.__defaults__ or ()
    yield from ((f"default {i}", each) for i, each in enumerate(defaults))
    yield from (function.__kwdefaults__ or {}).items()
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"variable {name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in code.co_names:
        if name in function.__globals__:
            yield f"global {name}", function.__globals__[name]


def states_of(generators: Generators) -> dict[str, Any]:
    """The state of each generator, by its name."""
    return {name: each.bit_generator.state for name, each in generators}


def load_states_of(generators: Generators, saved: dict[str, Any], *, what: str) -> None:
    """Put each generator where its namesake was.

    Raises:
        ValueError: there are others than those saved, or of another kind.
    """
    own = dict(generators)
    if set(own) != set(saved):
        raise ValueError(
            f"fit: {what} held the random generators {', '.join(saved) or 'none'} when the "
            f"checkpoint was written, and holds {', '.join(own) or 'none'} now; give the function "
            "of then"
        )
    for name, generator in generators:
        kind = saved[name].get("bit_generator")
        if kind != generator.bit_generator.state["bit_generator"]:
            raise ValueError(
                f"fit: the random generator {name} of {what} was a {kind} when the checkpoint was "
                f"written, and is a {type(generator.bit_generator).__name__} now"
            )
    for name, generator in generators:
        generator.bit_generator.state = saved[name]
