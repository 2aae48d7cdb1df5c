"""Steps of preprocessing that scale numbers: each sample by itself, by what training data gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from chainrule.engine.configured import Configured
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.making import Kind
from chainrule.layers.normalization import moments

from .data import check_arrays
from .inputs import several

#: The steps by name: a configuration can name these and no others.
PREPROCESSING: dict[str, type[Step]] = {}

AnyStep = TypeVar("AnyStep", bound="type[Step]")


def registered(cls: AnyStep) -> AnyStep:
    """Makes a step known by its name, so that it can be made from a configuration."""
    PREPROCESSING[cls.__name__] = cls
    return cls


class Step(Configured):
    """Base of the steps: `apply` makes a new batch of a batch, without a look at other samples."""

    def apply(self, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """What the step makes of a batch, which it leaves as it is.

        Arguments:
            x: the batch, shape (batch, ...), numbers or booleans.
            dtype: the model's, float32 or float64.

        Returns:
            a new array, shape (batch, ...). The steps here keep the shape, and compute in the
            dtype in which `x` and the model's meet: float64 for float64 and for integers of more
            than 16 bits, so that no digit is lost. After the last step it is the model's.

        Raises:
            ShapeError: the batch has not the shape that the step is for.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply(x, dtype)")


#: What a configuration of a step may describe.
KIND = Kind("preprocessing step", Step, PREPROCESSING)


