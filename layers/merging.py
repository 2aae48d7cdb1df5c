"""Layers of several inputs: their sum, and the inputs side by side."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.operations.joining import concat
from chainrule.engine.tensor import Tensor

from .arguments import is_integer
from .layer import Layer, Shape, registered


def _told(shapes: Sequence[Any]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)


def _both(masks: Any, where: str) -> Any:
    """What is real in all of the inputs that have a mask; None if none has."""
    given = [mask for mask in masks if mask is not None]
    _alike(given, where)
    return functools.reduce(np.logical_and, given) if given else None


def _alike(masks: Sequence[Any], where: str, place: int | None = None) -> None:
    """Raises ShapeError for masks of different shapes, but for their length along an axis."""
    shapes = [mask.shape for mask in masks]
    apart = {tuple(-1 if i == place else n for i, n in enumerate(shape)) for shape in shapes}
    if len(apart) > 1:
        raise ShapeError(f"{where}: the masks of the inputs do not fit: shapes {_told(shapes)}")


@registered
class Add(Layer):
    """The sum of inputs of one shape: `Add()([a, b])`.

    Nothing is broadcast: other shapes are an error. A step is real if it is in every input that
    has a mask.

    Raises ShapeError for inputs of different shapes.

    >>> Add()([[[1.0, 2.0]], [[10.0, 20.0]]]).tolist()
    [[11.0, 22.0]]
    """

    many_inputs = True

    def call(self, x: Any) -> Tensor:
        """The sum."""
        if any(each.shape != x[0].shape for each in x):
            raise ShapeError(
                "Add: inputs must have the same shape, and none is broadcast; got "
                + ", ".join(map(describe, x))
            )
        return functools.reduce(lambda a, b: a + b, x) if len(x) > 1 else +x[0]

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """What is real in every input."""
        return None if mask is None else _both(mask, "Add")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The shape that all inputs have; a length that one leaves open is that of the others."""
        if len({len(shape) for shape in input_shape}) != 1:
            raise ShapeError(f"Add: inputs must have the same shape, got {_told(input_shape)}")
        found = []
        for lengths in zip(*input_shape, strict=True):
            known = {n for n in lengths if n is not None}
            if len(known) > 1:
                raise ShapeError(f"Add: inputs must have the same shape, got {_told(input_shape)}")
            found.append(known.pop() if known else None)
        return tuple(found)


@registered
class Concatenate(Layer):
    """Inputs side by side along an axis: `Concatenate()([a, b])`.

    The mask of the result is, along time, those of the inputs one after the other (all real for
    one without), and along another axis what is real in every input that has a mask.

    Arguments: `axis`, not that of the batch; the others are `Layer`'s.

    Raises TypeError or ValueError for an axis that is no integer, or the batch; called, ShapeError
    for inputs whose other lengths differ.

    >>> Concatenate()([[[1.0, 2.0]], [[3.0]]]).tolist()
    [[1.0, 2.0, 3.0]]
    """

    many_inputs = True

    def __init__(
        self,
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        if not is_integer(axis):
            raise TypeError(f"Concatenate: axis must be an integer, got {axis!r}")
        if axis == 0:
            raise ValueError("Concatenate: axis 0 is the batch; join along another axis")
        self.axis = int(axis)

    def _place(self, shapes: Sequence[Any]) -> int:
        """The axis, counted from 0, if inputs of these shapes can be joined along it."""
        count = len(shapes[0])
        if any(len(shape) != count for shape in shapes) or not -count < self.axis < count:
            raise ShapeError(
                f"Concatenate: inputs must have the same number of axes, among them axis="
                f"{self.axis}, which is not the batch; got shapes {_told(shapes)}"
            )
        place = self.axis % count
        for i, lengths in enumerate(zip(*shapes, strict=True)):
            if i != place and len({n for n in lengths if n is not None}) > 1:
                raise ShapeError(
                    f"Concatenate: inputs must have the same lengths but along axis={self.axis}, "
                    f"and differ along axis {i}; got shapes {_told(shapes)}"
                )
        return place

    def call(self, x: Any) -> Tensor:
        """The inputs, joined."""
        return concat(x, axis=self._place([each.shape for each in x]))

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """The masks joined along time; along another axis, what is real in every input."""
        if mask is None:
            return None
        place = self.axis % x[0].ndim
        masks = [each for each in mask if each is not None]
        if not masks or place >= masks[0].ndim:
            return _both(mask, "Concatenate")
        every = [
            np.ones(each.shape[: masks[0].ndim], bool) if one is None else one
            for each, one in zip(x, mask, strict=True)
        ]
        _alike(every, "Concatenate", place)
        return np.concatenate(every, axis=place)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The lengths along the axis added up; None if one is."""
        place = self._place(input_shape)
        found: list[int | None] = []
        for i, lengths in enumerate(zip(*input_shape, strict=True)):
            known = [n for n in lengths if n is not None]
            if i == place:
                found.append(sum(known) if len(known) == len(lengths) else None)
            else:
                found.append(known[0] if known else None)
        return tuple(found)
