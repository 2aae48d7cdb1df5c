"""Initialisers: the numbers that weights start from, by Keras's names.

A good start keeps the variance of the activations, and of the errors δ on the way back, about
equal from layer to layer. How large the weights may be follows from the number of inputs
(fan_in) and outputs (fan_out) of a unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, cast

import numpy as np

from chainrule.engine.errors import ShapeError
from chainrule.engine.making import Kind, made
from chainrule.engine.random import draw_truncated_normal, generator

from .config import Configured

#: The standard deviation of a standard normal distribution cut off at ±2:
#: sqrt(1 - 4 φ(2) / (2 Φ(2) - 1)), with its density φ and distribution function Φ.
TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Configured):
    """Makes the array that a weight starts as: `initializer(shape, dtype)`.

    Arguments: `seed`, an integer, for a generator of its own, which goes on from call to call;
    without it, numbers come from the generator that `cr.seed` seeds.

    A subclass defines `__call__`.
    """

    name: ClassVar[str] = ""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._own = None if seed is None else np.random.default_rng(seed)

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__}: define __call__(self, shape, dtype)")

    @property
    def generator(self) -> np.random.Generator:
        """Where random numbers are drawn from."""
        return generator() if self._own is None else self._own

    def identifier(self) -> Any:
        """Its name, if its arguments are the default ones."""
        known = INITIALIZERS.get(self.name) is type(self)
        return self.name if known and self.get_config() == self._defaults() else self.to_config()


class Constant(Initializer):
    """One number everywhere.

    >>> Constant(0.5)((2,)).tolist()
    [0.5, 0.5]
    """

    name = "constant"

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        return np.full(shape, self.value, dtype)


class Zeros(Constant):
    """Zeros: the usual start of a bias. As a kernel's start it makes all units learn the same."""

    name = "zeros"

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Ones."""

    name = "ones"

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomNormal(Initializer):
    """A normal distribution with this mean and standard deviation."""

    name = "random_normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if not stddev >= 0:
            raise ValueError(f"{type(self).__name__}: stddev must not be negative, got {stddev!r}")
        self.mean, self.stddev = mean, stddev

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        return np.asarray(self.generator.normal(self.mean, self.stddev, shape), dtype)


class TruncatedNormal(RandomNormal):
    """A normal distribution, drawn anew where beyond two of its standard deviations."""

    name = "truncated_normal"

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        drawn = draw_truncated_normal(self.generator, shape)
        return np.asarray(self.mean + self.stddev * drawn, dtype)


class RandomUniform(Initializer):
    """Numbers distributed evenly from `minval` to `maxval`."""

    name = "random_uniform"

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        if not minval <= maxval:
            raise ValueError(
                f"RandomUniform: minval must not exceed maxval, got {minval!r} and {maxval!r}"
            )
        self.minval, self.maxval = minval, maxval

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        return np.asarray(self.generator.uniform(self.minval, self.maxval, shape), dtype)


class _VarianceScaling(Initializer):
    """Random numbers of mean 0 and variance scale / n; n is fan_in, or the mean of the fans."""

    scale: ClassVar[float]
    mode: ClassVar[str]
    uniform: ClassVar[bool]

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        fan_in, fan_out = fans(shape)
        n = fan_in if self.mode == "fan_in" else (fan_in + fan_out) / 2
        stddev = math.sqrt(self.scale / max(1, n))
        if self.uniform:
            limit = math.sqrt(3) * stddev  # the variance of [-limit, limit] is limit² / 3
            return np.asarray(self.generator.uniform(-limit, limit, shape), dtype)
        drawn = draw_truncated_normal(self.generator, shape)
        return np.asarray(stddev / TRUNCATED_STDDEV * drawn, dtype)


class GlorotUniform(_VarianceScaling):
    """Evenly over ±sqrt(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out).

    The mean of what keeps the variance forward and what keeps it backward, for units that are
    about linear at 0. Source: Glorot & Bengio 2010, equation 16.

    >>> bool(abs(GlorotUniform()((100, 50))).max() <= (6 / 150) ** 0.5)
    True
    """

    name = "glorot_uniform"
    scale, mode, uniform = 1.0, "fan_avg", True


class GlorotNormal(_VarianceScaling):
    """Truncated normal with variance 2 / (fan_in + fan_out), after truncation.

    Source: Glorot & Bengio 2010, equation 12.
    """

    name = "glorot_normal"
    scale, mode, uniform = 1.0, "fan_avg", False


class HeUniform(_VarianceScaling):
    """Evenly over ±sqrt(6 / fan_in): variance 2 / fan_in.

    The 2 makes up for relu, which puts half of its inputs to 0. Source: He et al. 2015,
    equation 10.
    """

    name = "he_uniform"
    scale, mode, uniform = 2.0, "fan_in", True


class HeNormal(_VarianceScaling):
    """Truncated normal with variance 2 / fan_in, after truncation.

    Source: He et al. 2015, equation 10.
    """

    name = "he_normal"
    scale, mode, uniform = 2.0, "fan_in", False


class LecunUniform(_VarianceScaling):
    """Evenly over ±sqrt(3 / fan_in): variance 1 / fan_in.

    Source: LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", section 4.6.
    """

    name = "lecun_uniform"
    scale, mode, uniform = 1.0, "fan_in", True


class LecunNormal(_VarianceScaling):
    """Truncated normal with variance 1 / fan_in, after truncation.

    Source: LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", section 4.6.
    """

    name = "lecun_normal"
    scale, mode, uniform = 1.0, "fan_in", False


class Orthogonal(Initializer):
    """A random matrix whose columns, or whose rows if they are fewer, are orthonormal, times gain.

    It keeps lengths, so that what goes through it again and again neither grows nor vanishes: the
    usual start of a recurrent kernel. All such matrices are equally likely (Mezzadri 2007). The
    last axis of the shape is that of the columns, the others together are that of the rows.

    Arguments: `gain`, the length of the columns; `seed`, as in `Initializer`.

    Raises ShapeError for a shape of fewer than two axes. Source: Saxe et al. 2014.

    >>> q = Orthogonal()((2, 3), "float64")
    >>> bool(abs(q @ q.T - np.eye(2)).max() < 1e-12)
    True
    """

    name = "orthogonal"

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray[Any, Any]:
        """An array of that shape and dtype."""
        if len(shape) < 2:
            raise ShapeError(
                f"Orthogonal: shape must have at least two axes, got {tuple(shape)}; for a vector "
                "use another initializer"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn = self.generator.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(drawn)
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)  # or q would not be uniformly distributed
        return np.asarray(self.gain * (q if rows >= columns else q.T), dtype).reshape(shape)


#: Every initialiser by its name.
INITIALIZERS: dict[str, type[Initializer]] = {
    cls.name: cls
    for cls in (
        *(Zeros, Ones, Constant, RandomNormal, RandomUniform, TruncatedNormal, Orthogonal),
        *(GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal),
    )
}
#: What a configuration of an initialiser may describe.
KIND = Kind("initializer", Initializer, {cls.__name__: cls for cls in INITIALIZERS.values()})
#: Short names, as in Keras.
SHORT = {"uniform": "random_uniform", "normal": "random_normal"}


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs and outputs each unit has: (fan_in, fan_out).

    Arguments: `shape` of the weight, (inputs, units), or (..., inputs, units) for the kernel of a
    convolution, in which every place of the window is an input.

    >>> fans((100, 50)), fans((3, 3, 16, 32))
    ((100, 50), (144, 288))
    """
    if len(shape) < 2:
        length = shape[0] if shape else 1
        return length, length
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def get_initializer(identifier: Any) -> Callable[[tuple[int, ...], Any], Any]:
    """The initialiser meant by a name, an `Initializer` or a callable (shape, dtype) -> array.

    Raises ValueError for anything else, listing the names that are known.

    >>> get_initializer("he_normal")
    HeNormal()
    """
    if isinstance(identifier, str) and SHORT.get(identifier, identifier) in INITIALIZERS:
        return INITIALIZERS[SHORT.get(identifier, identifier)]()
    if isinstance(identifier, dict) and set(identifier) == {"class_name", "config"}:
        return cast("Initializer", made(identifier, KIND))
    elif isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    elif callable(identifier):
        return cast("Callable[[tuple[int, ...], Any], Any]", identifier)
    raise ValueError(
        f"initializer: {identifier!r} is unknown; known: {', '.join(map(repr, INITIALIZERS))}, "
        "or a callable (shape, dtype) -> array"
    )
