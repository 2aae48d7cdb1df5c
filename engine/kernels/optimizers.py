"""References of the optimiser steps, over one flat run of parameters, changed in place.

`w` are the parameters, `g` their gradients, the rest is the optimiser's memory: 1-d arrays of one
length and dtype. `velocity` is None where there is no momentum.
"""

from __future__ import annotations

from typing import Any

from ..devices import reference


@reference
def sgd_step(
    xp: Any,
    w: Any,
    g: Any,
    velocity: Any,
    learning_rate: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """w <- w - learning_rate * g; with momentum, velocity takes the place of g."""
    if weight_decay:
        g = g + weight_decay * w
    if momentum:
        velocity *= momentum
        velocity += g
        g = g + momentum * velocity if nesterov else velocity
    w -= learning_rate * g


@reference
def adam_step(
    xp: Any,
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    weight_decay: float,
    t: int,
) -> None:
    """Algorithm 1 of Kingma and Ba (2015), step t = 1, 2, ..."""
    if weight_decay:
        g = g + weight_decay * w
    m *= beta_1
    m += (1 - beta_1) * g
    v *= beta_2
    v += (1 - beta_2) * (g * g)
    m_hat = m / (1 - beta_1**t)
    v_hat = v / (1 - beta_2**t)
    w -= learning_rate * m_hat / (xp.sqrt(v_hat) + epsilon)


@reference
def adam_step_as_printed(
    xp: Any,
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    t: int,
) -> None:
    """The rule as the source prints it: v is computed, and never used."""
    m *= beta_1
    m += (1 - beta_1) * g
    v *= beta_2
    v += (1 - beta_2) * (g * g)
    w -= learning_rate * (m / (1 - beta_1**t)) / (1 - beta_2**t)


# The size of a gradient: 0-d arrays, so that nothing waits for a GPU to be read. ---------------


@reference
def sum_of_squares(xp: Any, g: Any) -> Any:
    """The sum of the squares of all elements, a 0-d array of g's dtype; always in one order.

    >>> from chainrule.engine.devices import cpu
    >>> import numpy as np
    >>> cpu.kernels.sum_of_squares(np.array([3.0, 4.0]))
    array(25.)
    """
    return xp.asarray((g * g).sum())


@reference
def clip_to_norm(xp: Any, g: Any, norm: Any, limit: float) -> None:
    """g <- g * limit / norm, where the norm is above the limit; the norm is a 0-d array.

    A norm that is NaN makes all of g NaN; an infinite one makes it 0, and NaN where g is infinite.
    """
    g *= limit / xp.maximum(norm, limit)


@reference
def all_finite(xp: Any, x: Any) -> Any:
    """Is no element infinite or NaN? A 0-d array of a boolean."""
    return xp.asarray(xp.isfinite(x).all())
