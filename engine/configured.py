"""What something was made with: its constructor arguments, as plain data."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import numpy as np

from .errors import describe
from .habits import explains_arguments
from .tensor import Tensor

_ABSENT = object()

Self = TypeVar("Self", bound="Configured")


class Configured:
    """Something that keeps each constructor argument in an attribute of the same name.

    >>> class Line(Configured):
    ...     def __init__(self, slope, offset=0.0):
    ...         self.slope, self.offset = slope, offset
    >>> Line(2.0).to_config()
    {'class_name': 'Line', 'config': {'slope': 2.0, 'offset': 0.0}}
    >>> Line.from_config({"slope": 2.0, "offset": 1.0})
    Line(slope=2.0, offset=1.0)
    """

    #: Arguments that other libraries have, and what stands for them here.
    elsewhere: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        explains_arguments(cls, cls.elsewhere)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments as plain data, which JSON can hold.

        Raises TypeError for an argument that is not kept in an attribute of its name, and for
        one that is no plain data, such as a function of your own.
        """
        config = {}
        for name, value in self._arguments().items():
            where = f"{type(self).__name__}.get_config: argument {name!r}"
            if value is _ABSENT:
                raise TypeError(
                    f"{where} is not kept: write self.{name} = {name} in __init__, or define "
                    "get_config"
                )
            config[name] = plain(value, where, whole=self._is_told_in_full())
        return config

    def _is_told_in_full(self) -> bool:
        """Are arguments that are layers and the like described in full, where a name would do?"""
        return False

    def to_config(self) -> dict[str, Any]:
        """Class and constructor arguments: `{"class_name": ..., "config": ...}`."""
        return {"class_name": type(self).__name__, "config": self.get_config()}

    @classmethod
    def from_config(cls: type[Self], config: dict[str, Any]) -> Self:
        """A new one like that whose `get_config` returned this."""
        return cls(**config)

    def identifier(self) -> Any:
        """What names it as another constructor's argument: a plain name where there is one."""
        return self.to_config()

    def _arguments(self) -> dict[str, Any]:
        """Each constructor argument with its value, as it is kept."""
        return {name: getattr(self, name, _ABSENT) for name in parameters_of(type(self))}

    def _defaults(self) -> dict[str, Any]:
        """What each constructor argument is, as plain data, where nothing is said of it."""
        return {name: each.default for name, each in parameters_of(type(self)).items()}

    def __repr__(self) -> str:
        defaults, shown = self._defaults(), []
        for name, given in self._arguments().items():
            try:
                value = plain(given, name)
            except TypeError:  # shown by its own repr
                if given is _ABSENT:
                    continue
                value = given
            if value != defaults[name]:
                made = isinstance(given, Configured) and not isinstance(value, str)
                shown.append(f"{name}={given!r}" if made else f"{name}={describe(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """The constructor's parameters; those of the parent class too, where it takes **options.

    >>> class Line:
    ...     def __init__(self, slope, *, offset=0.0): ...
    >>> list(parameters_of(Line))
    ['slope', 'offset']
    """
    found: dict[str, inspect.Parameter] = {}
    for each in cls.__mro__:
        if "__init__" not in vars(each):
            continue
        parameters = list(inspect.signature(vars(each)["__init__"]).parameters.values())[1:]
        for p in parameters:
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
                found.setdefault(p.name, p)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def plain(value: Any, where: str, *, whole: bool = False) -> Any:
    """A value as None, numbers, strings, lists and dicts of them.

    Arguments: `whole`, are layers and the like described in full, also where a name would do?

    Raises TypeError where it is none.

    >>> plain((np.float32(0.5), np.dtype("float32")), "example")
    [0.5, 'float32']
    """
    if isinstance(value, Configured):
        return value.to_config() if whole else value.identifier()
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return value.tolist()
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, (list, tuple)):
        return [plain(each, where, whole=whole) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each, where, whole=whole) for key, each in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{where} is {describe(value)}, which is no plain data; give a known name")


class Given:
    """The arguments that a constructor was given, by name; no part of what it made of them."""

    def __init__(self, arguments: dict[str, Any], nameless: bool) -> None:
        self.arguments, self.nameless = arguments, nameless


def keeps_arguments(cls: type) -> None:
    """Make a class's own constructor keep what it is given, in the attribute `_given`.

    >>> class Line:
    ...     def __init__(self, slope, offset=0.0, **options): ...
    >>> keeps_arguments(Line)
    >>> Line(2.0, colour="red")._given.arguments
    {'slope': 2.0, 'offset': 0.0, 'colour': 'red'}
    """
    init = vars(cls).get("__init__")
    if init is None:
        return
    signature = inspect.signature(init)

    @functools.wraps(init)
    def keeping(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_given" not in vars(self):  # a parent's constructor is given what this one chose
            self._given = _bound(signature, self, args, kwargs)
        init(self, *args, **kwargs)

    cls.__init__ = keeping  # type: ignore[misc]


def _kept(value: Any) -> Any:
    """The value, in lists and dicts of our own: the constructor may change those it is given."""
    if type(value) in (list, tuple):
        return type(value)(map(_kept, value))
    return {key: _kept(each) for key, each in value.items()} if type(value) is dict else value


def _bound(signature: inspect.Signature, self: Any, args: Any, kwargs: Any) -> Given | None:
    try:
        bound = signature.bind(self, *args, **kwargs)
    except TypeError:
        return None  # the constructor itself will say what is wrong
    bound.apply_defaults()
    arguments: dict[str, Any] = {}
    nameless = False
    with suppress(RecursionError):  # of lists within themselves, which are no plain data
        bound.arguments.update({name: _kept(each) for name, each in bound.arguments.items()})
    for p in list(signature.parameters.values())[1:]:
        if p.kind is p.VAR_KEYWORD:
            arguments.update(bound.arguments[p.name])
        elif p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY):
            nameless = nameless or bool(bound.arguments[p.name]) or p.kind is p.POSITIONAL_ONLY
        else:
            arguments[p.name] = bound.arguments[p.name]
    return Given(arguments, nameless)
