"""The functions that users call, and their documentation, made from the operation records."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .devices import REFERENCE
from .foreign import kept
from .shortcuts import shorten

if TYPE_CHECKING:
    from .record import Record

#: Every function at first; most are given a shorter way when they are first called.
_SOURCE = """
def {name}({parameters}):
    return _apply(_record, {inputs}, {{{static}}})
"""


def public_function(record: Record, apply: Callable[..., Any]) -> Callable[..., Any]:
    """The function users call: the record's own signature, without `k`, over `apply`."""
    function = _converting(record, apply) if record.call else _direct(record, apply)
    function.__module__ = "chainrule.engine.record"
    function.__doc__ = documentation(record)
    function.record = record  # type: ignore[attr-defined]
    return function


def _converting(record: Record, apply: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the signature of the record's `call`, which converts the arguments."""
    call: Callable[..., Any] = record.call  # type: ignore[assignment]
    call.__qualname__ = record.name  # what Python's own errors about arguments will say

    def function(*given: Any, **named: Any) -> Any:
        return apply(record, *call(*given, **named))

    function.__name__ = function.__qualname__ = record.name
    parameters = [
        each.replace(annotation=each.empty) for each in inspect.signature(call).parameters.values()
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def _direct(record: Record, apply: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes what the record's forward function does."""
    defaults = record.defaults
    names = record.arguments
    frozen = {each: f"_freeze[{each!r}]({each})" for each in record.freeze}
    for each in record.statics:
        if not record.builtin:
            frozen.setdefault(each, f"_kept({record.name!r}, {each!r}, {each})")
        elif each in ("axis", "axes"):
            frozen.setdefault(each, f"tuple({each}) if type({each}) is list else {each}")
    parameters = ", ".join(
        each.name + (f"=_defaults[{each.name!r}]" if each.name in defaults else "")
        for each in record.signature
    )
    source = _SOURCE.format(
        name=record.name,
        parameters=parameters,
        inputs=f"tuple({names[0]})" if record.variadic else f"({', '.join(names)},)",
        static=", ".join(f"{each!r}: {frozen.get(each, each)}" for each in record.statics),
    )
    space: dict[str, Any] = {
        "__name__": __name__,  # its frames are ours, not the user's
        "_apply": apply,
        "_defaults": defaults,
        "_freeze": record.freeze,
        "_kept": kept,
        "_record": record,
    }
    exec(source, space)
    function: Callable[..., Any] = space[record.name]
    if not (record.variadic or record.composed):
        shorten(function, record, parameters, frozen)
    return function


def documentation(record: Record) -> str:
    """The docstring of a record's function, put together from its fields."""
    parts = [record.summary or f"The operation {record.name}."]
    if record.formula:
        parts.append(f"    {record.name} = {record.formula}")
    for argument, text in record.derivative.items():
        parts.append(f"    d/d{argument} = {text}")
    if record.elementwise and len(record.arguments) > 1:
        parts.append("Arguments are Tensors, arrays or numbers, broadcast as in NumPy.")
    if not record.differentiable:
        parts.append("Has no gradient.")
    if record.kinks:
        parts.append(f"Not differentiable at {', '.join(map(str, record.kinks))}.")
    if record.notes:
        parts.append(inspect.cleandoc(record.notes))
    if record.example:
        parts.append(inspect.cleandoc(record.example))
    return "\n\n".join(parts) + "\n"


class TensorFunctions:
    """The namespace `k` that computes on Tensors, by recorded operations.

    A name is a record's function, or else a kernel's reference, run on this same namespace.
    """

    def __init__(self, records: dict[str, Record]) -> None:
        self._records = records

    def __getattr__(self, name: str) -> Any:
        if name in self._records:
            value: Any = self._records[name].function
        elif name in REFERENCE:
            reference = REFERENCE[name]

            def value(*args: Any, **kwargs: Any) -> Any:
                return reference(self, *args, **kwargs)
        else:
            raise AttributeError(f"no operation or kernel is called {name!r}")
        setattr(self, name, value)
        return value
