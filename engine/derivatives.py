"""Derivatives of functions: products with the Jacobian and the Hessian, and these matrices.

The names are those of JAX and torch.func. Functions may take and return Tensors of any shape; the
Jacobian J of a function has one row for each element of its output, one column for each of its
input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .creation import zeros
from .errors import ShapeError, describe
from .record import RECORDS
from .tape import enable_grad, is_recording
from .tensor import Tensor, to_array, wrap
from .transforms import gradient_function, pull_back, trace


def vjp(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], Any]]:
    """A function's value, and the function that multiplies vectors by its Jacobian's transpose.

        vjp_function(u) = Jᵀ u, the vector-Jacobian product

    Arguments: `function`, of Tensors, that returns a Tensor or a tuple of Tensors; `primals`, the
    values of its arguments: floating Tensors, arrays or floats.

    Returns `(value, vjp_function)`. `vjp_function` takes the upstream gradient of the value, of
    the same shape (converted to its dtype), a tuple of them if the value is a tuple; it returns a
    tuple of one gradient for each primal, zeros for one that is not used, and may be called again.
    Both are differentiable again where primals, upstream gradients or what the function closes
    over require gradients. `.grad` is left alone.

    Raises DtypeError for primals or results that are not floating, GradientError if the function
    returns no Tensor, ShapeError for an upstream gradient that does not fit.

    >>> import chainrule as cr
    >>> value, vjp_function = cr.vjp(lambda x, y: x * y, [1.0, 2.0], 3.0)
    >>> x_gradient, y_gradient = vjp_function([1.0, -1.0])
    >>> value.tolist(), x_gradient.tolist(), y_gradient.item()
    ([3.0, 6.0], [3.0, -3.0], -1.0)
    """
    if not primals:
        raise ValueError("vjp: give the function's arguments too: cr.vjp(function, x, y)")
    traced = trace("vjp", function, primals, {}, tuple(range(len(primals))))

    def vjp_function(upstream: Any) -> tuple[Tensor, ...]:
        given = upstream if traced.many else [upstream]
        directions = _directions("vjp", "upstream", given, "output", traced.outputs)
        return traced.pull_back(directions, _again(traced.beyond, directions))

    return traced.value, vjp_function


def jvp(function: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Any, Any]:
    """A function's value, and the product of its Jacobian with a vector.

        jvp(f, x, v) = (f(x), J v): the derivative of f in the direction v

    J v is had from two backward passes. The vector-Jacobian product Jᵀ u, which the first one
    records, is linear in the upstream gradient u, whatever f is, so that its own Jacobian with
    respect to u is Jᵀ everywhere; the vector-Jacobian product of *that* function with v is
    (Jᵀ)ᵀ v = J v. The value of u plays no part.

    Arguments: `function`, of Tensors, that returns a Tensor or a tuple of Tensors; `primals`, the
    tuple of its arguments (one that is no tuple is its only argument): floating Tensors, arrays or
    floats; `tangents`, in the same way, a direction for each, of its shape (converted to its
    dtype).

    Returns `(value, tangent)`, the tangent with the shapes and dtypes of the value, zeros where it
    does not depend on the primals. Both are differentiable again where primals, tangents or what
    the function closes over require gradients. `.grad` is left alone.

    Raises DtypeError for primals or results that are not floating, GradientError if the function
    returns no Tensor, ShapeError for tangents that do not fit, ValueError if there are not as many
    as primals.

    >>> import chainrule as cr
    >>> value, tangent = cr.jvp(lambda x, y: x * y, (2.0, [3.0, 4.0]), (1.0, [0.0, 10.0]))
    >>> value.tolist(), tangent.tolist()
    ([6.0, 8.0], [3.0, 24.0])
    """
    points = _points("jvp", primals)
    traced = trace("jvp", function, points, {}, tuple(range(len(points))))
    given = tangents if isinstance(primals, tuple) else (tangents,)
    directions = _directions("jvp", "tangents", given, "primal", traced.variables)
    again = _again(traced.beyond, directions)
    # The walks also compute what nobody asked for, from the upstream 1: no warning about that.
    with enable_grad(), np.errstate(all="ignore"):
        upstreams = [_ones(each) for each in traced.outputs]
        gradients = traced.pull_back(upstreams, create_graph=True)
        results = pull_back(gradients, upstreams, directions, again, retain_graph=again)
    return traced.value, traced.like_outputs(results)


def hvp(function: Callable[..., Any], primals: Any, vectors: Any) -> tuple[Tensor, Any]:
    """A function's value, and the product of its Hessian with a vector.

        hvp(f, x, v) = (f(x), H v), H[i, j] = ∂²f / ∂x_i ∂x_j

    H v is the gradient of the number ∇f · v: two backward passes, and H is never built.

    Arguments: `function`, of Tensors, with a result of one element; `primals`, the tuple of its
    arguments (one that is no tuple is its only argument): floating Tensors, arrays or floats;
    `vectors`, in the same way, one for each, of its shape (converted to its dtype).

    Returns `(value, product)`, the product in a tuple if the primals are in one. Both are
    differentiable again where primals, vectors or what the function closes over require
    gradients. `.grad` is left alone.

    Raises what `cr.jvp` raises, and ShapeError if the result has more than one element.

    >>> import chainrule as cr
    >>> value, product = cr.hvp(lambda x: (x**3).sum(), [1.0, 2.0], [1.0, -1.0])
    >>> value.item(), product.tolist()
    (9.0, [6.0, -12.0])
    """
    points = _points("hvp", primals)
    traced = trace("hvp", function, points, {}, tuple(range(len(points))), single=True)
    _one_element("hvp", traced.outputs[0])
    given = vectors if isinstance(primals, tuple) else (vectors,)
    directions = _directions("hvp", "vectors", given, "primal", traced.variables)
    again = _again(traced.beyond, directions)
    gradients = traced.pull_back([None], create_graph=True)
    results = pull_back(gradients, traced.variables, directions, again, retain_graph=again)
    return traced.value, results if isinstance(primals, tuple) else results[0]


def jacobian(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Any:
    """The function that computes a function's Jacobian, of shape output shape + input shape.

        jacobian(f)(x)[i..., j...] = ∂f(x)[i...] / ∂x[j...]

    Arguments: `function`, of Tensors, that returns a Tensor or a tuple of Tensors; `argnums`: the
    number of the argument to differentiate with respect to, or a tuple of numbers. Arguments may
    be floating Tensors, arrays or floats.

    The result is a Tensor in the dtype of the argument, zeros where the output does not depend on
    it; for a tuple of outputs, a tuple; for a tuple of argument numbers, (each entry is) a tuple of
    one for each of them. It is differentiable again where arguments or what the function closes
    over require gradients. It takes one backward pass for each element of the output.

    Raises IndexError for an argument that is not there, DtypeError for arguments or results that
    are not floating, GradientError if the function returns no Tensor.

    >>> import chainrule as cr
    >>> cr.jacobian(lambda x: x * x)([1.0, 2.0]).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    >>> cr.jacobian(lambda A, x: A @ x, argnums=0)(cr.ones((2, 3)), [1.0, 2.0, 3.0]).shape
    (2, 2, 3)
    """
    return _jacobian_function("jacobian", function, function, argnums)


def hessian(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Any:
    """The function that computes a function's Hessian, of shape input shape + input shape.

        hessian(f)(x)[i..., j...] = ∂²f(x) / ∂x[i...] ∂x[j...]

    Arguments: `function`, of Tensors, with a result of one element; `argnums`: the number of the
    argument to differentiate with respect to, or a tuple of numbers: then entry `[a][b]` of the
    result is that of arguments a and b, a tuple in a tuple.

    It is the Jacobian of the gradient, with one backward pass for each element of the arguments;
    for a product with one vector `cr.hvp` is enough. Zeros where the gradient is constant. It
    is differentiable again, and raises the same errors, as `cr.jacobian`.

    >>> import chainrule as cr
    >>> cr.hessian(lambda x: x[0] ** 2 * x[1])([1.0, 3.0]).tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    gradient = gradient_function("hessian", function, argnums)
    return _jacobian_function("hessian", function, gradient, argnums)


