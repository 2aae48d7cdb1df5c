"""P3: a small convolutional network on images of 28×28."""

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

    def initial(generator: np.random.Generator) -> list[np.ndarray]:
        found = []
        for shape in ((3, 3, 1, first), (3, 3, first, second), (features, 10)):
            found += [glorot(generator, *shape), np.zeros(shape[-1], np.float32)]
        return found

    def jax() -> Program:
        import jax
        import jax.numpy as jnp

        def convolved(x: Any, kernel: Any, bias: Any) -> Any:
            names = ("NHWC", "HWIO", "NHWC")
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)
            return jax.nn.relu(y + bias)

        return jax_program(initial, network(convolved, jnp.max), "adam")

    def network(convolved: Any, largest: Any) -> Callable[[Any, Any], Any]:
        """Of images with channels last; pools are maxima over axes, as is fastest in JAX."""

        def logits_of(parameters: Any, x: Any) -> Any:
            for i in (0, 2):
                n, height, width, channels = (y := convolved(x, *parameters[i : i + 2])).shape
                x = y.reshape((n, height // 2, 2, width // 2, 2, channels))
                x = largest(x, axis=(2, 4))
            return x.reshape((len(x), -1)) @ parameters[4] + parameters[5]

        return logits_of

    def autograd() -> Program:
        import autograd.numpy as anp

        def convolved(x: Any, kernel: Any, bias: Any) -> Any:
            n, height, width, _ = x.shape
            padded = anp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "constant")
            shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
            rows = anp.concatenate(shifted, axis=-1).reshape((n * height * width, -1))
            y = rows @ kernel.reshape((-1, kernel.shape[-1])) + bias
            return anp.maximum(y, 0).reshape((n, height, width, kernel.shape[-1]))

        return autograd_program(initial, network(convolved, anp.max), "adam")

    def mygrad() -> Program:
        from mygrad.nnet.activations import relu
        from mygrad.nnet.layers import conv_nd, max_pool

        def transposed(generator: np.random.Generator) -> list[np.ndarray]:
            found = initial(generator)
            for i in (0, 2):
                found[i] = np.ascontiguousarray(found[i].transpose(3, 2, 0, 1))
                found[i + 1] = found[i + 1].reshape(-1, 1, 1)
            return found

        def logits_of(parameters: Any, x: Any) -> Any:
            x = x.transpose(0, 3, 1, 2)
            for i in (0, 2):
                y = conv_nd(x, parameters[i], stride=1, padding=1) + parameters[i + 1]
                x = max_pool(relu(y), (2, 2), stride=2)
            return x.reshape(len(x), -1) @ parameters[4] + parameters[5]

        return mygrad_program(transposed, logits_of, "adam")

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
            "autograd": autograd,
            "mygrad": mygrad,
        },
        0.9,
        memory=True,
    )
    return [workload]
