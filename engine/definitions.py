"""Defining operations: `operation`, `elementwise`, `composition` make a record and its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import DtypeError, describe
from .functions import public_function
from .record import RECORDS, Record, apply, tensor_functions
from .tensor import Tensor, as_operand, is_array


def compose(record: Record, inputs: Sequence[Any], static: dict[str, Any]) -> Any:
    """Runs a composition: its forward function on Tensors, which records what it is made of."""
    given = [as_operand(value, record.name) for value in inputs]
    weak = record.elementwise and any(type(value) is Tensor for value in given)
    device = next((value._device for value in given if type(value) is Tensor), None)
    tensors = [
        value
        if type(value) is Tensor or (weak and not is_array(value))
        else Tensor(value, device=device)
        for value in given
    ]
    result = record.forward(tensor_functions, *tensors, **static)
    several = result if isinstance(result, tuple) else (result,)
    if not several or not all(isinstance(each, Tensor) for each in several):
        raise DtypeError(
            f"{record.name}: forward of a composition must return a Tensor, or a tuple of Tensors, "
            f"got {describe(result)} of type {type(result).__name__}"
        )
    return result


def operation(
    name: str,
    *,
    forward: Callable[..., Any],
    vjp: Callable[..., Any] | Mapping[str, Callable[..., Any]] | None = None,
    joint: Callable[..., Any] | None = None,
    **about: Any,
) -> Callable[..., Any]:
    """Defines an operation, and returns its function.

    `forward(k, x, ..., *, static)` returns the result, or (result, residuals). `vjp` is one
    function for an operation of one argument, or one per argument name; an argument without one
    has no gradient. `joint(k, g, needed, ...)` is told which arguments need a gradient and
    returns one for each argument (None where not needed). The rest describes it: see `Record`.

    Raises TypeError if a VJP reads a name that the operation does not have, or if one VJP is given
    for several arguments.

    >>> import chainrule as cr
    >>> cube = cr.operation(
    ...     "cube", forward=lambda k, x: x**3, vjp=lambda k, g, x: 3 * g * x**2, formula="x**3"
    ... )
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad.item()
    12.0
    """
    parameters = [*inspect.signature(forward).parameters.values()][1:]
    arguments = [each.name for each in parameters if each.kind is not each.KEYWORD_ONLY]
    if not name.isidentifier():
        raise TypeError(f"operation: name must be an identifier of Python's, got {name!r}")
    if vjp and any(each.kind is each.VAR_POSITIONAL for each in parameters):
        raise TypeError(
            f"operation '{name}': takes any number of tensors, as one sequence; give "
            "joint(k, g, needed, ...), which returns a list of their gradients, in place of vjp"
        )
    if callable(vjp):
        if len(arguments) > 1:
            raise TypeError(
                f"operation '{name}': has {len(arguments)} arguments; give a VJP by name for each "
                f"that has a gradient, as in vjp={{{arguments[0]!r}: lambda k, g, ...: ...}}"
            )
        vjp = {arguments[0]: vjp}
    derivative = about.get("derivative")
    if isinstance(derivative, str):
        about["derivative"] = {next(iter(vjp or arguments)): derivative}
    record = Record(name, forward, vjp or {}, joint, **about)
    record.function = public_function(record, compose if record.composed else apply)
    for position in range(len(record.arguments) if not record.variadic else 0):
        if joint or record.arguments[position] in record.vjps:
            record.plan(1 << position | 1 << len(record.arguments))  # finds misspelt names now
    if name not in RECORDS or not RECORDS[name].builtin:
        RECORDS[name] = record
        vars(tensor_functions).pop(name, None)  # an earlier one of that name
    return record.function


def elementwise(
    name: str,
    *,
    formula: str,
    derivative: str | Mapping[str, str] = (),  # type: ignore[assignment]
    **about: Any,
) -> Callable[..., Any]:
    """Defines an operation that acts on each element; `formula` and `derivative` are SymPy text.

    The arguments are those of `operation`, which it calls.

    >>> import chainrule as cr
    >>> cubed = cr.elementwise(
    ...     "cubed", formula="x**3", derivative="3*x**2",
    ...     forward=lambda k, x: x * x * x, vjp=lambda k, g, x: g * (3 * x * x),
    ... )
    >>> cr.grad(cubed)(2.0).item()
    12.0
    """
    return operation(name, formula=formula, derivative=derivative or {}, elementwise=True, **about)


def composition(name: str, *, forward: Callable[..., Any], **about: Any) -> Callable[..., Any]:
    """Defines an operation that is made of others: its gradient is theirs, by the chain rule.

    `forward(k, x, ..., *, static)` computes with `k` and with Tensors only, and returns a Tensor,
    or a tuple of Tensors. The other arguments are those of `operation`; the `derivative` is stated
    for the reader.

    >>> import chainrule as cr
    >>> halves = cr.composition(
    ...     "halves", forward=lambda k, x: (x[: len(x) // 2], x[len(x) // 2 :]),
    ...     formula="x, cut in two",
    ... )
    >>> [each.tolist() for each in halves([1.0, 2.0, 3.0])]
    [[1.0], [2.0, 3.0]]
    """
    return operation(name, forward=forward, composed=True, **about)
