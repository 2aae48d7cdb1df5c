"""The value that a callback watches: found in the logs of an epoch, and which of two is better."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from chainrule.engine.errors import describe

MODES = ("auto", "min", "max")

#: What callbacks that watch a value are called with elsewhere, and what stands for it here.
ELSEWHERE = {
    "metric": "it is called monitor",
    "epsilon": "it is called min_delta",
    "threshold": "it is called min_delta",
    "threshold_mode": "min_delta is a difference, not a share",
}


def check_number(value: Any, name: str, *, where: str) -> float:
    """An argument that is a number, and no NaN.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN.

    >>> check_number(1, "min_delta", where="EarlyStopping")
    1.0
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{where}: {name} must be a number, got {describe(value)}")
    if math.isnan(value):
        raise ValueError(f"{where}: {name} must be a number, got nan; leave it out for none")
    return float(value)


class Monitor:
    """A value of the logs by name, and whether lower or higher is better.

    Arguments:
        name: name in the logs of `on_epoch_end`, such as "loss" or "val_accuracy".
        mode: "min" if lower is better, "max" if higher, "auto" to go by the name: a loss or an
            error falls, an accuracy rises, and a metric of the model says what it does
            (`Metric.higher_is_better`).
        where: name of the callback, for messages.

    Raises:
        TypeError: the name is no string.
        ValueError: there is no such mode.

    >>> monitor = Monitor("val_accuracy", "auto", where="EarlyStopping")
    >>> monitor.resolve(None)
    >>> monitor.better(0.9, 0.8), monitor.better(0.9, None), monitor.better(math.nan, None)
    (True, True, False)
    """

    def __init__(self, name: str, mode: str, *, where: str) -> None:
        if not isinstance(name, str):
            raise TypeError(
                f"{where}: monitor must be a name such as 'val_loss', got {describe(name)}"
            )
        if mode not in MODES:
            raise ValueError(
                f"{where}: mode must be 'min' (lower is better), 'max' (higher is better) or "
                f"'auto' (by the name), got {mode!r}"
            )
        self.name, self.where = name, where
        self.higher_is_better: bool | None = None if mode == "auto" else mode == "max"

    @property
    def mode(self) -> str:
        """One of "min" and "max", or "auto" as long as it is not resolved."""
        if self.higher_is_better is None:
            return "auto"
        return "max" if self.higher_is_better else "min"

    def resolve(self, model: Any) -> None:
        """Find out which is better, if the mode is "auto".

        Arguments:
            model: a compiled model, whose metrics are asked, or None.

        Raises:
            ValueError: neither a metric nor the name says.
        """
        if self.higher_is_better is not None:
            return
        name = self.name.removeprefix("val_")
        objective = getattr(model, "_objective", None)
        for metric in () if objective is None else objective.metrics:
            if metric.name == name and metric.higher_is_better is not None:
                self.higher_is_better = metric.higher_is_better
                return
        if name.endswith(("loss", "error")) or name in ("mse", "mae"):
            self.higher_is_better = False
        elif "acc" in name or name.endswith("auc"):
            self.higher_is_better = True
        else:
            raise ValueError(
                f"{self.where}: whether a higher or a lower {self.name!r} is better does not show "
                "by its name; give mode='max' if higher is, mode='min' if lower is"
            )

    def value(self, logs: Mapping[str, Any] | None) -> float:
        """The value in the logs of an epoch.

        Raises:
            ValueError: it is not there; the message lists what is.
            TypeError: it is no number.
        """
        logs = logs or {}
        if self.name not in logs:
            remedy = "it is given by a metric of that name, compile(metrics=[...])"
            if self.name.startswith("val_"):
                remedy = "values of a validation are there if fit is given validation_data=(x, y)"
                if self.name.removeprefix("val_") in logs:
                    remedy += f"; or watch the training's, monitor={self.name[4:]!r}"
            there = ", ".join(logs) or "nothing"
            raise ValueError(
                f"{self.where}: monitor={self.name!r} is not among what the epoch has given: "
                f"{there}; {remedy}"
            )
        try:
            return float(logs[self.name])
        except (TypeError, ValueError):
            raise TypeError(
                f"{self.where}: monitor={self.name!r} must be a number in the logs, got "
                f"{describe(logs[self.name])}"
            ) from None

    def better(self, value: float, best: float | None, min_delta: float = 0.0) -> bool:
        """Is a value better than the best so far, by more than `min_delta`?

        NaN never is; any number is better than NaN, and than none.
        """
        if math.isnan(value):
            return False
        if best is None or math.isnan(best):
            return True
        if self.higher_is_better:
            return value - min_delta > best
        return value + min_delta < best

    def reached(self, value: float, target: float) -> bool:
        """Is a value as good as a target, or better? NaN never is."""
        return value >= target if self.higher_is_better else value <= target

    def state(self) -> dict[str, Any]:
        """What is watched, for a checkpoint."""
        return {"monitor": self.name, "mode": self.mode}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError unless a state was saved while watching the same value."""
        for key, value in self.state().items():
            if state.get(key) != value:
                raise ValueError(
                    f"{self.where}: the state was saved with {key}={state.get(key)!r}, and this "
                    f"one has {key}={value!r}; make it with the same"
                )
