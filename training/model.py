"""The Model: a layer that can be compiled, trained, evaluated, saved and loaded."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule import optim
from chainrule.engine.errors import ShapeError
from chainrule.engine.habits import explains_calls
from chainrule.engine.tape import enable_grad, no_grad
from chainrule.layers.layer import shape_of

from . import habits, loop
from .arguments import check_samples
from .callbacks import Callback, CallbackList
from .calls import require_one_argument
from .data import Batches, check_arrays
from .feeds import Feed, feed_of
from .fitting import Options, fit
from .history import History
from .inputs import mapped, mapped_shapes, rows, several, several_shapes, structure
from .objective import Objective
from .preprocessed import Preprocessed
from .progress import ProgressLine

Callbacks = Iterable[Callback] | Callback | None


class Model(Preprocessed):
    """A layer with a training loop; `Sequential` is the one for a plain stack of layers.

    A subclass makes its layers in `__init__` and connects them in `call(x)`. If it ends in a
    softmax or a sigmoid, it may define `final_activation` and `logits(x)` too, so that activation
    and cross-entropy are computed as one (see `Layer` and `compile`).

    Several inputs are a tuple or a dict of arrays, in `fit((a, b), y)` as in `model((a, b))`, and
    `call` is given such a tuple or dict of Tensors. A list is one array, whose samples it holds.

    Layers are made in `__init__`, not in `call`, where each call would make new ones, which no
    training would ever reach; `fit` refuses that. A model may hold layers of another one, or that
    model itself, and train them on.

    A model is trained where it is: after `model.to("cuda")`, on the GPU. `fit`, `evaluate` and
    `predict` take arrays of the host, bring them there batch by batch, and read the loss and the
    metrics only when they are shown, or given to a batch's callbacks.

    With `model.preprocessing` set, all of these take samples as they were before it: texts,
    numbers on scales of their own, and targets that are names (see `Preprocessing`).

    Arguments: those of `Layer`. Inputs are cast to `dtype`, which should be that of the layers;
    integers stay integers where a layer within, such as an `Embedding`, takes them.

    >>> import chainrule as cr
    >>> from chainrule.layers import Dense
    >>> class Skip(Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden, self.out = Dense(3, activation="tanh"), Dense(1)
    ...     def call(self, x):
    ...         return self.out(self.hidden(x)) + x
    >>> model = Skip()
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> x = np.linspace(0.0, 1.0, 8).reshape(8, 1)
    >>> history = model.fit(x, 2 * x, epochs=20, verbose=0)
    >>> history.history["loss"][-1] < history.history["loss"][0]
    True
    """

    #: The optimiser, once compiled.
    optimizer: Any = None
    #: The record of the last call of `fit`, also of one that was interrupted.
    history: History | None = None
    #: Set to True by a callback to end the training after the current batch.
    stop_training: bool = False

    _loss: Any = None
    _metrics: Any = None
    _objective: Objective | None = None
    _is_running = False

    @explains_calls(habits.COMPILE)
    def compile(self, optimizer: Any = None, loss: Any = None, metrics: Any = None) -> None:
        """Choose how the model is trained and what is measured.

        If the model ends in a softmax and the loss is a cross-entropy of classes from
        probabilities (or in a sigmoid, and it is binary), they are computed as one, from the
        logits: the loss cannot overflow nor its gradient vanish. Predictions stay probabilities.

        Arguments:
            optimizer: name ("sgd", "adam") or optimiser.
            loss: name, `Loss`, or function `(y_true, y_pred)` of Tensors.
            metrics: list of names, `Metric`s, or functions `(y_true, y_pred)` of arrays.

        Raises:
            ValueError: optimizer or loss is missing, or a name is unknown; the message lists the
                known ones.
            TypeError: an argument is of another kind.
        """
        if optimizer is None:
            raise ValueError("compile: optimizer is missing; give a name such as 'adam'")
        if loss is None:
            raise ValueError("compile: loss is missing; give a name such as 'mean_squared_error'")
        objective = Objective(loss, metrics, self.final_activation)
        self.optimizer = optim.get(optimizer)
        self._loss, self._metrics, self._objective = loss, metrics, objective

    @property
    def keeps_integers(self) -> bool:  # type: ignore[override]
        """Does a layer within take integers as they are?"""
        return any(each.keeps_integers for _, each in self._tree() if each is not self)

    def _prepared(self, x: Any) -> Any:
        """`x` as a Tensor of the model's dtype, or as a tuple or a dict of them; builds it."""
        if self.many_inputs or not (several(x) or several_shapes(self.built_for)):
            return super()._prepared(x)
        if self._built and self.built_for is not None:
            known = structure(mapped_shapes(np.empty_like, self.built_for))
            if structure(x) != known:
                raise ShapeError(
                    f"{type(self).__name__}: x must be {known} (the model was built on it), got "
                    f"{structure(x)}"
                )
        x = mapped(self._input, x)
        if not self._built:
            self._build_once(mapped(shape_of, x))
        return x

    @property
    def compiled(self) -> bool:
        """Has `compile` been called?"""
        return self._objective is not None

    @explains_calls(habits.FIT)
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Callbacks = None,
        *,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        initial_epoch: int = 0,
        augment: Callable[[np.ndarray], np.ndarray] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool | str = False,
    ) -> History:
        """Train on samples and their targets, in batches, epoch by epoch.

        Everything is checked before the first step. Loss and metrics of an epoch are averages
        over its samples, also where the last batch is shorter. An interrupt (Ctrl-C) ends the run
        cleanly: callbacks hear of the end, `self.history` holds the epochs so far, the weights
        stay as the last step, or a callback at the end, left them, and the interrupt goes on to
        the caller.

        With a folder of checkpoints a run that was killed at any moment, or stopped by an error,
        goes on in another process from its last checkpoint, within an epoch too, and ends with the
        same weights and history, bit for bit. For that it must be the same program: a run with
        other data, model, optimiser or loss is refused. Only what callbacks say in their `state()`
        is kept of them; and of random generators the global ones, and those that `augment`, layers,
        loss and metrics hold on to, in attributes, globals and enclosing functions.

        Arguments:
            x: samples, shape (samples, ...); a tuple or a dict of arrays for several inputs; or a
                pipeline of batches (see `chainrule.data`), which has the targets too.
            y: targets, shape (samples, ...), as the loss wants them.
            batch_size: samples per step, 32 unless given.
            epochs: number of the last epoch; `initial_epoch` of them are already done.
            verbose: 0 silent, 1 or "auto" a progress bar, 2 one line per epoch.
            callbacks: `Callback`s, whose hooks are called.
            validation_split: share of the samples, between 0 and 1, that is set aside for
                validation. They are drawn at random with the run's seed, anew in each call: to
                go on training after an earlier call, use `validation_data`.
            validation_data: `(x, y)`, or a pipeline; takes the place of `validation_split`.
            shuffle: go through the samples in a new random order in each epoch?
            initial_epoch: number of epochs already done, when a run is taken up again.
            augment: a function that changes the samples of a batch before each step, such as
                `lambda batch: cr.images.random_shift(batch, 2)`. It is given each batch to train
                with, drawn and in order, as an array, and returns one of the same shape and
                dtype; samples to validate with are never shown to it. What it is given is not
                preprocessed yet, but for texts, which are ids by then.
            checkpoint: a folder in which the run is kept; made if need be. It holds the newest two
                checkpoints.
            checkpoint_every: steps from one checkpoint to the next; None for one after each epoch.
            resume: True goes on with the run in `checkpoint`, "auto" does so if there is one. The
                number of epochs may be another.

        Returns:
            the `History`, whose `history["loss"]` and so on are lists with a value per epoch.

        Raises:
            RuntimeError: the model is not compiled.
            BlockingIOError: another run has the folder of checkpoints.
            ValueError, TypeError: arguments or data that cannot be trained on; see the message.
            OSError: a checkpoint cannot be written or read; those before it are whole.

        >>> import chainrule as cr
        >>> from chainrule.layers import Dense
        >>> from chainrule.training import Sequential
        >>> cr.seed(0)
        >>> model = Sequential([Dense(8, activation="tanh"), Dense(2, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> history = model.fit(x, np.array([0, 1, 1, 0]), epochs=3, verbose=0)
        >>> sorted(history.history), len(history.epoch)
        (['accuracy', 'loss'], 3)
        """
        self._require_compiled("fit")
        return fit(
            self,
            x,
            y,
            Options(
                batch_size,
                epochs,
                verbose,
                callbacks,
                validation_split,
                validation_data,
                shuffle,
                initial_epoch,
                augment,
                checkpoint,
                checkpoint_every,
                resume,
            ),
        )

    @explains_calls(habits.EVALUATE)
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *,
        callbacks: Callbacks = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on samples and their targets, as averages over the samples.

        Arguments:
            x: samples, shape (samples, ...); a tuple or a dict of arrays for several inputs; or a
                pipeline of batches, which has the targets too.
            y: targets, shape (samples, ...).
            batch_size: samples computed together, 32 unless given.
            verbose: 0 silent, 1 or "auto" a progress bar, 2 one line.
            callbacks: `Callback`s, whose hooks for tests are called.
            return_dict: return the values by name?

        Returns:
            the loss; a list of the loss and each metric, if there are metrics; or a dictionary.

        Raises:
            RuntimeError, ValueError, TypeError: as for `fit`.
        """
        self._require_compiled("evaluate")
        line = ProgressLine(verbose=verbose, where="evaluate")
        prepare, classes = self._prepared_data, self._known_classes()
        batches = feed_of(x, y, batch_size, where="evaluate", prepare=prepare, classes=classes)
        line.total = batches.steps
        params = {"steps": batches.steps, "verbose": line.verbose}
        hooks = CallbackList(callbacks, model=self, params=params, where="evaluate")
        self._build_and_check(batches, "evaluate")
        with self._run() as objective:
            try:
                line.start()
                results = loop.evaluate(self, objective, batches, hooks, line)
                line.finish(results)
            finally:
                line.close()
        return _returned(results, return_dict)

    @explains_calls(habits.PREDICT)
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        *,
        callbacks: Callbacks = None,
    ) -> np.ndarray:
        """The model's outputs for samples, computed in batches without recording gradients.

        Arguments:
            x: samples, shape (samples, ...); a tuple or a dict of arrays for several inputs; or a
                pipeline of batches, not shuffled, whose targets, if it has any, are not looked at.
            batch_size: samples computed together, 32 unless given.
            verbose: 0 silent, 1 or "auto" a progress bar, 2 one line.
            callbacks: `Callback`s, whose hooks for predictions are called.

        Returns:
            an array of shape (samples, ...).

        Raises:
            ValueError, TypeError: as for `fit`.
        """
        line = ProgressLine(verbose=verbose, where="predict")
        batches = feed_of(
            x, None, batch_size, where="predict", prepare=self._prepared_data, needs_y=False
        )
        line.total = batches.steps
        params = {"steps": batches.steps, "verbose": line.verbose}
        hooks = CallbackList(callbacks, model=self, params=params, where="predict")
        require_one_argument(self, "predict")
        if isinstance(batches, Batches):
            self.check_inputs(batches.x, "predict")
        try:
            line.start()
            outputs = loop.predict(self, batches, hooks, line)
            line.finish()
        finally:
            line.close()
        return outputs

    def train_on_batch(self, x: Any, y: Any, return_dict: bool = False) -> Any:
        """Take one training step on one batch.

        Returns:
            loss and metrics of this batch, before the step, in the form that `evaluate` has.

        Raises:
            RuntimeError, ValueError, TypeError: as for `fit`.
        """
        x, y, objective = self._batch(x, y, "train_on_batch")
        with enable_grad(), loop.mode(training=True):
            outputs = objective.outputs(self, x)
            objective.check(y, outputs, len(y), where="train_on_batch")
            self._attach("train_on_batch")
            loop.learn(self, objective, y, outputs)
        return _returned(objective.logs(), return_dict)

    def test_on_batch(self, x: Any, y: Any, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch, in the form that `evaluate` has.

        Raises:
            RuntimeError, ValueError, TypeError: as for `fit`.
        """
        x, y, objective = self._batch(x, y, "test_on_batch")
        with no_grad(), loop.mode(training=False):
            outputs = objective.outputs(self, x)
        objective.check(y, outputs, len(y), where="test_on_batch")
        with no_grad():
            objective.evaluate(y, outputs, self.losses)
        objective.update_metrics(y, outputs)
        return _returned(objective.logs(), return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """The model's outputs for one batch, as an array.

        Raises:
            ValueError, TypeError: as for `fit`.
        """
        where = "predict_on_batch"
        x, _ = check_arrays(self._prepared_data(x, None, where)[0], where=where)
        x = self._entering(x, where)
        with no_grad(), loop.mode(training=False):
            return loop.one_output(self(x), where).cpu().numpy().copy()

    def as_checked(self, *inputs: Any) -> tuple[Any, tuple[Any, ...], Any]:
        """What `cr.gradcheck` checks: the loss, given samples and targets; else the outputs.

        Raises TypeError for targets, if the model is not compiled.
        """
        if len(inputs) != 2:
            return super().as_checked(*inputs)
        if self._objective is None:
            raise TypeError(
                f"gradcheck: {self.name} is not compiled, and so has no loss for the targets; call "
                "compile(loss=...), or give the samples alone"
            )
        x, y = inputs[0], np.asarray(inputs[1])
        objective = self._objective

        def loss(x: Any) -> Any:
            outputs = objective.outputs(self, x)
            return objective.loss_of(y, outputs, self.losses)

        return loss, (x,), self.named_parameters

    # What the above share -----------------------------------------------------------------------

    def _require_compiled(self, where: str) -> None:
        if self._objective is None:
            raise RuntimeError(
                f"{where}: {self.name} is not compiled; call model.compile(optimizer='adam', "
                "loss=...) first"
            )

    def _current_objective(self) -> Objective:
        """The objective, made anew where layers came or went since `compile`."""
        assert self._objective is not None
        if self._objective.final_activation != self.final_activation:
            self._objective = Objective(self._loss, self._metrics, self.final_activation)
        return self._objective

    def _build_and_check(self, feed: Feed, where: str, names: tuple[str, str] = ("x", "y")) -> None:
        """Build the model if need be, and prove on one sample, and all targets, that data fit.

        Of a pipeline, it is the targets of the first batch; the others are looked at in their turn.
        """
        x_name, y_name = names
        require_one_argument(self, where)
        x, y = feed.first()
        self.check_inputs(feed.x if isinstance(feed, Batches) else x, where, x_name)
        x = self._entering(rows(x, slice(0, 1)), where, x_name)
        objective = self._current_objective().copy()
        with no_grad(), loop.mode(training=False):
            try:
                outputs = objective.outputs(self, x)
            except ShapeError as error:
                raise ShapeError(f"{where}: {x_name} does not fit the model: {error}") from error
            objective.check(y, outputs, 1, where=where, y_name=y_name)
            if self.preprocessing is not None:
                self.preprocessing.check_outputs(outputs.shape, where)
            objective.evaluate(y[:1], outputs)
        objective.update_metrics(y[:1], outputs)

    def _batch(self, x: Any, y: Any, where: str) -> tuple[Any, np.ndarray, Objective]:
        self._require_compiled(where)
        x, y = check_samples(*self._prepared_data(x, y, where), where=where)
        return self._entering(x, where), y, self._current_objective().copy()

    def _attach(self, where: str) -> None:
        """Hand the optimiser the model's parameters, which must be those that it has, if any."""
        parameters = self.parameters()
        if not any(parameter.requires_grad for parameter in parameters):
            raise ValueError(
                f"{where}: {self.name} has no parameter to train; set trainable=True on a layer, "
                "or add one that has weights"
            )
        known = self.optimizer.parameters
        if len(known) != len(parameters) or not all(map(operator.is_, known, parameters)):
            self.optimizer.attach(parameters)

    @contextmanager
    def _run(self) -> Iterator[Objective]:
        """The objective of a run; one inside of another, from a callback, has its own averages."""
        assert self._objective is not None
        if self._is_running:
            yield self._objective.copy()
            return
        self._is_running = True
        try:
            yield self._objective
        finally:
            self._is_running = False


def _returned(results: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return results
    values = list(results.values())
    return values if len(values) > 1 else values[0]
