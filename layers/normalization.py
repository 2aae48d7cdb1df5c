"""Normalisation of the features by statistics of the training data."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.dtypes import as_dtype
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.hosted import host_array
from chainrule.engine.operations.arithmetic import sqrt
from chainrule.engine.operations.choices import where
from chainrule.engine.tensor import Tensor, to_array

from .layer import Layer, Shape, registered

#: Rows are turned to float64 in blocks of about this many numbers (8 MB).
_BLOCK = 2**20


@registered
class Normalization(Layer):
    """Each feature with mean 0 and variance 1: (x - mean) / sqrt(variance).

    `adapt(data)` learns mean and variance; they are state, saved with the weights. A feature that
    is constant in the data (variance 0) is divided by 1.

    Arguments: `axis`, the axis, or axes, of the features, each with a mean and a variance of its
    own; None for one mean and variance of all; `mean` and `variance`, where they are known, in the
    shape of the features or broadcast to it; the others are `Layer`'s.

    Raises ValueError if only one of mean and variance is given, or a variance is negative or not
    finite; called, RuntimeError before mean and variance are known.

    >>> layer = Normalization()
    >>> layer.adapt([[0.0, 5.0], [2.0, 5.0]])
    >>> layer([[0.0, 6.0]]).tolist()
    [[-1.0, 1.0]]
    """

    min_ndim = 1
    mean: Tensor
    variance: Tensor

    supports_masking = True

    def __init__(
        self,
        axis: int | tuple[int, ...] | None = -1,
        mean: Any = None,
        variance: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        axes = () if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        if any(isinstance(each, bool) or not isinstance(each, int) for each in axes):
            raise TypeError(f"Normalization: axis must be integers or None, got {axis!r}")
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: give both mean and variance, or neither")
        self.axis = axis
        self._axes = axes
        self._given: tuple[Any, Any] | None = None
        self._known: tuple[Any, int] | None = None  # the memory whose numbers were looked at
        if mean is not None:
            mean = to_array(mean, "float64", "Normalization: mean")
            variance = to_array(variance, "float64", "Normalization: variance")
            if (
                not (np.isfinite(mean).all() and np.isfinite(variance).all())
                or (variance < 0).any()
            ):
                raise ValueError(
                    "Normalization: mean and variance must be finite, and variance not negative"
                )
            self._given = mean, variance

    def build(self, input_shape: Shape) -> None:
        """Makes `mean` and `variance`: as given, or NaN until `adapt` or a file gives them."""
        features = [input_shape[each] for each in self._kept(tuple(input_shape))]
        shape = tuple(each for each in features if each is not None)
        if len(shape) < len(features):
            raise ShapeError(
                f"Normalization: the features' axes must have known lengths, got {input_shape}"
            )
        for i, name in enumerate(("mean", "variance")):
            value = np.nan if self._given is None else self._given[i]
            self.add_weight(name, shape, _constant(value, name), trainable=False)
        super().build(input_shape)

    def adapt(self, data: Any) -> None:
        """Learns mean and variance of each feature, computed in float64, from all of the data.

        Arguments: `data`, an array, a Tensor or a nested list, (samples, ..., features).

        Raises ValueError for data that are empty or not finite, or whose variance the layer's dtype
        cannot hold; ShapeError if the layer was built on other features.
        """
        here = "Normalization.adapt"
        if isinstance(data, Tensor):
            data = host_array(data)
        array = data if isinstance(data, np.ndarray) else to_array(data, where=here)
        as_dtype(array.dtype, here)
        if array.size == 0 or array.ndim == 0:
            raise ValueError(
                f"{here}: data must be (samples, ..., features), not empty, got {describe(array)}"
            )
        kept = self._kept(array.shape)
        if not self._built:
            self.build((None, *array.shape[1:]))
        self._check(array)
        with np.errstate(all="ignore"):
            mean, variance = moments(array, kept)
            held = variance.astype(self.dtype)
        if not np.isfinite(held).all() and not np.isfinite(array).all():
            wrong = np.argwhere(~np.isfinite(array))
            raise ValueError(
                f"{here}: data holds numbers that are NaN or infinite ({len(wrong)} of "
                f"{array.size}, the first at index {tuple(wrong[0].tolist())}); remove those "
                "samples, or replace the numbers"
            )
        if not np.isfinite(held).all() or ((held == 0) & (variance > 0)).any():
            raise ValueError(
                f"{here}: the variances of the features go from {variance.min():.3g} to "
                f"{variance.max():.3g}, which {self.dtype} cannot hold; scale the data"
            )
        self.mean.assign(mean)
        self.variance.assign(variance)

    def call(self, x: Tensor) -> Tensor:
        """The normalised x; raises RuntimeError before mean and variance are known."""
        storage = self.mean._storage
        if self._known != (storage, storage.changed):  # so that a GPU is asked once
            if np.isnan(host_array(self.mean)).any():
                raise RuntimeError(
                    "Normalization: mean and variance are not known; call adapt(data) with the "
                    "training data first, or give mean= and variance="
                )
            self._known = storage, storage.changed
        kept = self._check(x)
        shape = tuple(n if i in kept else 1 for i, n in enumerate(x.shape))
        variance = self.variance.reshape(shape)
        return (x - self.mean.reshape(shape)) / where(variance == 0, 1.0, sqrt(variance))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)

    def _kept(self, shape: Shape) -> tuple[int, ...]:
        """The axes of the features, counted from 0, in their order."""
        ndim = len(shape)
        kept = tuple(sorted(each + ndim if each < 0 else each for each in self._axes))
        if len(set(kept)) != len(kept) or any(not 0 < each < ndim for each in kept):
            raise ShapeError(
                f"Normalization: axis={self.axis} must name different axes of x after the batch, "
                f"got shape {shape}; data of one feature are (samples, 1)"
            )
        return kept

    def _check(self, x: Any) -> tuple[int, ...]:
        """The axes of the features, if they have the lengths on which the layer was built."""
        kept = self._kept(x.shape)
        if tuple(x.shape[each] for each in kept) != self.mean.shape:
            raise ShapeError(
                f"Normalization: expected x with features of shape {self.mean.shape} along "
                f"axis={self.axis} (the layer was built on it), got x with {describe(x)}"
            )
        return kept

    def _arguments(self) -> dict[str, Any]:
        mean, variance = (None, None) if self._given is None else self._given
        return super()._arguments() | {"mean": mean, "variance": variance}


def _constant(value: Any, name: str) -> Any:
    """An initialiser that broadcasts a value."""

    def initializer(shape: tuple[int, ...], dtype: Any) -> Any:
        try:
            return np.broadcast_to(value, shape)
        except ValueError as error:
            raise ShapeError(
                f"Normalization: {name} with {describe(value)} does not fit features of shape "
                f"{shape}"
            ) from error

    return initializer


def moments(array: Any, kept: tuple[int, ...]) -> tuple[Any, Any]:
    """Mean and variance over all axes but those kept, in float64.

    The variance is the mean of the squared deviations, in a second pass: the difference of two
    large sums would lose its digits. Of a constant both are exact, whatever the sums round.
    """
    reduced = tuple(i for i in range(array.ndim) if i not in kept)
    low = array.min(axis=reduced, keepdims=True).astype(np.float64)
    constant = low == array.max(axis=reduced, keepdims=True)
    mean = np.where(constant, low, array.mean(axis=reduced, keepdims=True, dtype=np.float64))
    squares = np.zeros(mean.shape)
    rows = max(1, _BLOCK * len(array) // array.size)
    for start in range(0, len(array), rows):
        deviation = array[start : start + rows] - mean
        squares += np.square(deviation).sum(axis=reduced, keepdims=True)
    variance = squares / (array.size // squares.size)
    shape = tuple(array.shape[i] for i in kept)
    return mean.reshape(shape), variance.reshape(shape)
