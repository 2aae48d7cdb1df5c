"""The closed registry: what a saved model may be made of, by kind and name.

A file names layers, optimisers and the rest by words that are looked up here, and in the classes
that the reader gives as `custom_objects`. Nothing is imported by a name that stands in a file.
"""

from __future__ import annotations

from typing import Any

from chainrule import optim
from chainrule.engine.configured import Configured, parameters_of
from chainrule.engine.errors import describe
from chainrule.engine.making import Kind, made, making, refusal
from chainrule.layers import initializers, layer, regularizers
from chainrule.optim import schedules

from .. import (
    losses,
    metrics,
    preprocessing,
    preprocessing_steps,
    sequential,
    text_encoding,
)

__all__ = [
    "KINDS",
    "REGISTRY_VERSION",
    "from_config",
    "signatures",
    "to_config",
]

#: To be raised when a constructor's parameters or their defaults change, so that what an earlier
#: chainrule has saved would mean something else: `from_config` must then still read the older.
REGISTRY_VERSION = 1

#: How many lists and dicts a configuration may have within each other.
DEEPEST = 100

#: Every kind that a file may name, by its name.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(layer.KIND, initializers.KIND, regularizers.KIND, optim.KIND, schedules.KIND),
        *(losses.KIND, metrics.KIND),
        *(preprocessing.KIND, preprocessing_steps.KIND, text_encoding.KIND),
    )
}
assert sequential.Sequential.__name__ in KINDS["layer"].known, "it is entered when it is imported"


def to_config(thing: Any) -> dict[str, Any]:
    """Class and constructor arguments as plain data: `{"class_name": ..., "config": {...}}`.

    Raises TypeError for what has no configuration, or holds something that is no plain data.

    >>> from chainrule.optim import SGD
    >>> to_config(SGD(learning_rate=0.5))["config"]["learning_rate"]
    0.5
    """
    if not isinstance(thing, Configured):
        raise TypeError(
            f"to_config: {describe(thing)} ({type(thing).__name__}) has no configuration; give a "
            f"{', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}"
        )
    return thing.to_config()


def from_config(
    kind: str,
    config: Any,
    custom_objects: Any = None,
    *,
    where: str = "from_config",
    path: str | None = None,
) -> Any:
    """What a configuration describes.

    Arguments:
        kind: one of `KINDS`, such as "layer".
        config: what `to_config` returned.
        custom_objects: classes of your own by name, which reach layers within layers.
        where: name of the public function, for messages.
        path: the configuration's place, for messages; the kind by default.

    Raises:
        ValueError: it does not fit; the message names the place, as "layer.config.units".
        TypeError: `custom_objects` is no dict.

    >>> from_config("layer", {"class_name": "Dense", "config": {"units": 3}})
    Dense(units=3)
    >>> from_config("layer", {"class_name": "Dense", "config": {"units": "many"}})
    Traceback (most recent call last):
        ...
    chainrule.engine.making.ConfigError: from_config: layer.config.units: Dense: units must be a
    positive integer, got 'many'
    """
    with making(where, kind if path is None else path, custom_objects):
        if _too_deep(config):
            raise refusal(f"more than {DEEPEST} lists and dicts lie within each other")
        return made(config, KINDS[kind])


def _too_deep(value: Any) -> bool:
    """Asked without recursion, which is what it would be too deep for."""
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, (list, tuple)):
                below.extend(each)
        level = below
        if not level:
            return False
    return True


def signatures() -> dict[str, dict[str, dict[str, Any]]]:
    """Of each kind, class and constructor argument, its default: what a version stands for.

    An argument that must be given has the default "required".
    """
    return {
        name: {
            cls: {
                each.name: "required" if each.default is each.empty else repr(each.default)
                for each in parameters_of(kind.known[cls]).values()
            }
            for cls in sorted(kind.known)
        }
        for name, kind in KINDS.items()
    }
