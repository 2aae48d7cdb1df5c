"""How lines of random programs are drawn: reductions, shapes, and moving elements about."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .drawing import LARGEST_SIZE, Drawing, apart
from .recipes_elementwise import Recipe, condition


def _any(x: np.ndarray[Any, Any]) -> bool:
    return x.ndim > 0


def _some(x: np.ndarray[Any, Any]) -> bool:
    return x.ndim > 0 and x.size > 0


def _reduced(x: np.ndarray[Any, Any], axes: Any) -> tuple[int, ...]:
    """The axes that are meant, from 0."""
    if axes is None:
        return tuple(range(x.ndim))
    return tuple(each % x.ndim for each in (axes if isinstance(axes, tuple) else (axes,)))


def _call(drawing: Drawing, name: str, operand: str, *options: str, method: bool = True) -> str:
    """A call as a function, or as a method; options that are empty are left out."""
    rest = ", ".join(each for each in options if each)
    if method and drawing.flag():
        return f"{operand}.{name}({rest})"
    return f"cr.{name}({operand}{', ' if rest else ''}{rest})"


# Reductions ---------------------------------------------------------------------------------


def reduction(name: str) -> Recipe:
    """A recipe for a reduction along axes."""

    def recipe(drawing: Drawing) -> str | None:
        operand = drawing.pick()
        if operand is None:
            return None
        x = drawing.numpy(operand)
        axes = drawing.axes(x.ndim)
        meant = _reduced(x, axes)
        count = math.prod(x.shape[i] for i in meant)
        options = [
            f"axis={axes}" if axes is not None else "",
            "keepdims=True" if drawing.flag() else "",
        ]
        if name not in ("sum", "prod", "norm", "logsumexp") and (x.size == 0 or not count):
            return None
        if name in ("max", "min", "median") and not apart(x, meant):
            return None
        if name == "logsumexp" and not count:
            return None
        if name in ("var", "std"):
            if count > 1 and drawing.flag():
                options.append("correction=1")
            if name == "std" and not (np.ptp(x, axis=meant) > 0.1).all():
                return None
        if name == "norm":
            order = drawing.one_of([2, 1, 3, 1.5, float("inf")])
            if not count or not (np.abs(x) > 0.1).all():
                return None
            if order == float("inf") and not apart(np.abs(x), meant):
                return None
            if order != 2:
                options.append("ord=np.inf" if order == float("inf") else f"ord={order}")
        return _call(drawing, name, operand, *options)

    return recipe


def one_axis(name: str) -> Recipe:
    """A recipe for an operation along one axis."""

    def recipe(drawing: Drawing) -> str | None:
        operand = drawing.pick(_any)
        if operand is None:
            return None
        x = drawing.numpy(operand)
        axis = drawing.axis(x.ndim)
        options = [f"axis={axis}"]
        if name.startswith("cumulative") and drawing.flag():
            options.append("include_initial=True")
        if name in ("sort", "top_k"):
            if not apart(x, [axis % x.ndim]):
                return None
            if name == "sort" and drawing.flag():
                options.append("descending=True")
            if name == "top_k":
                options.insert(0, f"k={drawing.integer(0, x.shape[axis])}")
                return f"cr.top_k({operand}, {', '.join(options)})[0]"
        return _call(drawing, name, operand, *options)

    return recipe


def linear_recurrence(drawing: Drawing) -> str | None:
    """A recurrence of one value by another, or by itself."""
    name = drawing.pick(lambda x: x.ndim > 0 and x.shape[-1] > 0)
    if name is None:
        return None
    x = drawing.numpy(name)
    other = drawing.pick(lambda a: a.shape == x.shape)
    axis = drawing.axis(x.ndim) % x.ndim
    if not x.shape[axis]:
        return None
    index = ", ".join([":"] * axis + ["1:"])
    return f"cr.linear_recurrence({other}[{index}], {name}, axis={axis})"


# Shapes -------------------------------------------------------------------------------------


def reshape(drawing: Drawing) -> str | None:
    """Another shape with as many elements."""
    name = drawing.pick()
    if name is None:
        return None
    size = drawing.numpy(name).size
    kind = drawing.integer(0, 3)
    if kind == 0 or size == 0:
        return f"{name}.flatten()"
    first = drawing.one_of([n for n in range(1, size + 1) if size % n == 0])
    shape: tuple[int, ...] = (first, size // first)
    if kind == 2:
        shape = (first, -1)
    if kind == 3:
        shape = (1, size // first, first)
    return f"{name}.reshape{shape}" if drawing.flag() else f"cr.reshape({name}, {shape})"


def arranged(drawing: Drawing) -> str | None:
    """Axes in another order."""
    name = drawing.pick(_any)
    if name is None:
        return None
    ndim = drawing.numpy(name).ndim
    forms = [f"{name}.T", f"cr.transpose({name})", f"{name}.transpose()"]
    if ndim > 1:
        forms += [f"{name}.mT", f"cr.matrix_transpose({name})"]
    return str(drawing.one_of(forms))


def permuted(drawing: Drawing) -> str | None:
    """Axes moved to other places, each named."""
    name = drawing.pick(lambda x: x.ndim > 1)
    if name is None:
        return None
    ndim = drawing.numpy(name).ndim
    form = drawing.one_of(["permute_dims", "moveaxis", "swapaxes", "transpose"])
    first, second = drawing.axis(ndim), drawing.axis(ndim)
    if form in ("moveaxis", "swapaxes"):
        return _call(drawing, form, name, f"{first}", f"{second}")
    step = -1 if drawing.flag() else 1
    order = tuple((first + step * i) % ndim - (ndim if i == 0 else 0) for i in range(ndim))
    return _call(drawing, form, name, f"{order}")


def axes_of_one(drawing: Drawing) -> str | None:
    """Axes of length 1 come and go, or are repeated."""
    name = drawing.pick()
    if name is None:
        return None
    x = drawing.numpy(name)
    kind = drawing.integer(0, 3)
    if kind == 0:
        axis = drawing.integer(-x.ndim - 1, x.ndim)
        several = f"({axis}, {axis - 1})" if axis >= 1 and drawing.flag() else f"{axis}"
        return _call(drawing, "expand_dims", name, several)
    if kind == 1:
        single = [i for i, n in enumerate(x.shape) if n == 1]
        if single and drawing.flag():
            return _call(drawing, "squeeze", name, f"axis={drawing.one_of(single)}")
        return _call(drawing, "squeeze", name)
    wide = [drawing.one_of([2, 1, 3]) if n == 1 else n for n in x.shape]
    front = [drawing.one_of([2, 1])] if kind == 3 else []
    if math.prod([*front, *wide]) > LARGEST_SIZE:
        return None
    return _call(drawing, "broadcast_to", name, f"{(*front, *wide)}")


def moved(drawing: Drawing) -> str | None:
    """flip, roll, tril and triu."""
    name = drawing.pick(_any)
    if name is None:
        return None
    x = drawing.numpy(name)
    kinds = ["flip", "roll", "tril", "triu"] if x.ndim > 1 else ["flip", "roll"]
    kind = drawing.one_of(kinds)
    if kind in ("tril", "triu"):
        return _call(drawing, kind, name, f"k={drawing.integer(-2, 2)}" if drawing.flag() else "")
    axes = drawing.axes(x.ndim)
    options = [f"axis={axes}" if axes is not None else ""]
    if kind == "roll":
        options.insert(0, f"{drawing.integer(-4, 4)}")
    return _call(drawing, kind, name, *options)


def pad(drawing: Drawing) -> str | None:
    """A margin of each kind."""
    name = drawing.pick(_some)
    if name is None:
        return None
    ndim = drawing.numpy(name).ndim
    widths = tuple((drawing.integer(0, 2), drawing.integer(0, 1)) for _ in range(ndim))
    mode = drawing.one_of(["constant", "edge", "reflect", "symmetric", "wrap"])
    options = [f"{widths}", f"mode={mode!r}" if mode != "constant" else ""]
    if mode == "constant" and drawing.flag():
        options.append("constant_values=0.75")
    return _call(drawing, "pad", name, *options)


def copies(drawing: Drawing) -> str | None:
    """tile and repeat."""
    name = drawing.pick()
    if name is None:
        return None
    x = drawing.numpy(name)
    if drawing.flag():
        reps = tuple(drawing.integer(1, 2) for _ in range(drawing.integer(0, x.ndim + 1)))
        return _call(drawing, "tile", name, f"{reps}")
    if x.ndim == 0 or drawing.flag():
        return _call(drawing, "repeat", name, "2")
    axis = drawing.axis(x.ndim)
    counts = [drawing.integer(0, 2) for _ in range(x.shape[axis])]
    if not counts:
        return None
    return _call(drawing, "repeat", name, f"{counts}", f"axis={axis}")


def joined(drawing: Drawing) -> str | None:
    """concat and stack, of values and of the same value twice."""
    name = drawing.pick(_any)
    if name is None:
        return None
    x = drawing.numpy(name)
    axis = drawing.axis(x.ndim)
    if drawing.flag():
        others = [drawing.pick(lambda y: y.shape == x.shape) for _ in range(drawing.integer(1, 2))]
        return f"cr.stack([{', '.join([name, *map(str, others)])}], axis={axis})"

    def fits(y: np.ndarray[Any, Any]) -> bool:
        if y.ndim != x.ndim or y.size + x.size > LARGEST_SIZE:
            return False
        pairs = zip(x.shape, y.shape, strict=True)
        return all(a == b or i == axis % x.ndim for i, (a, b) in enumerate(pairs))

    others = [drawing.pick(fits) or name for _ in range(drawing.integer(1, 2))]
    if drawing.flag():
        others[0] = str(drawing.pick())
        return f"cr.concat([{', '.join([name, *map(str, others)])}], axis=None)"
    return f"cr.concat([{', '.join([name, *map(str, others)])}], axis={axis})"


def pieces(drawing: Drawing) -> str | None:
    """split and unstack, all of whose pieces are values."""
    name = drawing.pick(_some)
    if name is None:
        return None
    x = drawing.numpy(name)
    axis = drawing.axis(x.ndim)
    length = x.shape[axis]
    if drawing.flag():
        return f"cr.unstack({name}, axis={axis})"
    if drawing.flag():
        return _call(drawing, "split", name, f"[{drawing.integer(0, length)}]", f"axis={axis}")
    count = drawing.one_of([n for n in range(1, length + 1) if length % n == 0])
    return _call(drawing, "split", name, f"{count}", f"axis={axis}")


def diagonals(drawing: Drawing) -> str | None:
    """diagonal and trace."""
    name = drawing.pick(lambda x: x.ndim > 1)
    if name is None:
        return None
    kind = drawing.one_of(["diagonal", "trace"])
    return _call(drawing, kind, name, f"offset={drawing.integer(-2, 2)}" if drawing.flag() else "")


def constant_like(drawing: Drawing) -> str | None:
    """A value plus zeros or ones in its shape, or a one-hot row of an index."""
    name = drawing.pick(_some)
    if name is None:
        return None
    x = drawing.numpy(name)
    form = drawing.one_of(["ones_like", "zeros_like", "one_hot"])
    if form == "one_hot":
        if not apart(x, [x.ndim - 1]):
            return None
        return f"{name} * cr.one_hot({name}.argmax(axis=-1), {x.shape[-1]}).detach()"
    return f"{name} - cr.{form}({name})"


def masked(drawing: Drawing) -> str | None:
    """The elements for which a condition holds."""
    name = drawing.pick(_any)
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    asked = condition(drawing, lambda c: c.ndim > 0 and c.shape == shape[: c.ndim])
    return asked and f"{name}[{asked}]"


REDUCTIONS: list[Recipe] = [
    reduction(name)
    for name in ["sum", "mean", "max", "min", "prod", "logsumexp", "var", "std", "norm", "median"]
]
ALONG: list[Recipe] = [
    *map(one_axis, ("softmax", "log_softmax", "cumulative_sum", "cumulative_prod")),
    *map(one_axis, ("sort", "top_k")),
    linear_recurrence,
]
SHAPES: list[Recipe] = [
    *(reshape, arranged, permuted, axes_of_one, moved, pad, copies, joined, pieces, diagonals),
    *(constant_like, masked),
]
