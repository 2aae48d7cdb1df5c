"""P4: a Transformer encoder that tells a word at every position."""

from __future__ import annotations

import functools
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

    def initial(generator: np.random.Generator) -> list[np.ndarray]:
        """Both tables; six pairs a layer, kernel and bias or scale and offset; the last pair."""
        found = [
            0.05 * generator.standard_normal((count, width), np.float32)
            for count in (vocabulary, steps)
        ]
        pairs = [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]
        for _ in range(layers):
            for shape in pairs:
                found += [glorot(generator, *shape), np.zeros(shape[-1], np.float32)]
            found += 2 * [np.ones(width, np.float32), np.zeros(width, np.float32)]
        return [*found, glorot(generator, width, vocabulary), np.zeros(vocabulary, np.float32)]

    def network(xp: Any, softmax: Any, gelu: Any) -> Callable[[Any, Any], Any]:
        """In the functions of a library that has those of NumPy; all stays float32."""
        small, scaled = np.float32(1e-5), np.float32((width // heads) ** -0.5)

        def norm(x: Any, scale: Any, offset: Any) -> Any:
            centred = x - xp.mean(x, axis=-1, keepdims=True)
            variance = xp.mean(centred * centred, axis=-1, keepdims=True)
            return centred / xp.sqrt(variance + small) * scale + offset

        def attention(x: Any, kernel: Any, bias: Any) -> Any:
            projected = (x @ kernel + bias).reshape((*x.shape[:2], 3, heads, width // heads))
            q, k, v = (xp.swapaxes(projected[:, :, i], 1, 2) for i in range(3))
            scores = q @ xp.swapaxes(k, 2, 3) * scaled
            return xp.swapaxes(softmax(scores) @ v, 1, 2).reshape(x.shape)

        def logits_of(parameters: Any, ids: Any) -> Any:
            table, positions, *blocks, kernel, bias = parameters
            x = table[ids] + positions
            for i in range(layers):
                qkv, o, first, second, norm_1, norm_2 = (
                    blocks[12 * i + j : 12 * i + j + 2] for j in range(0, 12, 2)
                )
                x = norm(x + (attention(x, *qkv) @ o[0] + o[1]), *norm_1)
                inner = gelu(x @ first[0] + first[1])
                x = norm(x + (inner @ second[0] + second[1]), *norm_2)
            return x @ kernel + bias

        return logits_of

    def jax() -> Program:
        import jax
        import jax.numpy as jnp

        gelu = functools.partial(jax.nn.gelu, approximate=False)
        return jax_program(initial, network(jnp, jax.nn.softmax, gelu), "adam")

    def autograd() -> Program:
        import autograd.numpy as anp
        from autograd.scipy.special import erf

        def softmax(x: Any) -> Any:
            powers = anp.exp(x)
            return powers / anp.sum(powers, axis=-1, keepdims=True)

        forward = network(anp, softmax, lambda x: 0.5 * x * (1 + erf(x * 0.5**0.5)))
        return autograd_program(initial, forward, "adam")

    def mygrad() -> Program:
        """With gelu by a tanh, as MyGrad has no erf: less work."""
        import mygrad
        from mygrad.nnet.activations import softmax

        half, one, slope, cubic = np.float32([0.5, 1, 0.79788456, 0.044715])

        def gelu(x: Any) -> Any:
            return half * x * (one + mygrad.tanh(slope * (x + cubic * x * x * x)))

        return mygrad_program(initial, network(mygrad, softmax, gelu), "adam")

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
            "autograd": autograd,
            "mygrad": mygrad,
        },
        0.9,
        memory=True,
    )
    return [workload]
