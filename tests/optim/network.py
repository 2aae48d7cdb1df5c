"""A small network and its data, the same numbers for chainrule and for PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import chainrule as cr

_random = np.random.default_rng(20)

#: Weights and biases of a 6 → 5 → 4 → 3 network, a batch of inputs and one of targets.
WEIGHTS = [
    0.7 * _random.standard_normal(shape) for shape in [(6, 5), (5,), (5, 4), (4,), (4, 3), (3,)]
]
X = _random.standard_normal((8, 6))
TARGETS = _random.standard_normal((8, 3))


def parameters(dtype: str = "float64") -> list[cr.Tensor]:
    """Fresh leaves with the values of WEIGHTS."""
    return [cr.tensor(each, dtype=dtype, requires_grad=True) for each in WEIGHTS]


def loss(weights: Any) -> Any:
    """Half the squared distance to the targets, of chainrule's or PyTorch's tensors."""
    a, targets = X, TARGETS
    if not isinstance(weights[0], cr.Tensor):
        import torch

        a, targets = torch.from_numpy(X), torch.from_numpy(TARGETS)
    else:
        a, targets = (cr.tensor(each, dtype=weights[0].dtype) for each in (X, TARGETS))
    W1, b1, W2, b2, W3, b3 = weights
    a = (a @ W1 + b1).tanh()
    a = (a @ W2 + b2).sigmoid()
    difference = a @ W3 + b3 - targets
    return 0.5 * (difference * difference).sum()


def train(weights: Any, optimizer: Any, steps: int) -> list[list[np.ndarray[Any, Any]]]:
    """The parameters after each step."""
    trajectory = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss(weights).backward()
        optimizer.step()
        trajectory.append([each.detach().numpy().copy() for each in weights])
    return trajectory


def assert_follows_pytorch(optimizer: Any, torch_optimizer: Any) -> None:
    """100 steps of both from the same weights: equal to 1e-10, relative, in each parameter.

    Arguments: functions that make the optimiser of a list of parameters.
    """
    import torch

    ours = parameters()
    theirs = [torch.tensor(each, requires_grad=True) for each in WEIGHTS]
    paths = (train(ours, optimizer(ours), 100), train(theirs, torch_optimizer(theirs), 100))
    for i, (found, expected) in enumerate(zip(*paths, strict=True)):
        for position, (a, b) in enumerate(zip(found, expected, strict=True)):
            error = np.linalg.norm(a - b) / np.linalg.norm(b)
            assert error <= 1e-10, f"step {i + 1}, parameter {position}: off by {error:.1e}"
    moved = [np.linalg.norm(a - b) for a, b in zip(paths[0][-1], WEIGHTS, strict=True)]
    assert min(moved) > 1e-3, "nothing was trained"
