"""P2: the derivation's program for text: an embedding, two LSTM, a softmax at every step."""

from __future__ import annotations

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
)
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

    def initial(generator: np.random.Generator) -> list[np.ndarray]:
        found = [generator.uniform(-0.05, 0.05, (vocabulary, width)).astype(np.float32)]
        for inputs in (width, units):
            found += [glorot(generator, inputs, 4 * units), glorot(generator, units, 4 * units)]
            found += [np.zeros(4 * units, np.float32)]
        return [*found, glorot(generator, units, outputs), np.zeros(outputs, np.float32)]

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
            table, *cells, kernel, bias = parameters
            x = lstm(cells[3:], lstm(cells[:3], table[ids.T]))
            return x.swapaxes(0, 1) @ kernel + bias

        return jax_program(initial, logits_of, "adam")

    def unrolled(xp: Any, tanh: Any, sigmoid: Any) -> Callable[[Any, Any], Any]:
        """The same in the functions of a library that records operations of NumPy."""

        def logits_of(parameters: Any, ids: Any) -> Any:
            table, *cells, kernel, bias = parameters
            x = table[ids]
            states = [x[:, t] for t in range(steps)]
            for first in (0, 3):
                inputs, recurrent, offset = cells[first : first + 3]
                h = c = None
                found: list[Any] = []
                for state in states:
                    z = state @ inputs + offset
                    z = z if h is None else z + h @ recurrent
                    i, f, g, o = (z[:, k * units : (k + 1) * units] for k in range(4))
                    new = sigmoid(i) * tanh(g)
                    c = new if c is None else sigmoid(f) * c + new
                    h = sigmoid(o) * tanh(c)
                    found.append(h)
                states = found
            return xp.stack(states, axis=1) @ kernel + bias

        return logits_of

    def autograd() -> Program:
        import autograd.numpy as anp

        forward = unrolled(anp, anp.tanh, lambda x: 0.5 + 0.5 * anp.tanh(0.5 * x))
        return autograd_program(initial, forward, "adam")

    def mygrad() -> Program:
        import mygrad
        from mygrad.nnet.activations import sigmoid

        return mygrad_program(initial, unrolled(mygrad, mygrad.tanh, sigmoid), "adam")

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
            "autograd": autograd,
            "mygrad": mygrad,
        },
        target,
        memory=target is not None,
    )
