"""Gradients as functions: of given outputs with respect to given inputs, or of a function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from numpy import may_share_memory

from .backward import walk
from .creation import zeros_like
from .errors import GradientError
from .record import RECORDS
from .tape import enable_grad
from .tensor import Tensor, seed, wrap


def grad(
    outputs: Any,
    inputs: Any = None,
    grad_outputs: Any = None,
    create_graph: bool = False,
    *,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
    argnums: int | tuple[int, ...] = 0,
) -> Any:
    """The gradients of outputs with respect to inputs; or, given a function, its gradient function.

    Arguments: `outputs`, `inputs`: a Tensor or a sequence of Tensors each; `grad_outputs`, the
    upstream gradient of each output (1 for single elements); `create_graph`: record the gradient's
    own computation, so that it can be differentiated again; `retain_graph`: keep the graph for
    another call (by default as create_graph); `allow_unused`: give zeros for an input on which no
    output depends, rather than raise.

    With a function `f` as `outputs`, `cr.grad(f)` is the function that computes the gradient of
    its (one-element) result with respect to argument number `argnums`.

    Returns a Tensor for a Tensor, a tuple for a sequence; `.grad` is left alone.

    Raises GradientError if an input requires no gradient or is not used; ShapeError if an upstream
    gradient is missing or does not fit.

    >>> import chainrule as cr
    >>> x = cr.tensor(3.0, requires_grad=True)
    >>> (slope,) = cr.grad([x**3], [x], create_graph=True)
    >>> slope.item(), cr.grad(slope, x).item()
    (27.0, 18.0)
    >>> cr.grad(cr.grad(cr.sin))(0.5).item() == -cr.sin(0.5).item()
    True
    """
    if callable(outputs) and not isinstance(outputs, Tensor):
        if inputs is not None or grad_outputs is not None:
            raise TypeError(
                "grad: given a function, it returns the gradient function: cr.grad(f)(x)"
            )
        return _grad_function(outputs, argnums)
    if inputs is None:
        raise TypeError("grad: give inputs, the Tensors with respect to which to differentiate")
    many_out, many_in = not isinstance(outputs, Tensor), not isinstance(inputs, Tensor)
    outs: Sequence[Tensor] = list(outputs) if many_out else [outputs]
    ins: Sequence[Tensor] = list(inputs) if many_in else [inputs]
    if not outs or not ins:
        raise ValueError(f"grad: give at least one {'input' if outs else 'output'}")
    upstream = list(grad_outputs) if many_out and grad_outputs is not None else [grad_outputs]
    if grad_outputs is None:
        upstream = [None] * len(outs)
    if len(upstream) != len(outs):
        raise ValueError(
            f"grad: {len(outs)} outputs, but {len(upstream)} grad_outputs; give one for each"
        )
    for i, each in enumerate(ins):
        if not isinstance(each, Tensor) or each._node is None:
            raise GradientError(
                f"grad: inputs[{i}] requires no gradient; make it with requires_grad=True"
            )
    seeds = []
    for output, gradient in zip(outs, upstream, strict=True):
        given = seed(output, gradient, "grad")
        seeds.append((output._node, given if create_graph else given._data))
    targets = [each._node for each in ins]
    keep = create_graph if retain_graph is None else retain_graph
    with enable_grad():
        found = walk(seeds, on_tensors=create_graph, targets=targets, retain_graph=keep)  # type: ignore[arg-type]
    results: list[Tensor] = []
    given_memory = [each._data for _, each in seeds if isinstance(each, Tensor)]
    for i, (each, node) in enumerate(zip(ins, targets, strict=True)):
        gradient = found.get(node)  # type: ignore[arg-type]
        if gradient is None:
            if not allow_unused:
                raise GradientError(
                    f"grad: no output depends on inputs[{i}]; pass allow_unused=True for zeros"
                )
            gradient = each._device.xp.zeros(each.shape, each.dtype)
        if not isinstance(gradient, Tensor):
            gradient = wrap(gradient.copy(), each._device)
        elif any(may_share_memory(gradient._data, other) for other in given_memory):
            gradient = RECORDS["positive"].function(gradient)  # a copy, still in the graph
        given_memory.append(gradient._data)
        results.append(gradient)
    return tuple(results) if many_in else results[0]


def _grad_function(function: Callable[..., Any], argnums: int | tuple[int, ...]) -> Any:
    both = value_and_grad(function, argnums)

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Any:
    """The function that computes a function's value and its gradient together.

    Arguments: `function`, of Tensors, with a result of one element; `argnums`: the number of the
    argument to differentiate with respect to, or a tuple of numbers. Arguments may be Tensors,
    arrays or floats. The result is differentiable again.

    Raises GradientError if the function returns no Tensor.

    >>> import chainrule as cr
    >>> value, slope = cr.value_and_grad(lambda x: x * x)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)

    @functools.wraps(function)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        arguments = list(args)
        if not numbers or not all(-len(args) <= number < len(args) for number in numbers):
            raise IndexError(
                f"grad: argnums={argnums} names none of the {len(args)} positional arguments"
            )
        with enable_grad():
            for number in numbers:
                given = arguments[number]
                if isinstance(given, Tensor) and given.requires_grad:
                    arguments[number] = RECORDS["positive"].function(given)
                else:
                    arguments[number] = Tensor(given, requires_grad=True)
            result = function(*arguments, **kwargs)
            if not isinstance(result, Tensor):
                raise GradientError(
                    f"grad: the function must return a Tensor of one element, got {result!r}"
                )
            variables = [arguments[number] for number in numbers]
            again = _reaches_beyond(result, variables)
            if result.requires_grad:
                gradients = grad([result], variables, create_graph=again, allow_unused=True)
            else:
                gradients = tuple(zeros_like(each) for each in variables)
        value = result if again else result.detach()
        return value, gradients if isinstance(argnums, tuple) else gradients[0]

    return value_and_gradient


def _reaches_beyond(result: Tensor, variables: Sequence[Tensor]) -> bool:
    """Was it computed from tensors that require gradients, other than these variables?"""
    ours = {each._node for each in variables}
    seen, waiting = set(ours), [result._node]
    if any(each._node is not None and each._node.plan is not None for each in variables):
        return True
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.plan is None:
            return True
        waiting += node.parents or ()
    return False
