"""P7: a step of Adam, of which the gradients are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from .training import RATES, NumpyRule, jax_rule, jax_state
from .workload import Program, Workload

Shapes = list[tuple[int, ...]]

#: Row, title, shapes of kernels and biases, target.
SIZES: list[tuple[str, str, Shapes, float]] = [
    ("p7-1k", "1,000", [(30, 25), (25,), (25, 9)], 0.2),
    ("p7-306k", "306,010", [(100, 500), (500,), (500, 500), (500,), (500, 10), (10,)], 0.6),
    (
        "p7-10m",
        "10,000,000",
        [(1000, 2000), (2000,), (2000, 3000), (3000,), (3000, 665)],
        1.0,
    ),
]


def workloads(smoke: bool) -> list[Workload]:
    """Three sizes; targets hold against the eager peers, of which PyTorch's is fused."""
    return [_workload(*each) for each in SIZES[: 1 if smoke else None]]


def _workload(name: str, count: str, shapes: Shapes, target: float) -> Workload:
    def drawn() -> tuple[list[np.ndarray], list[np.ndarray]]:
        generator = np.random.default_rng(0)
        values, gradients = (
            [generator.standard_normal(shape, np.float32) for shape in shapes] for _ in range(2)
        )
        return values, gradients

    def chainrule() -> Program:
        import chainrule as cr

        values, gradients = drawn()
        parameters = [cr.tensor(each, requires_grad=True) for each in values]
        optimizer = cr.optim.Adam(parameters, learning_rate=RATES["adam"])
        # Gradients are where backward() leaves them: once a step has packed the parameters, there.
        for _ in range(2):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = None
                (parameter * cr.tensor(gradient)).sum().backward()
            optimizer.step()
        return _stepping(optimizer)

    def torch(compiled: bool) -> Program:
        import torch

        values, gradients = drawn()
        parameters = [torch.nn.Parameter(torch.from_numpy(each)) for each in values]
        # A rate that is a tensor is not compiled into the step.
        rate: Any = torch.tensor(RATES["adam"]) if compiled else RATES["adam"]
        optimizer = torch.optim.Adam(parameters, lr=rate, fused=not compiled or None)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        if not compiled:
            return _stepping(optimizer)
        step = torch.compile(optimizer.step)
        return Program(lambda arrays: None, lambda batch: step())

    def jax() -> Program:
        import jax
        import jax.numpy as jnp

        parameters, gradients = (list(map(jnp.asarray, each)) for each in drawn())
        state = jax_state(parameters)
        rule = jax.jit(
            lambda parameters, state, gradients: jax_rule("adam", parameters, state, gradients),
            donate_argnums=(0, 1),
        )

        def step(batch: Any) -> None:
            nonlocal parameters, state
            parameters, state = jax.block_until_ready(rule(parameters, state, gradients))

        return Program(lambda arrays: None, step)

    def autograd() -> Program:
        values, gradients = drawn()
        optimizer = NumpyRule("adam", values)
        return Program(lambda arrays: None, lambda batch: optimizer.step(values, gradients))

    return Workload(
        name,
        f"a step of Adam, {count} parameters in {len(shapes)} arrays",
        lambda generator: (),
        {
            "chainrule": chainrule,
            "torch": lambda: torch(compiled=False),
            "torch-compile": lambda: torch(compiled=True),
            "jax": jax,
            "autograd": autograd,
        },
        target,
        against=("eager",),
    )


def _stepping(optimizer: Any) -> Program:
    def step(batch: Any) -> None:
        optimizer.step()

    return Program(lambda arrays: None, step)
