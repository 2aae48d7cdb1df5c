"""A small training with all that makes it hard to resume, and what it ends with."""

from __future__ import annotations

import functools
import random as python_random

import numpy as np

import chainrule as cr
from chainrule.callbacks import Callback
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.models import Sequential

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0)
STEPS = 4 * 3  # of 32 samples, 8 left out for validation, in batches of 8, over three epochs


class FaultyError(Exception):
    """What a faulty callback raises."""


class StopAt(Callback):
    """Ends the process, so to speak, after a number of steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Noisy(Callback):
    """The learning rate comes from every global source of random numbers, and from its state."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_train_batch_end(self, batch, logs=None):
        self.drawn.append(np.random.random() + python_random.random())
        self.model.optimizer.learning_rate = 0.01 + 0.001 * (sum(self.drawn) % 1)

    def on_epoch_end(self, epoch, logs=None):
        logs["drawn"] = self.drawn[-1]

    def state(self):
        return {"drawn": np.array(self.drawn)}

    def load_state(self, state):
        self.drawn = state["drawn"].tolist()


def shaken(x, source):
    """An augmentation with a random generator of its own, besides chainrule's."""
    noise = source.normal(size=x.shape) * cr.random.generator().random()
    return x + noise.astype(x.dtype)


def network(seed=5):
    """A compiled network, as a fresh process would make it."""
    cr.seed(seed)
    np.random.seed(seed)
    python_random.seed(seed)
    layers = [Dense(7, activation="tanh"), BatchNormalization(), Dropout(0.4)]
    model = Sequential([*layers, Dense(3, activation="softmax")])
    adam = cr.optim.Adam(learning_rate=0.01, global_clipnorm=1.0)
    model.compile(adam, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model, *others, **options):
    """Three epochs, unless told otherwise, with all that makes exact resumption hard."""
    augment = functools.partial(shaken, source=np.random.default_rng(1))
    given = {"epochs": 3, "batch_size": 8, "validation_split": 0.2, "augment": augment}
    given |= {"verbose": 0, "callbacks": [Noisy(), *others]} | options
    return model.fit(X, Y, **given)


def outcome(model):
    """Weights and history, to the bit."""
    weights = {name: weight.cpu().numpy().tobytes() for name, weight in model.named_weights()}
    return weights, model.history.history, model.history.epoch


def resumed(folder, *others, **options):
    """The outcome of the run in a folder, resumed in a process with other random numbers."""
    model = network(seed=77)
    fit(model, *others, checkpoint=folder, resume=True, **options)
    return outcome(model)
