"""P3: a small convolutional network on images of 28×28."""

from __future__ import annotations

from typing import Any

import numpy as np

from .training import chainrule_program, glorot, jax_program, torch_program
from .workload import Arrays, Program, Workload


def workloads(smoke: bool) -> list[Workload]:
    """One: conv 16, pool, conv 32, pool, dense 10; batch 64, Adam."""
    size, batch, first, second = (8, 4, 3, 4) if smoke else (28, 64, 16, 32)
    features = second * (size // 4) ** 2

    def draw(generator: np.random.Generator) -> Arrays:
        x = generator.standard_normal((batch, size, size, 1), np.float32)
        return x, generator.integers(0, 10, batch)

    def ours() -> Any:
        from chainrule.layers import Conv2D, Dense, Flatten, MaxPooling2D
        from chainrule.models import Sequential

        return Sequential(
            [
                Conv2D(first, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Conv2D(second, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Flatten(),
                Dense(10),
            ]
        )

    def module() -> Any:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(features, 10),
        )

    def initial(generator: np.random.Generator) -> Any:
        shapes = [(3, 3, 1, first), (3, 3, first, second), (features, 10)]
        return [(glorot(generator, *s), np.zeros(s[-1], np.float32)) for s in shapes]

    def jax() -> Program:
        import jax
        import jax.numpy as jnp

        def convolved(x: Any, kernel: Any, bias: Any) -> Any:
            names = ("NHWC", "HWIO", "NHWC")
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)
            return jax.nn.relu(y + bias)

        def pooled(x: Any) -> Any:
            n, height, width, channels = x.shape
            return jnp.max(x.reshape(n, height // 2, 2, width // 2, 2, channels), axis=(2, 4))

        def logits_of(parameters: Any, x: Any) -> Any:
            *convolutions, (kernel, bias) = parameters
            for each in convolutions:
                x = pooled(convolved(x, *each))
            return x.reshape(len(x), -1) @ kernel + bias

        return jax_program(initial, logits_of, "adam")

    workload = Workload(
        "p3-cnn",
        f"CNN {size}×{size}: conv {first}, pool, conv {second}, pool, dense 10, batch {batch}, "
        "adam",
        draw,
        {
            "chainrule": lambda: chainrule_program(ours, "adam", (size, size, 1)),
            "torch": lambda: torch_program(module, "adam"),
            "torch-channels-last": lambda: torch_program(module, "adam", channels_last=True),
            "torch-compile": lambda: torch_program(module, "adam", compiled=True),
            "jax": jax,
        },
        0.9,
        memory=True,
    )
    return [workload]
