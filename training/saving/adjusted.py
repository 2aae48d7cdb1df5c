"""Numbers that a layer was made with, such as the rate of a Dropout, which callbacks may change."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.engine.configured import parameters_of
from chainrule.layers import Layer


def numbers_of(model: Layer) -> dict[str, dict[str, float]]:
    """The constructor arguments that are numbers, as the layers' attributes have them now.

    >>> from chainrule.layers import Dropout
    >>> numbers_of(Dropout(0.25))
    {'': {'rate': 0.25}}
    """
    found = {prefix[:-1]: _numbers(layer) for prefix, layer in model._tree()}
    return {name: numbers for name, numbers in found.items() if numbers}


def set_numbers(model: Layer, saved: Mapping[str, Mapping[str, float]]) -> None:
    """Give the layers the numbers that `numbers_of` told, where they are others now."""
    for prefix, layer in model._tree():
        now = _numbers(layer)
        for name, value in saved.get(prefix[:-1], {}).items():
            if name in now and now[name] != value:
                setattr(layer, name, value)


def _numbers(layer: Layer) -> dict[str, float]:
    attributes = vars(layer)
    return {
        name: attributes[name]
        for name in parameters_of(type(layer))
        if type(attributes.get(name)) in (int, float)
    }
