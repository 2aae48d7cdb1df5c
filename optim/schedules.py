"""Learning rates that follow the number of steps taken, by Keras's names and formulas.

A schedule is called with the number of steps taken, an integer from 0 on, and returns the rate of
the next step. An optimiser takes one in the place of a number.

>>> from chainrule import optim
>>> sgd = optim.SGD(learning_rate=ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5))
>>> sgd.learning_rate
0.1
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from chainrule.engine.configured import Configured
from chainrule.engine.errors import describe
from chainrule.engine.habits import names_elsewhere
from chainrule.engine.making import Kind, made

from .arguments import number

__all__ = [
    "SCHEDULES",
    "CosineDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
]


_LAMBDA = "any function of the number of steps will do: Adam(lambda step: 0.1 / (1 + step))"
__getattr__ = names_elsewhere(
    "chainrule.optim.schedules",
    {
        "CosineDecayRestarts": _LAMBDA,
        "CosineAnnealingLR": "it is called CosineDecay(rate, steps)",
        "CosineAnnealingWarmRestarts": _LAMBDA,
        "ExponentialLR": "it is called ExponentialDecay(rate, steps, factor)",
        "StepLR": "it is called ExponentialDecay(rate, steps, factor, staircase=True)",
        "MultiStepLR": "it is called PiecewiseConstantDecay(steps, rates)",
        "LinearLR": "it is called PolynomialDecay(rate, steps, end)",
        "PolynomialLR": "it is called PolynomialDecay(rate, steps, end)",
        "LambdaLR": _LAMBDA,
        "OneCycleLR": "CosineDecay(rate, steps, warmup_target=top, warmup_steps=steps) rises first",
        "ReduceLROnPlateau": "it is in chainrule.callbacks",
    },
)


class LearningRateSchedule(Configured):
    """Base of schedules: a subclass defines `__call__(step)` and keeps its arguments by name.

    >>> class Halves(LearningRateSchedule):
    ...     def __init__(self, every):
    ...         self.every = every
    ...     def __call__(self, step):
    ...         return 0.5 ** (step // self.every)
    >>> Halves(10)(25)
    0.25
    """

    def __call__(self, step: int) -> float:
        """The learning rate of the step that is taken after `step` others."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")


