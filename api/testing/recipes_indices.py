"""How lines of random programs are drawn: elements at an index, put there, and added up there."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .composite import part_of_hypothesis
from .drawing import Drawing, apart
from .program import literal
from .recipes_elementwise import Recipe


def _some(x: np.ndarray[Any, Any]) -> bool:
    return x.ndim > 0 and x.size > 0


@functools.lru_cache(256)
def _basic(shape: tuple[int, ...]) -> Any:
    return part_of_hypothesis("extra.numpy", "programs").basic_indices(shape, allow_newaxis=True)


def index(drawing: Drawing, shape: tuple[int, ...]) -> str:
    """An index of an array of that shape, as it stands in brackets."""
    kind = drawing.integer(0, 3)
    if kind == 0:
        drawn = drawing.strategy(_basic(shape))
        parts = drawn if isinstance(drawn, tuple) else (drawn,)
        return ", ".join(map(_part, parts)) or "()"
    rows = drawing.one_of([(2,), (3,), (1,), (2, 1), ()])
    numbers = [drawing.indices(rows, n).tolist() for n in shape]
    if kind == 1:
        return f"{numbers[0]}"
    if kind == 2 and len(shape) > 1:
        axis = drawing.integer(1, len(shape) - 1)
        return ", ".join([*[":"] * axis, f"{numbers[axis]}"])
    if len(shape) > 1 and drawing.flag():
        return f"{numbers[0]}, ..., {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _part(each: Any) -> str:
    if isinstance(each, slice):
        ends = ["" if end is None else str(end) for end in (each.start, each.stop, each.step)]
        return ":".join(ends if ends[2] else ends[:2])
    return "..." if each is Ellipsis else str(each)


def getitem(drawing: Drawing) -> str | None:
    """The elements at an index."""
    name = drawing.pick(_some)
    return name and f"{name}[{index(drawing, drawing.numpy(name).shape)}]"


def updated(drawing: Drawing) -> str | None:
    """x.at[index].set(values) and x.at[index].add(values)."""
    name = drawing.pick(_some)
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    where = index(drawing, shape)
    target = np.zeros(shape)[eval(f"np.s_[{where}]", {"np": np})].shape

    def fits(values: np.ndarray[Any, Any]) -> bool:
        try:
            return bool(np.broadcast_shapes(values.shape, target) == target)
        except ValueError:
            return False

    values = drawing.pick(fits) or drawing.number()
    if drawing.integer(0, 3) == 3:
        values = drawing.number()
    return f"{name}.at[{where}].{drawing.one_of(['set', 'add'])}({values})"


def scattered(drawing: Drawing) -> str | None:
    """Values added up in an array of zeros: what indexing does, backwards."""
    name = drawing.pick(_some)
    if name is None:
        return None
    shape = drawing.numpy(name).shape
    places = drawing.indices(shape[:1], shape[0] + 1).tolist()
    return f"cr.scatter_index({name}, {places}, {(shape[0] + 1, *shape[1:])})"


def take(drawing: Drawing) -> str | None:
    """take, take_along_axis, gather and scatter_add."""
    name = drawing.pick(_some)
    if name is None:
        return None
    x = drawing.numpy(name)
    axis = drawing.axis(x.ndim)
    length = x.shape[axis]
    form = drawing.one_of(["take", "take of all", "take_along_axis", "gather", "scatter_add"])
    if form == "take of all":
        return f"cr.take({name}, {drawing.indices((2,), x.size).tolist()})"
    if form == "take":
        rows = drawing.one_of([(2,), (), (3,), (1, 2)])
        return f"{name}.take({drawing.indices(rows, length).tolist()}, axis={axis})"
    if form == "take_along_axis":
        other = drawing.pick(lambda y: y.shape == x.shape and apart(y, [axis % x.ndim]))
        if other is None:
            return None
        forms = ["argmax({}, axis={}, keepdims=True)", "argsort({}, axis={})"]
        forms += ["argmin({}, axis={}, keepdims=True)", "argsort({}, axis={}, descending=True)"]
        order = drawing.one_of(forms).format(other, axis)
        return f"cr.take_along_axis({name}, cr.{order}, axis={axis})"
    rows = tuple(3 if i == axis % x.ndim else n for i, n in enumerate(x.shape))
    where = drawing.indices(rows, length)
    if form == "gather":
        return f"cr.gather({name}, {literal(where)}, axis={axis})"
    values = drawing.pick(lambda y: y.shape == rows) or drawing.number()
    same = drawing.pick(lambda y: y.shape == x.shape)
    if values[0] != "v" and drawing.flag():
        values, where = str(same), drawing.indices(x.shape, length)
    return f"cr.scatter_add({name}, {literal(where)}, {values}, axis={axis})"


INDICES: list[Recipe] = [getitem, take, updated, scattered]
