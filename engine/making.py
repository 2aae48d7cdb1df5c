"""What is made of a configuration: `{"class_name": ..., "config": {...}}`, of known classes only.

A configuration may come from a file of unknown origin. Its names are looked up in a table and in
the classes that the caller gives, never imported; whatever does not fit is a ValueError that names
the place in it, as "model.layers[1].config.units".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

from .errors import describe

#: How deep things may lie within each other. Constructors are nested calls, which Python limits.
DEEPEST = 40


class Kind(NamedTuple):
    """A kind of thing that a configuration may describe: its classes, by their names."""

    name: str
    base: type
    known: dict[str, type]


class _Scope(NamedTuple):
    """What is being made: for whom, where in the configuration, with whose classes."""

    where: str = "from_config"
    path: str = ""
    custom: Mapping[str, Any] = MappingProxyType({})
    depth: int = 0


_OUTSIDE = _Scope()

_scope: ContextVar[_Scope] = ContextVar("scope", default=_OUTSIDE)


class ConfigError(ValueError):
    """A configuration does not fit; the message names the place."""


@contextmanager
def making(
    where: str | None = None, path: str | None = None, custom_objects: Any = None
) -> Iterator[None]:
    """For the length of a `with` block, configurations are read for a function of the user's.

    Arguments: `where`, its name; `path`, that of the configuration, for messages;
    `custom_objects`, classes of the user's own by name, beside those of the scope around.

    Raises TypeError if `custom_objects` is no such dict.
    """
    before = _scope.get()
    asked = before.where if where is None else where
    custom = before.custom
    if custom_objects is not None:
        if not isinstance(custom_objects, Mapping) or not all(
            isinstance(name, str) for name in custom_objects
        ):
            raise TypeError(
                f"{asked}: custom_objects must be a dict of classes by name, such as "
                f"{{'MyLayer': MyLayer}}, got {describe(custom_objects)}"
            )
        custom = {**custom, **custom_objects}
    token = _scope.set(
        before._replace(where=asked, path=before.path if path is None else path, custom=custom)
    )
    try:
        yield
    finally:
        _scope.reset(token)


def custom_object(name: Any) -> Any:
    """What the caller gave under a name in `custom_objects`; None if nothing."""
    return _scope.get().custom.get(name) if isinstance(name, str) else None


def refusal(text: str, place: str = "") -> ConfigError:
    """The error that says what is wrong with the configuration, and where in it."""
    scope = _scope.get()
    path = _joined(scope.path, place)
    return ConfigError(f"{scope.where}: {path}: {text}" if path else f"{scope.where}: {text}")


def made(config: Any, kind: Kind, place: str = "") -> Any:
    """What a configuration describes.

    Arguments: `config`, `{"class_name": ..., "config": {...}}`; `kind`, what it must be; `place`,
    where it lies in the configuration around it.

    Raises ValueError for anything else, for a class that is not known, and if the constructor
    refuses the arguments.
    """
    scope = _scope.get()
    path = _joined(scope.path, place)
    if scope.depth >= DEEPEST:
        raise refusal(f"more than {DEEPEST} things lie within each other", place)
    if not isinstance(config, dict) or set(config) != {"class_name", "config"}:
        raise refusal(
            f"expected a dict with the keys 'class_name' and 'config', got {_shown(config)}", place
        )
    name, arguments = config["class_name"], config["config"]
    cls = _class_of(name, kind, place)
    if not isinstance(arguments, dict) or not all(isinstance(key, str) for key in arguments):
        raise refusal(f"config must be a dict, got {_shown(arguments)}", place)
    token = _scope.set(scope._replace(path=path, depth=scope.depth + 1))
    try:
        result = cls.from_config(arguments) if hasattr(cls, "from_config") else cls(**arguments)
    except ConfigError:
        raise
    except Exception as error:  # whatever a constructor makes of what it was not written for
        at = _joined(path, "config")
        key = _argument_meant(str(error), arguments)
        at = f"{at}.{key}" if key else at
        raise ConfigError(f"{scope.where}: {at}: {_text(error)}") from error
    finally:
        _scope.reset(token)
    if not isinstance(result, kind.base):
        raise refusal(f"{name}.from_config made no {kind.name}, but {_shown(result)}", place)
    return result


def revived(value: Any, kinds: Sequence[Kind], place: str = "") -> Any:
    """A constructor's argument, with what configurations in it describe made again.

    Arguments: `kinds` that there may be; a class that the user gave may be of any of them.

    Raises ValueError for a configuration that does not fit.

    >>> from chainrule.layers.layer import KIND
    >>> revived([{"class_name": "Dense", "config": {"units": 3}}, 2], [KIND])
    [Dense(units=3), 2]
    """
    if isinstance(value, list):
        return [revived(each, kinds, f"{place}[{i}]") for i, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if set(value) != {"class_name", "config"}:
        return {key: revived(each, kinds, _joined(place, key)) for key, each in value.items()}
    name = value["class_name"]
    own = custom_object(name)
    fitting = [
        kind
        for kind in kinds
        if (issubclass(own, kind.base) if isinstance(own, type) else _is_known(name, kind))
    ]
    if len(fitting) > 1:
        known = " and ".join(kind.name for kind in fitting)
        raise refusal(f"{name!r} may be a {known}; let the constructor take a name", place)
    return made(value, fitting[0] if fitting else kinds[0], place)


def _is_known(name: Any, kind: Kind) -> bool:
    return isinstance(name, str) and name in kind.known


def _class_of(name: Any, kind: Kind, place: str) -> Any:
    custom = custom_object(name)
    if custom is not None:
        if not isinstance(custom, type) or not issubclass(custom, kind.base):
            raise refusal(
                f"custom_objects[{name!r}] must be a class derived from {kind.base.__name__}, got "
                f"{_shown(custom)}",
                place,
            )
        return custom
    if not _is_known(name, kind):
        raise refusal(
            f"class_name {_shown(name)} is unknown; known: {', '.join(sorted(kind.known))}; a "
            f"class of your own is given by custom_objects={{'MyName': MyName}}",
            place,
        )
    return kind.known[name]


def _joined(path: str, place: str) -> str:
    return f"{path}.{place}" if path and place else path or place


def _shown(value: Any) -> str:
    """A value in a message, cut: it may be as long, and as deep, as a file."""
    try:
        text = describe(value)
    except RecursionError:
        text = f"a {type(value).__name__} of too many levels"
    return text if len(text) <= 200 else f"{text[:200]}…"


def _text(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 1000 else f"{text[:1000]}…"


def _argument_meant(text: str, arguments: Mapping[str, Any]) -> str:
    """The argument of which an error speaks: `Dense: units must be ...`; "" if it names none."""
    head = re.match(r"[\w.]+: (?:there is no argument ')?(\w+)", text)
    if head and head.group(1) in arguments:
        return head.group(1)
    named = [key for key in arguments if re.search(rf"\b{re.escape(key)}\b", text)]
    return named[0] if len(named) == 1 else ""
