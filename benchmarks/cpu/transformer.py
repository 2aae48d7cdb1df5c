"""P4: a Transformer encoder that tells a word at every position."""

from __future__ import annotations

from typing import Any

import numpy as np

from .training import chainrule_program, glorot, jax_program, torch_program
from .workload import Arrays, Program, Workload


def workloads(smoke: bool) -> list[Workload]:
    """One: width 128, 4 heads, 2 layers, T = 64, batch 16, vocabulary 1000, Adam; no dropout."""
    if smoke:
        width, heads, hidden, steps, batch, vocabulary = 8, 2, 16, 4, 2, 20
    else:
        width, heads, hidden, steps, batch, vocabulary = 128, 4, 512, 64, 16, 1000
    layers = 2

    def draw(generator: np.random.Generator) -> Arrays:
        x, y = generator.integers(0, vocabulary, (2, batch, steps))
        return x, y

    def ours() -> Any:
        from chainrule.layers import Dense, Embedding, LearnedPositions, TransformerEncoderBlock
        from chainrule.models import Sequential

        blocks = [TransformerEncoderBlock(heads, hidden, activation="gelu") for _ in range(layers)]
        first = [Embedding(vocabulary, width), LearnedPositions(steps)]
        return Sequential([*first, *blocks, Dense(vocabulary)])

    def module() -> Any:
        import torch
        from torch import nn

        class Encoder(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, width)
                self.positions = nn.Parameter(0.02 * torch.randn(steps, width))
                self.blocks = nn.ModuleList(
                    nn.TransformerEncoderLayer(
                        width, heads, hidden, dropout=0.0, activation="gelu", batch_first=True
                    )
                    for _ in range(layers)
                )
                self.out = nn.Linear(width, vocabulary)

            def forward(self, x: Any) -> Any:
                x = self.embedding(x) + self.positions
                for block in self.blocks:
                    x = block(x)
                return self.out(x)

        return Encoder()

    def initial(generator: np.random.Generator) -> Any:
        def affine(inputs: int, units: int) -> tuple[np.ndarray, np.ndarray]:
            return glorot(generator, inputs, units), np.zeros(units, np.float32)

        def norm() -> tuple[np.ndarray, np.ndarray]:
            return np.ones(width, np.float32), np.zeros(width, np.float32)

        blocks = [
            {
                "qkv": affine(width, 3 * width),
                "output": affine(width, width),
                "first": affine(width, hidden),
                "second": affine(hidden, width),
                "attention_norm": norm(),
                "feed_forward_norm": norm(),
            }
            for _ in range(layers)
        ]
        tables = [
            0.05 * generator.standard_normal((count, width), np.float32)
            for count in (vocabulary, steps)
        ]
        return tables, blocks, affine(width, vocabulary)

    def jax() -> Program:
        import jax
        import jax.numpy as jnp

        def affine(x: Any, parameters: Any) -> Any:
            return x @ parameters[0] + parameters[1]

        def norm(x: Any, parameters: Any) -> Any:
            centred = x - x.mean(-1, keepdims=True)
            variance = (centred * centred).mean(-1, keepdims=True)
            return centred * jax.lax.rsqrt(variance + 1e-5) * parameters[0] + parameters[1]

        def attention(x: Any, block: Any) -> Any:
            shape = (*x.shape[:2], 3, heads, width // heads)
            q, k, v = jnp.moveaxis(affine(x, block["qkv"]).reshape(shape), 2, 0)
            scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (width // heads) ** -0.5
            mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
            return affine(mixed.reshape(x.shape), block["output"])

        def logits_of(parameters: Any, ids: Any) -> Any:
            (table, positions), blocks, out = parameters
            x = table[ids] + positions
            for block in blocks:
                x = norm(x + attention(x, block), block["attention_norm"])
                inner = jax.nn.gelu(affine(x, block["first"]), approximate=False)
                x = norm(x + affine(inner, block["second"]), block["feed_forward_norm"])
            return affine(x, out)

        return jax_program(initial, logits_of, "adam")

    workload = Workload(
        "p4-encoder",
        f"Transformer encoder, width {width}, {heads} heads, {layers} layers, T = {steps}, "
        f"batch {batch}, vocabulary {vocabulary}, adam",
        draw,
        {
            "chainrule": lambda: chainrule_program(ours, "adam", (steps,)),
            "torch": lambda: torch_program(module, "adam"),
            "torch-compile": lambda: torch_program(module, "adam", compiled=True),
            "jax": jax,
        },
        0.9,
        memory=True,
    )
    return [workload]
