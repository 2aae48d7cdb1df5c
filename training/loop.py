"""Training, evaluation and prediction, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

import numpy as np

from chainrule.engine.devices import state
from chainrule.engine.tape import enable_grad, no_grad
from chainrule.engine.tensor import Tensor

from .callbacks import CallbackList
from .data import describe
from .feeds import Feed
from .objective import Objective, Predictor
from .progress import ProgressLine


class Trainable(Predictor, Protocol):
    """What is asked of a model here."""

    optimizer: Any
    stop_training: bool

    def check_inputs(self, x: Any, where: str, name: str = "x") -> None:
        """Prove that samples are ones that it can compute with."""

    def _entering(self, x: Any, where: str, name: str = "x") -> Any:
        """A batch after the model's preprocessing."""


@contextmanager
def mode(training: bool) -> Iterator[None]:
    """Computes as in training, or as in prediction, for the length of a `with` block."""
    before, state.training = state.training, training
    try:
        yield
    finally:
        state.training = before


def entering(model: Any, x: Any, where: str, batch: int | None) -> Any:
    """A batch as the model is given it: preprocessed and, if it has a number, proved to fit."""
    if batch is None:
        return model._entering(x, where)
    x = model._entering(x, where, f"x of batch {batch}")
    model.check_inputs(x, where, f"x of batch {batch}")
    return x


def train_step(
    model: Trainable, objective: Objective, x: Any, y: np.ndarray, *, batch: int | None = None
) -> None:
    """Forward pass, loss, backward pass, and one step of the optimiser.

    Arguments: `batch`, the number of a batch that was not proved to fit before: it is now.
    """
    x = entering(model, x, "fit", batch)
    with enable_grad(), mode(training=True):
        outputs = objective.outputs(model, x)
        if batch is not None:
            objective.check_targets(y, outputs, where="fit", y_name=f"y of batch {batch}")
        learn(model, objective, y, outputs)


def learn(model: Trainable, objective: Objective, y: np.ndarray, outputs: Any) -> None:
    """What follows the forward pass in a training step."""
    loss = objective.evaluate(y, outputs, model.losses)
    objective.update_metrics(y, outputs)  # may refuse the batch: nothing is changed by then
    model.optimizer.zero_grad()
    loss.backward()
    model.optimizer.step()


def evaluate_step(
    model: Any,
    objective: Objective,
    x: Any,
    y: np.ndarray,
    *,
    where: str = "evaluate",
    batch: int | None = None,
) -> None:
    """Forward pass and loss, without recording; `batch` is as for `train_step`."""
    x = entering(model, x, where, batch)
    with no_grad(), mode(training=False):
        outputs = objective.outputs(model, x)
        if batch is not None:
            objective.check_targets(y, outputs, where=where, y_name=f"y of batch {batch}")
        objective.evaluate(y, outputs, model.losses)
    objective.update_metrics(y, outputs)


def augmented(augment: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """What the user's function makes of a batch, if it is a batch of the same shape and dtype.

    Raises TypeError or ValueError, which name the function, for anything else.
    """
    # A batch in the order of the data is a view of them, which the function may write to.
    result = augment(x if x.base is None else x.copy())
    if isinstance(result, np.ndarray) and (result.shape, result.dtype) == (x.shape, x.dtype):
        return result
    name = getattr(augment, "__name__", type(augment).__name__)
    if result is None:
        raise TypeError(
            f"fit: augment={name} returned None; it must return the batch, also one that it has "
            "changed in place"
        )
    if not isinstance(result, np.ndarray):
        raise TypeError(f"fit: augment={name} must return an array, got {type(result).__name__}")
    remedy = "every sample needs its target"
    if result.shape == x.shape:
        remedy = f'convert it back, batch.astype("{x.dtype}")'
    raise ValueError(
        f"fit: augment={name} was given a batch of {describe(x)}, and returned {describe(result)}; "
        f"shape and dtype must stay: {remedy}"
    )


def evaluate(
    model: Predictor,
    objective: Objective,
    batches: Feed,
    hooks: CallbackList,
    line: ProgressLine | None = None,
    *,
    where: str = "evaluate",
) -> dict[str, float]:
    """Loss and metrics by name, averages over all samples."""
    objective.reset()
    hooks.on_test_begin()
    with closing(batches.open()) as opened:
        for index, (x, y) in enumerate(opened):
            if hooks.test_batch_hooks:
                hooks.on_test_batch_begin(index)
            number = index if batches.unchecked else None
            evaluate_step(model, objective, x, y, where=where, batch=number)
            if line is not None:
                line.update(index + 1, objective.logs)
            if hooks.test_batch_hooks:
                hooks.on_test_batch_end(index, objective.logs())
    results = objective.logs()
    hooks.on_test_end(results)
    return results


def one_output(outputs: Any, where: str) -> Tensor:
    """What a model returned, if it is a Tensor.

    Raises TypeError for several.
    """
    if isinstance(outputs, Tensor):
        return outputs
    raise TypeError(
        f"{where}: the model must return one Tensor, got {len(outputs)} in a "
        f"{type(outputs).__name__}; call the model to have them all: model(x)"
    )


def predict(model: Any, batches: Feed, hooks: CallbackList, line: ProgressLine) -> np.ndarray:
    """The outputs for all samples, one after the other."""
    parts = []
    hooks.on_predict_begin()
    with closing(batches.open()) as opened:
        for index, (x, _) in enumerate(opened):
            if hooks.predict_batch_hooks:
                hooks.on_predict_batch_begin(index)
            x = entering(model, x, "predict", index if batches.unchecked else None)
            with no_grad(), mode(training=False):
                parts.append(one_output(model(x), "predict").cpu().numpy())
            line.update(index + 1)
            if hooks.predict_batch_hooks:
                hooks.on_predict_batch_end(index, {"outputs": parts[-1]})
    hooks.on_predict_end()
    return np.concatenate(parts)
