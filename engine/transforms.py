"""Gradients as functions: of given outputs with respect to given inputs, or of a function.

What differentiates a function (here and in `derivatives.py`) calls it on *variables*: copies of its
arguments that nobody else has. So two derivatives of one variable cannot be confused, however
they are nested: each level has nodes of its own. A copy of a tensor that requires gradients hangs
in the graph below its original, through which outer levels see the dependence.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy import may_share_memory

from .backward import walk
from .creation import zeros_like
from .errors import Allocating, DtypeError, GradientError, describe
from .record import RECORDS
from .tape import enable_grad, is_recording
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
        return gradient_function("grad", outputs, argnums)
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
    with enable_grad(), Allocating("grad", outs[0]._device):
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


def gradient_function(
    where: str, function: Callable[..., Any], argnums: int | tuple[int, ...]
) -> Callable[..., Any]:
    """The function that computes the gradient of a function; errors name `where`."""

    @functools.wraps(function)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return _value_and_gradient(where, function, argnums, args, kwargs)[1]

    return gradient


def value_and_grad(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Any:
    """The function that computes a function's value and its gradient together.

    Arguments: `function`, of Tensors, with a result of one element; `argnums`: the number of the
    argument to differentiate with respect to, or a tuple of numbers. Arguments may be Tensors,
    arrays or floats. The result is differentiable again, unless it is computed in `no_grad()`.

    Raises GradientError if the function returns no Tensor, DtypeError for an argument that is not
    floating.

    >>> import chainrule as cr
    >>> value, slope = cr.value_and_grad(lambda x: x * x)(3.0)
    >>> value.item(), slope.item()
    (9.0, 6.0)
    """

    @functools.wraps(function)
    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        return _value_and_gradient("grad", function, argnums, args, kwargs)

    return value_and_gradient


def _value_and_gradient(
    where: str,
    function: Callable[..., Any],
    argnums: int | tuple[int, ...],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> tuple[Tensor, Any]:
    traced = trace(where, function, args, kwargs, argnums, single=True)
    gradients = traced.pull_back([None], traced.beyond, retain_graph=traced.beyond)
    return traced.value, gradients if isinstance(argnums, tuple) else gradients[0]


@dataclass(frozen=True)
class Traced:
    """A function's outputs, and the variables from which it computed them.

    `many`: did it return a tuple? `beyond`: is the result to be differentiated again, because it
    depends on tensors that require gradients, other than the variables alone?
    """

    variables: list[Tensor]
    outputs: list[Tensor]
    many: bool
    beyond: bool

    @property
    def value(self) -> Any:
        """What the function returned; outside of the graph if nothing but its variables is there.

        The variables are nobody's business.
        """
        return self.like_outputs([x if self.beyond else x.detach() for x in self.outputs])

    def like_outputs(self, results: Sequence[Any]) -> Any:
        """Results, one for each output, in a tuple if the outputs were in one."""
        return tuple(results) if self.many else results[0]

    def pull_back(
        self, upstreams: Sequence[Any], create_graph: bool, retain_graph: bool = True
    ) -> tuple[Tensor, ...]:
        """The gradient with respect to each variable, given the upstream gradient of each output.

        Zeros where an output does not depend on a variable.
        """
        return pull_back(self.outputs, self.variables, upstreams, create_graph, retain_graph)


def pull_back(
    outputs: Sequence[Tensor],
    variables: Sequence[Tensor],
    upstreams: Sequence[Any],
    create_graph: bool,
    retain_graph: bool = True,
) -> tuple[Tensor, ...]:
    """The gradients with respect to variables, zeros where no output depends on one."""
    # A node older than every variable was computed without them. It is left out, for its graph
    # is somebody else's, and may be gone.
    start = min(each._node.moment for each in variables)  # type: ignore[union-attr]
    pairs = [
        (output, upstream)
        for output, upstream in zip(outputs, upstreams, strict=True)
        if output._node is not None and output._node.moment >= start
    ]
    if not pairs:
        return tuple(zeros_like(each) for each in variables)
    newer, given = zip(*pairs, strict=True)
    return grad(
        newer,
        variables,
        given,
        create_graph=create_graph,
        retain_graph=retain_graph,
        allow_unused=True,
    )


def trace(
    where: str,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    argnums: int | tuple[int, ...],
    *,
    single: bool = False,
) -> Traced:
    """Calls a function with variables for the arguments with these numbers, and records it.

    Raises IndexError for numbers of no argument, DtypeError for arguments or outputs that are not
    floating, GradientError if it returns something else than Tensors; or, if `single`, than one.
    """
    arguments, variables = list(args), []
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(
        isinstance(number, int) and -len(args) <= number < len(args) for number in numbers
    ):
        raise IndexError(
            f"{where}: argnums={argnums!r} names none of the {len(args)} positional arguments"
        )
    if len({number % len(args) for number in numbers}) != len(numbers):
        raise IndexError(f"{where}: argnums={argnums!r} names an argument twice")
    recording = is_recording()
    with enable_grad():
        for number in numbers:
            variable = arguments[number] = _variable(where, number, args[number])
            variables.append(variable)
        result = function(*arguments, **kwargs)
    many = isinstance(result, (tuple, list)) and not single
    outputs = list(result) if many else [result]
    for i, output in enumerate(outputs):
        if not isinstance(output, Tensor):
            wanted = "of one element" if single else "or a tuple of Tensors"
            raise GradientError(
                f"{where}: the function must return a Tensor {wanted}, got {describe(result)}"
            )
        if output.dtype.kind != "f":
            which = f"output {i} of the function" if many else "the function's result"
            raise DtypeError(
                f"{where}: {which} has {describe(output)}: only floating ones have derivatives; "
                "leave it out of what is differentiated, or convert it by .astype('float64')"
            )
    if not outputs:
        raise GradientError(f"{where}: the function returned an empty tuple; return Tensors")
    beyond = recording and _reaches_beyond(outputs, variables)
    return Traced(variables, outputs, many, beyond)


def _variable(where: str, number: int, given: Any) -> Tensor:
    """A copy of an argument, to differentiate with respect to."""
    if isinstance(given, Tensor) and given.requires_grad:
        return RECORDS["positive"].function(given)
    variable = Tensor(given)
    if variable.dtype.kind != "f":
        raise DtypeError(
            f"{where}: argument {number} has {describe(variable)}: only floating ones have "
            "derivatives; write floats (1.0 instead of 1), or use .astype('float64')"
        )
    variable.requires_grad = True
    return variable


def _reaches_beyond(outputs: Sequence[Tensor], variables: Sequence[Tensor]) -> bool:
    """Were they computed from tensors that require gradients, other than these variables?"""
    seen = {each._node for each in variables}
    if any(node is not None and node.plan is not None for node in seen):
        return True
    waiting = [each._node for each in outputs]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.plan is None:
            return True
        waiting += node.parents or ()
    return False
