"""Optimisers: rules that change parameters, step by step, so that a loss falls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.habits import names_elsewhere

from .adam import Adam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "get"]

__getattr__ = names_elsewhere(
    "chainrule.optim",
    {
        "AdamW": "Adam(weight_decay=...) has an L2 penalty, which its running means see too",
        "RMSprop": "there are SGD and Adam",
        "Adagrad": "there are SGD and Adam",
        "clip_grad_norm_": "give the optimiser global_clipnorm=",
        "clip_grad_value_": "give the optimiser clipvalue=",
        "lr_scheduler": "set optimizer.learning_rate in on_epoch_begin(epoch) of a Callback",
        "schedules": "set optimizer.learning_rate in on_epoch_begin(epoch) of a Callback",
    },
)

_BY_NAME: dict[str, Callable[[], Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(identifier: Any) -> Optimizer:
    """The optimiser meant by a name, in small or capital letters, or by an optimiser itself.

    One made by its name has its default settings, and no parameters yet: see `attach`.

    Raises ValueError for anything else, listing the names that are known.

    >>> get("adam").learning_rate
    0.001
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()]()
    raise ValueError(
        f"optimizer: {identifier!r} is unknown; known: {', '.join(map(repr, _BY_NAME))}, or an "
        "optimiser such as SGD(learning_rate=0.1)"
    )
