"""The steps of a pipeline, each of which knows the one before it; the first is a source.

A step is a description and never changes. `opened(run)` gives one epoch of it. Where the source
can be indexed, so can what follows, and an epoch is begun at any place by asking for what comes
from there on; a stream is read from its beginning, and what comes before the place is not
computed: a stream's elements are functions, called for those that are wanted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine.random import apart, seed_sequence
from chainrule.training.data import describe

from ..notes import add_note
from .elements import (
    Element,
    Stacking,
    converted,
    named_parts,
    same_structure,
    structure_of,
    writable,
)

#: What random numbers are drawn for; it keeps those of one apart from those of another.
FOR_ORDER, FOR_MAP, FOR_SOURCE = 0, 1, 2

#: Random numbers of a buffered shuffle that are drawn at once: one by one they cost 2 µs each.
DRAWN = 1024

Later = Callable[[], Element]


class Run(NamedTuple):
    """What an epoch is a function of: seed, number, and its order if that was kept."""

    seed: int
    epoch: int
    order: np.ndarray | None = None


class Opened:
    """One epoch of a step; `length` is the number of its elements, None where it is unknown."""

    length: int | None = None

    def get(self, index: int) -> Element:
        """Element number `index` of the epoch, where it can be indexed."""
        raise NotImplementedError(type(self).__name__)

    def rows(self, which: Any) -> Element | None:
        """A batch of the elements of a slice or an array of indices; None if there is no short cut.

        Arguments: `which`, a slice, or int64 of shape (batch,).
        """
        return None

    def stream(self, start: int) -> Iterator[Later]:
        """The elements from number `start` on, each computed when it is called."""
        assert self.length is not None
        return (partial(self.get, index) for index in range(start, self.length))


class Step:
    """A source, or what is done with the elements of the step before.

    Attributes: `before`, that step, None for a source; `name`; `length`, the number of elements of
    an epoch, None where it is unknown; `batch_size`, None before there are batches; `indexed`, can
    one ask for any element? `element`, of a source, its first sample or one like it, as far as that
    is known; `shown`, the arguments in its label.
    """

    name: str
    shown: str = ""
    before: Step | None = None
    length: int | None = None
    batch_size: int | None = None
    indexed: bool = True
    element: Element | None = None

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        raise NotImplementedError(type(self).__name__)

    def settings(self) -> dict[str, Any]:
        """What makes it differ from another step of its name, as plain data."""
        return {}

    def label(self) -> str:
        """How it is shown."""
        return f"{self.name}({self.shown})" if self.shown else self.name

    def steps(self) -> list[Step]:
        """All steps from the source to this one."""
        return [*([] if self.before is None else self.before.steps()), self]


class Following(Step):
    """A step that has one before it, whose attributes it shares if it does not change them."""

    before: Step

    def __init__(self, before: Step, **settings: Any) -> None:
        self.before, self._settings = before, settings
        self.length, self.batch_size = before.length, before.batch_size
        self.indexed = before.indexed

    def settings(self) -> dict[str, Any]:
        """The arguments that the step was made with."""
        return self._settings


class Shuffle(Following):
    """All elements in a random order, drawn anew for each epoch."""

    name = "shuffle"

    def __init__(self, before: Step, seed: int | None, **settings: Any) -> None:
        super().__init__(before, seed=seed, **settings)
        self.seed = seed
        given = {name: value for name, value in self._settings.items() if value is not None}
        self.shown = ", ".join(f"{name}={value}" for name, value in given.items())

    def generator(self, run: Run) -> np.random.Generator:
        """The source of an epoch's order."""
        words = (run.seed if self.seed is None else self.seed, run.epoch, FOR_ORDER)
        return np.random.Generator(np.random.PCG64(seed_sequence(*words)))

    def order(self, run: Run) -> np.ndarray:
        """The permutation of an epoch, int64 of shape (elements,)."""
        assert self.length is not None
        return self.generator(run).permutation(self.length)

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        order = self.order(run) if run.order is None else run.order
        return _Shuffled(self.before.opened(run), order)


