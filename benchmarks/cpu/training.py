"""A training step as a user of each library writes it: forward, loss, backward, optimiser.

The loss is read in every step. What differs between workloads, the model, comes from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .workload import Program

RATES = {"sgd": 0.01, "adam": 0.001}


def chainrule_program(make: Callable[[], Any], rule: str, shape: tuple[int, ...]) -> Program:
    """Ours, with a loop of the user's own; `make` makes a model that returns logits."""
    import chainrule as cr

    cr.seed(0)
    model = make()
    model.build((None, *shape))
    optimizer = _chainrule_optimizer(rule, model.parameters())
    loss_fn = cr.losses.SparseCategoricalCrossentropy(from_logits=True)

    def step(batch: Any) -> float:
        x, y = batch
        loss = loss_fn(y, model(x))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    return Program(lambda arrays: (cr.tensor(arrays[0]), arrays[1]), step)


def train_on_batch_program(make: Callable[[], Any], rule: str, shape: tuple[int, ...]) -> Program:
    """Ours, by `compile` and `train_on_batch`; `make` makes a model that ends in a softmax."""
    import chainrule as cr

    cr.seed(0)
    model = make()
    model.build((None, *shape))
    model.compile(_chainrule_optimizer(rule, None), "sparse_categorical_crossentropy")
    return Program(lambda arrays: arrays, lambda batch: float(model.train_on_batch(*batch)))


def _chainrule_optimizer(rule: str, parameters: Any) -> Any:
    import chainrule as cr

    kind = {"sgd": cr.optim.SGD, "adam": cr.optim.Adam}[rule]
    return kind(parameters, learning_rate=RATES[rule])