@registered
class Rescale(Step):
    """Multiplies and adds: x * scale + offset.

    Arguments:
        scale: a number, or an array that fits a sample's last axes, such as one for each channel.
        offset: likewise.

    Raises:
        TypeError: one is no number, and no array of numbers.
        ValueError: one is not finite.

    >>> from chainrule.preprocessing import Preprocessing, Rescale
    >>> Preprocessing(Rescale(1 / 128, -1.0))(np.array([[0, 160, 255]], np.uint8)).tolist()
    [[-1.0, 0.25, 0.9921875]]
    """

    def __init__(self, scale: Any, offset: Any = 0.0) -> None:
        self.scale = _numbers(scale, "scale", "Rescale")
        self.offset = _numbers(offset, "offset", "Rescale")

    def apply(self, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """x * scale + offset; see `Step.apply`."""
        scale, offset = _fitting("Rescale", x, dtype, self.scale, self.offset)
        scaled = np.multiply(x, scale, dtype=scale.dtype)
        return np.add(scaled, offset, out=scaled)


@registered
class Standardize(Step):
    """Each feature with mean 0 and standard deviation 1: (x - mean) / std.

    A feature that is constant in the training data (std 0) is divided by 1.

    Arguments:
        mean: a number, or an array that fits a sample's last axes.
        std: likewise; 0 counts as 1.

    Raises:
        TypeError: one is missing, or no number and no array of numbers.
        ValueError: one is not finite, or `std` is negative.

    >>> from chainrule.preprocessing import Preprocessing, Standardize
    >>> step = Standardize.fit([[0.0, 5.0], [2.0, 5.0]])
    >>> Preprocessing(step)([[0.0, 6.0]]).tolist()
    [[-1.0, 1.0]]
    """

    elsewhere: ClassVar[Mapping[str, str]] = {
        "variance": "give std, its square root",
        "axis": "Standardize.fit(x_train, axis=...) takes it",
    }

    def __init__(self, mean: Any = None, std: Any = None) -> None:
        _require("Standardize", mean=mean, std=std)
        self.mean = _numbers(mean, "mean", "Standardize")
        self.std = _numbers(std, "std", "Standardize")
        if np.any(np.less(self.std, 0)):
            raise ValueError(f"Standardize: std must not be negative, got {describe(self.std)}")

    @classmethod
    def fit(cls, x: Any, axis: int | tuple[int, ...] | None = 0) -> Standardize:
        """The step for training data: their mean and standard deviation, computed in float64.

        The data, which may be a memory map, are read in pieces. Give it the samples to train with
        alone: what is held back for validation must not show.

        Arguments:
            x: samples, shape (samples, ...).
            axis: the axes that are averaged over, the first among them: 0 gives each number of a
                sample its own mean, (0, 1, 2) of images each channel, and None all together one.

        Raises:
            TypeError, ValueError: `x` cannot be trained on, or `axis` names no such axes.

        >>> Standardize.fit(np.arange(24.0).reshape(2, 2, 2, 3), axis=(0, 1, 2)).mean.tolist()
        [10.5, 11.5, 12.5]
        """
        array, kept, shape = _samples(x, axis, "Standardize.fit")
        mean, variance = moments(array, kept)
        return cls(mean.reshape(shape), np.sqrt(variance).reshape(shape))

    def apply(self, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """(x - mean) / std; see `Step.apply`."""
        std = np.where(np.equal(self.std, 0), 1.0, self.std)
        mean, std = _fitting("Standardize", x, dtype, self.mean, std)
        centred = np.subtract(x, mean, dtype=mean.dtype)
        return np.divide(centred, std, out=centred)


@registered
class MinMax(Step):
    """Each feature between 0 and 1 in the training data: (x - low) / (high - low).

    New samples may lie outside. A feature that is constant in the training data is divided by 1.

    Arguments:
        low: a number, or an array that fits a sample's last axes.
        high: likewise.

    Raises:
        TypeError: one is missing, or no number and no array of numbers.
        ValueError: one is not finite, or `high` is less than `low`, or their shapes do not fit.

    >>> from chainrule.preprocessing import MinMax, Preprocessing
    >>> step = MinMax.fit([[0, 5], [4, 5]])
    >>> Preprocessing(step)([[1, 6]]).tolist()
    [[0.25, 1.0]]
    """

    def __init__(self, low: Any = None, high: Any = None) -> None:
        _require("MinMax", low=low, high=high)
        self.low = _numbers(low, "low", "MinMax")
        self.high = _numbers(high, "high", "MinMax")
        try:
            reversed_ = np.any(np.less(self.high, self.low))
        except ValueError:
            raise ValueError(
                f"MinMax: low and high must have one shape, got {describe(self.low)} and "
                f"{describe(self.high)}"
            ) from None
        if reversed_:
            raise ValueError("MinMax: high must not be less than low; the order is (low, high)")

    @classmethod
    def fit(cls, x: Any, axis: int | tuple[int, ...] | None = 0) -> MinMax:
        """The step for training data: their least and greatest values.

        Arguments, errors: as for `Standardize.fit`.

        >>> MinMax.fit([[0, 5], [4, 9]], axis=None)
        MinMax(low=0.0, high=9.0)
        """
        array, kept, shape = _samples(x, axis, "MinMax.fit")
        over = tuple(each for each in range(array.ndim) if each not in kept)
        low, high = (np.asarray(each(axis=over), np.float64) for each in (array.min, array.max))
        return cls(low.reshape(shape), high.reshape(shape))

    def apply(self, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """(x - low) / (high - low); see `Step.apply`."""
        span = np.subtract(self.high, self.low)
        span = np.where(span == 0, 1.0, span)
        low, span = _fitting("MinMax", x, dtype, self.low, span)
        moved = np.subtract(x, low, dtype=low.dtype)
        return np.divide(moved, span, out=moved)


def _require(where: str, **arguments: Any) -> None:
    if any(each is None for each in arguments.values()):
        names = " and ".join(arguments)
        raise TypeError(
            f"{where}: {names} are not known; {where}.fit(x_train) learns them, or give both"
        )


def _numbers(value: Any, name: str, where: str) -> Any:
    """A Python float, or a float64 array of our own."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{where}: {name} must be a number or an array of numbers, got {value!r}")
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "iuf":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"{where}: {name} must be a number or an array of numbers, got {describe(value)}"
        ) from None
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: {name} must be finite, got {describe(value)}")
    array.flags.writeable = False
    return array if array.ndim else float(array)


def _samples(
    x: Any, axis: int | tuple[int, ...] | None, where: str
) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
    """Samples, the axes that keep their own statistics, and the shape of these beside a sample."""
    if several(x):
        raise TypeError(f"{where}: x must be one array; make a step for each input apart")
    array, _ = check_arrays(x, where=where)
    ndim = array.ndim
    given = range(ndim) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    try:
        over = {range(ndim)[each] for each in given}
    except (TypeError, IndexError):
        over = set()
    if 0 not in over:
        raise ValueError(
            f"{where}: axis must name the axes to average over, the samples' axis 0 among them, or "
            f"be None for all, got {axis!r} for x with {describe(array)}"
        )
    kept = tuple(each for each in range(ndim) if each not in over)
    first = kept[0] if kept else ndim
    shape = tuple(array.shape[each] if each in kept else 1 for each in range(first, ndim))
    return array, kept, shape


def _fitting(step: str, x: np.ndarray, dtype: np.dtype[Any], *numbers: Any) -> list[Any]:
    """A step's numbers in the dtype to compute in, if they fit the samples of a batch."""
    sample = x.shape[1:]
    for each in map(np.shape, numbers):
        try:
            fits = np.broadcast_shapes(sample, each) == sample
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(
                f"{step} is for samples whose last axes are {each}, got a batch with {describe(x)}"
            )
    kind = np.result_type(x.dtype, dtype)
    return [np.asarray(each, kind) for each in numbers]