class _Shuffled(Opened):
    def __init__(self, before: Opened, order: np.ndarray) -> None:
        self.before, self.order, self.length = before, order, len(order)

    def get(self, index: int) -> Element:
        return self.before.get(int(self.order[index]))

    def rows(self, which: Any) -> Element | None:
        return self.before.rows(self.order[which])


class BufferedShuffle(Shuffle):
    """A stream in an order that is random within a buffer: each element drawn from so many."""

    def __init__(self, before: Step, seed: int | None, buffer_size: int) -> None:
        super().__init__(before, seed, buffer_size=buffer_size)
        self.buffer_size = buffer_size

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Buffered(self.before.opened(run), self.generator(run), self.buffer_size)


class _Buffered(Opened):
    def __init__(self, before: Opened, generator: np.random.Generator, size: int) -> None:
        self.before, self.generator, self.size = before, generator, size

    def stream(self, start: int) -> Iterator[Later]:
        return itertools.islice(self._drawn(), start, None)

    def _drawn(self) -> Iterator[Later]:
        incoming = self.before.stream(0)
        buffer = list(itertools.islice(incoming, self.size))
        places: Any = ()
        for taken, element in enumerate(incoming):
            if taken % DRAWN == 0:
                places = self.generator.integers(len(buffer), size=DRAWN).tolist()
            place = places[taken % DRAWN]
            drawn, buffer[place] = buffer[place], element
            yield drawn
        for place in self.generator.permutation(len(buffer)).tolist():
            yield buffer[place]


class Map(Following):
    """A function of each element."""

    name = "map"

    def __init__(self, before: Step, function: Callable[..., Any]) -> None:
        super().__init__(before)
        self.function = function
        self.number = sum(isinstance(each, Map) for each in before.steps())
        self.shown = getattr(function, "__name__", type(function).__name__)

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Mapped(self, run)


class _Mapped(Opened):
    def __init__(self, step: Map, run: Run) -> None:
        self.step, self.run = step, run
        self.before = step.before.opened(run)
        self.length = self.before.length
        self.in_batches = step.batch_size is not None
        self.like: tuple[int, Element] | None = None

    def get(self, index: int) -> Element:
        return self._apply(index, self.before.get(index))

    def stream(self, start: int) -> Iterator[Later]:
        for index, later in enumerate(self.before.stream(start), start):
            yield partial(self._apply_later, index, later)

    def _apply_later(self, index: int, later: Later) -> Element:
        return self._apply(index, later())

    def _apply(self, index: int, element: Element) -> Element:
        x, y = writable(element)
        try:
            with apart(self.run.seed, self.run.epoch, FOR_MAP, self.step.number, index):
                made = self.step.function(x) if y is None else self.step.function(x, y)
        except Exception as error:
            add_note(error, f"raised in {self._where(index)} of the pipeline")
            raise
        result = self._as_element(made, x, y is not None, index)
        given = [each for _, each in named_parts(Element(x, y))]
        result = converted(result, self._where(index), ours=given)
        if self.in_batches:
            self._check_batch(result, index)
        return result

    def _where(self, index: int) -> str:
        return f"{self.step.label()}, {'batch' if self.in_batches else 'sample'} {index}"

    def _as_element(self, made: Any, x: Any, targets: bool, index: int) -> Element:
        must = "the pair (x, y), since it is given x and y" if targets else "x, changed"
        if made is None:
            raise TypeError(
                f"{self._where(index)}: the function returned None; it must return {must}"
            )
        pair = isinstance(made, (tuple, list) if targets else tuple) and len(made) == 2
        if not targets and (not pair or isinstance(x, tuple)):
            return Element(made)  # of two arrays, where there were several, both are inputs
        if not pair or made[1] is None:
            got = f"{len(made)} items" if isinstance(made, (tuple, list)) else type(made).__name__
            got = "(x, None)" if pair else got
            raise TypeError(f"{self._where(index)}: the function must return {must}, got {got}")
        return Element(*made)

    def _check_batch(self, result: Element, index: int) -> None:
        where = self._where(index)
        arrays = named_parts(result)
        for name, each in arrays:
            if isinstance(each, str) or each.ndim == 0:
                raise ValueError(f"{where}: {name} has no axis of samples; it must be a batch")
            if len(each) != len(arrays[0][1]):
                raise ValueError(
                    f"{where}: {name} has {describe(each)}, but {arrays[0][0]} has "
                    f"{describe(arrays[0][1])}; the first axes must count the same samples"
                )
            if len(each) == 0:
                raise ValueError(
                    f"{where}: {name} has {describe(each)}, and a batch must keep at least one "
                    "sample; leave samples out in the function that from_generator is given"
                )
        first, like = self.like = self.like or (index, result)
        if not same_structure(result, like):
            raise ValueError(
                f"{where}: the function returned {structure_of(result)}, but for batch {first} "
                f"{structure_of(like)}; it must always be the same"
            )
        for (name, each), (_, other) in zip(arrays, named_parts(like), strict=True):
            if each.dtype != other.dtype:
                raise ValueError(
                    f"{where}: {name} has {describe(each)}, but in batch {first} it had "
                    f"{describe(other)}; the dtype must always be the same"
                )


