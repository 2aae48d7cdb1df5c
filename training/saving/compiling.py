"""A compiled model's optimiser, loss and metrics from what was saved of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.engine.errors import describe
from chainrule.engine.making import custom_object, made, refusal
from chainrule.optim.schedules import SCHEDULES, from_config

from .nested import join, split
from .registry import KINDS


def compile_from(model: Any, document: Mapping[str, Any]) -> None:
    """Compile a model as `compile_document` tells; `custom_objects` has functions by their names.

    Raises ValueError if something does not fit, or is the user's own and not given.
    """
    if set(document) != {"optimizer", "loss", "metrics"}:
        raise refusal(f"expected optimizer, loss and metrics, got {describe(sorted(document))}")
    metrics = document["metrics"]
    if not isinstance(metrics, list):
        raise refusal(f"expected a list, got {describe(metrics)}", "metrics")
    optimizer = _part(document["optimizer"], "optimizer", "optimizer")
    loss = _part(document["loss"], "loss", "loss")
    chosen = [
        each if isinstance(each, str) else _part(each, "metric", f"metrics[{i}]")
        for i, each in enumerate(metrics)
    ]
    try:
        model.compile(optimizer, loss, chosen)
    except (ValueError, TypeError) as error:
        raise refusal(str(error)) from error


def _part(described: Any, kind: str, place: str) -> Any:
    """An optimiser, loss or metric; one that was a function is found in `custom_objects`."""
    if not isinstance(described, dict) or "not_plain" not in described:
        return made(described, KINDS[kind], place)
    name = described.get("name", described.get("class_name"))
    found: Callable[..., Any] | None = custom_object(name)
    if found is None or isinstance(found, type) or not callable(found):
        raise refusal(
            f"{described.get('not_plain')}; give it as custom_objects={{{name!r}: ...}}, or load "
            "the model with compile=False and compile it",
            place,
        )
    if kind == "optimizer":
        raise refusal(
            f"{described.get('not_plain')}; load the model with compile=False and compile it",
            place,
        )
    return found


def optimizer_document(
    model: Any, *, copy: bool = True
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a model's optimiser remembers: numbers, and arrays; and of which parameters.

    Arguments: `copy`, see `Optimizer.state`.

    Raises ValueError if it steps other parameters than the model's, or if the learning rate has
    been made to follow a function of the user's.
    """
    optimizer = model.optimizer
    state = optimizer.state(copy=copy)
    names = {id(weight): name for name, weight in model.named_parameters()}
    stepped = [names.get(id(each)) for each in optimizer.parameters]
    if None in stepped:
        raise ValueError(
            f"save: the optimiser steps {len(stepped)} parameters, and {stepped.count(None)} of "
            f"them are none of {model.name}'s; save it with include_optimizer=False"
        )
    if not optimizer.iterations:  # all arrays are 0 before the first step
        state = {name: each for name, each in state.items() if not isinstance(each, np.ndarray)}
    plain, arrays = split(state, copy=False)
    return {"parameters": stepped, "state": plain, "schedule": _schedule_set(optimizer)}, arrays


def _schedule_set(optimizer: Any) -> dict[str, Any] | None:
    """The schedule that has taken the place of the rate that the optimiser was made with, if any.

    Raises ValueError if it is not one of chainrule's.
    """
    schedule: Any = optimizer.schedule
    if schedule is None or schedule is optimizer._given_rate:
        return None
    if type(schedule) not in SCHEDULES.values():
        raise ValueError(
            f"save: the learning rate was set to {describe(schedule)}, which cannot be saved; give "
            "it to the optimiser's constructor, or set one of chainrule.optim.schedules"
        )
    described: dict[str, Any] = optimizer.schedule.to_config()
    return described


def optimizer_from(model: Any, document: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a compiled model's optimiser the state of which `optimizer_document` told.

    Raises ValueError if it does not fit.
    """
    if not isinstance(document, dict) or set(document) != {"parameters", "state", "schedule"}:
        raise refusal(f"expected parameters, state and schedule, got {describe(document)}")
    optimizer, own = model.optimizer, dict(model.named_parameters())
    names = document["parameters"]
    if not isinstance(names, list) or not isinstance(document["state"], dict):
        raise refusal("expected a list of parameters and a dict of their state")
    unknown = [name for name in names if not isinstance(name, str) or name not in own]
    if unknown:
        raise refusal(f"the model has no parameter {describe(unknown[0])}", "parameters")
    try:
        state = join(document["state"], arrays)
        if names:
            optimizer.attach([own[name] for name in names])
            if state.get("learning_rate") is None:
                set_later = document["schedule"]
                optimizer.learning_rate = (
                    optimizer._given_rate if set_later is None else from_config(set_later)
                )
            nothing = {
                name: np.zeros_like(each)
                for name, each in optimizer.state(copy=False).items()
                if isinstance(each, np.ndarray)
            }
            optimizer.load_state({**({} if arrays else nothing), **state})
        elif state.get("learning_rate") is not None:
            optimizer.learning_rate = state["learning_rate"]
    except (ValueError, TypeError) as error:
        raise refusal(str(error)) from error