def torch_program(
    make: Callable[[], Any],
    rule: str,
    *,
    compiled: bool = False,
    channels_last: bool = False,
) -> Program:
    """PyTorch's, with the fused optimiser; compiled: the forward pass with the loss, and its back.

    The model gets the first array as it was drawn; images come with channels first.
    """
    import torch

    torch.manual_seed(0)
    model = make()
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[rule]
    optimizer = kind(model.parameters(), lr=RATES[rule], fused=True)

    def forward(x: Any, y: Any) -> Any:
        logits = model(x)
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)

    loss_of = torch.compile(forward) if compiled else forward

    def convert(arrays: Any) -> Any:
        x, y = arrays
        if x.ndim == 4:
            x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        images = torch.from_numpy(x)
        if channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, torch.from_numpy(y.reshape(-1))

    def step(batch: Any) -> float:
        loss = loss_of(*batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    return Program(convert, step)


def jax_program(
    initial: Callable[[np.random.Generator], Any], logits_of: Callable[[Any, Any], Any], rule: str
) -> Program:
    """JAX's: the whole step in one compiled function that updates the parameters in place."""
    import jax
    import jax.numpy as jnp

    parameters = jax.tree.map(jnp.asarray, initial(np.random.default_rng(0)))
    state = jax_state(parameters)

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        logits = logits_of(parameters, x)
        logits = logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))
        taken = jnp.take_along_axis(logits, y[..., None], -1)[..., 0]
        return jnp.mean(jnp.log(jnp.exp(logits).sum(-1)) - taken)

    def update(parameters: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(parameters, x, y)
        return *jax_rule(rule, parameters, state, gradients), loss

    compiled = jax.jit(update, donate_argnums=(0, 1))

    def step(batch: Any) -> float:
        nonlocal parameters, state
        parameters, state, loss = compiled(parameters, state, *batch)
        return float(loss)

    return Program(lambda arrays: (jnp.asarray(arrays[0]), jnp.asarray(arrays[1], "int32")), step)


def jax_state(parameters: Any) -> Any:
    """Adam's: the step's number, and both running means."""
    import jax
    import jax.numpy as jnp

    zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
    return jnp.zeros((), jnp.float32), *zeros


def jax_rule(rule: str, parameters: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
    """Parameters and state after a step of SGD or Adam."""
    import jax
    import jax.numpy as jnp

    rate = RATES[rule]
    if rule == "sgd":
        return jax.tree.map(lambda w, g: w - rate * g, parameters, gradients), state
    t = state[0] + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[1], gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[2], gradients)
    slope, root = rate / (1 - 0.9**t), 1 / jnp.sqrt(1 - 0.999**t)
    new = jax.tree.map(
        lambda w, m, v: w - slope * m / (jnp.sqrt(v) * root + 1e-8), parameters, m, v
    )
    return new, (t, m, v)


class NumpyRule:
    """SGD or Adam in NumPy, for the libraries that have no optimiser of their own.

    Adam as in `autograd.misc.optimizers`, over each array.
    """

    def __init__(self, rule: str, parameters: list[np.ndarray]) -> None:
        self.rule, self.rate, self.t = rule, RATES[rule], 0
        self.m = [np.zeros_like(each) for each in parameters]
        self.v = [np.zeros_like(each) for each in parameters]

    def step(self, parameters: list[np.ndarray], gradients: list[np.ndarray]) -> None:
        """Changes the parameters in place."""
        self.t += 1
        for i, (w, g) in enumerate(zip(parameters, gradients, strict=True)):
            if self.rule == "sgd":
                w -= self.rate * g
                continue
            self.m[i] = m = 0.1 * g + 0.9 * self.m[i]
            self.v[i] = v = 0.001 * (g * g) + 0.999 * self.v[i]
            m_hat, v_hat = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
            w -= self.rate * m_hat / (np.sqrt(v_hat) + 1e-8)


def autograd_program(
    initial: Callable[[np.random.Generator], list[np.ndarray]],
    logits_of: Callable[[Any, Any], Any],
    rule: str,
) -> Program:
    """HIPS autograd's: the value and the gradient of the loss, and an optimiser in NumPy."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.tracer import getval

    parameters = initial(np.random.default_rng(0))
    optimizer = NumpyRule(rule, parameters)

    def loss_of(parameters: Any, x: Any, labels: Any) -> Any:
        logits = logits_of(parameters, x)
        logits = logits.reshape((-1, logits.shape[-1]))
        shifted = logits - anp.max(getval(logits), axis=-1, keepdims=True)
        taken = shifted[labels]
        return anp.mean(anp.log(anp.sum(anp.exp(shifted), axis=-1)) - taken)

    both = value_and_grad(loss_of)

    def step(batch: Any) -> float:
        loss, gradients = both(parameters, *batch)
        optimizer.step(parameters, gradients)
        return float(loss)

    return Program(lambda a: (a[0], (np.arange(a[1].size), a[1].reshape(-1))), step)


def mygrad_program(
    initial: Callable[[np.random.Generator], list[np.ndarray]],
    logits_of: Callable[[Any, Any], Any],
    rule: str,
) -> Program:
    """MyGrad's, with its memory guard off, as is faster, and an optimiser in NumPy."""
    import mygrad
    from mygrad.nnet.losses import softmax_crossentropy

    mygrad.turn_memory_guarding_off()
    parameters = [mygrad.tensor(each) for each in initial(np.random.default_rng(0))]
    arrays = [each.data for each in parameters]
    optimizer = NumpyRule(rule, arrays)

    def step(batch: Any) -> float:
        x, y = batch
        logits = logits_of(parameters, x)
        loss = softmax_crossentropy(logits.reshape(-1, logits.shape[-1]), y)
        loss.backward()
        optimizer.step(arrays, [each.grad for each in parameters])
        for each in parameters:
            each.null_grad()
        return float(loss.item())

    return Program(lambda a: (a[0], a[1].reshape(-1)), step)


def glorot(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)), float32."""
    fans = shape[-1] + int(np.prod(shape[:-1]))
    limit = float(np.sqrt(6 / fans))
    return generator.uniform(-limit, limit, shape).astype(np.float32)
