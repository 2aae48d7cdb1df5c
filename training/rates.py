"""Callbacks that change the learning rate between epochs: by a function, or when progress ends."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.engine.errors import describe
from chainrule.engine.habits import explains_arguments
from chainrule.training.callbacks import Callback, Logs
from chainrule.training.integers import check_integer
from chainrule.training.monitor import ELSEWHERE, Monitor, check_number


class _Rating(Callback):
    """Base of callbacks that set the learning rate, and show it in the logs of an epoch."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See that the rate can be set.

        Raises:
            ValueError: the optimiser has a schedule, which would be lost.
        """
        schedule = None if self.model is None else self.model.optimizer.schedule
        if schedule is not None:
            name = type(self).__name__
            raise ValueError(
                f"{name}: the optimiser's learning rate already follows {describe(schedule)}; give "
                f"it a number, as learning_rate=0.01, or leave the {name} out"
            )

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Put the rate that the epoch had into the logs, as "learning_rate"."""
        if logs is not None:
            logs["learning_rate"] = self.model.optimizer.learning_rate

    def _set(self, rate: float, epoch: int, verbose: int) -> None:
        self.model.optimizer.learning_rate = rate
        if verbose:
            print(f"Epoch {epoch + 1}: {type(self).__name__} sets the learning rate to {rate:.6g}")


