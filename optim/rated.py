"""What an optimiser is made with: its learning rate, a number or a schedule, and the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from chainrule.engine.configured import Configured, plain

from .arguments import number
from .clipping import Clipping
from .schedules import LearningRateSchedule
from .schedules import from_config as schedule_from_config

#: Arguments of optimisers elsewhere, and what stands for them here.
ELSEWHERE = {
    "lr": "it is called learning_rate",
    "params": "it is called parameters",
    "betas": "they are called beta_1 and beta_2",
    "eps": "it is called epsilon",
    "max_norm": "it is called global_clipnorm",
    "grad_clip": "there are clipnorm, clipvalue and global_clipnorm",
    "decay": "give learning_rate a schedule, as optim.schedules.InverseTimeDecay(0.1, 1000, 0.5)",
}

#: Attributes of optimisers elsewhere, and what stands for them here.
ATTRIBUTES = {
    "state_dict": "it is called state(), a dict of numbers and NumPy arrays",
    "load_state_dict": "it is called load_state(state)",
    "param_groups": "there is one learning_rate, an attribute; parameters are in parameters",
    "add_param_group": "attach(parameters) gives an optimiser its parameters; make another one for "
    "others",
    "get_weights": "state() has what it remembers",
    "set_weights": "load_state(state) takes what state() returned",
    "variables": "state() has what it remembers",
    "weights": "state() has what it remembers",
    "apply_gradients": "step() goes by the grad of each parameter, which loss.backward() makes",
    "apply": "step() goes by the grad of each parameter, which loss.backward() makes",
    "minimize": "zero_grad(), loss.backward(), step()",
    "build": "it is called attach(parameters)",
    "defaults": "get_config() has its arguments",
}


class Rated(Configured):
    """A rule with a learning rate, and with its other constructor arguments in `settings`.

    Arguments: `learning_rate`, positive, or a schedule; `clipping`, or None.

    Raises ValueError if the rate is outside its range; TypeError if it is no number.
    """

    elsewhere = ELSEWHERE

    def __init__(
        self, learning_rate: float | Callable[[int], float], clipping: Clipping | None
    ) -> None:
        self._clipping = clipping
        self._iterations = 0
        self._learning_rate = 0.0
        self._schedule = _schedule(learning_rate)
        if self._schedule is None:
            self._learning_rate = number(
                learning_rate,
                f"{type(self).__name__}: learning_rate",
                "positive, such as 0.01; to keep a parameter as it is, set its requires_grad=False",
                lambda rate: 0 < rate < math.inf,
            )
        else:
            self._learning_rate = self._scheduled(self._schedule)
        # What it was made with, which tells whether a program is the same as when it was begun.
        self._given_rate = self._rule_of_rate()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Explains an attribute that is missing."""
            if name in ATTRIBUTES:
                where = type(self).__name__
                raise AttributeError(f"{where} has no attribute {name!r}; {ATTRIBUTES[name]}")
            return object.__getattribute__(self, name)  # raises again what a property has raised

    def _renamed(self, value: Any = None) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}: lr is called learning_rate")

    lr = property(_renamed, _renamed)  # or setting it would change nothing, without a word

    @property
    def learning_rate(self) -> float:
        """How far the next step goes. A number may be set between steps, 0 too, or a schedule.

        A number takes the place of a schedule.
        """
        return self._learning_rate if self._schedule is None else self._scheduled(self._schedule)

    @learning_rate.setter
    def learning_rate(self, value: float | Callable[[int], float]) -> None:
        schedule = _schedule(value)
        rate = self._checked_rate(value) if schedule is None else self._scheduled(schedule)
        self._learning_rate, self._schedule = rate, schedule

    @property
    def schedule(self) -> Callable[[int], float] | None:
        """What gives the rate of each step; None if it is a number."""
        return self._schedule

    @property
    def iterations(self) -> int:
        """How many times `step` has been called."""
        return self._iterations

    def _rule_of_rate(self) -> Any:
        """The schedule; without one, the number."""
        return self._learning_rate if self._schedule is None else self._schedule

    def _checked_rate(self, value: Any, what: str = "learning_rate") -> float:
        return number(
            value,
            f"{type(self).__name__}: {what}",
            "a finite number, not negative, such as 0.01",
            lambda rate: 0 <= rate < math.inf,
        )

    def _scheduled(self, schedule: Callable[[int], float]) -> float:
        """The rate of the next step by a schedule."""
        what = f"learning_rate, what {schedule!r} gives at step {self._iterations},"
        return self._checked_rate(schedule(self._iterations), what)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of the rule other than the learning rate, by name."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """Its constructor arguments as plain data, the parameters excepted.

        The learning rate is the one that it has now; see `made_with`.

        Raises TypeError if a function of your own gives the learning rate.

        >>> import chainrule as cr
        >>> cr.optim.SGD(learning_rate=0.5, momentum=0.9, clipnorm=1.0).get_config()["clipnorm"]
        1.0
        """
        return self._config(self._rule_of_rate())

    def made_with(self) -> dict[str, Any]:
        """Class and arguments as `to_config` has them, with the learning rate given at first.

        Raises TypeError if a function of your own gave it.
        """
        return {"class_name": type(self).__name__, "config": self._config(self._given_rate)}

    def _config(self, rate: Any) -> dict[str, Any]:
        where = f"{type(self).__name__}.get_config: argument "
        told = {"learning_rate": rate, **self.settings}
        if self._clipping is not None:
            told[self._clipping.name] = self._clipping.limit
        return {name: plain(value, f"{where}{name!r}") for name, value in told.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """One without parameters from what `get_config` returned; see `attach`."""
        config = dict(config)
        rate = config.get("learning_rate")
        if isinstance(rate, dict):
            config["learning_rate"] = schedule_from_config(rate, place="learning_rate")
        if rate != 0 or isinstance(rate, bool):
            return cls(**config)
        del config["learning_rate"]  # 0 can be set, but not given
        made = cls(**config)
        made.learning_rate = rate
        return made

    def __repr__(self) -> str:
        told = {"learning_rate": self._rule_of_rate(), **self.settings}
        if self._clipping is not None:
            told[self._clipping.name] = self._clipping.limit
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in told.items())})"


def _schedule(rate: Any) -> Callable[[int], float] | None:
    """What gives the rate of each step, if it is no number.

    Raises TypeError for a class in the place of a schedule.
    """
    if isinstance(rate, type):
        raise TypeError(f"learning_rate: got the class {rate.__name__}; write {rate.__name__}(...)")
    return rate if isinstance(rate, LearningRateSchedule) or callable(rate) else None
