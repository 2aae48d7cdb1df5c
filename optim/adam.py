"""Adam: momentum, and a step size for each parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from chainrule.engine.devices import Kernels

from .arguments import clipping, number
from .optimizer import Optimizer

#: Below it float32 loses digits and then is 0, by which a gradient of 0 would be divided.
SMALLEST_EPSILON = float(np.finfo(np.float32).tiny)


class Adam(Optimizer):
    """Adam: the running mean of the gradient over the root of that of its square.

        g     = dJ/dw + weight_decay * w
        m     = beta_1 * m + (1 - beta_1) * g
        v     = beta_2 * v + (1 - beta_2) * g^2
        m_hat = m / (1 - beta_1^t)
        v_hat = v / (1 - beta_2^t)
        w    <- w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)

    m and v are 0 at first, t = 1, 2, ... counts the steps of a parameter: one that gets no
    gradient, or is frozen, for some steps goes on from where it was.

    Arguments: `parameters`, Tensors, or None if `attach` gives them later; `learning_rate`,
    positive, or a schedule (see `Optimizer`); `beta_1` and `beta_2`, in [0, 1); `epsilon`,
    positive: 1e-8 as in the paper and in PyTorch, where Keras takes 1e-7; `weight_decay`,
    not negative: an L2 penalty as in PyTorch's Adam, whose gradient m and v see too (not the
    decoupled one of AdamW); `clipnorm`, `clipvalue`, `global_clipnorm`, one of them, positive: to
    what gradients are clipped (see `Optimizer`);
    `as_printed`: step by the rule that the source of the derivations prints in place of the last
    line,

        w    <- w - learning_rate * (m / (1 - beta_1^t)) / (1 - beta_2^t)

    v is computed there and never used, the root and epsilon are missing. At t = 1 its step is
    1 / (1 - beta_2) = 1,000 times too large, and it decays to that of plain momentum. It is there
    to be looked at: nobody should train with it.

    Raises ValueError for numbers outside of these ranges, for two ways of clipping and for an empty
    `parameters`; TypeError for what is no number or no Tensor.

    Sources: Kingma and Ba (2015), "Adam: a method for stochastic optimization", Algorithm 1;
    section 4.2 of the derivations and its erratum.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, -2.0], requires_grad=True)
    >>> adam = cr.optim.Adam([w], learning_rate=0.1)
    >>> (w * w).sum().backward()
    >>> adam.step()  # the first step is of the size learning_rate, whatever the gradient
    >>> [round(each, 6) for each in w.tolist()]
    [0.9, -1.9]
    """

    _remembers = ("m", "v")
    operations = 12

    def __init__(
        self,
        parameters: Iterable[Any] | None = None,
        learning_rate: float | Callable[[int], float] = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        as_printed: bool = False,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        self._beta_1 = number(
            beta_1, "Adam: beta_1", "in [0, 1), such as 0.9", lambda value: 0 <= value < 1
        )
        self._beta_2 = number(
            beta_2, "Adam: beta_2", "in [0, 1), such as 0.999", lambda value: 0 <= value < 1
        )
        self._epsilon = number(
            epsilon,
            "Adam: epsilon",
            f"finite and at least {SMALLEST_EPSILON:.2g}, such as 1e-8",
            lambda value: SMALLEST_EPSILON <= value < math.inf,
        )
        self._weight_decay = number(
            weight_decay,
            "Adam: weight_decay",
            "a finite number, not negative, such as 1e-4",
            lambda value: 0 <= value < math.inf,
        )
        self._as_printed = bool(as_printed)
        if self._as_printed and self._weight_decay:
            raise ValueError(
                "Adam: weight_decay: the rule as printed has none; leave out weight_decay or "
                "as_printed"
            )
        clipped = clipping("Adam", clipnorm, clipvalue, global_clipnorm)
        super().__init__(parameters, learning_rate, clipped)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the rule other than the learning rate, by name."""
        return {
            "beta_1": self._beta_1,
            "beta_2": self._beta_2,
            "epsilon": self._epsilon,
            "weight_decay": self._weight_decay,
            "as_printed": self._as_printed,
        }

    def _update(self, kernels: Kernels, w: Any, g: Any, *memory: Any, t: int) -> None:
        m, v = memory
        rate, beta_1, beta_2 = self._learning_rate, self._beta_1, self._beta_2
        if self._as_printed:
            kernels.adam_step_as_printed(w, g, m, v, rate, beta_1, beta_2, t)
        else:
            kernels.adam_step(
                w, g, m, v, rate, beta_1, beta_2, self._epsilon, self._weight_decay, t
            )
