"""History: the loss and the metrics of every epoch of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .callbacks import Callback, Logs
from .progress import format_value


class History(Callback):
    """Record of a training run, returned by `fit`.

    `history` maps each name (`loss`, `accuracy`, `val_loss`, ...) to its list of values, `epoch`
    lists the epochs (from 0) and `params` holds the settings of the run. Every list is as long as
    `epoch`: an epoch in which a value was not given has NaN in its place.

    >>> history = History()
    >>> history.on_epoch_end(0, {"loss": 2.0, "accuracy": 0.5})
    >>> history.on_epoch_end(1, {"loss": 0.25, "accuracy": 0.875})
    >>> history.history["loss"]
    [2.0, 0.25]
    >>> history
    History(2 epochs, loss 2.0000 -> 0.2500, accuracy 0.5000 -> 0.8750)
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def set_model(self, model: Any) -> None:
        """Keep no reference: a model that holds its history would never be freed at once."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run."""
        self.history = {}
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the values of one epoch.

        Arguments:
            epoch: number of the epoch, from 0.
            logs: numbers by name.

        Raises:
            TypeError: a value is not a number.
        """
        values = {name: _number(name, value) for name, value in (logs or {}).items()}
        for name in values:
            self.history.setdefault(name, [math.nan] * len(self.epoch))
        for name, series in self.history.items():
            series.append(values.get(name, math.nan))
        self.epoch.append(epoch)

    def state(self) -> dict[str, Any]:
        """The epochs and their values so far: copies.

        >>> history = History()
        >>> history.on_epoch_end(0, {"loss": 2.0})
        >>> history.state()
        {'epoch': [0], 'history': {'loss': [2.0]}}
        """
        series = {name: list(values) for name, values in self.history.items()}
        return {"epoch": list(self.epoch), "history": series}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with the epochs and values that `state()` returned; nothing is changed if they
        do not fit.

        Raises:
            ValueError: something is missing, or a list has not one number for each epoch.
        """
        try:
            epoch = [int(each) for each in state["epoch"]]
            history = {
                str(name): [float(value) for value in values]
                for name, values in state["history"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"History: load_state: not the state of a History ({error!r}); it has 'epoch', a "
                "list of numbers, and 'history', lists of numbers by name"
            ) from error
        for name, values in history.items():
            if len(values) != len(epoch):
                raise ValueError(
                    f"History: load_state: {name!r} has {len(values)} values for {len(epoch)} "
                    "epochs; every list must have one for each"
                )
        self.epoch, self.history = epoch, history

    def __repr__(self) -> str:
        count = len(self.epoch)
        parts = [f"{count} epoch{'' if count == 1 else 's'}"]
        for name, series in self.history.items():
            first, last = format_value(series[0]), format_value(series[-1])
            parts.append(f"{name} {last}" if count == 1 else f"{name} {first} -> {last}")
        return f"History({', '.join(parts)})"


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"History: logs[{name!r}] must be a number, got {value!r} ({type(value).__name__}); "
            "keep other things as attributes of the callback"
        ) from error
