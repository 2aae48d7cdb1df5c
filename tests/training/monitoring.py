"""What tests of callbacks that watch a value share: a tiny model, and runs on values of choice."""

from __future__ import annotations

import chainrule as cr
from chainrule.layers import BatchNormalization, Dense
from chainrule.training.callbacks import CallbackList
from chainrule.training.sequential import Sequential


def tiny_model(metrics=None, learning_rate=0.5):
    """A built and compiled model, whose weights include averages that are not trained."""
    model = Sequential([Dense(2), BatchNormalization(), Dense(1)])
    model.compile(cr.optim.SGD(learning_rate=learning_rate), "mse", metrics)
    model.build((None, 3))
    return model


def mark(model, epoch):
    """Give every weight the number of the epoch as its value."""
    model.set_weights([0 * weight + epoch for weight in model.get_weights()])


def marked(model):
    """The number that all weights have; None if they differ."""
    found = {float(value) for weight in model.get_weights() for value in weight.ravel()}
    return found.pop() if len(found) == 1 else None


def run(callback, values, *, name="loss", model=None, first=0, state=None, ends=True):
    """Call the callback as `fit` does, in epochs that give these values.

    Arguments: `state`, to be loaded after the beginning; `ends`, whether the run is finished.

    Returns: the model, and the number of the last epoch.
    """
    model = tiny_model() if model is None else model
    callbacks = CallbackList(callback, model=model)
    model.stop_training = False
    callbacks.on_train_begin()
    if state is not None:
        callback.load_state(state)
    epoch = first - 1
    for epoch, value in enumerate(values, first):
        if model.stop_training:
            epoch -= 1
            break
        callbacks.on_epoch_begin(epoch)
        mark(model, epoch)
        callbacks.on_epoch_end(epoch, {name: value})
    if ends:
        callbacks.on_train_end({})
    return model, epoch
