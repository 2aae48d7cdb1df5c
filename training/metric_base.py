"""What every metric does: it adds up its values over samples, and divides once.

So the result is that of the whole data set, whatever the batches, the short last one included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.engine.configured import Configured
from chainrule.engine.errors import describe
from chainrule.engine.hosted import brought, host_array
from chainrule.engine.tensor import Tensor, wrap


class Mean:
    """Average of numbers that come with the count of samples each stands for: the loss.

    Sums may be Tensors of a device, where they are added up; they are read for the result.

    Arguments:
        name: name in logs.

    >>> loss = Mean("loss")
    >>> loss.update(1.0, 32)
    >>> loss.update(4.0, 16)
    >>> loss.result()
    2.0
    """

    total: float
    count: int
    _waiting: Tensor | float | None  # a sum of a device, which has not been added yet

    def __init__(self, name: str = "mean") -> None:
        self.name = name
        self.reset()

    def update(self, mean: float | Tensor, count: int = 1) -> None:
        """Add the mean of a batch of `count` samples."""
        self.add((mean if isinstance(mean, Tensor) else float(mean)) * count, count)

    def add(self, total: float | Tensor, count: int) -> None:
        """Add a sum over `count` samples; a Tensor is of shape (), float64, and tracks nothing."""
        self.count += count
        if not isinstance(total, Tensor):
            self.total += total
        elif self._waiting is None:
            self._waiting = total
        else:
            self._waiting = self._waiting + total

    def result(self) -> float:
        """The average so far; NaN before the first sample."""
        if self._waiting is not None:
            self.total, self._waiting = self.total + _read(self._waiting), None
        return self.total / self.count if self.count else math.nan

    def reset(self) -> None:
        """Start again, as at the beginning of an epoch."""
        self.total = 0.0
        self.count = 0
        self._waiting = None

    def state(self) -> dict[str, Any]:
        """The sums so far, as plain data: what `load_state` needs to go on from here.

        A sum of a device is read, and told apart, so that going on adds in the same order.

        >>> mean = Mean()
        >>> mean.update(0.5, 4)
        >>> mean.state()
        {'total': 2.0, 'count': 4, 'waiting': None}
        """
        waiting = None if self._waiting is None else _read(self._waiting)
        return {"total": self.total, "count": self.count, "waiting": waiting}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes on what `state()` returned.

        Raises ValueError if it is something else; nothing is changed then.
        """
        if not isinstance(state, Mapping) or set(state) != {"total", "count", "waiting"}:
            raise ValueError(
                f"{self.name}: load_state: expected a dict of total, count and waiting, got "
                f"{describe(state)}"
            )
        total, count, waiting = state["total"], state["count"], state["waiting"]
        numbers = [total] if waiting is None else [total, waiting]
        if not all(isinstance(each, float) for each in numbers):
            raise ValueError(f"{self.name}: load_state: sums must be floats, got {numbers}")
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ValueError(
                f"{self.name}: load_state: count must be a whole number, not negative, got "
                f"{describe(count)}"
            )
        self.total, self.count, self._waiting = total, count, waiting


def _read(waiting: Tensor | float) -> float:
    return float(waiting.item()) if isinstance(waiting, Tensor) else waiting


