"""What is asked of a model's `call` before it is trained: mistakes that would train nothing."""

from __future__ import annotations

import inspect
from typing import Any

from chainrule.engine.tape import no_grad
from chainrule.layers import BatchNormalization, Layer

from . import loop
from .listening import listening


def require_one_argument(model: Layer, where: str) -> None:
    """Raise TypeError if `call` needs more than x, which is all that `fit` can give."""
    needed = [
        p.name
        for p in list(inspect.signature(type(model).call).parameters.values())[1:]
        if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and p.name not in ("mask", "training")
    ]
    if len(needed) > 1:
        names = ", ".join(needed)
        raise TypeError(
            f"{where}: {type(model).__name__}.call needs {names}, but {where} gives it x alone; "
            f"write call(self, x) and {names} = x, and give {where} a tuple of as many arrays"
        )


def require_no_lone_sample(model: Layer, samples: int, batch_size: int, where: str) -> None:
    """Raise ValueError if a batch is one sample, of which there are no statistics to take."""
    if samples % batch_size != 1 and batch_size != 1:
        return
    for _, layer in model._tree():
        if isinstance(layer, BatchNormalization) and layer.trainable and len(layer.built_for) == 2:
            remedy = (
                f"drop a sample, or choose another batch_size: {batch_size} of {samples} leave 1"
            )
            if batch_size == 1:
                remedy = "choose a larger batch_size"
            raise ValueError(
                f"{where}: a batch would be a single sample, and {layer.name!r}, a "
                f"BatchNormalization of single vectors, needs at least two; {remedy}"
            )


def require_own_layers(model: Layer, x: Any, where: str) -> None:
    """Raise ValueError if a layer is called, on a sample, that the training would not reach.

    That is one which `call` makes anew each time, or which is in no attribute of the model. Raise
    it also for a layer that the model, which has been called already, holds and does not call.
    """
    for prefix, layer in model._tree():
        if not layer.built and type(layer).build is not Layer.build:
            raise ValueError(
                f"{where}: the {type(layer).__name__} {prefix[:-1]!r} is a layer of "
                f"{type(model).__name__}, but call(x) does not call it, so that it has no weights; "
                "call it, or take it away"
            )
    before = model.parameters()  # held, so that no new Tensor can have the id of one of them
    called: dict[int, Layer] = {}

    def hear(layer: Layer, result: Any) -> None:
        called[id(layer)] = layer

    with listening(hear), no_grad(), loop.mode(training=False):
        model(x)
    reached = {id(each) for each in model.parameters()} & {id(each) for each in before}
    for layer in called.values():
        if any(each.requires_grad and id(each) not in reached for each in layer.parameters()):
            raise ValueError(
                f"{where}: the {type(layer).__name__} {layer.name!r} is called in "
                f"{type(model).__name__}.call, but is not one of its layers from the start, so "
                "that no training would reach its weights; make it in __init__ and keep it, as "
                "in self.dense = Dense(10) (trainable=False if it shall stay as it is)"
            )
