"""P2: the derivation's program for text: an embedding, two LSTM, a softmax at every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from .training import chainrule_program, glorot, jax_program, torch_program
from .workload import Arrays, Program, Workload


def workloads(smoke: bool) -> list[Workload]:
    """With 10 outputs, which has a target; and with as many as there are words."""
    if smoke:
        return [_workload("p2-text", 20, 4, 8, 10, steps=3, batch=4, target=0.6)]
    return [
        _workload("p2-text", 5000, 32, 64, 10, steps=20, batch=32, target=0.6),
        _workload("p2-words", 5000, 32, 64, 5000, steps=20, batch=32, target=None),
    ]


def _workload(
    name: str,
    vocabulary: int,
    width: int,
    units: int,
    outputs: int,
    *,
    steps: int,
    batch: int,
    target: float | None,
) -> Workload:
    def draw(generator: np.random.Generator) -> Arrays:
        shape = (batch, steps)
        return generator.integers(0, vocabulary, shape), generator.integers(0, outputs, shape)

    def ours() -> Any:
        from chainrule.layers import LSTM, Dense, Embedding
        from chainrule.models import Sequential

        lstms = [LSTM(units, return_sequences=True) for _ in range(2)]
        return Sequential([Embedding(vocabulary, width), *lstms, Dense(outputs)])

    def module() -> Any:
        from torch import nn

        class Text(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, width)
                self.lstm = nn.LSTM(width, units, 2, batch_first=True)
                self.out = nn.Linear(units, outputs)

            def forward(self, x: Any) -> Any:
                return self.out(self.lstm(self.embedding(x))[0])

        return Text()

    def initial(generator: np.random.Generator) -> Any:
        cells = [
            (
                glorot(generator, inputs, 4 * units),
                glorot(generator, units, 4 * units),
                np.zeros(4 * units, np.float32),
            )
            for inputs in (width, units)
        ]
        table = generator.uniform(-0.05, 0.05, (vocabulary, width)).astype(np.float32)
        return table, cells, (glorot(generator, units, outputs), np.zeros(outputs, np.float32))

    def jax() -> Program:
        import jax
        import jax.numpy as jnp

        def lstm(parameters: Any, x: Any) -> Any:
            kernel, recurrent, bias = parameters
            projected = x @ kernel + bias  # (steps, batch, 4 units): one product for all steps

            def cell(carry: Any, z: Any) -> Any:
                h, c = carry
                i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=-1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            zeros = jnp.zeros((x.shape[1], units), x.dtype)
            return jax.lax.scan(cell, (zeros, zeros), projected)[1]

        def logits_of(parameters: Any, ids: Any) -> Any:
            table, cells, (kernel, bias) = parameters
            x = table[ids.T]
            for each in cells:
                x = lstm(each, x)
            return x.swapaxes(0, 1) @ kernel + bias

        return jax_program(initial, logits_of, "adam")

    return Workload(
        name,
        f"Embedding {vocabulary}×{width}, 2 LSTM of {units}, {outputs} outputs, T = {steps}, "
        f"batch {batch}, adam",
        draw,
        {
            "chainrule": lambda: chainrule_program(ours, "adam", (steps,)),
            "torch": lambda: torch_program(module, "adam"),
            "torch-compile": lambda: torch_program(module, "adam", compiled=True),
            "jax": jax,
        },
        target,
        memory=target is not None,
    )