class Metric(Configured):
    """Base of metrics: a subclass says in `values` how good each sample, or position, is.

    `values` is given arrays of NumPy. Of a model on a GPU, they are copied to the host for it, in
    every batch; the metrics of this module compute on the GPU instead.

    Constructor arguments of a subclass, kept in attributes of the same names, are its
    configuration. One that keeps sums of its own, in an `update` and a `reset` of its own, defines
    `state` and `load_state` too, so that a training that is interrupted can go on.

    Arguments:
        name: name in logs.

    >>> class WithinOne(Metric):
    ...     def values(self, y_true, y_pred):
    ...         return abs(y_true - y_pred) <= 1
    >>> metric = WithinOne("within_one")
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.5, 4.0]))
    >>> metric.update(np.array([3.0]), np.array([3.0]))
    >>> round(metric.result(), 4)
    0.6667
    """

    #: Is a higher value better (True), or a lower one (False)? None says that it is not known, so
    #: that callbacks which look for the best value must be told, as by `mode="max"`.
    higher_is_better: bool | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self._mean = Mean()

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Values of one batch, which are averaged over all samples and positions.

        Arguments:
            y_true: targets, shape (batch, ...).
            y_pred: predictions, shape (batch, ...).

        Returns:
            an array, booleans or numbers, as many for each sample; any shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define values(y_true, y_pred)")

    def update(self, y_true: np.ndarray, y_pred: np.ndarray) -> None:
        """Add one batch.

        Arguments:
            y_true: targets, shape (batch, ...).
            y_pred: predictions, shape (batch, ...); Tensors, too, of any device.

        Raises:
            ValueError: the shapes do not fit together; nothing is broadcast.
            TypeError: class labels are not integers.
        """
        if isinstance(y_pred, Tensor) and not y_pred._device.on_host:
            y_pred = host_array(y_pred)
        if isinstance(y_true, Tensor) and not y_true._device.on_host:
            y_true = host_array(y_true)
        values = np.asarray(self.values(np.asarray(y_true), np.asarray(y_pred)))
        # Counts of booleans are exact; float32 values are summed in float64.
        self._mean.add(float(np.sum(values, dtype=np.float64)), values.size)

    def result(self) -> float:
        """The average so far; NaN before the first sample."""
        return self._mean.result()

    def reset(self) -> None:
        """Start again, as at the beginning of an epoch."""
        self._mean.reset()

    def state(self) -> dict[str, Any]:
        """The sums so far, as plain data: what `load_state` needs to go on from here.

        Raises TypeError if a subclass has an `update` or a `reset` of its own, and no `state`.
        """
        self._require_own("state")
        return self._mean.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes on what `state()` returned.

        Raises ValueError if it is something else, TypeError as `state` does; nothing is changed.
        """
        self._require_own("load_state")
        try:
            self._mean.load_state(state)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error

    def _require_own(self, method: str) -> None:
        """Raises TypeError if there may be sums of which `_mean` does not know."""
        for cls in type(self).__mro__:
            if cls in (Metric, Portable) or method in vars(cls):
                return
            own = [name for name in ("update", "reset") if name in vars(cls)]
            if own:
                raise TypeError(
                    f"{self.name}: {cls.__name__} defines {' and '.join(own)}, and may keep sums "
                    f"of its own, which {method} does not know; define state(self), which returns "
                    "them as plain data, and load_state(self, state) in it"
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class Portable(Metric):
    """Base of metrics that compute on any device: `compute` does it with that array module."""

    def compute(self, xp: Any, y_true: Any, y_pred: Any) -> Any:
        """What `values` returns, of arrays of the module `xp`."""
        raise NotImplementedError(f"{type(self).__name__} must define compute(xp, y_true, y_pred)")

    def values(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """The values of NumPy's arrays; see `compute`."""
        found: np.ndarray = self.compute(np, y_true, y_pred)
        return found

    @property
    def is_portable(self) -> bool:
        """Does it compute as it was written here, rather than as a subclass says in `values`?"""
        return type(self).values is Portable.values and type(self).update is Portable.update

    def update(self, y_true: Any, y_pred: Any) -> None:
        """Add one batch; see `Metric.update`. Tensors stay where they are."""
        if not isinstance(y_pred, Tensor) or y_pred._device.on_host or not self.is_portable:
            super().update(y_true, y_pred)
            return
        device = y_pred._device
        if not isinstance(y_true, Tensor):
            y_true = brought(np.asarray(y_true), device)
        values = self.compute(device.xp, y_true._data, y_pred._data)
        total = device.xp.sum(values, dtype=np.float64)
        self._mean.add(wrap(total, device), values.size)
