"""NumPy's elementwise functions as functions of complex numbers that act as the real ones do.

Each is given plain arrays of complex128 (or real numbers beside them), and computes in the real
part what the real function does, and in the imaginary part the derivative in that direction. Where
NumPy's own complex function does that, to rounding, it is used; it orders complex numbers by their
real part, and by the imaginary part where those are equal, so that `maximum`, `<` and `sort` need
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .branching import real

Array = np.ndarray[Any, Any]

#: Analytic, or ordering numbers in the right way: NumPy's own do.
ASIS: set[Any] = {
    np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.square,
    np.reciprocal, np.matmul, np.maximum, np.minimum, np.fmax, np.fmin, np.greater,
    np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.logical_and,
    np.logical_or, np.logical_not, np.logical_xor, np.isnan, np.isinf, np.isfinite,
}  # fmt: skip
ASIS |= {getattr(np, name) for name in ("matvec",) if hasattr(np, name)}
#: What `np.clip` calls; it has no public name.
CLIP: Any = np._core.umath.clip  # type: ignore[attr-defined]
ASIS.add(CLIP)

#: ufunc -> the same, of plain arrays, as a function of complex numbers.
ANALYTIC: dict[Any, Callable[..., Any]] = {}


def analytic(*ufuncs: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enters a function as that which stands for a ufunc."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for each in ufuncs:
            ANALYTIC[each] = function
        return function

    return enter


def joined(re: Any, im: Any) -> Array:
    """re + 1j im, without what multiplying by 1j does to infinities."""
    result = np.empty(np.broadcast(re, im).shape, np.complex128)
    result.real, result.imag = re, im
    return result


def imaginary(x: Any) -> Any:
    """The imaginary part of a plain array or number; the number 0 if it is real."""
    return x.imag if isinstance(x, np.ndarray) and x.dtype.kind == "c" else 0.0


def slope(value: Any, direction: Any) -> Any:
    """value * direction, and 0 where the direction is 0, whatever the value is."""
    return np.where(np.equal(direction, 0), 0.0, value * direction)


def _pinned(ufunc: Any) -> Callable[[Any], Any]:
    """The real function in the real part, and NumPy's complex function in the imaginary part.

    So what is outside of the domain is NaN, as for real numbers, and the real part is exact.
    """

    def function(z: Any) -> Any:
        result = np.empty(z.shape, np.complex128)
        with np.errstate(all="ignore"):
            ufunc(z, result)
        result.real = re = ufunc(z.real)
        outside = re != re
        if np.count_nonzero(outside):
            result.imag[outside] = np.nan
        return result

    return function


_PINNED: tuple[Any, ...] = (
    np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p,
    np.sin, np.cos, np.tan, np.arctan, np.arcsin, np.arccos,
    np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh, np.arctanh,
)  # fmt: skip
ANALYTIC |= {ufunc: _pinned(ufunc) for ufunc in _PINNED}

_sqrt = _pinned(np.sqrt)


@analytic(np.sqrt)
def sqrt(z: Any) -> Any:
    """√z; its slope at 0 is infinite."""
    result = _sqrt(z)
    zero = z.real == 0
    if zero.any():
        with np.errstate(all="ignore"):
            result.imag[zero] = slope(np.inf, z.imag[zero])
    return result


@analytic(np.cbrt)
def cbrt(z: Any) -> Any:
    """The real cube root."""
    re = np.cbrt(z.real)
    with np.errstate(all="ignore"):
        return joined(re, slope(1 / (3 * re * re), z.imag))


@analytic(np.absolute, np.fabs)
def absolute(z: Any) -> Any:
    """z or -z."""
    return np.where(z < 0, -z, z)


def _steps(ufunc: Any) -> Callable[[Any], Any]:
    return lambda z: ufunc(z.real) + 0j


_STEPS: tuple[Any, ...] = (np.sign, np.floor, np.ceil, np.trunc, np.rint)
ANALYTIC |= {ufunc: _steps(ufunc) for ufunc in _STEPS}


@analytic(np.signbit)
def signbit(z: Any) -> Any:
    """Is the real part negative?"""
    return np.signbit(z.real)


@analytic(np.conjugate)
def conjugate(z: Any) -> Any:
    """z: the conjugate of a real number is the number."""
    return z.copy()


@analytic(np.degrees, np.rad2deg)
def degrees(z: Any) -> Any:
    """Radians as degrees."""
    return z * (180 / np.pi)


@analytic(np.radians, np.deg2rad)
def radians(z: Any) -> Any:
    """Degrees as radians."""
    return z * (np.pi / 180)


@analytic(np.copysign)
def copysign(a: Any, b: Any) -> Any:
    """a or -a, with the sign of b."""
    a = np.asarray(a, np.complex128)
    return np.where(np.signbit(real(a)) == np.signbit(real(b)), a, -a)


@analytic(np.heaviside)
def heaviside(x: Any, middle: Any) -> Any:
    """0 before 0, 1 behind it, and `middle` there."""
    im = np.where(real(x) == 0, imaginary(middle), 0.0)
    return joined(np.heaviside(real(x), real(middle)), im)


@analytic(np.floor_divide)
def floor_divide(a: Any, b: Any) -> Any:
    """The quotient, rounded down."""
    return np.floor_divide(real(a), real(b)) + 0j


@analytic(np.remainder)
def remainder(a: Any, b: Any) -> Any:
    """a - b floor(a / b)."""
    quotient = np.floor_divide(real(a), real(b))
    return joined(np.remainder(real(a), real(b)), imaginary(a) - quotient * imaginary(b))


@analytic(np.fmod)
def fmod(a: Any, b: Any) -> Any:
    """a - b trunc(a / b)."""
    with np.errstate(all="ignore"):
        quotient = np.trunc(np.divide(real(a), real(b)))
    return joined(np.fmod(real(a), real(b)), imaginary(a) - quotient * imaginary(b))


@analytic(np.divmod)
def divmod_(a: Any, b: Any) -> Any:
    """The quotient, rounded down, and the remainder."""
    return floor_divide(a, b), remainder(a, b)


@analytic(np.power, np.float_power)
def power(a: Any, b: Any) -> Any:
    """a**b; a negative a has it for whole numbers b."""
    base, exponent = real(a), real(b)
    re = np.power(base, exponent, dtype=np.float64)
    with np.errstate(all="ignore"):
        lower = np.power(base, np.subtract(exponent, 1.0), dtype=np.float64)
        im = slope(np.where(np.equal(exponent, 0), 0.0, exponent * lower), imaginary(a))
        if np.any(imaginary(b)):
            flat = (re == 0) & np.greater(exponent, 0)
            im = im + slope(np.where(flat, 0.0, re * np.log(base)), imaginary(b))
    return joined(re, np.where(np.isnan(re), np.nan, im))


@analytic(np.hypot)
def hypot(a: Any, b: Any) -> Any:
    """√(a² + b²)."""
    re = np.hypot(real(a), real(b))
    with np.errstate(all="ignore"):
        im = real(a) / re * imaginary(a) + real(b) / re * imaginary(b)
    return joined(re, np.where(re == 0, np.hypot(imaginary(a), imaginary(b)), im))


@analytic(np.arctan2)
def arctan2(a: Any, b: Any) -> Any:
    """The angle of the point (b, a)."""
    radius = np.hypot(real(a), real(b))
    with np.errstate(all="ignore"):
        im = (real(b) / radius * imaginary(a) - real(a) / radius * imaginary(b)) / radius
    return joined(np.arctan2(real(a), real(b)), im)


def _added(ufunc: Any, raised: Any) -> Callable[[Any, Any], Any]:
    """log(exp(a) + exp(b)), in a base: its slopes are the shares of the two."""

    def function(a: Any, b: Any) -> Any:
        re = ufunc(real(a), real(b))
        with np.errstate(all="ignore"):
            shares = [raised(np.minimum(real(x) - re, 0.0)) for x in (a, b)]
        return joined(re, slope(shares[0], imaginary(a)) + slope(shares[1], imaginary(b)))

    return function


ANALYTIC[np.logaddexp] = _added(np.logaddexp, np.exp)
ANALYTIC[np.logaddexp2] = _added(np.logaddexp2, np.exp2)


@analytic(np.ldexp)
def ldexp(x: Any, exponent: Any) -> Any:
    """x 2**exponent."""
    return joined(np.ldexp(x.real, exponent), np.ldexp(x.imag, exponent))


@analytic(np.vecdot)
def vecdot(a: Any, b: Any) -> Any:
    """Σ a b along the last axis; NumPy's takes the conjugate of a."""
    return np.einsum("...i,...i->...", a, b)


if hasattr(np, "vecmat"):

    @analytic(np.vecmat)
    def vecmat(a: Any, b: Any) -> Any:
        """A row times a matrix; NumPy's takes the conjugate of a."""
        return np.matmul(a[..., None, :], b)[..., 0, :]
