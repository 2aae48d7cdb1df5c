"""References of kernels on matrices, or stacks of them along the axes before the last two."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..devices import reference
from ..errors import MatrixError, describe
from ..placing import certain, on_device


def _refused(where: str, name: str, x: Any, what: str, ok: Callable[[Any], bool]) -> MatrixError:
    """The error of a matrix that LAPACK refused, saying which one of a stack."""
    host = x.get() if on_device(x) else x
    found = next((i for i in np.ndindex(x.shape[:-2]) if not ok(host[i])), ())
    one = f"{name}[{', '.join(map(str, found))}]" if found else name
    return MatrixError(f"{where}: {one} {what}; {name} has {describe(x)}")


def _invertible(x: Any) -> bool:
    try:
        np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return False
    return True


def _raising(xp: Any, x: Any) -> AbstractContextManager[Any]:
    """Where LAPACK's failures are errors: with CuPy they are only if one asks for it.

    To know of them, CuPy waits for the GPU.
    """
    if not on_device(x):
        return nullcontext()
    beside: Any = importlib.import_module(f"{xp.xp.__name__}x")  # cupyx
    raising: AbstractContextManager[Any] = beside.errstate(linalg="raise")
    return raising


_SINGULAR = (
    "is singular, so it has no inverse: its rows are linearly dependent (adding a small multiple "
    "of the identity, as in {name} + 1e-6 * cr.eye({n}), makes it invertible)"
)


@reference
def matmul(xp: Any, a: Any, b: Any) -> Any:
    """The product of two matrices, of stacks of them, or with vectors."""
    return xp.xp.matmul(a, b)


@reference
def inv(xp: Any, x: Any) -> Any:
    """The inverse of each matrix."""
    try:
        with _raising(xp, x):
            return xp.xp.linalg.inv(x)
    except np.linalg.LinAlgError as error:
        what = _SINGULAR.format(name="x", n=x.shape[-1])
        raise _refused("inv", "x", x, what, _invertible) from error


@reference
def solve(xp: Any, a: Any, b: Any) -> Any:
    """The solution of a x = b; b is a vector if it has one axis, else (a stack of) matrices."""
    if on_device(a) and b.ndim > 1 and a.shape[:-2] != b.shape[:-2]:  # CuPy does not broadcast
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (xp.broadcast_to(each, (*stack, *each.shape[-2:])) for each in (a, b))
    try:
        with _raising(xp, a):
            return xp.xp.linalg.solve(a, b)
    except np.linalg.LinAlgError as error:
        what = _SINGULAR.format(name="a", n=a.shape[-1])
        raise _refused("solve", "a", a, what, _invertible) from error


@reference
def det(xp: Any, x: Any) -> Any:
    """The determinant of each matrix."""
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return xp.xp.linalg.det(x)


@reference
def packed_slogdet(xp: Any, x: Any) -> Any:
    """The sign of each determinant, and the logarithm of its absolute value, as one array."""
    with np.errstate(invalid="ignore"):
        return xp.stack(tuple(xp.xp.linalg.slogdet(x)))


@reference
def cholesky(xp: Any, x: Any) -> Any:
    """The lower triangular L with L Lᵀ = x, of each matrix; only the lower triangle is read."""
    try:
        with _raising(xp, x):
            return xp.xp.linalg.cholesky(x)
    except np.linalg.LinAlgError as error:

        def positive(one: Any) -> bool:
            try:
                np.linalg.cholesky(one)
            except np.linalg.LinAlgError:
                return False
            return True

        what = (
            "is not positive definite: it has an eigenvalue that is not positive (a small multiple "
            f"of the identity, as in x + 1e-6 * cr.eye({x.shape[-1]}), helps if rounding is to "
            "blame)"
        )
        raise _refused("cholesky", "x", x, what, positive) from error


@reference
def cofactor(xp: Any, x: Any) -> Any:
    """The matrix of cofactors of each matrix, from its singular values: right for any rank.

    With x = U diag(s) Vᵀ it is det(U) det(V) U diag(∏_{k≠i} s_k) Vᵀ, without any quotient.
    """
    finite, u, s, vt, sign = _decomposed(xp, x)
    ones, _ = _left_out(xp, s)
    result = xp.matmul(u * (sign * ones)[..., None, :], vt)
    return xp.where(finite, result, np.nan)


@reference
def cofactor_backward(xp: Any, g: Any, x: Any) -> Any:
    """The gradient of the cofactors.

    The second differential of det at x = U diag(s) Vᵀ, in the directions G = Uᵀ g V and H, is
    Σ_{i≠j} p_ij (G_ii H_jj - G_ij H_ji) with p_ij = ∏_{k≠i,j} s_k, and linear in H.
    """
    finite, u, s, vt, sign = _decomposed(xp, x)
    _, pairs = _left_out(xp, s)
    inner = xp.matmul(xp.matmul(xp.matrix_transpose(u), g), xp.matrix_transpose(vt))
    diagonal = xp.matmul(pairs, xp.diagonal(inner, 0, -2, -1)[..., None])
    middle = diagonal * xp.eye(s.shape[-1], dtype=s.dtype) - pairs * xp.matrix_transpose(inner)
    result = xp.matmul(u * sign[..., None], xp.matmul(middle, vt))
    return xp.where(finite, result, np.nan)


def _decomposed(xp: Any, x: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Is each matrix finite? And of those that are, U, s, Vᵀ and det(U) det(V)."""
    finite = xp.isfinite(x).all(axis=(-2, -1), keepdims=True)
    if not certain(finite.all()):  # the decomposition would not converge
        x = xp.where(finite, x, xp.eye(x.shape[-1], dtype=x.dtype))
    u, s, vt = xp.xp.linalg.svd(x)
    sign = xp.xp.linalg.slogdet(u)[0] * xp.xp.linalg.slogdet(vt)[0]
    return finite, u, s, vt, sign[..., None]


def _left_out(xp: Any, s: Any) -> tuple[Any, Any]:
    """The products of all numbers but one, and of all but two (0 where the two are one)."""
    n = s.shape[-1]
    index = xp.arange(n)
    one = xp.ones((*s.shape[:-1], 1), s.dtype)
    before = xp.concat([one, xp.cumprod(s, axis=-1)], axis=-1)[..., :n]
    after = xp.concat([one, xp.cumprod(s[..., ::-1], axis=-1)], axis=-1)[..., :n][..., ::-1]
    # between[i, j] is the product of those from i + 1 to j - 1.
    later = xp.cumprod(xp.where(index > index[:, None], s[..., None, :], 1), axis=-1)
    between = xp.concat([xp.ones((*s.shape, 1), s.dtype), later], axis=-1)[..., :n]
    between = xp.where(index > index[:, None], between, 0)
    upper = before[..., :, None] * between * after[..., None, :]
    return before * after, upper + xp.matrix_transpose(upper)
