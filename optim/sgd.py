"""Stochastic gradient descent: a step against the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from chainrule.engine.devices import Kernels

from .arguments import clipping, number
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent.

        w <- w - learning_rate * dJ/dw

    With momentum (as in PyTorch) a velocity, 0 at first, takes the gradient's place; with
    Nesterov's, the gradient plus the velocity that is to come:

        g        = dJ/dw + weight_decay * w
        velocity = momentum * velocity + g
        w       <- w - learning_rate * velocity                        momentum
        w       <- w - learning_rate * (g + momentum * velocity)       nesterov

    Arguments: `parameters`, Tensors, or None if `attach` gives them later; `learning_rate`,
    positive, or a schedule (see `Optimizer`); `momentum`, in [0, 1); `nesterov`, needs momentum;
    `weight_decay`, not negative: the factor of w in the gradient of the penalty
    weight_decay * |w|^2 / 2; `clipnorm`, `clipvalue`, `global_clipnorm`, one of them, positive: to
    what gradients are clipped (see `Optimizer`).

    Raises ValueError for numbers outside of these ranges, for two ways of clipping and for an empty
    `parameters`; TypeError for what is no number or no Tensor.

    Sources: section 4.2 of the derivations; Sutskever et al. (2013), "On the importance of
    initialization and momentum in deep learning", in the form that PyTorch computes.

    >>> import chainrule as cr
    >>> w = cr.tensor([1.0, -2.0], requires_grad=True)
    >>> sgd = cr.optim.SGD([w], learning_rate=0.25)
    >>> (w * w).sum().backward()
    >>> sgd.step()
    >>> w.tolist()
    [0.5, -1.0]
    """

    def __init__(
        self,
        parameters: Iterable[Any] | None = None,
        learning_rate: float | Callable[[int], float] = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
    ) -> None:
        self._momentum = number(
            momentum, "SGD: momentum", "in [0, 1), such as 0.9", lambda value: 0 <= value < 1
        )
        self._weight_decay = number(
            weight_decay,
            "SGD: weight_decay",
            "a finite number, not negative, such as 1e-4",
            lambda value: 0 <= value < math.inf,
        )
        self._nesterov = bool(nesterov)
        if self._nesterov and not self._momentum:
            raise ValueError(
                "SGD: nesterov=True needs momentum; give momentum=0.9, or leave nesterov out"
            )
        if self._momentum:
            self._remembers, self.operations = ("velocity",), 4
        clipped = clipping("SGD", clipnorm, clipvalue, global_clipnorm)
        super().__init__(parameters, learning_rate, clipped)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the rule other than the learning rate, by name."""
        return {
            "momentum": self._momentum,
            "nesterov": self._nesterov,
            "weight_decay": self._weight_decay,
        }

    def _update(self, kernels: Kernels, w: Any, g: Any, *memory: Any, t: int) -> None:
        kernels.sgd_step(
            w,
            g,
            memory[0] if memory else None,
            self._learning_rate,
            self._momentum,
            self._nesterov,
            self._weight_decay,
        )