def _jacobian_function(
    where: str,
    named: Callable[..., Any],
    function: Callable[..., Any],
    argnums: int | tuple[int, ...],
) -> Callable[..., Any]:
    @functools.wraps(named)
    def jacobian_function(*args: Any, **kwargs: Any) -> Any:
        traced = trace(where, function, args, kwargs, argnums)
        blocks = [
            _rows(output, traced.variables, traced.beyond) for output in traced.outputs
        ]  # one for each output, of one Tensor for each variable
        if not isinstance(argnums, tuple):
            return traced.like_outputs([block[0] for block in blocks])
        return traced.like_outputs(blocks)

    return jacobian_function


def _rows(output: Tensor, variables: Sequence[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
    """The Jacobian of one output with respect to each variable, row by row."""
    rows = []
    for i in range(output.size):
        basis = output._device.xp.zeros(output.size, output.dtype)
        basis[i] = 1
        upstream = wrap(basis.reshape(output.shape), output._device)
        rows.append(pull_back([output], variables, [upstream], create_graph))
    shapes = [output.shape + each.shape for each in variables]
    if not rows:
        return tuple(
            zeros(shape, each.dtype, device=each._device)
            for shape, each in zip(shapes, variables, strict=True)
        )
    stack = RECORDS["stack"].function
    return tuple(
        stack(column).reshape(shape)
        for column, shape in zip(zip(*rows, strict=True), shapes, strict=True)
    )


def _points(where: str, primals: Any) -> tuple[Any, ...]:
    if isinstance(primals, tuple) and not primals:
        raise ValueError(f"{where}: give at least one primal, an argument of the function")
    return primals if isinstance(primals, tuple) else (primals,)


def _directions(
    where: str, name: str, given: Any, whose: str, bases: Sequence[Tensor]
) -> list[Tensor]:
    """Vectors, one for each base, of its shape and in its dtype."""
    if not isinstance(given, (tuple, list)) or len(given) != len(bases):
        count = f"{len(given)}" if isinstance(given, (tuple, list)) else describe(given)
        raise ValueError(
            f"{where}: {name} must be a tuple of one for each {whose}, {len(bases)} in all, "
            f"got {count}"
        )
    results = []
    for i, (each, base) in enumerate(zip(given, bases, strict=True)):
        if not isinstance(each, Tensor):
            each = wrap(to_array(each, base.dtype, where, base._device), base._device)
        if each.shape != base.shape:
            raise ShapeError(
                f"{where}: {name}[{i}] has {describe(each)}, the {whose} {describe(base)}; "
                "their shapes must be equal"
            )
        results.append(each if each.dtype == base.dtype else each.astype(base.dtype))
    return results


def _again(beyond: bool, directions: Sequence[Tensor]) -> bool:
    """Is a product with these directions to be differentiated again?"""
    return is_recording() and (beyond or any(each.requires_grad for each in directions))


def _ones(output: Tensor) -> Tensor:
    """An upstream gradient for an output, to be differentiated with respect to."""
    ones = wrap(output._device.xp.ones(output.shape, output.dtype), output._device)
    ones.requires_grad = True
    return ones


def _one_element(where: str, output: Tensor) -> None:
    if output.size != 1:
        raise ShapeError(
            f"{where}: the function's result has {describe(output)}; reduce it to one element, "
            "as by .sum() or .mean()"
        )
