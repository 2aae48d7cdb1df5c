"""Optimisers: rules that change parameters, step by step, so that a loss falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.habits import names_elsewhere
from chainrule.engine.making import Kind, made

from . import schedules
from .adam import Adam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["KIND", "OPTIMIZERS", "SGD", "Adam", "Optimizer", "get", "schedules"]

__getattr__ = names_elsewhere(
    "chainrule.optim",
    {
        "AdamW": "Adam(weight_decay=...) has an L2 penalty, which its running means see too",
        "RMSprop": "there are SGD and Adam",
        "Adagrad": "there are SGD and Adam",
        "clip_grad_norm_": "give the optimiser global_clipnorm=",
        "clip_grad_value_": "give the optimiser clipvalue=",
        "lr_scheduler": "give learning_rate= one of chainrule.optim.schedules, or set "
        "optimizer.learning_rate in on_epoch_begin(epoch) of a Callback",
        "LearningRateSchedule": "it is in chainrule.optim.schedules",
        "ExponentialDecay": "it is in chainrule.optim.schedules",
        "CosineDecay": "it is in chainrule.optim.schedules",
        "StepLR": "schedules.ExponentialDecay(rate, steps, factor, staircase=True)",
        "CosineAnnealingLR": "schedules.CosineDecay(rate, steps)",
        "ReduceLROnPlateau": "it is in chainrule.callbacks",
        "LambdaLR": "give learning_rate= a function of the number of steps",
        "OneCycleLR": "schedules.CosineDecay(rate, steps, warmup_target=top, warmup_steps=steps)",
    },
)

#: The optimisers that a configuration may name, by their class's name.
OPTIMIZERS: dict[str, type] = {"Adam": Adam, "SGD": SGD}
#: What a configuration of an optimiser may describe.
KIND = Kind("optimizer", Optimizer, OPTIMIZERS)

_BY_NAME: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(identifier: Any) -> Optimizer:
    """The optimiser meant by a name, a configuration, or by an optimiser itself.

    A name is in small or capital letters, a configuration what `to_config` returned.

    One made by its name has its default settings, and no parameters yet: see `attach`.

    Raises ValueError for anything else, listing the names that are known.

    >>> get("adam").learning_rate
    0.001
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()]()
    if isinstance(identifier, dict):
        found: Optimizer = made(identifier, KIND)
        return found
    raise ValueError(
        f"optimizer: {identifier!r} is unknown; known: {', '.join(map(repr, _BY_NAME))}, or an "
        "optimiser such as SGD(learning_rate=0.1)"
    )
