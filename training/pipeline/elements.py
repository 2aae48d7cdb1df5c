"""What goes through a pipeline: samples or batches, each a pair of x and y.

x is one array, or a tuple or a dict of arrays; y is one array, or None in a pipeline that has no
targets. Before they are put into batches, strings may stand for arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine.hosted import host_array
from chainrule.engine.tensor import Tensor
from chainrule.training.data import describe, refuse_masked


class Element(NamedTuple):
    """A sample or a batch."""

    x: Any
    y: Any = None

    def shown(self) -> Any:
        """What users see of it: (x, y), or x alone where there is no y."""
        return self.x if self.y is None else (self.x, self.y)


def named_parts(element: Element) -> list[tuple[str, Any]]:
    """The arrays of an element, each with the name that messages give it.

    >>> [name for name, _ in named_parts(Element({"ids": 1, "mask": 2}, 3))]
    ["x['ids']", "x['mask']", 'y']
    """
    x, y = element
    if isinstance(x, dict):
        found = [(f"x[{key!r}]", each) for key, each in x.items()]
    elif isinstance(x, tuple):
        found = [(f"x[{index}]", each) for index, each in enumerate(x)]
    else:
        found = [("x", x)]
    return found if y is None else [*found, ("y", y)]


def rebuilt(element: Element, arrays: Sequence[Any]) -> Element:
    """An element of the same structure with other arrays, in the order of `named_parts`.

    >>> rebuilt(Element((1, 2), 3), "abc")
    Element(x=('a', 'b'), y='c')
    """
    x, y = element
    rest = list(arrays)
    last = None if y is None else rest.pop()
    if isinstance(x, dict):
        return Element(dict(zip(x, rest, strict=True)), last)
    return Element(tuple(rest) if isinstance(x, tuple) else rest[0], last)


def described(value: Any) -> str:
    """What a sample has in one place, as messages show it.

    >>> described(np.zeros(3)), described("abc"), described(5)
    ('shape (3,), float64', 'a string', 'shape (), int64')
    """
    return "a string" if isinstance(value, str) else describe(np.asarray(value))


def structure_of(element: Element) -> str:
    """The structure of an element, in words.

    >>> structure_of(Element((1, 2), 3)), structure_of(Element(1))
    ('(x, y) with x a tuple of 2', 'x alone')
    """
    x, y = element
    whole = "x alone" if y is None else "(x, y)"
    if isinstance(x, dict):
        return f"{whole} with x a dict of {', '.join(map(repr, x))}"
    return f"{whole} with x a tuple of {len(x)}" if isinstance(x, tuple) else whole


def same_structure(one: Element, other: Element) -> bool:
    """Have two elements arrays in the same places?

    >>> pair = Element((1, 2), 3)
    >>> same_structure(pair, Element((4, 5), 6)), same_structure(pair, Element(1, 2))
    (True, False)
    """
    return _places(one) == _places(other)


def _places(element: Element) -> tuple[Any, bool]:
    x, y = element
    if isinstance(x, dict):
        return tuple(x), y is None
    return len(x) if isinstance(x, tuple) else None, y is None


def converted(element: Element, where: str, ours: Sequence[Any] = ()) -> Element:
    """The element with each part an array of numbers, or a string; NaN and infinity are refused.

    Arguments:
        element: what a function of the user's has made.
        where: what made it, for messages: "map(scale), element 3".
        ours: arrays that are kept as they are; others are copied, as the function may write into
            them again.

    Raises:
        TypeError: a part is none of these, or of a dtype that cannot be trained on.
        ValueError: it holds NaN or infinity, masked entries, or rows of different lengths; or x is
            an empty dict or tuple.
    """
    if isinstance(element.x, (dict, tuple)) and not element.x:
        raise ValueError(
            f"{where}: x is an empty {type(element.x).__name__}; it must have an array for each "
            "input"
        )
    return rebuilt(
        element, [_converted(each, name, where, ours) for name, each in named_parts(element)]
    )


def _converted(value: Any, name: str, where: str, ours: Sequence[Any]) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, Tensor):
        value = host_array(value)
    if value is None:
        raise TypeError(f"{where}: {name} is None; it must be an array, a number or a string")
    refuse_masked(value, name, where)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{where}: {name} cannot be made an array ({error})") from error
    kind = array.dtype.kind
    if kind == "f":
        if array.dtype.itemsize not in (4, 8):
            raise TypeError(
                f"{where}: {name} has {describe(array)}, which is not supported; use "
                '.astype("float32")'
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"{where}: {name} has NaN or infinite values ({describe(array)}); leave such "
                "samples out, or fill in the values"
            )
    elif kind not in "biuUS":
        raise TypeError(
            f"{where}: {name} is {type(value).__name__}, {describe(array)}; it must be an array "
            "of numbers, a number or a string"
        )
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    if isinstance(value, np.generic):
        return value
    made = isinstance(value, (int, float, list, tuple)) or any(value is each for each in ours)
    return array if made else array.copy()


def writable(element: Element) -> Element:
    """The element with copies of those arrays that are somebody else's, and so read-only.

    >>> shared = np.zeros(2); shared.flags.writeable = False
    >>> x = np.zeros(2)
    >>> copied, same = writable(Element((shared, x))).x
    >>> copied.flags.writeable, same is x
    (True, True)
    """
    found = [each for _, each in named_parts(element)]
    if all(_is_ours(each) for each in found):
        return element
    return rebuilt(element, [each if _is_ours(each) else each.copy() for each in found])


def _is_ours(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or value.flags.writeable


def shown(element: Element, batch: int | None = None) -> str:
    """Shapes and dtypes of an element, or of a batch of such elements.

    >>> shown(Element(np.zeros(3), np.int64(1)), batch=2)
    'x (2, 3) float64, y (2,) int64'
    """
    found = []
    for name, each in named_parts(element):
        if isinstance(each, str):
            found.append(f"{name} a string")
        else:
            shape = each.shape if batch is None else (batch, *each.shape)
            found.append(f"{name} {shape} {each.dtype}")
    return ", ".join(found)


class Stacking:
    """Puts samples together into batches, all of the shapes and dtypes of the first.

    >>> stacking = Stacking("batch")
    >>> stacking([Element(np.zeros(2)), Element(np.ones(2))], first=0).x.shape
    (2, 2)
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.like: Element | None = None
        self.first = 0

    def __call__(self, samples: Sequence[Element], first: int) -> Element:
        """A batch of these samples, of which the first is number `first` of the epoch.

        Raises:
            TypeError: they are strings.
            ValueError: one has another structure, shape or dtype than the first of all.
        """
        if self.like is None:
            self.like, self.first = samples[0], first
        for index, sample in enumerate(samples, first):
            self._check(sample, index)
        columns = zip(*([each for _, each in named_parts(one)] for one in samples), strict=True)
        return rebuilt(samples[0], [np.stack(column) for column in columns])

    def _check(self, sample: Element, index: int) -> None:
        like = self.like
        assert like is not None
        if not same_structure(sample, like):
            raise ValueError(
                f"{self.where}: sample {index} is {structure_of(sample)}, but sample {self.first} "
                f"is {structure_of(like)}; all must be alike"
            )
        for (name, each), (_, other) in zip(named_parts(sample), named_parts(like), strict=True):
            if isinstance(each, str) or each.dtype.kind in "US":
                raise TypeError(
                    f"{self.where}: {name} of sample {index} is text, which must be encoded as "
                    "numbers first: map(function) before batch()"
                )
            if each.shape != other.shape or each.dtype != other.dtype:
                raise ValueError(
                    f"{self.where}: {name} of sample {index} has {describe(each)}, but that of "
                    f"sample {self.first} has {describe(other)}; all samples must have the same "
                    "shape and dtype: map(function) before batch() can make them so"
                )
