"""Convolutions: three bilinear forms, each of whose gradients are the other two.

Channels come last: x is (batch, width, channels) or (batch, height, width, channels), and a kernel
has its window's axes first, then the channels of one group and the filters. As everywhere in deep
learning, the kernel is not turned around: this is a cross-correlation.
"""

from __future__ import annotations

import math
from typing import Any

from ..arguments import frozen
from ..cases import case
from ..definitions import operation
from ..tensor import is_array
from ..windows import Windows, per_axis, windows
from .reductions import floating

_OPTIONS = """
`strides` and `dilation` are an integer, or one for each spatial axis; `padding` is "valid" (no
window sees beyond x), "same" (lengths are those of x, divided by the strides and rounded up; of an
odd number of zeros the one more is at the end), "causal" (one spatial axis: no window sees what
comes later), an integer, or pairs (before, after), one for each spatial axis: ((1, 1), (0, 2)).
With `groups` channels and filters are cut into so many groups, and filters see their own only.
"""

_RAISES = """
Raises ShapeError if channels, filters, groups or lengths do not fit, DtypeError for options that
are no integers.
"""


def _array(k: Any, name: str, x: Any, images: bool = True) -> Any:
    """An argument as a floating array, if it has one or two spatial axes."""
    x = floating(x if is_array(x) else k.asarray(x))
    if x.ndim not in (3, 4):
        axes = "(batch, [height,] width, channels)"
        if not images:
            axes = "([height,] width, channels, filters)"
        elif x.ndim == 2:
            axes += "; of a batch of rows with one channel, give x[..., None]"
        raise ValueError(f"{name} must have axes {axes}")
    return x


def _alike(name: str, x: Any, other_name: str, other: Any) -> None:
    if x.ndim == other.ndim:
        return
    remedy = f"; give {name}[..., None], if it has one channel" if x.ndim < other.ndim else ""
    raise ValueError(f"{name} and {other_name} must have the same number of axes{remedy}")


def _grouped(groups: Any, **counts: int) -> int:
    """The number of groups, if it divides the channels and filters."""
    (groups,) = per_axis(groups, 1, "groups")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"there must be at least one of the {name}")
        if count % groups:
            raise ValueError(f"groups={groups} does not divide the {count} {name}")
    return groups


