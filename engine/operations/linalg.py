"""Linear algebra: products of vectors, matrices and arrays of more axes."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np

from ..arguments import axis_of, integer
from ..cases import case
from ..definitions import composition, operation
from ..errors import DtypeError, ShapeError, describe
from ..kernels.contractions import contraction
from ..placing import constant


def _matmul_left(k: Any, g: Any, b: Any, a_shape: tuple[int, ...]) -> Any:
    """g bᵀ; a vector takes part as a matrix of one row (left) or column (right)."""
    if b.ndim == 1:
        return k.expand_dims(g, -1) * b
    if len(a_shape) == 1:
        g = k.expand_dims(g, -2)
    result = k.matmul(g, k.matrix_transpose(b))
    return result[..., 0, :] if len(a_shape) == 1 else result


def _matmul_right(k: Any, g: Any, a: Any, b_shape: tuple[int, ...]) -> Any:
    """aᵀ g; a vector takes part as a matrix of one row (left) or column (right)."""
    if a.ndim == 1:
        if len(b_shape) == 1:
            return g * a
        return k.expand_dims(a, -1) * k.expand_dims(g, -2)
    if len(b_shape) == 1:
        g = k.expand_dims(g, -1)
    if a.ndim > 2 and len(b_shape) <= 2:
        # One matrix for the whole stack: one product, instead of a stack of them to be summed.
        rows = math.prod(a.shape[:-1])
        a, g = k.reshape(a, (rows, a.shape[-1])), k.reshape(g, (rows, g.shape[-1]))
    result = k.matmul(k.matrix_transpose(a), g)
    return result[..., 0] if len(b_shape) == 1 else result


matmul = operation(
    "matmul",
    summary="The product of matrices, of vectors, or of stacks of matrices, as in NumPy.",
    formula="y[i, j] = Σ_n a[i, n] b[n, j]",
    derivative={"a": "g bᵀ", "b": "aᵀ g"},
    notes="""
    Arguments: `a`, of shape (..., rows, n), or (n,); `b`, of shape (..., n, columns), or (n,). The
    axes before the last two are broadcast. A vector takes part as a row (left) or a column (right),
    and its other axis is left out of the result.

    Raises ShapeError if the two lengths n differ, if an argument is 0-d, or if the axes in front
    do not broadcast.
    """,
    forward=lambda k, a, b: k.matmul(a, b),
    vjp={
        "a": lambda k, g, b, a_shape: _matmul_left(k, g, b, a_shape),
        "b": lambda k, g, a, b_shape: _matmul_right(k, g, a, b_shape),
    },
    example="""
    >>> import chainrule as cr
    >>> (cr.ones((2, 3)) @ cr.ones((3, 4))).shape
    (2, 4)
    """,
    methods=(
        "matmul",
        "__matmul__",
        "__rmatmul__",
    ),
    products=lambda y, a, b: 2 * math.prod(y) * a[-1],
    cases=[
        case((2, 3), (3, 2)),
        case((3,), (3,)),
        case((3,), (2, 3, 2)),
        case((2, 2, 3), (3,)),
        case((2, 2, 3), (3, 2)),
        case((2, 1, 2, 3), (2, 3, 2)),
        case((2, 3), (2, 3, 1)),
        case((2, 0), (0, 3)),
        case((0, 2, 3), (3, 2)),
    ],
)


def _vecdot(k: Any, x1: Any, x2: Any, axis: int) -> Any:
    first = axis_of("vecdot", axis, x1)
    second = axis_of("vecdot", axis, x2)
    if x1.shape[first] != x2.shape[second] or (axis >= 0 and x1.ndim != x2.ndim):
        raise ShapeError(
            f"vecdot: the axis {axis} of x1 and of x2 must be equally long, and counted from the "
            f"end if they differ in axes; x1 has {describe(x1)}, x2 has {describe(x2)}"
        )
    x1, x2 = k.moveaxis(x1, first, -1), k.moveaxis(x2, second, -1)
    return k.einsum("...i,...i->...", x1, x2)


vecdot = operation(
    "vecdot",
    summary="The dot products of the vectors along an axis; other axes are broadcast.",
    formula="y = Σ_i x1[i] x2[i]",
    derivative={"x1": "g x2", "x2": "g x1"},
    notes="""
    Arguments: `x1`, `x2`, of shapes (..., n), or with n at `axis`, which counts from the end if
    they have not the same number of axes.

    Raises ShapeError if the lengths along `axis` differ; length 1 is not broadcast there.
    """,
    forward=lambda k, x1, x2, *, axis=-1: _vecdot(k, x1, x2, axis),
    vjp={
        "x1": lambda k, g, x2, axis: k.expand_dims(g, axis) * x2,
        "x2": lambda k, g, x1, axis: k.expand_dims(g, axis) * x1,
    },
    example="""
    >>> import chainrule as cr
    >>> cr.vecdot([[1.0, 2.0], [3.0, 4.0]], [10.0, 1.0]).tolist()
    [12.0, 34.0]
    """,
    cases=[
        case((3,), (3,)),
        case((2, 3), (3,)),
        case((2, 1, 2), (3, 2)),
        case((2, 3), (2, 1), axis=0),
        case((2, 3), (2, 2, 1), axis=-2),
        case((2, 0), (2, 0)),
    ],
)

outer = operation(
    "outer",
    summary="The products of each element of x1 with each of x2, both flattened.",
    formula="y[i, j] = x1[i] x2[j]",
    derivative={"x1": "g x2", "x2": "gᵀ x1"},
    notes="Arguments: `x1`, of n elements, `x2`, of m elements; the result has shape (n, m).",
    forward=lambda k, x1, x2: k.reshape(x1, (-1, 1)) * k.reshape(x2, (1, -1)),
    vjp={
        "x1": lambda k, g, x2, x1_shape: k.reshape(k.matmul(g, k.reshape(x2, (-1,))), x1_shape),
        "x2": lambda k, g, x1, x2_shape: k.reshape(k.matmul(k.reshape(x1, (-1,)), g), x2_shape),
    },
    example="""
    >>> import chainrule as cr
    >>> cr.outer([1.0, 2.0], [3.0, 4.0]).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """,
    cases=[case((2,), (3,)), case((2, 2), (1, 2)), case((), (2,)), case((0,), (2,))],
)


# Einstein sums ------------------------------------------------------------------------------

#: Letters in the order of the numbers that stand for them, which is their own order too.
_LETTERS = string.ascii_uppercase + string.ascii_lowercase

_FORMS = (
    "give einsum('ij,jk->ik', a, b), or each operand with a list of the numbers of its axes, as in "
    "einsum(a, [0, 1], b, [1, 2], [0, 2])"
)


def _einsum_call(subscripts: Any, *operands: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Operands and subscripts, of both forms in which NumPy takes them."""
    if isinstance(subscripts, str):
        if not operands:
            raise ShapeError(f"einsum: subscripts {subscripts!r} without operands; {_FORMS}")
        return operands, {"subscripts": subscripts}
    given = (subscripts, *operands)
    last = [given[-1]] if len(given) % 2 else []
    pairs = given[: len(given) - len(last)]
    lists = (*pairs[1::2], *last)
    if not pairs or not all(isinstance(each, (list, tuple)) for each in lists):
        raise DtypeError(
            f"einsum: subscripts must be a string, got {describe(subscripts)}; {_FORMS}"
        )
    terms = ["".join(map(_letter, each)) for each in lists]
    text = ",".join(terms[: len(pairs) // 2]) + "".join(
        f"->{each}" for each in terms[len(pairs) // 2 :]
    )
    return pairs[::2], {"subscripts": text}


def _letter(number: Any) -> str:
    if number is Ellipsis:
        return "..."
    number = integer("einsum", "the number of an axis", number, at_least=0)
    if number >= len(_LETTERS):
        raise ShapeError(f"einsum: axes are numbered from 0 to {len(_LETTERS) - 1}, got {number}")
    return _LETTERS[number]


def _einsum_vjp(
    k: Any, g: Any, needed: tuple[bool, ...], operands: tuple[Any, ...], subscripts: str
) -> list[Any]:
    """The gradient of each operand that needs one.

    y[o] = Σ Π_i x_i[l_i] is linear in x_p, and its coefficient is the product of the others: with
    g as one more factor, the gradient is the Einsum sum of g and the others, kept at the letters
    of x_p. It does not depend on a letter that only x_p has, and if x_p has a letter twice, only
    its diagonal took part.
    """
    shapes = tuple([x.shape for x in operands])
    plan = contraction(subscripts, shapes)
    gradients: list[Any] = []
    for p, (mine, shape) in enumerate(zip(plan.inputs, plan.shapes, strict=True)):
        if not needed[p]:
            gradients.append(None)
            continue
        others = [i for i in range(len(operands)) if i != p]
        terms = [plan.output, *(plan.inputs[i] for i in others)]
        factors = [g, *(_shaped(k, operands[i], plan.shapes[i]) for i in others)]
        known = "".join(each for each in dict.fromkeys(mine) if any(each in t for t in terms))
        gradient = k.einsum(f"{','.join(terms)}->{known}", *factors)
        first = [a == mine.index(label) for a, label in enumerate(mine)]
        lengths = [
            n if label in known and f else 1 for label, n, f in zip(mine, shape, first, strict=True)
        ]
        gradient = k.reshape(gradient, tuple(lengths))
        if not all(first):
            mask = constant(k, _diagonal_mask(mine, shape))
            gradient = k.where(mask, gradient, 0.0)
        if gradient.shape != shape:
            gradient = k.broadcast_to(gradient, shape)
        gradients.append(_shaped(k, gradient, shapes[p]))
    return gradients


def _shaped(k: Any, x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else k.reshape(x, shape)


def _diagonal_mask(labels: str, shape: tuple[int, ...]) -> Any:
    """Where are the indices along axes with the same letter equal?"""
    places = np.ogrid[tuple(slice(n) for n in shape)]
    mask: Any = True
    for axis, label in enumerate(labels):
        mask = mask & (places[axis] == places[labels.index(label)])
    return mask


def _einsum_products(y: Any, *operands: Any, subscripts: str) -> int:
    """Of one operand there is no product; of two, one multiplication and addition a term."""
    plan = contraction(subscripts, operands)
    lengths: dict[str, int] = {}
    for labels, shape in zip(plan.inputs, plan.shapes, strict=True):
        lengths.update({a: max(n, lengths.get(a, 1)) for a, n in zip(labels, shape, strict=True)})
    return 2 * (len(operands) - 1) * math.prod(lengths.values())


einsum = operation(
    "einsum",
    summary="The Einstein sum: of products of operands, over the letters that the result lacks.",
    formula="y[o] = Σ Π_i operand_i[l_i], over every letter that is not in o",
    derivative={
        "operand_p": "Σ g[o] Π_{i≠p} operand_i[l_i], over every letter that is not in l_p; 0 off "
        "the diagonal where l_p has a letter twice"
    },
    notes="""
    Arguments: `subscripts`, a string with a letter for each axis of each operand, as in
    'ij,jk->ik': after '->' stand the letters of the result, by default those that occur once, in
    alphabetic order. '...' stands for axes without a letter, aligned from the last and broadcast.
    A letter twice in one operand takes its diagonal. `operands`, Tensors, arrays or numbers. As in
    NumPy each operand may also be followed by a list of the numbers of its axes (0 to 51, or ...):
    einsum(a, [0, 1], b, [1, 2], [0, 2]).

    Raises ShapeError if the subscripts are malformed or do not fit the operands, or if a letter
    stands for different lengths (a length of 1 is broadcast); DtypeError if they are no string.
    """,
    call=_einsum_call,
    forward=lambda k, *operands, subscripts: k.einsum(subscripts, *operands),
    joint=lambda k, g, needed, operands, subscripts: _einsum_vjp(
        k, g, needed, operands, subscripts
    ),
    view=True,
    products=_einsum_products,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> cr.einsum("ij,j->i", x, [10.0, 1.0]).tolist()
    [12.0, 34.0]
    >>> trace = cr.einsum("ii", x)
    >>> trace.backward()
    >>> trace.item(), x.grad.tolist()
    (5.0, [[1.0, 0.0], [0.0, 1.0]])
    """,
    cases=[
        case((2, 3), (3, 2), subscripts="ij,jk->ik"),
        case((2, 3), (2, 3), subscripts="ij,ij"),
        case((2, 3), subscripts="ba"),
        case((2, 2, 3), subscripts="iij->j"),
        case((2, 2, 2), subscripts="iii->i"),
        case((2, 2), (2,), subscripts="ii,k->k"),
        case((2, 3), (2,), subscripts="ij,k->k"),
        case((2, 1, 2), (3, 2), subscripts="...i, ...i -> ..."),
        case((2, 1), (3, 2), subscripts="ij,jk->ik"),
        case((1, 1), (2,), subscripts="ii,i->i"),
        case((2, 2), (2,), (2, 2), subscripts="ij,j,jk->ki"),
        case((), (2,), (), subscripts=",i,->i"),
        case((), subscripts=""),
        case((0, 2), (2, 0), subscripts="ij,jk->ik"),
        case((2, 0), (0, 2), subscripts="ij,jk->ik"),
    ],
)


def _tensordot(k: Any, x1: Any, x2: Any, axes: Any) -> Any:
    first, second = _pairs(x1, x2, axes)
    left, right = list(_LETTERS[: x1.ndim]), list(_LETTERS[-x2.ndim :] if x2.ndim else "")
    for a, b in zip(first, second, strict=True):
        right[b] = left[a]
    kept = [each for i, each in enumerate(left) if i not in first]
    kept += [each for i, each in enumerate(right) if i not in second]
    return k.einsum(f"{''.join(left)},{''.join(right)}->{''.join(kept)}", x1, x2)


def _pairs(x1: Any, x2: Any, axes: Any) -> tuple[list[int], list[int]]:
    """The axes of x1, and those of x2 that are summed over with them."""
    told = f"axes={axes!r}; x1 has {describe(x1)}, x2 has {describe(x2)}"
    if x1.ndim + x2.ndim > len(_LETTERS):
        raise ShapeError(f"tensordot: the two have more than {len(_LETTERS)} axes together; {told}")
    if isinstance(axes, (tuple, list)):
        if len(axes) != 2:
            raise ShapeError(
                "tensordot: axes must be a number, or a pair: the axes of x1, and those of x2; "
                f"got {told}"
            )
        first, second = ([*e] if isinstance(e, (tuple, list)) else [e] for e in axes)
    else:
        count = integer("tensordot", "axes", axes, at_least=0)
        if count > min(x1.ndim, x2.ndim):
            raise ShapeError(f"tensordot: x1 and x2 have not that many axes each: {told}")
        first, second = [*range(x1.ndim - count, x1.ndim)], [*range(count)]
    first = [axis_of("tensordot", a, x1, name="an axis of x1") for a in first]
    second = [axis_of("tensordot", a, x2, name="an axis of x2") for a in second]
    if len(set(first)) != len(first) or len(set(second)) != len(second):
        raise ShapeError(f"tensordot: an axis is named twice: {told}")
    if [x1.shape[a] for a in first] != [x2.shape[b] for b in second]:
        raise ShapeError(
            f"tensordot: the axes {first} of x1 must be as many and as long as the axes {second} "
            f"of x2: {told}"
        )
    return first, second


tensordot = composition(
    "tensordot",
    summary="The product of two arrays, summed over pairs of their axes.",
    formula="y[i, j] = Σ_n x1[i, n] x2[n, j], with several axes for each of i, n and j",
    derivative={"x1": "tensordot of g and x2 over j", "x2": "tensordot of x1 and g over i"},
    notes="""
    Arguments: `axes`, a number N: the last N axes of `x1` and the first N of `x2`; or a pair: the
    axes of `x1` (an int or a sequence), and those of `x2` with which they are summed over. The
    result has the other axes of `x1`, then those of `x2`.

    Raises ShapeError if the axes do not exist, or differ in number or length (1 is not broadcast).
    """,
    forward=lambda k, x1, x2, *, axes=2: _tensordot(k, x1, x2, axes),
    example="""
    >>> import chainrule as cr
    >>> cr.tensordot(cr.ones((2, 3, 4)), cr.ones((4, 3, 5)), axes=[(1, 2), (1, 0)]).shape
    (2, 5)
    """,
    cases=[
        case((2, 1, 3), (1, 3, 2)),
        case((2, 3), (3, 2), axes=1),
        case((2,), (3,), axes=0),
        case((2, 3, 2), (3, 2, 2), axes=((0, -2), (2, 0))),
        case((2, 3), (2, 2), axes=(0, -1)),
        case((2, 0), (0, 2), axes=1),
    ],
)
