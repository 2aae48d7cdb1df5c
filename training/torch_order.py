"""Features of flattened images in the order that they have in PyTorch.

PyTorch has the channels first. So the features that come out of a Flatten stand in another order
there, up to the next Dense layer, whose weights are put in that order; so are those of
normalisations in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.engine.errors import ShapeError
from chainrule.layers import BatchNormalization, Dense, Flatten, LayerNormalization
from chainrule.layers.spatial import Spatial

from .sequential import Sequential

if TYPE_CHECKING:
    from .torch_layout import Part

Array = np.ndarray[Any, Any]


def in_order(
    layer: Sequential,
    parts_of: Callable[[Any], Iterable[Part]],
    is_spatial: bool = False,
    order: Array | None = None,
) -> tuple[list[Part], bool, Array | None]:
    """The parts; does the result have spatial axes? and the order in which it was flattened.

    Arguments: `layer`; `parts_of`, what makes the parts of a layer within; `is_spatial` and
    `order`, of what goes in, as is returned of what comes out.

    Raises ShapeError for weights of flattened features whose order is not known.
    """
    names = {id(each): name for name, each in layer.sublayers()}
    parts: list[Part] = []
    for i, each in enumerate(layer.layers):
        below = [] if isinstance(each, Sequential) else [*parts_of(each)]
        normalizes = isinstance(each, (BatchNormalization, LayerNormalization))
        if isinstance(each, Sequential):
            below, is_spatial, order = in_order(each, parts_of, is_spatial, order)
        elif isinstance(each, Flatten) and is_spatial:
            order, is_spatial = _channels_first(each), False
        elif order is not None and below:
            is_dense = isinstance(each, Dense)
            if not is_dense and not normalizes:
                raise ShapeError(
                    f"PyTorch's layout: the features of {each.name} are those of a Flatten, whose "
                    "order is another in PyTorch (channels first); put a Dense between them"
                )
            below = [
                part if is_dense and part.ours != ("kernel",) else part.turned(order)
                for part in below
            ]
            order = None if is_dense else order
        elif any(isinstance(inner, Spatial) for _, inner in each._tree()):
            is_spatial = True
        elif below and not normalizes:
            is_spatial = False
        parts += [part.within(f"{i}.", f"{names[id(each)]}.") for part in below]
    return parts, is_spatial, order


def _channels_first(flatten: Flatten) -> Array:
    """Where, among the features of a flattened image, PyTorch's are: (c, h, w) for (h, w, c)."""
    shape = flatten.built_for[1:]
    features: Array = np.arange(math.prod(shape)).reshape(shape)
    return np.moveaxis(features, -1, 0).ravel()
