"""Linear algebra: square matrices, or stacks of them along the axes before the last two."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arguments import boolean, integer
from ..cases import case
from ..definitions import composition, operation
from ..errors import ShapeError, describe
from ..placing import constant
from ..record import tensor_functions
from .shapes import matrix_transpose


def _matrices(where: str, x: Any, *, square: bool = True, name: str = "x") -> Any:
    """x, if its last two axes are those of (square) matrices."""
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        kind = "square matrices (..., n, n)" if square else "matrices (..., rows, columns)"
        raise ShapeError(f"{where}: {name} must have the shape of {kind}, got {describe(x)}")
    return x


def _transposed(k: Any, x: Any) -> Any:
    return k.matrix_transpose(x)


# Diagonals ----------------------------------------------------------------------------------


def _diagonal(k: Any, where: str, x: Any, offset: int) -> Any:
    offset = integer(where, "offset", offset)
    return k.diagonal(_matrices(where, x, square=False), offset, -2, -1)


def _on_diagonal(k: Any, g: Any, shape: tuple[int, ...], offset: int) -> Any:
    """Zeros of a shape, with g on the diagonal."""
    *stack, rows, columns = shape
    start, count = _place(rows, columns, offset)
    # In memory the elements of a diagonal are equally far apart.
    index = (..., slice(start, start + count * (columns + 1), columns + 1))
    return k.reshape(k.scatter_index(g, index, (*stack, rows * columns)), shape)


def _place(rows: int, columns: int, offset: int) -> tuple[int, int]:
    """Where a diagonal starts in the memory of a matrix, and how long it is."""
    if offset >= 0:
        return min(offset, rows * columns), max(0, min(rows, columns - offset))
    return min(-offset * columns, rows * columns), max(0, min(rows + offset, columns))


def _repeated(k: Any, g: Any, shape: tuple[int, ...], offset: int) -> Any:
    """The gradient of a sum over the diagonal, for each of its elements."""
    count = _place(shape[-2], shape[-1], offset)[1]
    return k.broadcast_to(k.expand_dims(g, -1), (*shape[:-2], count))


diagonal = operation(
    "diagonal",
    summary="The elements on the diagonal of each matrix.",
    formula="y[i] = x[i, i + offset]",
    derivative="zeros, with g on the diagonal",
    notes="""
    Arguments: `x`, of shape (..., rows, columns); `offset`, how far right of the main diagonal
    (negative: below it). The result has shape (..., length of the diagonal).
    """,
    forward=lambda k, x, *, offset=0: _diagonal(k, "diagonal", x, offset),
    vjp=lambda k, g, x_shape, offset: _on_diagonal(k, g, x_shape, offset),
    view=True,
    methods=("diagonal",),
    example="""
    >>> import chainrule as cr
    >>> cr.diagonal([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], offset=1).tolist()
    [2.0, 6.0]
    """,
    cases=[
        case((2, 3)),
        case((3, 2), offset=-1),
        case((2, 2, 3), offset=1),
        case((2, 2), offset=2),
        case((2, 2), offset=-5),
        case((0, 2)),
    ],
)

trace = operation(
    "trace",
    summary="The sum over the diagonal of each matrix.",
    formula="y = Σ_i x[i, i + offset]",
    derivative="g on the diagonal, 0 elsewhere",
    notes="""
    Arguments: `x`, of shape (..., rows, columns); `offset`, how far right of the main diagonal
    (negative: below it).
    """,
    forward=lambda k, x, *, offset=0: k.sum(_diagonal(k, "trace", x, offset), axis=-1),
    vjp=lambda k, g, x_shape, offset: _on_diagonal(
        k, _repeated(k, g, x_shape, offset), x_shape, offset
    ),
    methods=("trace",),
    example="""
    >>> import chainrule as cr
    >>> cr.trace([[1.0, 2.0], [3.0, 4.0]]).item()
    5.0
    """,
    cases=[case((2, 2)), case((2, 2, 3), offset=1), case((3, 2), offset=-2), case((0, 0))],
)


# Inverses -----------------------------------------------------------------------------------


def _diagonally_dominant(x: Any, *more: Any) -> list[Any]:
    """Well-conditioned matrices, made of any."""
    return [0.25 * x + np.eye(x.shape[-1]).astype(x.dtype), *more]


inv = operation(
    "inv",
    summary="The inverse of each matrix.",
    formula="y = x⁻¹",
    derivative="-yᵀ g yᵀ",
    notes="""
    Arguments: `x`, of shape (..., n, n); integers give float64. To solve equations, `solve` is
    faster and more accurate.

    Raises ShapeError if the matrices are not square, MatrixError (a numpy.linalg.LinAlgError) if
    one is singular, saying which.
    """,
    forward=lambda k, x: k.inv(_matrices("inv", x)),
    vjp=lambda k, g, y: -k.matmul(_transposed(k, y), k.matmul(g, _transposed(k, y))),
    methods=("inv",),
    example="""
    >>> import chainrule as cr
    >>> cr.inv([[2.0, 0.0], [0.0, 4.0]]).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """,
    domain={"x": (0.0, 4.0)},
    cases=[
        case((2, 2)),
        case((3, 3), prepare=_diagonally_dominant),
        case((2, 2, 2), prepare=_diagonally_dominant),
        case((0, 0)),
        case((0, 2, 2)),
    ],
)


def _solve(k: Any, a: Any, b: Any) -> Any:
    _matrices("solve", a, name="a")
    if b.ndim == 0 or b.shape[-1 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ShapeError(
            "solve: b must be a vector (n,) or matrices (..., n, columns) for matrices a "
            f"(..., n, n); a has {describe(a)}, b has {describe(b)}; for a stack of vectors, give "
            "b[..., None]"
        )
    return k.solve(a, b)


def _solve_joint(
    k: Any, g: Any, needed: tuple[bool, ...], y: Any, a: Any, b_shape: tuple[int, ...]
) -> list[Any]:
    """a⁻ᵀ g, and minus its outer product with y; the two share one factorisation of aᵀ."""
    vector = len(b_shape) == 1
    if vector:
        g, y = k.expand_dims(g, -1), k.expand_dims(y, -1)
    back = k.solve(_transposed(k, a), g)
    left = -k.matmul(back, _transposed(k, y)) if needed[0] else None
    return [left, back[..., 0] if vector else back]


solve = operation(
    "solve",
    summary="The solution y of the linear equations a y = b.",
    formula="y = a⁻¹ b",
    derivative={"a": "-(a⁻ᵀ g) yᵀ", "b": "a⁻ᵀ g"},
    notes="""
    Arguments: `a`, of shape (..., n, n); `b`, a vector (n,), or matrices (..., n, columns): as in
    NumPy 2, only an array of one axis is a vector. The axes in front are broadcast; integers give
    float64.

    Raises ShapeError if the shapes do not fit, MatrixError (a numpy.linalg.LinAlgError) if a
    matrix is singular, saying which.
    """,
    forward=lambda k, a, b: _solve(k, a, b),
    joint=lambda k, g, needed, y, a, b_shape: _solve_joint(k, g, needed, y, a, b_shape),
    example="""
    >>> import chainrule as cr
    >>> cr.solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0]).tolist()
    [0.5, 0.25]
    """,
    domain={"a": (0.0, 4.0)},
    cases=[
        case((2, 2), [1.0, -0.5]),
        case((2, 2), [[0.5, -2.0], [1.0, 0.25]]),
        case([[[2.0, 1.0], [-1.0, 0.5]], [[1.0, 0.0], [0.25, -2.0]]], (2,)),
        case([[[2.0, 1.0], [-1.0, 0.5]], [[1.0, 0.0], [0.25, -2.0]]], (3, 1, 2, 1)),
        case((3, 3), (3,), prepare=_diagonally_dominant),
        case((2, 2, 2), (2,), prepare=_diagonally_dominant),
        case((2, 1, 2, 2), (3, 2, 1), prepare=_diagonally_dominant),
        case((0, 0), (0,)),
        case((0, 2, 2), (2, 1)),
    ],
)


# Determinants -------------------------------------------------------------------------------


def _for_matrices(k: Any, g: Any) -> Any:
    """A number for each matrix, in the shape of a stack of 1 x 1 matrices."""
    return k.expand_dims(k.expand_dims(g, -1), -1)


det = operation(
    "det",
    summary="The determinant of each matrix.",
    formula="y = det(x)",
    derivative="g times the matrix of cofactors of x",
    notes="""
    Arguments: `x`, of shape (..., n, n); integers give float64. The determinant of a 0 x 0 matrix
    is 1. The gradient, which is det(x) x⁻ᵀ where x has an inverse, is right for singular matrices
    too, and so is the gradient of the gradient; only third derivatives ask for an inverse.

    Raises ShapeError if the matrices are not square.
    """,
    forward=lambda k, x: k.det(_matrices("det", x)),
    vjp=lambda k, g, x: _for_matrices(k, g) * k.cofactor(x),
    methods=("det",),
    example="""
    >>> import chainrule as cr
    >>> round(cr.det([[1.0, 2.0], [3.0, 4.0]]).item(), 12)
    -2.0
    """,
    cases=[case((2, 2)), case((3, 3)), case((2, 1, 1)), case((0, 0)), case((0, 2, 2))],
)

cofactor = operation(
    "cofactor",
    summary="The matrix of cofactors of each matrix, which is the gradient of its determinant.",
    formula="y[i, j] = (-1)^(i + j) det(x without row i and column j)",
    derivative="U (diag(p diag(G)) - p * Gᵀ) Vᵀ det(U) det(V), with x = U diag(s) Vᵀ, G = Uᵀ g V, "
    "p[i, j] = [i ≠ j] ∏_{k ≠ i, j} s[k]",
    notes="""
    Arguments: `x`, of shape (..., n, n). Its transpose is the adjugate; for a matrix with an
    inverse it is det(x) x⁻ᵀ, but no inverse is needed: it is computed from the singular values.
    The derivative is the second differential of det at diag(s), which is a polynomial in s,
    carried over by U and V.

    Raises ShapeError if the matrices are not square. The gradient of its gradient goes through
    the inverse, and raises MatrixError if there is none.
    """,
    forward=lambda k, x: k.cofactor(_matrices("cofactor", x)),
    vjp=lambda k, g, x: k.cofactor_backward(g, x),
    definition=lambda x: _for_matrices(tensor_functions, det(x)) * matrix_transpose(inv(x)),
    example="""
    >>> import chainrule as cr
    >>> cr.cofactor([[1.0, 2.0], [3.0, 4.0]]).numpy().round(12).tolist()
    [[4.0, -3.0], [-2.0, 1.0]]
    """,
    cases=[
        case((2, 2)),
        case((3, 3), prepare=_diagonally_dominant),
        case((2, 1, 1)),
        case((0, 0)),
        case((0, 2, 2)),
    ],
    unproved="takes a singular value decomposition",
)

packed_slogdet = operation(
    "packed_slogdet",
    summary="The sign of each determinant and log |det|, stacked along a new first axis.",
    formula="y = [sign(det(x)), log |det(x)|]",
    derivative="g[1] x⁻ᵀ",
    notes="`slogdet` gives the two apart; it takes the same arguments.",
    forward=lambda k, x: k.packed_slogdet(_matrices("slogdet", x)),
    vjp=lambda k, g, x: _for_matrices(k, g[1]) * k.inv(_transposed(k, x)),
    domain={"x": (0.0, 4.0)},
    cases=[
        case((2, 2)),
        case((3, 3), prepare=_diagonally_dominant),
        case((2, 2, 2), prepare=_diagonally_dominant),
        case((0, 0)),
        case((0, 2, 2)),
    ],
)


class SlogdetResult(NamedTuple):
    """The sign of a determinant (without gradient), and the logarithm of its absolute value."""

    sign: Any
    logabsdet: Any


def _unpacked(packed: Any) -> SlogdetResult:
    return SlogdetResult(packed[0].detach(), packed[1])


slogdet = composition(
    "slogdet",
    summary="The sign of the determinant of each matrix, and log |det|, which cannot overflow.",
    formula="sign(det(x)), log |det(x)|",
    derivative="of log |det(x)|: g x⁻ᵀ",
    notes="""
    Arguments: `x`, of shape (..., n, n). Returns a pair of tensors, `sign` (1, -1 or 0, without a
    gradient) and `logabsdet` (-inf for a singular matrix).

    Raises ShapeError if the matrices are not square; the backward pass MatrixError, if one is
    singular: log |det| has no gradient there.
    """,
    forward=lambda k, x: _unpacked(k.packed_slogdet(x)),
    example="""
    >>> import chainrule as cr
    >>> sign, logabsdet = cr.slogdet(1e-200 * cr.eye(3))
    >>> sign.item(), round(logabsdet.item(), 3)
    (1.0, -1381.551)
    """,
    domain={"x": (0.0, 4.0)},
    cases=[case((2, 2)), case((2, 2, 2), prepare=_diagonally_dominant), case((0, 0))],
)


# Factors ------------------------------------------------------------------------------------


def _cholesky(k: Any, x: Any, upper: bool) -> Any:
    # Without the mean the gradient below would be that of another function off symmetric x.
    mean = (_matrices("cholesky", x) + _transposed(k, x)) / 2
    factor = k.cholesky(mean)
    return _transposed(k, factor) if boolean("cholesky", "upper", upper) else factor


def _cholesky_vjp(k: Any, g: Any, y: Any, upper: bool) -> Any:
    """½ L⁻ᵀ (P + Pᵀ) L⁻¹, with P the lower triangle of Lᵀ g, its diagonal halved."""
    if upper:
        g, y = _transposed(k, g), _transposed(k, y)
    n = y.shape[-1]
    halves = (np.tril(np.ones((n, n))) - 0.5 * np.eye(n)).astype(y.dtype)
    lower = k.matmul(_transposed(k, y), g) * constant(k, halves)
    inner = k.solve(_transposed(k, y), lower + _transposed(k, lower))
    return k.solve(_transposed(k, y), _transposed(k, inner)) / 2


def _positive_definite(x: Any) -> list[Any]:
    return [0.25 * x @ x.mT + np.eye(x.shape[-1]).astype(x.dtype)]


cholesky = operation(
    "cholesky",
    summary="The triangular factor of each positive definite matrix: x = y yᵀ, with y lower.",
    formula="y = L with x = L Lᵀ",
    derivative="½ L⁻ᵀ (P + Pᵀ) L⁻¹, P the lower triangle of Lᵀ g with half of its diagonal",
    notes="""
    Arguments: `x`, of shape (..., n, n), symmetric: what is factorised is (x + xᵀ) / 2, so that the
    gradient, which is symmetric, is right whatever x is (NumPy reads one triangle only). `upper`:
    return U = Lᵀ, with x = Uᵀ U? Integers give float64.

    Raises ShapeError if the matrices are not square, MatrixError (a numpy.linalg.LinAlgError) if
    one is not positive definite, saying which.

    Source: I. Murray, Differentiation of the Cholesky decomposition, 2016, arXiv:1602.07527, eq. 10
    and the symmetrised form below it.
    """,
    forward=lambda k, x, *, upper=False: _cholesky(k, x, upper),
    vjp=lambda k, g, y, upper: _cholesky_vjp(k, g, y, upper),
    methods=("cholesky",),
    example="""
    >>> import chainrule as cr
    >>> cr.cholesky([[4.0, 2.0], [2.0, 5.0]]).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """,
    cases=[
        case((2, 2), prepare=_positive_definite),
        case((3, 3), prepare=_positive_definite, upper=True),
        case((2, 2, 2), prepare=_positive_definite),
        case((0, 0)),
        case((0, 2, 2)),
    ],
    unproved="asks LAPACK for the factor",
)
