"""Callbacks that end a training: when nothing gets better, when a goal is met, on NaN."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.engine.errors import describe
from chainrule.engine.habits import explains_arguments
from chainrule.training.arguments import check_flag
from chainrule.training.callbacks import Callback, Logs
from chainrule.training.integers import check_integer
from chainrule.training.monitor import ELSEWHERE, Monitor, check_number


class EarlyStopping(Callback):
    """Ends the training when a value has stopped getting better, or has reached a goal.

    Keras's rules, with three differences: the best weights are restored unless you say otherwise;
    there is a `target`; and a value that is not in the logs, or whose better direction is unknown,
    is an error rather than a warning. At the end of the training, however it ended, the model has
    the weights of the best epoch; a checkpoint holds the last weights and the best ones.

    Arguments:
        monitor: name of the value, among the logs of an epoch; a training's, too, as "loss".
        min_delta: what a value must be better by to count as better; its sign does not matter.
        patience: epochs in a row, without a better value, after which training ends. By default
            0, so that the first ends it; with a `target` there is no limit by default.
        verbose: 1 prints when it stops and what it restores.
        mode: "min" if lower is better, "max" if higher, "auto" to go by metric and name.
        baseline: a value that must be beaten: until it is, epochs that get better count as epochs
            without a better value, too, though they do not end the training.
        restore_best_weights: give the model the weights of the best epoch at the end? If no value
            was a number, it keeps those that it has.
        start_from_epoch: the first epoch, counted from 0, that is looked at.
        target: a value at which training ends at once: one at most that for "min", at least that
            for "max".

    Raises:
        TypeError, ValueError: an argument is of another kind, or outside its range.

    `best` is the best value so far and `best_epoch` its epoch, `wait` counts epochs without a
    better one, and `stopped_epoch` is the epoch in which it ended the training, else 0. A NaN is
    never better. All of that, and the best weights, survive in a checkpoint.

    >>> import numpy as np
    >>> from chainrule.layers import Dense
    >>> from chainrule.training import Sequential
    >>> model = Sequential([Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> stop = EarlyStopping(monitor="loss", target=0.5)
    >>> x = np.linspace(-1.0, 1.0, 8).reshape(8, 1)
    >>> history = model.fit(x, 3 * x, epochs=1000, verbose=0, callbacks=[stop])
    >>> len(history.epoch) < 1000, stop.best == history.history["loss"][-1] <= 0.5
    (True, True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int | None = None,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
        target: float | None = None,
    ) -> None:
        super().__init__()
        where = "EarlyStopping"
        self._monitor = Monitor(monitor, mode, where=where)
        self.monitor = monitor
        self.min_delta = abs(check_number(min_delta, "min_delta", where=where))
        self.target = None if target is None else check_number(target, "target", where=where)
        self.patience: float = 0 if target is None else math.inf
        if patience is not None:
            self.patience = check_integer(patience, "patience", least=0, where=where)
        self.verbose = verbose
        self.baseline = (
            None if baseline is None else check_number(baseline, "baseline", where=where)
        )
        self.restore_best_weights = check_flag(
            restore_best_weights, "restore_best_weights", where=where
        )
        self.start_from_epoch = check_integer(
            start_from_epoch, "start_from_epoch", least=0, where=where
        )
        self._start()

    def _start(self) -> None:
        self.wait = 0
        self.best: float | None = None
        self.best_epoch = 0
        self.stopped_epoch = 0
        self.best_weights: list[np.ndarray] | None = None
        self._has_stopped = False
        self._has_begun = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run; find out which values are better.

        Raises:
            ValueError: the mode is "auto", and neither a metric nor the name says.
        """
        self._start()
        self._monitor.resolve(self.model)
        self._has_begun = True

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the epoch's value with the best so far, and end the training if it is time.

        Raises:
            ValueError: the value is not in the logs.
            TypeError: it is no number.
        """
        value = self._monitor.value(logs)
        if epoch < self.start_from_epoch:
            return
        better = self._monitor.better
        met = self.target is not None and self._monitor.reached(value, self.target)
        self.wait += 1
        if met or better(value, self.best, self.min_delta):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or better(value, self.baseline, self.min_delta):
                self.wait = 0
            if met:
                self._stop(epoch)
        elif self.wait >= self.patience:
            self._stop(epoch)

    def _stop(self, epoch: int) -> None:
        self.stopped_epoch, self._has_stopped = epoch, True
        self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Give the model the weights of the best epoch."""
        if not self._has_begun:
            return  # an error before the first step: what is known is of an earlier run
        self._has_begun = False
        if self.verbose and self._has_stopped:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of the best epoch: {self.best_epoch + 1}")
            self.model.set_weights(self.best_weights)

    def state(self) -> dict[str, Any]:
        """What it watches, what it has found so far, and the best weights, which are no copies."""
        return {
            **self._monitor.state(),
            "wait": self.wait,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "has_stopped": self._has_stopped,
            "best_weights": None if self.best_weights is None else list(self.best_weights),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned; a training that was ended stays ended.

        Raises:
            ValueError: something is missing, it was saved for another monitor, or the best
                weights are not of the model's shapes.
        """
        where = "EarlyStopping: load_state"
        missing = sorted(set(self.state()) - set(state))
        if missing:
            raise ValueError(f"{where}: the state is of another callback: missing {missing}")
        self._monitor.check_state(state)
        weights = state["best_weights"]
        if weights is not None and self.model is not None:
            shapes = [weight.shape for _, weight in self.model.named_weights()]
            found = [np.shape(each) for each in weights]
            if found != shapes:
                raise ValueError(
                    f"{where}: the best weights have the shapes {found}, the model's {shapes}; "
                    "build the model as it was when they were saved"
                )
        best = state["best"]
        self.wait, self.best = int(state["wait"]), None if best is None else float(best)
        self.best_epoch, self.stopped_epoch = int(state["best_epoch"]), int(state["stopped_epoch"])
        self._has_stopped = bool(state["has_stopped"])
        self.best_weights = list(weights) if weights and self.restore_best_weights else None
        if self._has_stopped and self.model is not None:
            self.model.stop_training = True


explains_arguments(EarlyStopping, ELSEWHERE)


class TerminateOnNaN(Callback):
    """Ends the training when the loss, or a weight, is NaN or infinite, so that a checkpoint of
    before stays the last one.

    The loss is looked at after every batch. The logs of a batch are averages over the epoch so
    far, so one such loss shows there until the epoch's end; on a GPU, reading them waits for the
    step to be finished. Weights are looked at when a checkpoint is due: one that is not finite
    ends the training too, and the checkpoint is not written.

    A RuntimeWarning says which batch it was. `batch` and `epoch` are its numbers, counted from 0;
    None before, and for the epoch within which a run was taken up. There is nothing to keep in a
    checkpoint: none is written after it.

    >>> import warnings
    >>> from chainrule.layers import Dense
    >>> from chainrule.training import Sequential
    >>> model, guard = Sequential([Dense(1)]), TerminateOnNaN()
    >>> guard.set_model(model)
    >>> guard.on_epoch_begin(0)
    >>> guard.on_train_batch_end(0, {"loss": 2.5})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     guard.on_train_batch_end(1, {"loss": math.inf})
    >>> str(caught[0].message)[:60]
    'TerminateOnNaN: the loss is inf after batch 2 of epoch 1; th'
    >>> model.stop_training, guard.may_save()
    (True, False)
    """

    def __init__(self) -> None:
        super().__init__()
        self._start()

    def _start(self) -> None:
        self.epoch: int | None = None
        self.batch: int | None = None
        self._current: tuple[int | None, int | None] = (None, None)
        self._has_stopped = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Forget an earlier run."""
        self._start()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the number of the epoch, for the message."""
        self._current = (epoch, None)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """End the training if the loss is not finite."""
        self._current = (self._current[0], batch)
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            self._stop(f"the loss is {float(loss)}")

    def may_save(self) -> bool:
        """May a checkpoint be written? Not once the loss, or a weight, has not been finite."""
        if self._has_stopped:
            return False
        for name, weight in self.model.named_weights():
            if not weight._device.xp.isfinite(weight._data).all():
                self._stop(f"the weight {name!r}, {describe(weight)}, is not finite")
                return False
        return True

    def _stop(self, reason: str) -> None:
        self.model.stop_training = True
        if self._has_stopped:
            return
        self._has_stopped = True
        self.epoch, self.batch = self._current
        places = [("batch", self.batch), ("epoch", self.epoch)]
        known = [f"{unit} {number + 1}" for unit, number in places if number is not None]
        place = f" after {' of '.join(known)}" if known else ""
        warnings.warn(
            f"TerminateOnNaN: {reason}{place}; the training ends there. Lower the learning rate, "
            "clip the gradients (global_clipnorm=1.0), or look for NaN in the data",
            RuntimeWarning,
            stacklevel=2,
        )
