"""The random generators that functions and objects of the user's hold on to."""

from __future__ import annotations

import dis
import functools
import random as python_random
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

#: What draws random numbers, and has a state that can be kept.
Generator = np.random.Generator | np.random.RandomState | python_random.Random
Generators = list[tuple[str, Generator]]

#: How deep objects are looked for in each other, and how long a list is looked through.
DEEPEST, LONGEST = 8, 1000

#: Packages of which no function or object is looked into: they hold none of the user's.
FOREIGN = {"builtins", "chainrule", "numpy", "numba", "cupy", "PIL", "random", "threading"}


def generators_in(roots: Mapping[str, Any]) -> Generators:
    """The random generators that functions and objects hold on to, by names that stay the same.

    Those of NumPy (`Generator`, `RandomState`) and of Python (`random.Random`) are found. They are
    looked for in what `functools.partial` has bound, in default values, in the variables of an
    enclosing function, among the global names that a function uses (within its inner functions
    too), in the attributes of objects and their classes, in modules by the attributes that are
    used of them, and in lists, tuples and dicts; and in what is found there.

    Arguments: `roots`, by name, what is looked into; None is nothing.

    >>> source = np.random.default_rng(0)
    >>> [name for name, _ in generators_in({"augment": functools.partial(max, source)})]
    ['augment > argument 0']
    """
    found: dict[int, tuple[str, Generator]] = {}
    seen: dict[int, Any] = {}  # kept alive, so that no other object gets its id
    for name, root in roots.items():
        for path, each in _search(root, name, seen, is_root=True):
            found.setdefault(id(each), (path, each))
    return list(found.values())


def _search(
    value: Any, path: str, seen: dict[int, Any], depth: int = 0, is_root: bool = False
) -> Iterator[tuple[str, Generator]]:
    if isinstance(value, Generator):
        if not isinstance(value, python_random.SystemRandom):  # which has no state
            yield path, value
        return
    if depth > DEEPEST or id(value) in seen:
        return
    seen[id(value)] = value
    for name, each in _reached(value, is_root):
        yield from _search(each, f"{path} > {name}", seen, depth + 1)


def _reached(value: Any, is_root: bool) -> Iterable[tuple[str, Any]]:
    """What can be reached from a value in one step, by name."""
    if isinstance(value, functools.partial):
        arguments = ((f"argument {i}", each) for i, each in enumerate(value.args))
        return [("function", value.func), *arguments, *value.keywords.items()]
    if isinstance(value, (list, tuple)):
        return [(str(i), each) for i, each in enumerate(value[:LONGEST])]
    if isinstance(value, dict):
        return [(str(key), each) for key, each in list(value.items())[:LONGEST]]
    if isinstance(value, (type, ModuleType, np.ndarray)):
        return []
    if isinstance(value, MethodType):
        return [("self", value.__self__), *_of_function(value.__func__, value.__self__)]
    if isinstance(value, FunctionType):
        return [] if _is_foreign(value) else _of_function(value, None)
    owner = getattr(value, "__self__", None)  # a method that is written in C: rng.normal
    if owner is not None and not isinstance(owner, ModuleType):
        return [("self", owner)]
    return [] if _is_foreign(type(value)) and not is_root else _of_object(value)


