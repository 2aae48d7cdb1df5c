"""Random tensors, from one seeded source: `cr.seed(n)` makes a run reproducible bit by bit.

The source has two parts. Weights, orders and random tensors are drawn from a NumPy generator. Masks
of dropout are made from numbered words (`engine/kernels/philox.py`), of which `reserve` hands out
the numbers: so they are the same on every device, and can be made again from two integers.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .arguments import shape_of
from .creation import _made
from .devices import get_device
from .dtypes import as_dtype, default_dtype
from .habits import names_elsewhere
from .tensor import Tensor

__getattr__ = names_elsewhere(
    "chainrule.random",
    {
        "manual_seed": "it is called chainrule.seed(n)",
        "set_seed": "it is called chainrule.seed(n)",
        "get_state": "it is called moment()",
        "set_state": "it is called load(moment)",
        "get_rng_state": "it is called moment()",
        "set_rng_state": "it is called load(moment)",
        "rand": "it is called uniform(shape)",
        "randn": "it is called normal(shape)",
        "default_rng": "there is one source: seed it by chainrule.seed(n), or draw apart(n)",
        "Generator": "there is one source: seed it by chainrule.seed(n), or draw apart(n)",
    },
)


class _Source:
    """Where random numbers come from: a generator, a key, and the first of its words not taken."""

    generator: np.random.Generator
    key: int

    def __init__(self, generator: np.random.Generator, key: int, reserved: int = 0) -> None:
        self.generator, self.key, self.reserved = generator, key, reserved


class _Derived(_Source):
    """The source that belongs to some integers; made when a number is drawn, as few need be."""

    def __init__(self, words: tuple[int, ...]) -> None:
        self._words, self.reserved = words, 0

    @cached_property
    def generator(self) -> np.random.Generator:  # type: ignore[override]
        return np.random.Generator(np.random.PCG64(seed_sequence(*self._words)))

    @cached_property
    def key(self) -> int:  # type: ignore[override]
        # A word more than the generator's, which would else begin with the key's own bits.
        return int(seed_sequence(*self._words, 1).generate_state(1, np.uint64)[0])


class _Replay(threading.local):
    """The source of a thread that has one of its own, or draws numbers again."""

    source: _Source | None = None


_shared = _Source(
    np.random.Generator(np.random.PCG64()),
    int(np.random.SeedSequence().generate_state(1, np.uint64)[0]),
)
_replay = _Replay()
_reserving = threading.Lock()


def _source() -> _Source:
    return _replay.source or _shared


class Moment(NamedTuple):
    """Where the source of random numbers stands: the generator's state, key and first free word."""

    generator: Mapping[str, Any]
    key: int
    reserved: int


