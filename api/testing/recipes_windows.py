"""How lines of random programs are drawn: convolutions and pools."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.engine.windows import windows

from .drawing import LARGEST_SIZE, Drawing, apart
from .recipes_elementwise import Recipe

#: Of a value with so many axes, the text that makes a batch of it, with channels.
_BATCH = {1: "{}[None, :, None]", 2: "{}[None]", 3: "{}", 4: "{}"}


def _images(drawing: Drawing) -> tuple[str, tuple[int, ...]] | None:
    """A value as a batch of rows or images, and its shape."""
    name = drawing.pick(lambda x: x.ndim > 0 and x.size > 0)
    if name is None:
        return None
    x = drawing.numpy(name)
    form = _BATCH.get(x.ndim, "{}.reshape(1, -1, 1)")
    if x.ndim in (2, 3) and drawing.flag():
        form = {2: "{}[None, ..., None]", 3: "{}[..., None]"}[x.ndim]
    text = form.format(name)
    return text, drawing.array_of(text).shape


def _padding(drawing: Drawing, axes: int) -> Any:
    options: list[Any] = ["same", "valid", 1]
    options.append("causal" if axes == 1 else ((0, 1), (1, 0)))
    return drawing.one_of(options)


def _options(**given: Any) -> str:
    """Options as text, without those that have their default."""
    plain = {"strides": (1, None), "dilation": (1,), "padding": ("valid",)}
    kept = {n: v for n, v in given.items() if v not in plain.get(n, ())}
    return "".join(f", {name}={value!r}" for name, value in kept.items())


def convolution(drawing: Drawing) -> str | None:
    """A convolution with a constant kernel, or one that is made of a value; or its transpose."""
    found = _images(drawing)
    if found is None:
        return None
    text, shape = found
    sizes, channels = shape[1:-1], shape[-1]
    strides, dilation = drawing.integer(1, 2), drawing.integer(1, 2)
    padding = _padding(drawing, len(sizes))
    window = tuple(drawing.integer(1, 2) for _ in sizes)
    try:
        seen = windows(sizes, window, strides, padding, dilation)
    except ValueError:
        return None
    filters = drawing.integer(1, 2)
    if shape[0] * math.prod(seen.lengths) * filters > LARGEST_SIZE:
        return None
    options = _options(strides=strides, padding=padding, dilation=dilation)
    fits = (*window, channels, filters)

    def is_kernel(x: np.ndarray[Any, Any]) -> bool:
        return x.size == math.prod(fits)

    name = drawing.pick(is_kernel) if drawing.flag() else None
    kernel = drawing.array(fits) if name is None else f"{name}.reshape({fits})"
    form = drawing.integer(0, 2)
    if form == 1:
        spread = f"cr.conv({text}, {kernel}{options})"
        return f"cr.conv_transpose({spread}, {kernel}, size={sizes}{options})"
    if form == 2:
        delta = drawing.array((shape[0], *seen.lengths, filters))
        return f"cr.conv_kernel_gradient({text}, {delta}, kernel_size={window}{options})"
    return f"cr.conv({text}, {kernel}{options})"


def pool(name: str) -> Recipe:
    """A recipe for a pool."""

    def recipe(drawing: Drawing) -> str | None:
        found = _images(drawing)
        if found is None:
            return None
        text, shape = found
        size, strides = drawing.integer(1, 2), drawing.one_of([None, 1, 2])
        padding = drawing.one_of(["same", "valid"])
        if padding == "valid" and min(shape[1:-1]) < size:
            return None
        if name == "max_pool" and not apart(drawing.array_of(text)):
            return None
        return f"cr.{name}({text}, pool_size={size}{_options(strides=strides, padding=padding)})"

    return recipe


WINDOWS: list[Recipe] = [convolution, pool("max_pool"), pool("avg_pool")]
