"""Training, evaluation and prediction, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from chainrule.engine.devices import state
from chainrule.engine.tape import enable_grad, no_grad
from chainrule.engine.tensor import Tensor

from .callbacks import CallbackList
from .data import Batches, describe
from .objective import Objective, Predictor
from .progress import ProgressLine


class Trainable(Predictor, Protocol):
    """What is asked of a model here."""

    optimizer: Any
    stop_training: bool


@contextmanager
def mode(training: bool) -> Iterator[None]:
    """Computes as in training, or as in prediction, for the length of a `with` block."""
    before, state.training = state.training, training
    try:
        yield
    finally:
        state.training = before


def train_step(model: Trainable, objective: Objective, x: Any, y: np.ndarray) -> None:
    """Forward pass, loss, backward pass, and one step of the optimiser."""
    with enable_grad(), mode(training=True):
        outputs = objective.outputs(model, x)
        learn(model, objective, y, outputs)


def learn(model: Trainable, objective: Objective, y: np.ndarray, outputs: Any) -> None:
    """What follows the forward pass in a training step."""
    loss = objective.evaluate(y, outputs, model.losses)
    objective.update_metrics(y, outputs)  # may refuse the batch: nothing is changed by then
    model.optimizer.zero_grad()
    loss.backward()
    model.optimizer.step()


def evaluate_step(model: Predictor, objective: Objective, x: Any, y: np.ndarray) -> None:
    """Forward pass and loss, without recording."""
    with no_grad(), mode(training=False):
        outputs = objective.outputs(model, x)
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


def train_epoch(
    model: Trainable,
    objective: Objective,
    batches: Batches,
    hooks: CallbackList,
    line: ProgressLine,
    augment: Callable[[np.ndarray], Any] | None = None,
) -> dict[str, float]:
    """Go through the batches once; ends early if a callback has set `stop_training`.

    Returns:
        loss and metrics by name, averages over the samples seen, each batch as it was before its
        step.
    """
    objective.reset()
    for index, (x, y) in enumerate(batches):
        if hooks.train_batch_hooks:
            hooks.on_train_batch_begin(index)
        assert y is not None
        if augment is not None:
            x = augmented(augment, x)
        train_step(model, objective, x, y)
        line.update(index + 1, objective.logs)
        if hooks.train_batch_hooks:
            hooks.on_train_batch_end(index, objective.logs())
        if model.stop_training:
            break
    return objective.logs()


def evaluate(
    model: Predictor,
    objective: Objective,
    batches: Batches,
    hooks: CallbackList,
    line: ProgressLine | None = None,
) -> dict[str, float]:
    """Loss and metrics by name, averages over all samples."""
    objective.reset()
    hooks.on_test_begin()
    for index, (x, y) in enumerate(batches):
        if hooks.test_batch_hooks:
            hooks.on_test_batch_begin(index)
        assert y is not None
        evaluate_step(model, objective, x, y)
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


def predict(
    model: Predictor, batches: Batches, hooks: CallbackList, line: ProgressLine
) -> np.ndarray:
    """The outputs for all samples, one after the other."""
    parts = []
    hooks.on_predict_begin()
    for index, (x, _) in enumerate(batches):
        if hooks.predict_batch_hooks:
            hooks.on_predict_batch_begin(index)
        with no_grad(), mode(training=False):
            parts.append(one_output(model(x), "predict").cpu().numpy())
        line.update(index + 1)
        if hooks.predict_batch_hooks:
            hooks.on_predict_batch_end(index, {"outputs": parts[-1]})
    hooks.on_predict_end()
    return np.concatenate(parts)