class Batch(Following):
    """So many elements together, in one array each of x and y."""

    name = "batch"
    batch_size: int

    def __init__(self, before: Step, batch_size: int, drop_last: bool) -> None:
        super().__init__(before, batch_size=batch_size, drop_last=drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.shown = f"{batch_size}{', drop_last=True' if drop_last else ''}"
        if before.length is not None:
            self.length = (
                before.length // batch_size if drop_last else -(-before.length // batch_size)
            )

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Batched(self, self.before.opened(run))


class _Batched(Opened):
    def __init__(self, step: Batch, before: Opened) -> None:
        self.step, self.before, self.length = step, before, step.length
        self.samples = step.before.length
        self.stack = Stacking("batch")

    def get(self, index: int) -> Element:
        assert self.samples is not None
        start = index * self.step.batch_size
        stop = min(start + self.step.batch_size, self.samples)
        found = self.before.rows(slice(start, stop))
        if found is not None:
            return found
        return self.stack([self.before.get(each) for each in range(start, stop)], start)

    def stream(self, start: int) -> Iterator[Later]:
        return super().stream(start) if self.step.indexed else self._cut(start)

    def _cut(self, start: int) -> Iterator[Later]:
        size = self.step.batch_size
        incoming = self.before.stream(start * size)
        for first in itertools.count(start * size, size):
            samples = list(itertools.islice(incoming, size))
            if not samples or (self.step.drop_last and len(samples) < size):
                return
            yield partial(self._stack_later, samples, first)

    def _stack_later(self, samples: list[Later], first: int) -> Element:
        return self.stack([later() for later in samples], first)


class Take(Following):
    """The first so many elements."""

    name = "take"

    def __init__(self, before: Step, count: int) -> None:
        super().__init__(before, count=count)
        self.count, self.shown = count, str(count)
        if before.length is not None:
            self.length = min(before.length, count)

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Taken(self, self.before.opened(run))


class _Taken(Opened):
    def __init__(self, step: Take, before: Opened) -> None:
        self.before, self.length, self.count = before, step.length, step.count

    def get(self, index: int) -> Element:
        return self.before.get(index)

    def rows(self, which: Any) -> Element | None:
        return self.before.rows(which)

    def stream(self, start: int) -> Iterator[Later]:
        return itertools.islice(self.before.stream(start), max(0, self.count - start))


class Skip(Take):
    """All elements but the first so many."""

    name = "skip"

    def __init__(self, before: Step, count: int) -> None:
        super().__init__(before, count)
        if before.length is not None:
            self.length = max(0, before.length - count)

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Skipped(self, self.before.opened(run))


class _Skipped(Opened):
    def __init__(self, step: Skip, before: Opened) -> None:
        self.before, self.length, self.count = before, step.length, step.count

    def get(self, index: int) -> Element:
        return self.before.get(index + self.count)

    def rows(self, which: Any) -> Element | None:
        if isinstance(which, slice):
            return self.before.rows(slice(which.start + self.count, which.stop + self.count))
        return self.before.rows(which + self.count)

    def stream(self, start: int) -> Iterator[Later]:
        return self.before.stream(start + self.count)
