"""`Pipeline`: a source of data and what is done with them on their way to a model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, NoReturn, Protocol

import numpy as np

from chainrule.engine import random
from chainrule.training.data import check_batch_size
from chainrule.training.integers import check_integer

from .arguments import METHODS, permutation, refuse
from .elements import Element, shown
from .prefetching import Prefetched
from .steps import Batch, BufferedShuffle, Later, Map, Run, Shuffle, Skip, Step, Take


class Items(Protocol):
    """What `open` returns: an iterator that can be closed."""

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...

    def close(self) -> None:
        """Frees what it holds: a thread, files."""


class Pipeline:
    """A source of samples, and the steps from there to batches. It is never changed: each method
    returns another pipeline.

    Pipelines are made by `from_arrays` and its like. They are gone through by a `for` loop, which
    yields (x, y), or x alone where there are no targets; or are given to `fit`.

    What an epoch yields depends on a seed and the epoch's number alone: neither on `prefetch` nor
    on where one begins. That holds for functions given to `map` as well, if they draw random
    numbers from chainrule's source (as `cr.random` and `cr.images` do) and not from NumPy's.

    A `for` loop that is run again is the next epoch; its seed is drawn from chainrule's source,
    which `cr.seed` seeds.

    >>> import chainrule as cr
    >>> pipeline = cr.data.from_arrays(np.arange(5.0), np.arange(5)).batch(2)
    >>> for x, y in pipeline:
    ...     print(x, y)
    [0. 1.] [0 1]
    [2. 3.] [2 3]
    [4.] [4]
    """

    def __init__(self, step: Step, ahead: int = 0) -> None:
        self._step = step
        self._ahead = ahead
        self._passes = 0  # of `for` loops
        self._first: tuple[str, bool] | None = None  # what it is, and has it a target?

    # Steps --------------------------------------------------------------------------------------

    def shuffle(
        self,
        *positional: Any,
        seed: int | None = None,
        buffer_size: int | None = None,
        **elsewhere: Any,
    ) -> Pipeline:
        """All samples in a random order, which is another one in each epoch.

        A stream, such as that of `from_generator`, cannot be put in any order: each sample is
        drawn from the next `buffer_size` of them, which are kept in memory.

        Arguments:
            *positional: none; `shuffle(1000)` of tf.data is explained.
            seed: of the order, in place of that of the run; None for that.
            buffer_size: for streams only, and needed there.
            **elsewhere: none; arguments of other libraries are explained.

        Raises:
            ValueError: it is shuffled already, or `buffer_size` is missing or not needed.
            TypeError: an argument is no integer, or has no name.

        >>> import chainrule as cr
        >>> x, = cr.data.from_arrays(np.arange(6)).shuffle(seed=1).batch(6)
        >>> sorted(x.tolist())
        [0, 1, 2, 3, 4, 5]
        """
        refuse(elsewhere, "shuffle")
        if positional:
            raise TypeError(
                f"shuffle: give arguments by name: shuffle() orders all samples; a stream needs "
                f"shuffle(buffer_size={positional[0]!r}); shuffle(seed=...) fixes the order"
            )
        if self.is_shuffled:
            raise ValueError("shuffle: the pipeline is shuffled already; once is enough")
        if seed is not None:
            seed = check_integer(seed, "seed", least=0, where="shuffle")
        if self._step.indexed:
            if buffer_size is not None:
                raise ValueError(
                    "shuffle: this source is shuffled as a whole, without a buffer; leave "
                    "buffer_size out"
                )
            return self._with(Shuffle(self._step, seed))
        if buffer_size is None:
            raise ValueError(
                "shuffle: this source is a stream, which can be shuffled within a buffer only; "
                "give shuffle(buffer_size=1000), the samples that are kept in memory"
            )
        size = check_integer(buffer_size, "buffer_size", least=1, where="shuffle")
        return self._with(BufferedShuffle(self._step, seed, size))

    def map(self, function: Callable[..., Any], **elsewhere: Any) -> Pipeline:
        """A function of each sample, or (after `batch`) of each batch.

        The function is called with x and y and returns (x, y). In a pipeline without targets it is
        called with x, and returns x, or the pair (x, y) to add targets. It may write into the
        arrays it is given; other arrays that it returns are copied, so that it may use them again.

        Arguments:
            function: see above.
            **elsewhere: none; arguments of other libraries are explained.

        Raises TypeError for what is no function. Where the data are read: TypeError if it returns
        something else; ValueError for NaN or infinity, and for dtypes (in batches: shapes, too)
        that change from one element to the next.

        >>> import chainrule as cr
        >>> doubled = cr.data.from_arrays([1.0, 2.0], [0, 1]).map(lambda x, y: (2 * x, y))
        >>> [(float(x), int(y)) for x, y in doubled]
        [(2.0, 0), (4.0, 1)]
        """
        refuse(elsewhere, "map")
        if not callable(function):
            raise TypeError(f"map: function must be a function, got {function!r}")
        return self._with(Map(self._step, function))

    def batch(self, batch_size: int, drop_last: bool = False, **elsewhere: Any) -> Pipeline:
        """So many samples together, in one array of shape (batch, ...).

        Arguments:
            batch_size: samples per batch.
            drop_last: leave out the last batch, if it is shorter?
            **elsewhere: none; `drop_remainder` is explained.

        Raises:
            TypeError, ValueError: `batch_size` is no integer of at least 1; there are batches
                already, or no whole one.

        >>> import chainrule as cr
        >>> len(cr.data.from_arrays(np.arange(5)).batch(2, drop_last=True))
        2
        """
        refuse(elsewhere, "batch", drop_remainder="it is called drop_last")
        size = check_batch_size(batch_size, where="batch")
        if not isinstance(drop_last, (bool, np.bool_)):
            raise TypeError(f"batch: drop_last must be True or False, got {drop_last!r}")
        if self.batch_size is not None:
            raise ValueError(f"batch: there are batches of {self.batch_size} already")
        made = Batch(self._step, size, bool(drop_last))
        if made.length == 0:
            raise ValueError(
                f"batch: {self.length} samples make no whole batch of {size}; lower batch_size, "
                "or leave drop_last out"
            )
        return self._with(made)

    def prefetch(self, count: int = 2, **elsewhere: Any) -> Pipeline:
        """The same items in the same order, of which a thread computes some ahead.

        Wherever it stands among the steps, it is what comes out at the end that is computed ahead.

        Arguments: `count`, how many items may be ready before they are asked for.

        Raises TypeError or ValueError unless it is an integer of at least 1.

        >>> import chainrule as cr
        >>> [x.tolist() for x in cr.data.from_arrays(np.arange(3)).batch(2).prefetch()]
        [[0, 1], [2]]
        """
        refuse(elsewhere, "prefetch", buffer_size="it is called count")
        return Pipeline(self._step, check_integer(count, "count", least=1, where="prefetch"))

    def take(self, count: int) -> Pipeline:
        """The first `count` samples; after `batch`, batches.

        Raises TypeError or ValueError unless it is an integer of at least 1.

        >>> import chainrule as cr
        >>> [int(x) for x in cr.data.from_arrays(np.arange(5)).take(2)]
        [0, 1]
        """
        return self._with(Take(self._step, check_integer(count, "count", least=1, where="take")))

    def skip(self, count: int) -> Pipeline:
        """All but the first `count` samples; after `batch`, batches.

        Raises TypeError or ValueError unless it is an integer of 0 or more that leaves some.

        >>> import chainrule as cr
        >>> [int(x) for x in cr.data.from_arrays(np.arange(5)).skip(3)]
        [3, 4]
        """
        made = Skip(self._step, check_integer(count, "count", least=0, where="skip"))
        if made.length == 0:
            raise ValueError(f"skip: count={count} leaves none of {self.length}")
        return self._with(made)

    def _with(self, step: Step) -> Pipeline:
        return Pipeline(step, self._ahead)

    # What comes out -----------------------------------------------------------------------------

    @property
    def length(self) -> int | None:
        """The number of items of an epoch (of batches, after `batch`); None where it is unknown."""
        return self._step.length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(
                "the length of this pipeline is unknown: from_generator(function, length=...) "
                "would tell the number of samples"
            )
        return self.length

    def __bool__(self) -> bool:
        return True  # and not len(self) > 0, which need not be known

    @property
    def _source(self) -> Step:
        return self._step.steps()[0]

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, which targets number; None where they have no names."""
        return getattr(self._source, "classes", None)

    @property
    def batch_size(self) -> int | None:
        """The number of samples of a batch; None where there are no batches."""
        return self._step.batch_size

    @property
    def is_shuffled(self) -> bool:
        """Does each epoch have an order of its own?"""
        return any(isinstance(each, Shuffle) for each in self._step.steps())

    @property
    def has_targets(self) -> bool:
        """Does it yield (x, y), and not x alone? If it is not known, the first item is computed."""
        steps, sample = self._step.steps(), self._source.element
        if sample is not None and (sample.y is not None or not _mapped(steps)):
            return sample.y is not None
        return self._computed()[1]

    @property
    def element(self) -> str:
        """What the first item is: shapes and dtypes. If it is not known, it is computed.

        >>> import chainrule as cr
        >>> cr.data.from_arrays(np.zeros((5, 2)), np.arange(5)).batch(4).element
        'x (4, 2) float64, y (4,) int64'
        """
        return self._known() or self._computed()[0]

    def _computed(self) -> tuple[str, bool]:
        if self._first is None:
            items = _items(self._step.opened(Run(0, 0)).stream(0), 0)
            first = next(items)
            items.close()
            self._first = shown(first), first.y is not None
        return self._first

    def _known(self) -> str | None:
        """What the first item is, without computing anything of the user's."""
        steps, sample = self._step.steps(), self._source.element
        if self._first is not None:
            return self._first[0]
        if sample is None or _mapped(steps):
            return None
        batch = next((each for each in steps if isinstance(each, Batch)), None)
        if batch is None:
            return shown(sample)
        samples = batch.before.length
        return shown(sample, min(batch.batch_size, samples or batch.batch_size))

    def __repr__(self) -> str:
        kind = "samples" if self.batch_size is None else f"batches of {self.batch_size}"
        length = "an unknown number" if self.length is None else str(self.length)
        steps = [each.label() for each in self._step.steps()]
        if self._ahead:
            steps.append(f"prefetch({self._ahead})")
        known = self._known()
        of = f"{length} of {kind}" if self.length is None else f"{length} {kind}"
        return f"<Pipeline of {of}{f': {known}' if known else ''}; {' -> '.join(steps)}>"

    # Going through ------------------------------------------------------------------------------

    def open(
        self, seed: int, epoch: int = 0, start: int = 0, order: np.ndarray | None = None
    ) -> Items:
        """The items of an epoch, from any place on: those that would have come there.

        Arguments:
            seed: of the order and of all random numbers, 0 or more.
            epoch: which epoch, 0 or more.
            start: number of items (batches) that are left out.
            order: what `order(seed, epoch)` returned, for an epoch begun earlier; None to draw it.

        Returns:
            an iterator of (x, y), or of x where there are no targets, with a method `close()`.

        Raises:
            TypeError: an argument is no integer.
            ValueError: one is negative, `start` is past the end, or `order` is no permutation of
                what is shuffled.

        >>> import chainrule as cr
        >>> pipeline = cr.data.from_arrays(np.arange(10)).shuffle().batch(3)
        >>> whole = [x.tolist() for x in pipeline.open(seed=7, epoch=2)]
        >>> [x.tolist() for x in pipeline.open(seed=7, epoch=2, start=1)] == whole[1:]
        True
        """
        seed, epoch = (
            check_integer(seed, "seed", least=0, where="open"),
            check_integer(epoch, "epoch", least=0, where="open"),
        )
        start = check_integer(start, "start", least=0, where="open")
        if self.length is not None and start > self.length:
            raise ValueError(f"open: start={start} is past the end: there are {self.length} items")
        if order is not None:
            shuffle = self._permuting()
            if shuffle is None or shuffle.length is None:
                raise ValueError("open: order is given, but the pipeline is not shuffled by one")
            order = permutation(order, shuffle.length, "open")
        opened = self._step.opened(Run(seed, epoch, order))
        items = _shown_items(_items(opened.stream(start), start))
        return Prefetched(items, self._ahead) if self._ahead else items

    def order(self, seed: int, epoch: int) -> np.ndarray | None:
        """The permutation that an epoch is shuffled by, int64 of shape (items shuffled,).

        None if it is not shuffled, or is a stream that is shuffled within a buffer.

        >>> import chainrule as cr
        >>> cr.data.from_arrays(np.arange(4)).shuffle().order(seed=0, epoch=0).shape
        (4,)
        """
        shuffle = self._permuting()
        return None if shuffle is None else shuffle.order(Run(seed, epoch))

    def _permuting(self) -> Shuffle | None:
        steps = self._step.steps()
        return next((each for each in steps if isinstance(each, Shuffle) and each.indexed), None)

    def __iter__(self) -> Iterator[Any]:
        # Integers of a NumPy generator are drawn below 2**63.
        seed = int(random.generator().integers(2**63)) if self._draws() else 0
        self._passes += 1
        return iter(self.open(seed, self._passes - 1))

    def _draws(self) -> bool:
        """Does an epoch depend on the seed?"""
        source, *steps = self._step.steps()
        return not source.indexed or any(
            isinstance(each, Map) or (isinstance(each, Shuffle) and each.seed is None)
            for each in steps
        )

    def fingerprint(self) -> dict[str, Any]:
        """What tells the data and the steps from others, as plain data.

        Of arrays and texts, the contents count, of images the files' names and sizes. Functions
        cannot be compared: of `map` it is known that there is one, of a generator the declared
        length and the first sample's shapes and dtypes. `prefetch` does not count, as it changes
        nothing.

        >>> import chainrule as cr
        >>> found = cr.data.from_arrays(np.arange(3)).batch(2).fingerprint()
        >>> found["steps"]
        [{'step': 'batch', 'batch_size': 2, 'drop_last': False}]
        """
        source, *steps = self._step.steps()
        return {
            "source": {"kind": source.name, **source.settings()},
            "steps": [{"step": each.name, **each.settings()} for each in steps],
        }

    def __getattr__(self, name: str) -> NoReturn:
        if name in METHODS:
            raise AttributeError(f"a Pipeline has no {name!r}; {METHODS[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def _mapped(steps: list[Step]) -> bool:
    return any(isinstance(each, Map) for each in steps)


def _items(stream: Iterator[Later], start: int) -> Generator[Element, None, None]:
    empty = True
    for later in stream:
        empty = False
        yield later()
    if empty and start == 0:
        raise ValueError("the pipeline yields nothing; at least one item is needed")


def _shown_items(items: Generator[Element, None, None]) -> Generator[Any, None, None]:
    for each in items:
        yield each.shown()
