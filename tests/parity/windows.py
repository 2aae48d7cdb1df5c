"""Convolutions and pools: how PyTorch's arguments, channels first, translate to ours.

PyTorch also takes a single image without the batch axis; ours gets one in front.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chainrule as cr

from .compare import Explained, may_refuse


def per_axis(value: Any, count: int) -> tuple[int, ...]:
    """One integer for each axis."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return given * count if len(given) == 1 else given


def on_images(count: int, x: Any, compute: Callable[[Any], Any]) -> Any:
    """Computes with a batch of images whose channels are last, and puts the axes back."""
    single = x.ndim == count + 1
    y = compute(cr.moveaxis(x[None] if single else x, 1, -1))
    y = cr.moveaxis(y, -1, 1)
    return y[0] if single else y


def kernel_of(weight: Any) -> Any:
    """(filters, channels, ...) as (..., channels, filters)."""
    return cr.permute_dims(weight, (*range(2, weight.ndim), 1, 0))


def margins(padding: Any, count: int) -> Any:
    """The same margin on both sides of an axis."""
    if isinstance(padding, str):
        return padding
    return tuple((each, each) for each in per_axis(padding, count))


def conv(
    f: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """A convolution, with a bias for each filter."""
    count = weight.ndim - 2

    def compute(images: Any) -> Any:
        y = f(
            images,
            kernel_of(weight),
            strides=per_axis(stride, count),
            padding=margins(padding, count),
            dilation=per_axis(dilation, count),
            groups=groups,
        )
        return y if bias is None else y + bias

    return on_images(count, x, compute)


def conv_transpose(
    f: Any,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """PyTorch's output_padding says which of the sizes that a stride leaves open is meant."""
    count = weight.ndim - 2
    strides, spread = per_axis(stride, count), per_axis(dilation, count)
    size = tuple(
        (n - 1) * s - 2 * p + d * (w - 1) + o + 1
        for n, s, p, d, w, o in zip(
            x.shape[-count:],
            strides,
            per_axis(padding, count),
            spread,
            weight.shape[2:],
            per_axis(output_padding, count),
            strict=True,
        )
    )

    def compute(images: Any) -> Any:
        y = f(
            images,
            kernel_of(weight),
            size=size,
            strides=strides,
            padding=margins(padding, count),
            dilation=spread,
            groups=groups,
        )
        return y if bias is None else y + bias

    return may_refuse(
        any(o >= s for o, s in zip(per_axis(output_padding, count), strides, strict=True)),
        "an output_padding that is no remainder of a stride: no convolution leaves such a size",
        lambda: on_images(count, x, compute),
    )


def pool(count: int) -> Callable[..., Any]:
    """A pool on so many axes: the options that ours do not have are said."""

    def call(
        f: Any,
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
        dilation: Any = 1,
        return_indices: bool = False,
    ) -> Any:
        if any(per_axis(padding, count)):
            raise Explained("margins of the caller's choice; ours are 'same' or none")
        if ceil_mode or any(each != 1 for each in per_axis(dilation, count)):
            raise Explained("windows that hang over the end, or are dilated")
        if divisor_override is not None:
            raise Explained("a mean with another divisor")
        strides = per_axis(stride, count) if stride not in (None, ()) else None
        return on_images(
            count,
            x,
            lambda images: f(images, pool_size=per_axis(kernel_size, count), strides=strides),
        )

    return call
