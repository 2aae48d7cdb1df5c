"""A function that makes an iterator of samples, as the source of a pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

from chainrule.engine.random import apart
from chainrule.training.integers import check_integer

from ..arguments import is_data_set
from .arguments import refuse
from .elements import Element, converted, named_parts, same_structure, structure_of
from .pipeline import Pipeline
from .steps import FOR_SOURCE, Later, Opened, Run, Step

_END = object()


def from_generator(
    function: Callable[[], Any], length: int | None = None, **elsewhere: Any
) -> Pipeline:
    """Samples that a function makes one by one: read from a database, computed, drawn at random.

    The function is called at the beginning of each epoch, and makes a fresh iterator. A sample is
    a pair (x, y), or x alone; x may be a dict or a tuple of arrays, for a model of several inputs
    (a tuple of two is always x and y). Samples are copied: the function may write into the same
    arrays again.

    To begin in the middle of an epoch, what comes before is read again and thrown away. So what
    the function yields must not depend on anything but the random numbers that it draws from
    chainrule's source, which are the same whenever an epoch is begun again.

    Arguments:
        function: called without arguments, such as a generator function.
        length: the number of samples, if it is known; None where it is not. There is no length,
            then, and no total in the progress line.
        **elsewhere: none; arguments of other libraries are explained.

    Raises:
        TypeError: `function` is a generator or an array and not a function, or `length` no
            integer. Where the data are read: a sample is none of the above.
        ValueError: `length` is below 1. Where the data are read: it is not the number of samples,
            there is none, one has other parts than the first, or one holds NaN or infinity.

    >>> def squares():
    ...     for n in range(5):
    ...         yield float(n), n * n
    >>> for x, y in from_generator(squares, length=5).batch(3):
    ...     print(x, y)
    [0. 1. 2.] [0 1 4]
    [3. 4.] [ 9 16]
    """
    refuse(elsewhere, "from_generator")
    if hasattr(function, "__next__") and not isinstance(function, type):
        raise TypeError(
            f"from_generator: got a {type(function).__name__}, which can be gone through only "
            "once; give the function that makes it, without calling it: from_generator(samples), "
            "not from_generator(samples())"
        )
    if not callable(function):
        remedy = "from_generator(lambda: iter(data))"
        if is_data_set(function):  # of PyTorch, few of which end where they should
            remedy = "from_generator(lambda: (data[i] for i in range(len(data))), length=len(data))"
        if hasattr(function, "shape"):
            remedy = "from_arrays(x, y)"
        raise TypeError(
            f"from_generator: function must be a function that makes an iterator, got "
            f"{type(function).__name__}; use {remedy}"
        )
    if length is not None:
        length = check_integer(length, "length", least=1, where="from_generator")
    return Pipeline(GeneratorSource(function, length))


class GeneratorSource(Step):
    """The samples of an iterator that a function makes anew for each epoch."""

    name = "generator"
    indexed = False

    def __init__(self, function: Callable[[], Any], length: int | None) -> None:
        self.function, self.length = function, length
        self.shown = getattr(function, "__name__", type(function).__name__)

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Read(self, run)

    def settings(self) -> dict[str, Any]:
        """The declared length, and shapes and dtypes of the first sample of the first epoch.

        The function cannot be compared.
        """
        return {"length": self.length, **self._structure}

    @cached_property
    def _structure(self) -> dict[str, Any]:
        sample = next(self.opened(Run(0, 0)).stream(0))()
        return {name: _structure_of(each) for name, each in named_parts(sample)}


class _Read(Opened):
    def __init__(self, step: GeneratorSource, run: Run) -> None:
        self.step, self.run = step, run

    def stream(self, start: int) -> Iterator[Later]:
        drawing = apart(self.run.seed, self.run.epoch, FOR_SOURCE)
        with drawing:
            made = self.step.function()
        try:
            iterator = iter(made)
        except TypeError:
            raise TypeError(
                f"from_generator: {self.step.shown}() must return an iterator of samples, got "
                f"{type(made).__name__}; a generator function has a yield in it"
            ) from None
        try:
            yield from self._samples(iterator, drawing, start)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def _samples(self, iterator: Iterator[Any], drawing: apart, start: int) -> Iterator[Later]:
        length = self.step.length
        first: Element | None = None
        for index in itertools.count():
            with drawing:
                sample = next(iterator, _END)
            if sample is _END:
                break
            if index == length:
                raise ValueError(
                    f"from_generator: {self.step.shown}() yields more than the length={length} "
                    "samples that were declared; correct the length, or leave it out"
                )
            if first is not None and index < start:
                continue
            element = _as_element(sample, index)
            if first is None:
                first = self.step.element = element
            if not same_structure(element, first):
                raise ValueError(
                    f"from_generator: sample {index} is {structure_of(element)}, but sample 0 is "
                    f"{structure_of(first)}; all must be alike"
                )
            if index >= start:
                yield partial(_given, element)
        if index == 0:
            raise ValueError(
                f"from_generator: {self.step.shown}() yielded no sample; it must make a fresh "
                "iterator each time it is called"
            )
        if length is not None and index < length:
            raise ValueError(
                f"from_generator: {self.step.shown}() yielded {index} of the length={length} "
                "samples that were declared; correct the length, or leave it out"
            )


def _structure_of(part: Any) -> Any:
    if isinstance(part, str):
        return "a string"
    return {"dtype": part.dtype.name, "shape": list(part.shape)}


def _given(element: Element) -> Element:
    return element


def _as_element(sample: Any, index: int) -> Element:
    where = f"from_generator: sample {index}"
    if not isinstance(sample, tuple):
        return converted(Element(sample), where)
    if len(sample) != 2 or sample[1] is None:
        got = f"a tuple of {len(sample)}" if len(sample) != 2 else "(x, None)"
        raise TypeError(
            f"{where} is {got}; it must be (x, y), or x alone; several inputs go together as "
            "((a, b), y) or ({'a': a, 'b': b}, y)"
        )
    return converted(Element(*sample), where)
