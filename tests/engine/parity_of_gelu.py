"""How gelu's kernels are tested against their references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from chainrule.engine.devices import get_device

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

REFERENCE = get_device("cpu").sets["reference"]


def drawn(draw: Draw, dtype: np.dtype[Any]) -> Array:
    """Numbers from the denormal to the huge, infinite ones and NaN; not always contiguous."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(), (0, 3), (1,), (17,), (3, 40), (2, 3, 33)]))
    about = np.finfo(dtype)
    special = [0.0, about.smallest_subnormal, about.eps, 13.0, 38.0, 1e4, np.inf, np.nan]
    array = random.standard_normal(shape) * 10.0 ** random.integers(-3, 2, shape)
    chosen = random.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.9]))
    found = random.choice(special, shape) * random.choice([-1.0, 1.0], shape)
    array = np.where(chosen, found, array).astype(dtype)
    return array.T if draw(st.booleans()) else array


def draw_gelu(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    return [drawn(draw, dtype), draw(st.booleans())]


def draw_gelu_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, approximate = draw_gelu(draw, dtype)
    with np.errstate(all="ignore"):
        _, share = REFERENCE.gelu(x, approximate)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    g = np.asarray(random.standard_normal(x.shape), dtype)
    return [g if draw(st.booleans()) else np.full_like(g, np.inf), x, share, approximate]


def allowed(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Derived for y = x p, the exponentials in p to 2 units and products to half of one.

    The reference rounds √2 and x / √2, each by half a unit, of which the exponent makes x² units;
    the form with tanh rounds its exponent, |x| (1 + x²/20) 1.6, up to six times, held where p is 0.
    Beside that are up to 12 roundings on both sides together. Where p is denormal its unit is times
    |x| <= 40.
    """
    x = np.minimum(np.abs(np.nan_to_num(arguments[0].astype(np.float64))), 40.0)
    about = np.finfo(after.dtype)
    exponent = np.minimum(1.6 * x * (1 + x * x / 20), 750.0)
    units = 6 * exponent if arguments[-1] else x * x
    size = np.abs(np.nan_to_num(after.astype(np.float64), posinf=0, neginf=0))
    smallest = float(about.smallest_subnormal)
    return (12 + units) * (float(about.eps) * size + 40 * smallest)


def backward_allowed(arguments: list[Any], position: int | None, after: Array) -> Array:
    """g (p + h q): the roundings of both terms, of which q is made by at most 8."""
    g, x, share = (np.nan_to_num(each.astype(np.float64), posinf=0) for each in arguments[:3])
    h = np.clip(x, -40, 40)
    if arguments[-1]:
        slope = share * (1 - share) * (1 + 0.134145 * h * h) * 1.6
    else:
        slope = np.exp(-h * h / 2) * (1 + h * h) * 0.4  # the exponent is rounded, too
    about = np.finfo(after.dtype)
    size = np.abs(g) * (np.abs(share) + np.abs(h) * slope)
    return 12 * (float(about.eps) * size + 1_600 * float(about.smallest_subnormal) * (1 + abs(g)))


GELU = {
    "gelu": (draw_gelu, allowed),
    "gelu_backward": (draw_gelu_backward, backward_allowed),
}