class LearningRateScheduler(_Rating):
    """Sets the learning rate before each epoch, to what a function says.

    Keras's rules. To change it after every step, give the optimiser a schedule of
    `chainrule.optim.schedules` in place of a number.

    Arguments:
        schedule: function `(epoch, rate)`, or `(epoch)`, that returns the rate of the epoch, from
            its number, counted from 0, and the rate of before. One that can be called with two
            arguments is given both.
        verbose: 1 prints each rate.

    Raises:
        TypeError: `schedule` is no function of one or two arguments.

    The logs, and so the history, have it as "learning_rate". Where a run is taken up within an
    epoch, the epoch keeps the rate that it had; the function may be asked again, so let it depend
    on its arguments alone.

    >>> from chainrule.layers import Dense
    >>> from chainrule.training import Sequential
    >>> model = Sequential([Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else 0.5)
    >>> model.fit([[1.0]], [[2.0]], epochs=3, verbose=0, callbacks=[halve]).history["learning_rate"]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose
        self._takes_rate = _takes_rate(schedule)
        self._scheduled: int | None = None  # the epoch that has its rate

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run.

        Raises:
            ValueError: the optimiser has a schedule of its own.
        """
        super().on_train_begin(logs)
        self._scheduled = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate.

        Raises:
            TypeError, ValueError: the function did not return a number that can be a rate.
        """
        if epoch == self._scheduled:
            return
        before = (self.model.optimizer.learning_rate,) if self._takes_rate else ()
        called = f"schedule({', '.join(map(repr, (epoch, *before)))})"
        rate = check_number(
            self.schedule(epoch, *before), f"what {called} returns", where="LearningRateScheduler"
        )
        if not 0 <= rate < math.inf:
            raise ValueError(
                f"LearningRateScheduler: {called} returned {rate}; a learning rate is finite and "
                "not negative"
            )
        self._set(rate, epoch, self.verbose)
        self._scheduled = epoch

    def state(self) -> dict[str, Any]:
        """The epoch whose rate was set last; the rate itself is the optimiser's."""
        return {"scheduled": self._scheduled}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned.

        Raises:
            ValueError: it is the state of another callback.
        """
        if set(state) != {"scheduled"}:
            raise ValueError(
                f"LearningRateScheduler: load_state: expected 'scheduled', got {sorted(state)}"
            )
        scheduled = state["scheduled"]
        self._scheduled = None if scheduled is None else int(scheduled)


class ReduceLROnPlateau(_Rating):
    """Multiplies the learning rate by a factor when a value has stopped getting better.

    Keras's rules; a value that is not in the logs is an error.

    Arguments:
        monitor: name of the value, among the logs of an epoch.
        factor: what the rate is multiplied by, between 0 and 1.
        patience: epochs in a row, without a better value, after which it is.
        verbose: 1 prints each new rate.
        mode: "min" if lower is better, "max" if higher, "auto" to go by metric and name.
        min_delta: what a value must be better by to count as better.
        cooldown: epochs after a change in which nothing is counted.
        min_lr: the rate never falls below it.

    Raises:
        TypeError, ValueError: an argument is of another kind, or outside its range.

    `best`, `wait` and `cooldown_counter` survive in a checkpoint. The logs have the rate of each
    epoch as "learning_rate".

    >>> from chainrule.layers import Dense
    >>> from chainrule.training import Sequential
    >>> model = Sequential([Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> reduce = ReduceLROnPlateau("loss", factor=0.5, patience=2)
    >>> reduce.set_model(model)
    >>> reduce.on_train_begin()
    >>> for epoch, loss in enumerate([3.0, 2.0, 2.0, 2.0, 1.0]):
    ...     reduce.on_epoch_end(epoch, {"loss": loss})
    ...     print(model.optimizer.learning_rate, end=" ")
    0.01 0.01 0.01 0.005 0.005
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        where = "ReduceLROnPlateau"
        self._monitor, self.monitor = Monitor(monitor, mode, where=where), monitor
        self.factor = check_number(factor, "factor", where=where)
        if not 0 < self.factor < 1:
            raise ValueError(f"{where}: factor must be between 0 and 1, as 0.1, got {factor!r}")
        self.min_delta = abs(check_number(min_delta, "min_delta", where=where))
        self.min_lr = check_number(min_lr, "min_lr", where=where)
        if not 0 <= self.min_lr < math.inf:
            raise ValueError(f"{where}: min_lr must be finite and not negative, got {min_lr!r}")
        self.patience = check_integer(patience, "patience", least=0, where=where)
        self.cooldown = check_integer(cooldown, "cooldown", least=0, where=where)
        self.verbose = verbose
        self._start()

    def _start(self) -> None:
        self.best: float | None = None
        self.wait = 0
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run; find out which values are better.

        Raises:
            ValueError: the optimiser has a schedule; or the mode is "auto", and neither a metric
                nor the name says.
        """
        super().on_train_begin(logs)
        self._monitor.resolve(self.model)
        self._start()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's value with the best so far, and reduce the rate if it is time.

        Raises:
            ValueError: the value is not in the logs.
            TypeError: it is no number.
        """
        super().on_epoch_end(epoch, logs)
        value = self._monitor.value(logs)
        if self.cooldown_counter:
            self.cooldown_counter -= 1
        if self._monitor.better(value, self.best, self.min_delta):
            self.best, self.wait = value, 0
        elif not self.cooldown_counter:
            self.wait += 1
            before = self.model.optimizer.learning_rate
            if self.wait >= self.patience and before > self.min_lr:
                self._set(max(before * self.factor, self.min_lr), epoch, self.verbose)
                self.cooldown_counter, self.wait = self.cooldown, 0

    def state(self) -> dict[str, Any]:
        """What it watches, and what it has found so far; the rate itself is the optimiser's."""
        found = {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}
        return {**self._monitor.state(), **found}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned.

        Raises:
            ValueError: it is the state of another callback, or was saved for another monitor.
        """
        if set(state) != set(self.state()):
            raise ValueError(
                f"ReduceLROnPlateau: load_state: expected {sorted(self.state())}, got "
                f"{sorted(state)}"
            )
        self._monitor.check_state(state)
        best = state["best"]
        self.best, self.wait = None if best is None else float(best), int(state["wait"])
        self.cooldown_counter = int(state["cooldown_counter"])


def _takes_rate(schedule: Any) -> bool:
    """Is a schedule called with the rate, too?

    Raises TypeError if it is no function, or one of neither one nor two arguments.
    """
    if not callable(schedule):
        raise TypeError(
            f"LearningRateScheduler: schedule must be a function (epoch, rate), got "
            f"{describe(schedule)}; a fixed rate is the optimiser's learning_rate"
        )
    try:
        signature = inspect.signature(schedule)
    except ValueError:  # a function in C that does not say
        return True
    for arguments in ((0, 0.0), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise TypeError(
        f"LearningRateScheduler: schedule must be a function (epoch, rate) or (epoch), got one of "
        f"{signature}"
    )


explains_arguments(ReduceLROnPlateau, {**ELSEWHERE, "eps": "it is called min_delta"})
