"""P1: the derivation's network, 100-500-500-10, batch 32, softmax cross-entropy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .training import (
    autograd_program,
    chainrule_program,
    glorot,
    jax_program,
    mygrad_program,
    torch_program,
    train_on_batch_program,
)
from .workload import Arrays, Workload


def workloads(smoke: bool) -> list[Workload]:
    """SGD and Adam with ReLU, which have targets; SGD with the derivation's sigmoid."""
    if smoke:
        return [_workload("p1-adam", (10, 16, 16, 10), 8, "relu", "adam", 0.7)]
    sizes = (100, 500, 500, 10)
    return [
        _workload("p1-sgd", sizes, 32, "relu", "sgd", 0.7),
        _workload("p1-adam", sizes, 32, "relu", "adam", 0.7),
        _workload("p1-sigmoid", sizes, 32, "sigmoid", "sgd", None),
    ]


def _workload(
    name: str,
    sizes: tuple[int, ...],
    batch: int,
    activation: str,
    rule: str,
    target: float | None,
) -> Workload:
    def draw(generator: np.random.Generator) -> Arrays:
        x = generator.standard_normal((batch, sizes[0]), np.float32)
        return x, generator.integers(0, sizes[-1], batch)

    def ours(last: str | None) -> Callable[[], Any]:
        def make() -> Any:
            from chainrule.layers import Dense
            from chainrule.models import Sequential

            hidden = [Dense(units, activation=activation) for units in sizes[1:-1]]
            return Sequential([*hidden, Dense(sizes[-1], activation=last)])

        return make

    def module() -> Any:
        from torch import nn

        kind = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}[activation]
        layers: list[Any] = []
        for i, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            layers += [nn.Linear(inputs, units)]
            layers += [kind()] if i < len(sizes) - 2 else []
        return nn.Sequential(*layers)

    def initial(generator: np.random.Generator) -> list[np.ndarray]:
        found = []
        for inputs, units in itertools.pairwise(sizes):
            found += [glorot(generator, inputs, units), np.zeros(units, np.float32)]
        return found

    def forward(activate: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def logits_of(parameters: Any, x: Any) -> Any:
            for i in range(0, len(parameters), 2):
                x = x @ parameters[i] + parameters[i + 1]
                if i + 2 < len(parameters):
                    x = activate(x)
            return x

        return logits_of

    def jax() -> Any:
        import jax.nn

        return jax_program(initial, forward(getattr(jax.nn, activation)), rule)

    def autograd() -> Any:
        import autograd.numpy as anp

        activations: dict[str, Callable[[Any], Any]] = {
            "relu": lambda x: anp.maximum(x, 0),
            "sigmoid": lambda x: 1 / (1 + anp.exp(-x)),
        }
        return autograd_program(initial, forward(activations[activation]), rule)

    def mygrad() -> Any:
        from mygrad.nnet import activations

        return mygrad_program(initial, forward(getattr(activations, activation)), rule)

    shape = sizes[:1]
    return Workload(
        name,
        f"MLP {'-'.join(map(str, sizes))}, {activation}, batch {batch}, {rule}",
        draw,
        {
            "chainrule": lambda: chainrule_program(ours(None), rule, shape),
            "train_on_batch": lambda: train_on_batch_program(ours("softmax"), rule, shape),
            "torch": lambda: torch_program(module, rule),
            "torch-compile": lambda: torch_program(module, rule, compiled=True),
            "jax": jax,
            "autograd": autograd,
            "mygrad": mygrad,
        },
        target,
        memory=rule == "adam",
    )