def seed(n: int) -> None:
    """Seeds every random number of chainrule: initialisers, shuffling and `cr.random`.

    Raises ValueError for a negative seed, TypeError for one that is no integer.

    >>> import chainrule as cr
    >>> cr.seed(7); first = cr.random.normal(3).tolist()
    >>> cr.seed(7); first == cr.random.normal(3).tolist()
    True
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"seed: must be an integer, got {n!r}")
    if n < 0:
        raise ValueError(f"seed: must not be negative, got {n}")
    source = _source()
    source.generator.bit_generator.state = np.random.PCG64(int(n)).state
    source.key = int(np.random.SeedSequence(int(n)).generate_state(1, np.uint64)[0])
    source.reserved = 0


def reserve(count: int) -> tuple[int, int]:
    """The key of this run, and the number of the first of `count` words that are now taken.

    Words come in blocks of four, as Philox 4x32 makes them: the number is a multiple of four.

    >>> key, first = reserve(5)
    >>> reserve(1) == (key, first + 8)
    True
    """
    with _reserving:
        source = _source()
        first = source.reserved
        source.reserved += -(-count // 4) * 4
        return source.key, first


def moment() -> Moment:
    """Where the source of random numbers stands now; `load` and `replaying` go back there.

    It is a tuple of plain data: `json.dumps(moment())` is a text, `Moment(*json.loads(text))` it.
    """
    source = _source()
    return Moment(source.generator.bit_generator.state, source.key, source.reserved)


def load(then: Moment) -> None:
    """Puts the source of random numbers where it stood when `moment()` returned `then`.

    Raises ValueError or TypeError for anything that `moment()` has not returned.

    >>> then = moment()
    >>> first = normal(3).tolist()
    >>> load(then)
    >>> normal(3).tolist() == first
    True
    """
    source = _source()
    source.generator.bit_generator.state = then.generator  # whoever holds it goes back with it
    source.key, source.reserved = then.key, then.reserved


def generator() -> np.random.Generator:
    """The NumPy generator from which every random number of chainrule is drawn."""
    return _source().generator


@contextmanager
def replaying(then: Moment) -> Iterator[None]:
    """Draws, within a `with` block, the numbers that were drawn after `moment()` returned `then`.

    Afterwards the source is where it was; other threads do not notice.
    """
    before = _replay.source
    bits: np.random.BitGenerator = np.random.PCG64()
    bits.state = then.generator
    _replay.source = _Source(np.random.Generator(bits), then.key, then.reserved)
    try:
        yield
    finally:
        _replay.source = before


def seed_sequence(*words: int) -> np.random.SeedSequence:
    """NumPy's seed that belongs to some integers of any size: other integers, another seed.

    `SeedSequence` itself does not tell (1,) from (1, 0), nor (2**32,) from (0, 1).

    Raises TypeError for what is no integer, ValueError for one that is negative.

    >>> states = [seed_sequence(*words).generate_state(1) for words in ((1,), (1, 0))]
    >>> bool(states[0] == states[1])
    False
    """
    limbs = [len(words)]
    for word in words:
        try:
            left = operator.index(word)
        except TypeError:
            raise TypeError(f"random.apart: words must be integers, got {word!r}") from None
        if left < 0:
            raise ValueError(f"random.apart: words must not be negative, got {left}")
        at = len(limbs)
        limbs.append(0)
        while left:
            limbs.append(left & 0xFFFFFFFF)
            left >>= 32
        limbs[at] = len(limbs) - at - 1
    return np.random.SeedSequence(np.array(limbs, np.uint32))


class apart:  # noqa: N801 - used as a function is
    """Draws, within a `with` block, from a source of its own that these integers seed.

    In this thread, all of chainrule's random numbers come from it; afterwards the source is where
    it was, and other threads do not notice. One that is kept and entered again goes on where it
    stopped. The source is made when the first number is drawn.

    Arguments: `words`, integers of 0 or more, of any size. Other words, other numbers.

    Raises TypeError or ValueError for other words, when the first number is drawn.

    >>> import chainrule as cr
    >>> with cr.random.apart(7, 0):
    ...     first = cr.random.normal(3).tolist()
    >>> with cr.random.apart(7, 0):
    ...     first == cr.random.normal(3).tolist()
    True
    """

    def __init__(self, *words: int) -> None:
        self._own = _Derived(words)
        self._before: list[_Source | None] = []

    def __enter__(self) -> None:
        self._before.append(_replay.source)
        _replay.source = self._own

    def __exit__(self, *error: object) -> None:
        _replay.source = self._before.pop()


def _result(array: Any, dtype: Any, where: str, requires_grad: bool, device: Any) -> Tensor:
    kind = default_dtype() if dtype is None else as_dtype(dtype, where)
    array = get_device(device).from_host(np.asarray(array).astype(kind))
    return _made(array, requires_grad, device)


def draw_truncated_normal(
    source: np.random.Generator, shape: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """A standard normal distribution, drawn anew where beyond ±2."""
    drawn = np.asarray(source.standard_normal(shape))
    while (outside := np.abs(drawn) > 2).any():
        drawn[outside] = source.standard_normal(int(outside.sum()))
    return drawn


def normal(
    shape: Any = (),
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Numbers of a normal distribution with this mean and standard deviation.

    >>> import chainrule as cr
    >>> cr.random.normal((2, 3)).shape
    (2, 3)
    """
    drawn = generator().normal(mean, stddev, shape_of("normal", shape))
    return _result(drawn, dtype, "normal", requires_grad, device)


def uniform(
    shape: Any = (),
    low: float = 0.0,
    high: float = 1.0,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Numbers distributed evenly over [low, high).

    >>> import chainrule as cr
    >>> x = cr.random.uniform(100, low=-1.0)
    >>> bool((x >= -1.0).numpy().all())
    True
    """
    kind = default_dtype() if dtype is None else as_dtype(dtype, "uniform")
    drawn = np.asarray(generator().uniform(low, high, shape_of("uniform", shape)))
    if kind.kind == "f" and low < high:  # rounding may reach the end, which is not part of it
        drawn = np.minimum(drawn.astype(kind), np.nextafter(kind.type(high), kind.type(low)))
    return _result(drawn, kind, "uniform", requires_grad, device)


def truncated_normal(
    shape: Any = (),
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Numbers of a normal distribution, drawn anew where beyond two standard deviations.

    >>> import chainrule as cr
    >>> float(abs(cr.random.truncated_normal(1000)).max()) <= 2.0
    True
    """
    drawn = draw_truncated_normal(generator(), shape_of("truncated_normal", shape))
    return _result(mean + stddev * drawn, dtype, "truncated_normal", requires_grad, device)


def randint(low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Tensor:
    """Integers from `low` to `high` - 1, all equally likely.

    >>> import chainrule as cr
    >>> set(cr.random.randint(0, 2, 50).tolist()) <= {0, 1}
    True
    """
    limits = np.iinfo(as_dtype(dtype, "randint"))
    if low < limits.min or high - 1 > limits.max:
        raise ValueError(f"randint: {low} to {high - 1} do not fit {limits.dtype}; use int64")
    drawn = generator().integers(low, high, shape_of("randint", shape))
    return _result(drawn, dtype, "randint", False, None)


def permutation(n: int) -> Tensor:
    """The integers from 0 to n - 1 in random order.

    >>> import chainrule as cr
    >>> sorted(cr.random.permutation(4).tolist())
    [0, 1, 2, 3]
    """
    return _result(generator().permutation(n), "int64", "permutation", False, None)
