"""P5 and P6: `((a*b+a).relu()*b).sum().backward()`, from a few elements to many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .workload import Arrays, Program, Workload

#: Row, elements, target.
SIZES = [
    ("p5-10", 10, 0.45),
    ("p5-1000", 1_000, 0.55),
    ("p6-100k", 100_000, 1.0),
    ("p6-10m", 10_000_000, 0.6),
]


def workloads(smoke: bool) -> list[Workload]:
    """Four sizes, whose targets hold against the eager peers."""
    sizes = [("p5-10", 10, 0.45), ("p6-100k", 1_000, 1.0)] if smoke else SIZES
    return [_workload(*each) for each in sizes]


def _workload(name: str, size: int, target: float) -> Workload:
    def draw(generator: np.random.Generator) -> Arrays:
        a, b = generator.standard_normal((2, size), np.float32)
        return a, b

    return Workload(
        name,
        f"((a*b+a).relu()*b).sum().backward(), {size:,} elements",
        draw,
        {
            "chainrule": _chainrule,
            "torch": lambda: _torch(compiled=False),
            "torch-compile": lambda: _torch(compiled=True),
            "jax": _jax,
            "mygrad": _mygrad,
            "autograd": _autograd,
        },
        target,
        against=("eager",),
        pool=64 if size <= 100_000 else 2,
    )


def _leaves(tensor: Callable[..., Any]) -> Callable[[Arrays], Any]:
    return lambda arrays: [tensor(each, requires_grad=True) for each in arrays]


def _chainrule() -> Program:
    import chainrule as cr

    def step(batch: Any) -> None:
        a, b = batch
        a.grad = b.grad = None
        ((a * b + a).relu() * b).sum().backward()

    return Program(_leaves(cr.tensor), step)


def _torch(compiled: bool) -> Program:
    import torch

    def function(a: Any, b: Any) -> Any:
        return ((a * b + a).relu() * b).sum()

    value = torch.compile(function) if compiled else function

    def step(batch: Any) -> None:
        a, b = batch
        a.grad = b.grad = None
        value(a, b).backward()

    return Program(_leaves(torch.tensor), step)


def _jax() -> Program:
    import jax
    import jax.numpy as jnp

    def function(a: Any, b: Any) -> Any:
        return (jax.nn.relu(a * b + a) * b).sum()

    both = jax.jit(jax.value_and_grad(function, argnums=(0, 1)))
    return Program(
        lambda arrays: tuple(map(jnp.asarray, arrays)),
        lambda batch: jax.block_until_ready(both(*batch)),
    )


def _mygrad() -> Program:
    import mygrad
    from mygrad.nnet.activations import relu

    mygrad.turn_memory_guarding_off()

    def step(batch: Any) -> None:
        a, b = batch
        a.null_grad()
        b.null_grad()
        (relu(a * b + a) * b).sum().backward()

    return Program(lambda arrays: [mygrad.tensor(each) for each in arrays], step)


def _autograd() -> Program:
    import autograd.numpy as anp
    from autograd import value_and_grad

    both = value_and_grad(lambda a, b: anp.sum(anp.maximum(a * b + a, 0) * b), (0, 1))
    return Program(lambda arrays: arrays, lambda batch: both(*batch))