def _conv(
    k: Any, x: Any, kernel: Any, strides: Any, padding: Any, dilation: Any, groups: Any
) -> Any:
    x, kernel = _array(k, "x", x), _array(k, "kernel", kernel, images=False)
    _alike("x", x, "kernel", kernel)
    groups = _grouped(groups, channels=x.shape[-1], filters=kernel.shape[-1])
    if kernel.shape[-2] * groups != x.shape[-1]:
        raise ValueError(
            f"with groups={groups}, x of {x.shape[-1]} channels needs a kernel of "
            f"{x.shape[-1] // groups} (its axis before the last), not {kernel.shape[-2]}"
        )
    windows(x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    return k.conv(x, kernel, strides, padding, dilation, groups)


def _lengths(name: str, x: Any, seen: Windows) -> None:
    if x.shape[1:-1] != seen.lengths:
        raise ValueError(
            f"{name} must have spatial lengths {seen.lengths}, those of a convolution with these "
            f"options of what has {seen.sizes}, not {x.shape[1:-1]}"
        )


def _conv_transpose(
    k: Any,
    x: Any,
    kernel: Any,
    size: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    x, kernel = _array(k, "x", x), _array(k, "kernel", kernel, images=False)
    _alike("x", x, "kernel", kernel)
    groups = _grouped(groups, filters=kernel.shape[-1])
    if kernel.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"x must have as many channels as the kernel has filters, {kernel.shape[-1]}, not "
            f"{x.shape[-1]}"
        )
    size = per_axis(size, x.ndim - 2, "size")
    _lengths("x", x, windows(size, kernel.shape[:-2], strides, padding, dilation))
    return k.conv_transpose(x, kernel, size, strides, padding, dilation, groups)


def _conv_kernel_gradient(
    k: Any,
    x: Any,
    delta: Any,
    kernel_size: Any,
    strides: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
) -> Any:
    x, delta = _array(k, "x", x), _array(k, "delta", delta)
    _alike("x", x, "delta", delta)
    groups = _grouped(groups, channels=x.shape[-1], filters=delta.shape[-1])
    if len(x) != len(delta):
        raise ValueError("x and delta must have the same batch, the first axis")
    kernel_size = per_axis(kernel_size, x.ndim - 2, "kernel_size")
    _lengths("delta", delta, windows(x.shape[1:-1], kernel_size, strides, padding, dilation))
    return k.conv_kernel_gradient(x, delta, kernel_size, strides, padding, dilation, groups)


def _products(result: tuple[int, ...], kernel: tuple[int, ...]) -> int:
    """Multiplications and additions: for each filter of each window, the elements it sees."""
    return 2 * math.prod(result) * math.prod(kernel[:-1])


_FREEZE = dict.fromkeys(("strides", "padding", "dilation"), frozen)

#: Options on which the three are checked: (sizes, window, channels of a group, filters of one, ...)
_FORMS: list[tuple[tuple[int, ...], tuple[int, ...], int, int, dict[str, Any]]] = [
    ((4,), (2,), 2, 1, {}),
    ((3, 2), (2, 1), 1, 2, {}),
    ((4,), (2,), 1, 2, {"strides": 2, "padding": "same", "groups": 2}),
    ((5,), (2,), 1, 1, {"strides": 2, "padding": "causal", "dilation": 2}),
    ((2, 3), (3, 2), 1, 1, {"strides": (1, 2), "padding": "same"}),
    ((2, 4), (1, 2), 1, 1, {"padding": ((0, 1), (2, 0)), "dilation": (1, 3)}),
    ((2, 2), (1, 1), 2, 2, {}),
    ((2,), (1,), 2, 1, {"strides": 2, "padding": 1}),
]


def _shapes(
    sizes: tuple[int, ...],
    window: tuple[int, ...],
    channels: int,
    filters: int,
    options: dict[str, Any],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The shapes of x, kernel and result."""
    options = dict(options)
    groups = options.pop("groups", 1)
    seen = windows(sizes, window, **options)
    x = (2 if len(sizes) == 1 else 1, *sizes, channels * groups)
    return x, (*window, channels, filters * groups), (x[0], *seen.lengths, filters * groups)


conv = operation(
    "conv",
    summary="The product of a kernel with every window of x: the convolution of deep learning.",
    formula="y[n, o, f] = Σ_(i, c) kernel[i, c, f] x[n, o strides + i dilation - before, c]",
    derivative={
        "x": "Σ kernel[i, c, f] g[n, o, f] over the windows o that see the element at i",
        "kernel": "Σ_(n, o) x[n, o strides + i dilation - before, c] g[n, o, f]",
    },
    notes="""
    Arguments: `x`, (batch, width, channels) or (batch, height, width, channels); `kernel`, (width,
    channels / groups, filters) or (height, width, channels / groups, filters). The result is
    (batch, [height,] width, filters). Integers are computed with as float64.
    """
    + _OPTIONS
    + _RAISES
    + """
    Source: Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning.
    """,
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([[[1.0], [2.0], [4.0], [8.0]]])
    >>> cr.conv(x, cr.tensor([[[-1.0]], [[1.0]]])).tolist()
    [[[1.0], [2.0], [4.0]]]
    """,
    forward=lambda k, x, kernel, *, strides=1, padding="valid", dilation=1, groups=1: _conv(
        k, x, kernel, strides, padding, dilation, groups
    ),
    vjp={
        "x": lambda k, g, kernel, x_shape, strides, padding, dilation, groups: k.conv_transpose(
            g,
            kernel,
            size=x_shape[1:-1],
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
        "kernel": lambda k, g, x, kernel_shape, strides, padding, dilation, groups: (
            k.conv_kernel_gradient(
                x,
                g,
                kernel_size=kernel_shape[:-2],
                strides=strides,
                padding=padding,
                dilation=dilation,
                groups=groups,
            )
        ),
    },
    freeze=_FREEZE,
    products=lambda y, x, kernel, **options: _products(y, kernel),
    cases=[case(*_shapes(*form)[:2], **form[-1]) for form in _FORMS]
    + [case((0, 3, 1), (2, 1, 2)), case((1, 3, 1), (2, 1, 1), strides=(2,), padding=((0, 1),))],
)

conv_transpose = operation(
    "conv_transpose",
    summary="A convolution pulled back to its input: what a kernel spreads over a given size.",
    formula="y[n, j, c] = Σ kernel[i, c, f] x[n, o, f] over o and i with "
    "o strides + i dilation - before = j",
    derivative={
        "x": "the convolution of g with the kernel",
        "kernel": "Σ_(n, o) g[n, o strides + i dilation - before, c] x[n, o, f]",
    },
    notes="""
    Arguments: `x`, (batch, width, filters) or (batch, height, width, filters); `kernel`, as for
    `conv`, so that <conv(z, kernel), x> = <z, conv_transpose(x, kernel)>; `size`, the spatial
    lengths of the result, an integer or one for each axis. The result is
    (batch, *size, channels).
    """
    + _OPTIONS
    + _RAISES,
    example="""
    >>> import chainrule as cr
    >>> x, kernel = cr.tensor([[[1.0], [10.0]]]), cr.tensor([[[1.0]], [[2.0]]])
    >>> cr.conv_transpose(x, kernel, size=3).tolist()
    [[[1.0], [12.0], [20.0]]]
    """,
    forward=lambda k, x, kernel, *, size, strides=1, padding="valid", dilation=1, groups=1: (
        _conv_transpose(k, x, kernel, size, strides, padding, dilation, groups)
    ),
    vjp={
        "x": lambda k, g, kernel, strides, padding, dilation, groups: k.conv(
            g, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups
        ),
        "kernel": lambda k, g, x, kernel_shape, strides, padding, dilation, groups: (
            k.conv_kernel_gradient(
                g,
                x,
                kernel_size=kernel_shape[:-2],
                strides=strides,
                padding=padding,
                dilation=dilation,
                groups=groups,
            )
        ),
    },
    freeze=_FREEZE | {"size": frozen},
    products=lambda y, x, kernel, **options: _products(x, kernel),
    cases=[
        case(*_shapes(*form)[:0:-1], size=form[0] if len(form[0]) > 1 else form[0][0], **form[-1])
        for form in _FORMS
    ],
)

conv_kernel_gradient = operation(
    "conv_kernel_gradient",
    summary="The gradient of a convolution's kernel: what its windows saw, times what came back.",
    formula="y[i, c, f] = Σ_(n, o) x[n, o strides + i dilation - before, c] delta[n, o, f]",
    derivative={
        "x": "Σ g[i, c, f] delta[n, o, f] over the windows o that see the element at i",
        "delta": "the convolution of x with g",
    },
    notes="""
    Arguments: `x`, as for `conv`; `delta`, of the shape of its result; `kernel_size`, the
    spatial lengths of the kernel, an integer or one for each axis. The result has the kernel's
    shape.
    """
    + _OPTIONS
    + _RAISES,
    example="""
    >>> import chainrule as cr
    >>> x, delta = cr.tensor([[[1.0], [2.0], [4.0]]]), cr.tensor([[[1.0], [-1.0]]])
    >>> cr.conv_kernel_gradient(x, delta, kernel_size=2).tolist()
    [[[-1.0]], [[-2.0]]]
    """,
    forward=lambda k, x, delta, *, kernel_size, strides=1, padding="valid", dilation=1, groups=1: (
        _conv_kernel_gradient(k, x, delta, kernel_size, strides, padding, dilation, groups)
    ),
    vjp={
        "x": lambda k, g, delta, x_shape, strides, padding, dilation, groups: k.conv_transpose(
            delta,
            g,
            size=x_shape[1:-1],
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=groups,
        ),
        "delta": lambda k, g, x, strides, padding, dilation, groups: k.conv(
            x, g, strides=strides, padding=padding, dilation=dilation, groups=groups
        ),
    },
    freeze=_FREEZE | {"kernel_size": frozen},
    products=lambda y, x, delta, **options: _products(delta, y),
    cases=[case(*_shapes(*form)[::2], kernel_size=form[1], **form[-1]) for form in _FORMS],
)
