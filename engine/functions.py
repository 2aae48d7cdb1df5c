"""The functions that users call, and their documentation, made from the operation records."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .devices import REFERENCE
from .foreign import kept
from .tensor import Tensor

if TYPE_CHECKING:
    from .record import Record

_SOURCE = """
def {name}({parameters}):
    {shortcut}
    return _apply(_record, {inputs}, {static})
"""

#: The way past `apply` for calls with nothing but Tensors; saves 0.3 µs each.
_SHORTCUT = """if {tensors}:
        _device = {first}._device
        if {together}:
            _key = {key}
            return _compute(
                _record, _device, ({data}), ({nodes}), ({storages}), _key, {static}
            )"""


def public_function(
    record: Record, apply: Callable[..., Any], compute: Callable[..., Any]
) -> Callable[..., Any]:
    """The function users call: the record's own signature, without `k`, over `apply`."""
    function = _converting(record, apply) if record.call else _direct(record, apply, compute)
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


def _direct(
    record: Record, apply: Callable[..., Any], compute: Callable[..., Any]
) -> Callable[..., Any]:
    """A function that takes what the record's forward function does."""
    defaults = record.defaults
    names = record.arguments
    frozen = {each: f"_freeze[{each!r}]({each})" for each in record.freeze}
    for each in record.statics:
        if not record.builtin:
            frozen.setdefault(each, f"_kept({record.name!r}, {each!r}, {each})")
        elif each in ("axis", "axes"):
            frozen.setdefault(each, f"tuple({each}) if type({each}) is list else {each}")
    static = ", ".join(f"{each!r}: {frozen.get(each, each)}" for each in record.statics)
    texts = {
        "name": record.name,
        "parameters": ", ".join(
            p.name + (f"=_defaults[{p.name!r}]" if p.name in defaults else "")
            for p in record.signature
        ),
        "static": f"{{{static}}}" if static else "_nothing",
        "inputs": f"tuple({names[0]})" if record.variadic else f"({', '.join(names)},)",
        "first": names[0],
        "tensors": " and ".join(f"type({each}) is _Tensor" for each in names),
        "together": " and ".join(f"{each}._device is _device" for each in names[1:]) or "True",
        "key": " | ".join(f"({each}._node is not None) << {i}" for i, each in enumerate(names))
        + f" | {1 << len(names)}",
        "data": "".join(f"{each}._data, " for each in names),
        "nodes": "".join(f"{each}._node, " for each in names),
        "storages": "".join(f"{each}._storage, " for each in names),
    }
    shortcut = "" if record.variadic or record.composed else _SHORTCUT.format(**texts)
    space: dict[str, Any] = {
        "__name__": __name__,  # its frames are ours, not the user's
        "_Tensor": Tensor,
        "_apply": apply,
        "_compute": compute,
        "_defaults": defaults,
        "_freeze": record.freeze,
        "_kept": kept,
        "_nothing": {},
        "_record": record,
    }
    exec(_SOURCE.format(shortcut=shortcut, **texts), space)
    function: Callable[..., Any] = space[record.name]
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
