"""The state of the global sources of random numbers: chainrule's, NumPy's and Python's."""

from __future__ import annotations

import random as python_random
from typing import Any

import numpy as np

from chainrule.engine import random

from .generators import kind_of


def global_states() -> dict[str, Any]:
    """The state of chainrule's source, and of the global ones of NumPy and of Python."""
    version, words, gauss = python_random.getstate()
    then = random.moment()
    return {
        "chainrule": {
            "generator": then.generator,
            "key": then.key,
            "reserved": then.reserved,
        },
        "numpy": np.random.get_state(legacy=False),
        "python": {
            "version": version,
            "words": np.array(words, np.uint32),
            "gauss": gauss,
        },
    }


def load_global_states(state: dict[str, Any]) -> None:
    """Take on what `global_states()` returned.

    Raises:
        ValueError, TypeError, KeyError: it is no such state; some may have been taken on by then.
    """
    then, now = kind_of(state["numpy"]), kind_of(dict(np.random.get_state(legacy=False)))
    if then != now:
        raise ValueError(
            f"fit: NumPy's global generator was a {then} when the checkpoint was written, and is a "
            f"{now} now; call np.random.set_bit_generator as the run's program did"
        )
    own = state["chainrule"]
    random.load(random.Moment(own["generator"], int(own["key"]), int(own["reserved"])))
    np.random.set_state(state["numpy"])
    python = state["python"]
    words = tuple(int(word) for word in python["words"])
    python_random.setstate((python["version"], words, python["gauss"]))
