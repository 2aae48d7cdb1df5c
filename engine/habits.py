"""Names that users bring from Keras and PyTorch: the error says what stands for them here."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def explains_arguments(cls: type, elsewhere: Mapping[str, str]) -> None:
    """Make a class's constructor say what stands for a keyword that it does not have.

    It changes a constructor that the class defines itself and that takes no **options.

    Arguments: `elsewhere`, what to do in place of arguments that other libraries have.

    >>> class Line:
    ...     def __init__(self, slope): ...
    >>> explains_arguments(Line, {"steepness": "it is called slope"})
    >>> Line(steepness=1.0)
    Traceback (most recent call last):
        ...
    TypeError: Line: there is no argument 'steepness'; it is called slope
    """
    init = vars(cls).get("__init__")
    if init is None:
        return
    parameters = list(inspect.signature(init).parameters.values())[1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters]

    @functools.wraps(init)
    def explained(self: Any, *args: Any, **kwargs: Any) -> None:
        _refuse(kwargs, known, elsewhere, type(self).__name__)
        init(self, *args, **kwargs)

    cls.__init__ = explained  # type: ignore[misc]


def explains_calls(elsewhere: Mapping[str, str]) -> Callable[[F], F]:
    """A decorator: a function or method says what stands for a keyword that it does not have.

    Arguments: `elsewhere`, what to do in place of arguments that other libraries have.

    >>> @explains_calls({"size": "it is called width"})
    ... def draw(width): ...
    >>> draw(size=3)
    Traceback (most recent call last):
        ...
    TypeError: draw: there is no argument 'size'; it is called width
    """

    def decorated(function: F) -> F:
        known = [name for name in inspect.signature(function).parameters if name != "self"]

        @functools.wraps(function)
        def explained(*args: Any, **kwargs: Any) -> Any:
            _refuse(kwargs, known, elsewhere, function.__name__)
            return function(*args, **kwargs)

        return explained  # type: ignore[return-value]

    return decorated


def _refuse(
    given: Mapping[str, Any], known: Sequence[str], elsewhere: Mapping[str, str], where: str
) -> None:
    """Raise TypeError for the first keyword that is not known."""
    for keyword in given:
        if keyword not in known:
            remedy = elsewhere.get(keyword, f"there are: {', '.join(known)}")
            raise TypeError(f"{where}: there is no argument {keyword!r}; {remedy}")


def names_elsewhere(module: str, remedies: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """A module's `__getattr__`, which says what to write in place of names of other libraries.

    For these it raises ImportError, since `from chainrule.layers import Linear` replaces an
    AttributeError by one that has no remedy; for all others it raises AttributeError.

    >>> names_elsewhere("chainrule.layers", {"Linear": "it is called Dense"})("Linear")
    Traceback (most recent call last):
        ...
    ImportError: chainrule.layers has no 'Linear'; it is called Dense
    """

    def missing(name: str) -> NoReturn:
        if name in remedies:
            raise ImportError(f"{module} has no {name!r}; {remedies[name]}", name=module)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return missing