def _is_foreign(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").split(".")[0] in FOREIGN


def _of_object(value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes, of the object and its classes, and what is reached by calling it."""
    yield from list(getattr(value, "__dict__", {}).items())
    for cls in type(value).__mro__:
        if _is_foreign(cls):
            continue
        for name, each in list(vars(cls).items()):
            if isinstance(each, (FunctionType, property, classmethod)) or name.startswith("__"):
                continue
            # A slot is a descriptor, whose value is the object's.
            yield name, each.__get__(value, cls) if _is_slot_set(each, value) else each
    for name in ("__call__", "call"):
        function = getattr(type(value), name, None)
        if isinstance(function, FunctionType) and not _is_foreign(function):
            yield from _of_function(function, value)


def _is_slot_set(descriptor: Any, value: Any) -> bool:
    name = getattr(descriptor, "__name__", "")
    return type(descriptor).__name__ == "member_descriptor" and hasattr(value, name)


def _of_function(function: Any, owner: Any) -> Iterator[tuple[str, Any]]:
    """Default values, variables of enclosing functions, globals and methods that are used."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return
    yield from ((f"default {i}", each) for i, each in enumerate(function.__defaults__ or ()))
    yield from (function.__kwdefaults__ or {}).items()
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"variable {name}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name, *attributes in dict.fromkeys(_global_names(code)):
        value, path = function.__globals__.get(name), f"global {name}"
        while isinstance(value, ModuleType) and attributes:  # as in np.random.normal
            attribute, *attributes = attributes
            value, path = vars(value).get(attribute), f"{path}.{attribute}"
        if value is not None:
            yield path, value
    for name in dict.fromkeys(_names(code)) if owner is not None else ():
        method = getattr(type(owner), name, None)
        if isinstance(method, FunctionType):
            yield f"method {name}", MethodType(method, owner)


def _global_names(code: CodeType) -> Iterator[tuple[str, ...]]:
    """The global names that code uses, with the attributes that it asks them for.

    >>> list(_global_names((lambda x: np.random.normal(x) + len(x)).__code__))
    [('np', 'random', 'normal'), ('len',)]
    """
    for each in _codes(code):
        chain: tuple[str, ...] = ()
        for step in dis.get_instructions(each):
            if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and chain:
                chain += (str(step.argval),)
            elif step.opname != "EXTENDED_ARG":
                if chain:
                    yield chain
                is_global = step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
                chain = (str(step.argval),) if is_global else ()


def _names(code: CodeType) -> Iterator[str]:
    """The names that code uses, those of attributes included."""
    for each in _codes(code):
        yield from each.co_names


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Code, and that of the functions and comprehensions within."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes(each)


def states_of(generators: Generators) -> dict[str, Any]:
    """The state of each generator, by its name."""
    return {name: state_of(each) for name, each in generators}


def load_states_of(generators: Generators, saved: dict[str, Any]) -> None:
    """Put each generator where its namesake was.

    Raises:
        ValueError: there are others than those saved, or of another kind; nothing is changed.
    """
    own = dict(generators)
    if set(own) != set(saved):
        raise ValueError(
            f"fit: the run held the random generators {', '.join(saved) or 'none'} when the "
            f"checkpoint was written, and holds {', '.join(own) or 'none'} now; give the functions "
            "of then"
        )
    for name, generator in generators:
        then, now = kind_of(saved[name]), kind_of(state_of(generator))
        if then != now:
            raise ValueError(
                f"fit: the random generator {name} was a {then} when the checkpoint was written, "
                f"and is a {now} now"
            )
    for name, generator in generators:
        load_state_of(generator, saved[name])


def state_of(generator: Generator) -> dict[str, Any]:
    """The state of a generator, as plain data and arrays."""
    if isinstance(generator, python_random.Random):
        version, words, gauss = generator.getstate()
        return {"version": version, "words": np.array(words, np.uint32), "gauss": gauss}
    if isinstance(generator, np.random.RandomState):
        return dict(generator.get_state(legacy=False))
    return dict(generator.bit_generator.state)


def load_state_of(generator: Generator, state: dict[str, Any]) -> None:
    """Take on what `state_of` returned for a generator of the same kind."""
    if isinstance(generator, python_random.Random):
        words = tuple(int(word) for word in state["words"])
        generator.setstate((state["version"], words, state["gauss"]))
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state


def kind_of(state: dict[str, Any]) -> str:
    """The name of the algorithm that a state is of."""
    if "bit_generator" in state:
        return str(state["bit_generator"])
    return f"random.Random of version {state['version']}"
