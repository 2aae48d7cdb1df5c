"""How the kernels of convolutions and pools are tested against their references.

With u = eps / 2, a sum of n products, in any order, is off by at most n u times the sum of their
sizes; two such sums are apart by twice that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from chainrule.engine.kernels.pooling import pools
from chainrule.engine.windows import windows

from .parity_of_rows import REFERENCE, Array, Draw, eps, matrix, wide

channel_counts, filter_counts = st.sampled_from([1, 2, 3, 17]), st.sampled_from([1, 5, 16, 50])


def numbers(draw: Draw, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Random numbers; in half of the examples some of them, few or most, are not finite.

    Chance decides, since hypothesis would rather have them all finite.
    """
    array = matrix(draw, dtype, shape, special=False)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if random.random() < 0.5:
        chosen = random.random(shape) < random.choice([0.02, 0.2, 0.8])
        array[chosen] = random.choice([np.nan, np.inf, -np.inf, -np.inf])
    return array


def drawn_windows(draw: Draw) -> tuple[int, tuple[int, ...], tuple[int, ...], tuple[Any, ...]]:
    """A batch, sizes, a window, and the options (strides, padding, dilation, groups)."""
    axes = draw(st.integers(1, 2))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    window, dilation = per_axis(1, 3), draw(st.sampled_from([(1,) * axes, per_axis(1, 2)]))
    spans = [(n - 1) * step + 1 for n, step in zip(window, dilation, strict=True)]
    sizes = tuple(span + draw(st.integers(0, 7)) for span in spans)
    margins = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(axes))
    padding = draw(st.sampled_from(["valid", "same", "same", margins]))
    strides = draw(st.sampled_from([(1,) * axes, (1,) * axes, per_axis(1, 3)]))
    return draw(st.sampled_from([1, 3, 20])), sizes, window, (strides, padding, dilation, 1)


def draw_conv(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    batch, sizes, window, options = drawn_windows(draw)
    channels, filters = draw(channel_counts), draw(filter_counts)
    x = numbers(draw, dtype, (batch, *sizes, channels))
    return [x, numbers(draw, dtype, (*window, channels, filters)), *options]


def draw_conv_transpose(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    batch, sizes, window, options = drawn_windows(draw)
    channels, filters = draw(channel_counts), draw(filter_counts)
    lengths = windows(sizes, window, *options[:3]).lengths
    kernel = numbers(draw, dtype, (*window, channels, filters))
    return [numbers(draw, dtype, (batch, *lengths, filters)), kernel, sizes, *options]


def draw_conv_kernel_gradient(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    batch, sizes, window, options = drawn_windows(draw)
    lengths = windows(sizes, window, *options[:3]).lengths
    x = numbers(draw, dtype, (batch, *sizes, draw(channel_counts)))
    return [x, numbers(draw, dtype, (batch, *lengths, draw(filter_counts))), window, *options]


def products_allow(name: str) -> Callable[[list[Any], int | None, Array], Array]:
    def allowed(arguments: list[Any], position: int | None, after: Array) -> Array:
        x, other = (abs(each) for each in wide(*arguments[:2]))
        sizes: Array = getattr(REFERENCE, name)(x, other, *arguments[2:])
        terms = x[..., 0].size if name == "conv_kernel_gradient" else math.prod(other.shape)
        return terms * eps(after) * sizes

    return allowed


# Pools --------------------------------------------------------------------------------------


def draw_pool(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    batch, sizes, window, (strides, _, _, _) = drawn_windows(draw)
    shape = (batch, *sizes, draw(channel_counts))
    x = numbers(draw, dtype, shape)
    if draw(st.booleans()):  # many are equal
        x = np.clip(np.round(x), -1, 1)
    strides = draw(st.sampled_from([None, strides]))
    return [x, window, strides, draw(st.sampled_from(["valid", "same"]))]


def draw_max_pool_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, *options = draw_pool(draw, dtype)
    with np.errstate(all="ignore"):
        y = REFERENCE.max_pool(x, *options)
    return [numbers(draw, dtype, y.shape), y, x, *options]


def draw_avg_pool_backward(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x, *options = draw_pool(draw, dtype)
    lengths = pools(x.shape, *options).lengths
    return [numbers(draw, dtype, (len(x), *lengths, x.shape[-1])), x.shape, *options]


def moves_only(arguments: list[Any], position: int | None, after: Array) -> Array:
    return np.zeros(1)


def avg_pool_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """At most 9 terms, and two divisions in place of one."""
    x, *options = arguments
    with np.errstate(all="ignore"):
        return 12 * eps(after) * REFERENCE.avg_pool(abs(wide(x)[0]), *options)


def pool_backward_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """An element is seen by at most 9 windows; each quotient is rounded once more, or twice."""
    return np.asarray(24 * eps(after) * abs(wide(arguments[0])[0]).max(initial=0))


WINDOWS = {
    "conv": (draw_conv, products_allow("conv")),
    "conv_transpose": (draw_conv_transpose, products_allow("conv_transpose")),
    "conv_kernel_gradient": (draw_conv_kernel_gradient, products_allow("conv_kernel_gradient")),
    "max_pool": (draw_pool, moves_only),
    "max_pool_backward": (draw_max_pool_backward, pool_backward_allows),
    "avg_pool": (draw_pool, avg_pool_allows),
    "avg_pool_backward": (draw_avg_pool_backward, pool_backward_allows),
}
