"""Callbacks: what is called at the start and the end of training, epochs and batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from .notes import add_note

Logs: TypeAlias = dict[str, Any]

TRAIN_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")
HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_test_begin",
    "on_test_end",
    "on_predict_begin",
    "on_predict_end",
    *TRAIN_BATCH_HOOKS,
    *TEST_BATCH_HOOKS,
    *PREDICT_BATCH_HOOKS,
)


class Callback:
    """Base of what is called during training; override the hooks that you need.

    `self.model` is the model and `self.params` the run's settings (`epochs`, `steps`,
    `verbose`); both are set before the first hook. A hook ends the training, after the current
    batch, with `self.model.stop_training = True`.

    `logs` holds what is known by then: nothing at a beginning; the metrics at the end of an epoch,
    those of the validation under `val_...`. Whatever a callback adds to the logs of
    `on_epoch_end` is seen by later callbacks and recorded in the history.

    A checkpoint holds what `state()` returns, and a resumed run calls `load_state` with it, after
    `on_train_begin`. A callback that remembers something from epoch to epoch overrides both.

    >>> class StopWhenGood(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["accuracy"] > 0.99:
    ...             self.model.stop_training = True
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self.model: Any = None

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive the settings of the run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model."""
        self.model = model

    def state(self) -> dict[str, Any]:
        """What `load_state` needs to go on as if there had been no interruption: by default {}.

        Plain data (None, numbers, strings, lists, dicts with strings as keys) and NumPy arrays,
        which nothing may change afterwards.
        """
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take on what `state()` of a callback of the same class returned; all of it or nothing.

        Raises:
            ValueError: the state does not fit.
        """
        if state:
            raise ValueError(
                f"{type(self).__name__}: load_state: it has no state to load, got "
                f"{', '.join(map(repr, state))}; a class that overrides state() overrides "
                "load_state(state) too"
            )

    def may_save(self) -> bool:
        """May a checkpoint be written now? It may if all callbacks return True, as by default."""
        return True

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch; `logs` are those of that epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before each epoch; `epoch` counts from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after each epoch and its validation; `logs` holds loss and metrics."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each training step; `batch` counts from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each training step; `logs` are averages over the epoch so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before an evaluation, validation included."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch of a prediction."""


class LambdaCallback(Callback):
    """A callback made of functions, one for each hook that is named.

    Arguments:
        hooks: functions by the name of their hook, called with the hook's arguments:
            `(epoch, logs)`, `(batch, logs)`, or `(logs)` for the beginning and end of a run.

    Raises:
        ValueError: there is no hook of that name.
        TypeError: what is given for a hook cannot be called.

    >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> show.on_epoch_end(0, {"loss": 1.5})
    0 1.5
    """

    def __init__(self, **hooks: Callable[..., object]) -> None:
        super().__init__()
        for name, function in hooks.items():
            if name not in HOOKS:
                raise ValueError(
                    f"LambdaCallback: there is no hook {name!r}; the hooks are {', '.join(HOOKS)}"
                )
            if not callable(function):
                raise TypeError(
                    f"LambdaCallback: {name} must be a function, got {type(function).__name__}"
                )
            setattr(self, name, function)


def _refusal(item: object, position: str, where: str) -> TypeError:
    if isinstance(item, type) and issubclass(item, Callback):
        return TypeError(
            f"{where}: {position} is the class {item.__name__}, not an instance of it; "
            f"write {item.__name__}(...)"
        )
    remedy = "derive it from Callback"
    if callable(item):
        remedy = "wrap a function as LambdaCallback(on_epoch_end=function)"
    return TypeError(f"{where}: {position} is a {type(item).__name__}, not a Callback; {remedy}")


def _overrides(callback: Callback, hook: str) -> bool:
    """Whether the class, or the instance itself, has put something else in the hook's place."""
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


class CallbackList:
    """Several callbacks as one: each hook calls those that override it, in order.

    Building the logs of a batch costs time, so `train_batch_hooks`, `test_batch_hooks` and
    `predict_batch_hooks` tell whether any callback wants them; where False, the loop may leave
    both hooks of the batch uncalled. What overrides which hook is looked up once, here.

    An exception in a hook goes on to the caller with its own type, and with a note that says
    which callback raised it, and where. `interrupted` is then the call that was cut off: the
    hook's name, the index of the callback that it was cut off in, and the hook's arguments with
    the logs; of several, the first. `finish` makes up for it in a run that is taken up again.

    Arguments:
        callbacks: callbacks in any iterable, a single one, or None for none.
        model: the model handed to each by `set_model`.
        params: settings of the run, handed to each by `set_params`.
        where: name of the public function, for messages.

    Raises:
        TypeError: an item is not a `Callback`; the message names its index and type.

    >>> callbacks = CallbackList([LambdaCallback(on_train_begin=lambda logs: print("begin"))])
    >>> callbacks.on_train_begin()
    begin
    >>> callbacks.train_batch_hooks
    False
    """

    def __init__(
        self,
        callbacks: Iterable[Callback] | Callback | None = None,
        *,
        model: Any = None,
        params: dict[str, Any] | None = None,
        where: str = "fit",
    ) -> None:
        if callbacks is None:
            callbacks = ()
        elif isinstance(callbacks, Callback):
            callbacks = (callbacks,)
        elif isinstance(callbacks, (str, type)) or not isinstance(callbacks, Iterable):
            raise _refusal(callbacks, "callbacks", where)
        self._where = where
        self.interrupted: tuple[str, int, tuple[Any, ...]] | None = None
        self.callbacks: list[Callback] = list(callbacks)
        for index, callback in enumerate(self.callbacks):
            if not isinstance(callback, Callback):
                raise _refusal(callback, f"callbacks[{index}]", where)
        self._hooks = {
            hook: [
                (index, getattr(each, hook))
                for index, each in enumerate(self.callbacks)
                if _overrides(each, hook)
            ]
            for hook in HOOKS
        }
        self.train_batch_hooks = any(self._hooks[hook] for hook in TRAIN_BATCH_HOOKS)
        self.test_batch_hooks = any(self._hooks[hook] for hook in TEST_BATCH_HOOKS)
        self.predict_batch_hooks = any(self._hooks[hook] for hook in PREDICT_BATCH_HOOKS)
        for callback in self.callbacks:
            callback.set_params({} if params is None else params)
            callback.set_model(model)

    def _call(self, hook: str, *arguments: Any, first: int = 0) -> None:
        *position, logs = arguments
        logs = {} if logs is None else logs  # one dictionary for all, so that additions are seen
        index = 0
        try:
            for index, function in self._hooks[hook]:
                if index >= first:
                    function(*position, logs)
        except BaseException as error:
            self._cut_off(error, hook, index, (*position, logs))
            raise

    def _cut_off(self, error: BaseException, hook: str, index: int, arguments: Any) -> None:
        """Note down which call an exception has cut off, here and, unless it is an interrupt of
        the user's or an exit, on the exception.
        """
        if self.interrupted is None:
            self.interrupted = hook, index, arguments
        if isinstance(error, Exception):
            unit = "batch" if "_batch_" in hook else "epoch"
            called = ", ".join(f"{unit}={position!r}" for position in arguments[:-1])
            name = type(self.callbacks[index]).__name__
            text = f"raised by the callback {name} (callbacks[{index}]) in {hook}({called})"
            add_note(error, f"{self._where}: {text}")

    def finish(self, hook: str, first: int, *arguments: Any) -> None:
        """Call a hook of the callbacks from index `first` on, as after a call that was cut off.

        Arguments:
            hook: the name of a hook.
            first: index, in `callbacks`, of the first that is to be called.
            arguments: those of the hook, the logs last.

        Raises:
            ValueError: there is no such hook.

        >>> callbacks = CallbackList([Callback(), LambdaCallback(on_train_end=print)])
        >>> callbacks.finish("on_train_end", 1, {"loss": 0.5})
        {'loss': 0.5}
        """
        if hook not in HOOKS:
            raise ValueError(f"finish: there is no hook {hook!r}; the hooks are {', '.join(HOOKS)}")
        self._call(hook, *arguments, first=first)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Call `on_train_begin` of each."""
        self._call("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Call `on_train_end` of each."""
        self._call("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Call `on_epoch_begin` of each."""
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Call `on_epoch_end` of each."""
        self._call("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_train_batch_begin` of each."""
        self._call("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_train_batch_end` of each."""
        self._call("on_train_batch_end", batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Call `on_test_begin` of each."""
        self._call("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Call `on_test_end` of each."""
        self._call("on_test_end", logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_test_batch_begin` of each."""
        self._call("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_test_batch_end` of each."""
        self._call("on_test_batch_end", batch, logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Call `on_predict_begin` of each."""
        self._call("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Call `on_predict_end` of each."""
        self._call("on_predict_end", logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_predict_batch_begin` of each."""
        self._call("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Call `on_predict_batch_end` of each."""
        self._call("on_predict_batch_end", batch, logs)