class _Decay(Configured):
    """What the rates that fall without end have in common: their arguments, and their time."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
    ) -> None:
        self.initial_learning_rate = _rate(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(self, "decay_steps", decay_steps)
        self.decay_rate = _rate(self, "decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def _passed(self, step: int) -> float:
        """How many times `decay_steps` steps have been taken."""
        return step // self.decay_steps if self.staircase else step / self.decay_steps


class ExponentialDecay(_Decay, LearningRateSchedule):
    """A constant factor for every so many steps.

        rate(step) = initial_learning_rate * decay_rate^(step / decay_steps)

    Arguments:
        initial_learning_rate: the rate of the first step, not negative.
        decay_steps: in how many steps the rate is multiplied by `decay_rate`; positive.
        decay_rate: the factor, not negative.
        staircase: only at whole multiples of `decay_steps`, where the quotient is rounded down?

    Raises:
        TypeError, ValueError: an argument is no number, or outside its range.

    Source: Keras, `keras.optimizers.schedules.ExponentialDecay`.

    >>> schedule = ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)
    >>> schedule(0), schedule(20)
    (0.1, 0.025)
    """

    def __call__(self, step: int) -> float:
        """The rate after `step` steps. Raises ValueError if it has grown beyond all numbers."""
        try:
            return float(self.initial_learning_rate * self.decay_rate ** self._passed(step))
        except OverflowError:
            raise ValueError(
                f"ExponentialDecay: decay_rate={self.decay_rate} has made the rate larger than "
                f"any number after {step:,} steps; give one below 1, by which it falls"
            ) from None


class InverseTimeDecay(_Decay, LearningRateSchedule):
    """Falls as one over the time.

        rate(step) = initial_learning_rate / (1 + decay_rate * step / decay_steps)

    Arguments:
        initial_learning_rate: the rate of the first step, not negative.
        decay_steps: the unit in which steps are counted; positive.
        decay_rate: how fast, not negative.
        staircase: only at whole multiples of `decay_steps`, where the quotient is rounded down?

    Raises:
        TypeError, ValueError: an argument is no number, or outside its range.

    Source: Keras, `keras.optimizers.schedules.InverseTimeDecay`.

    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.05
    """

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        return self.initial_learning_rate / (1 + self.decay_rate * self._passed(step))


class PolynomialDecay(LearningRateSchedule):
    """From one rate to another along a power of the time that is left.

        rate(step) = (initial_learning_rate - end_learning_rate) * (1 - s / d)^power
                     + end_learning_rate

    with d = decay_steps and s = min(step, d); with `cycle`, s = step and d the smallest multiple
    of decay_steps that is not less than the step, so that the rate rises again and again.

    Arguments:
        initial_learning_rate: the rate of the first step, not negative.
        decay_steps: after how many steps the end is reached; positive.
        end_learning_rate: the rate from then on, not negative.
        power: 1 is a straight line; positive.
        cycle: begin again at each multiple of `decay_steps`, from ever lower rates?

    Raises:
        TypeError, ValueError: an argument is no number, or outside its range.

    Source: Keras, `keras.optimizers.schedules.PolynomialDecay`.

    >>> schedule = PolynomialDecay(0.5, decay_steps=10, end_learning_rate=0.25)
    >>> schedule(0), schedule(5), schedule(99)
    (0.5, 0.375, 0.25)
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
    ) -> None:
        self.initial_learning_rate = _rate(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(self, "decay_steps", decay_steps)
        self.end_learning_rate = _rate(self, "end_learning_rate", end_learning_rate)
        self.power = number(
            power,
            f"{type(self).__name__}: power",
            "positive, such as 1.0",
            lambda value: 0 < value < math.inf,
        )
        self.cycle = bool(cycle)

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        length = self.decay_steps
        if self.cycle:
            length *= max(1, -(-step // length))
        left = 1 - min(step, length) / length
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * left**self.power + self.end_learning_rate)


class CosineDecay(LearningRateSchedule):
    """Half a wave of the cosine, after a straight rise if `warmup_target` is given.

        rate(step) = start + (warmup_target - start) * step / warmup_steps    if step < warmup_steps
        rate(step) = top * ((1 - alpha) * (1 + cos(pi * s / decay_steps)) / 2 + alpha)   afterwards

    with start = initial_learning_rate and s = min(step - warmup_steps, decay_steps); top is
    `warmup_target`, or, without one, initial_learning_rate, and there is no rise then.

    Arguments:
        initial_learning_rate: the rate of the first step, not negative.
        decay_steps: in how many steps, after the rise, the rate falls; positive.
        alpha: the smallest rate as a share of the greatest, in [0, 1].
        warmup_target: the rate at the end of the rise, not negative, or None.
        warmup_steps: how many steps the rise takes, not negative.

    Raises:
        TypeError, ValueError: an argument is no number, or outside its range.

    Sources: Keras, `keras.optimizers.schedules.CosineDecay`; Loshchilov and Hutter (2017), "SGDR:
    stochastic gradient descent with warm restarts", equation 5, without restarts.

    >>> schedule = CosineDecay(0.0, decay_steps=10, warmup_target=0.5, warmup_steps=2)
    >>> [round(schedule(step), 6) for step in (0, 1, 2, 7, 12, 99)]
    [0.0, 0.25, 0.5, 0.25, 0.0, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = _rate(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = _steps(self, "decay_steps", decay_steps)
        self.alpha = number(
            alpha, f"{type(self).__name__}: alpha", "in [0, 1]", lambda value: 0 <= value <= 1
        )
        self.warmup_target = (
            None if warmup_target is None else _rate(self, "warmup_target", warmup_target)
        )
        self.warmup_steps = _steps(self, "warmup_steps", warmup_steps, least=0)

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        top = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            top, step = self.warmup_target, step - self.warmup_steps
        done = min(step, self.decay_steps) / self.decay_steps
        wave = 0.5 * (1 + math.cos(math.pi * done))
        return top * ((1 - self.alpha) * wave + self.alpha)


class PiecewiseConstantDecay(LearningRateSchedule):
    """One rate up to a step, another up to the next, and so on.

        rate(step) = values[i]  for the first i with step <= boundaries[i], else values[-1]

    Arguments:
        boundaries: steps, whole numbers that increase.
        values: rates, not negative, one more than there are boundaries.

    Raises:
        TypeError, ValueError: an argument is no list, or outside its range.

    Source: Keras, `keras.optimizers.schedules.PiecewiseConstantDecay`.

    >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.05, 0.01])
    >>> schedule(100), schedule(101), schedule(1000)
    (0.1, 0.05, 0.01)
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        where = type(self).__name__
        for name, given in (("boundaries", boundaries), ("values", values)):
            if not isinstance(given, (list, tuple)):
                raise TypeError(f"{where}: {name} must be a list of numbers, got {describe(given)}")
        self.boundaries = [_steps(self, "boundaries", each, least=0) for each in boundaries]
        self.values = [_rate(self, "values", each) for each in values]
        if sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError(f"{where}: boundaries must increase, got {self.boundaries}")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{where}: values must be one more than boundaries, got {len(self.values)} values "
                f"for {len(self.boundaries)} boundaries"
            )

    def __call__(self, step: int) -> float:
        """The rate after `step` steps."""
        pieces = zip(self.boundaries, self.values, strict=False)
        return next((rate for last, rate in pieces if step <= last), self.values[-1])


#: The schedules that a configuration may name, by their class's name.
SCHEDULES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(CosineDecay, ExponentialDecay, InverseTimeDecay),
        *(PiecewiseConstantDecay, PolynomialDecay),
    )
}
#: What a configuration of a schedule may describe.
KIND = Kind("schedule", LearningRateSchedule, SCHEDULES)


def from_config(config: dict[str, Any], place: str = "") -> LearningRateSchedule:
    """A schedule from what `to_config` of one returned.

    Raises ValueError for anything else, and for a class that is unknown.

    >>> from_config(PiecewiseConstantDecay([5], [0.1, 0.01]).to_config())
    PiecewiseConstantDecay(boundaries=[5], values=[0.1, 0.01])
    """
    found: LearningRateSchedule = made(config, KIND, place)
    return found


def _rate(schedule: Configured, name: str, value: Any) -> float:
    rule = "a finite number, not negative, such as 0.01"
    where = f"{type(schedule).__name__}: {name}"
    return number(value, where, rule, lambda rate: 0 <= rate < math.inf)


def _steps(schedule: Configured, name: str, value: Any, least: int = 1) -> int:
    rule = f"a whole number of at least {least}"
    where = f"{type(schedule).__name__}: {name}"
    # int() of what is not finite is an error: the bounds are tested first.
    return int(number(value, where, rule, lambda n: least <= n < math.inf and n == int(n)))
