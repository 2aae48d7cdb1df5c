"""Every kernel written for Numba, on drawn arguments in checked mode: no race, nothing amiss.

The arguments are those with which the families' tests compare results.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.engine.devices import get_device
from chainrule.gpu import emulator, table

from . import parity

pytest.importorskip("greenlet")

HERE = Path(__file__)


def cases() -> dict[str, parity.Case]:
    """The cases of all tests that compare kernels, by the kernel's name."""
    found: dict[str, parity.Case] = {}
    for path in sorted(HERE.parent.glob("test_*.py")):
        if path != HERE and "parity import" in path.read_text("utf-8"):
            module = importlib.import_module(f"{__package__}.{path.stem}")
            for value in vars(module).values():
                if isinstance(value, dict):
                    items = value.items()
                    found.update({k: v for k, v in items if isinstance(v, parity.Case)})
    return found


CASES = cases()


def test_every_kernel_that_is_replaced_has_a_case():
    left = set(table.replacements()) - set(CASES)
    made_of_others = {"index_set"} | {each for each in left if "_sequence" in each}
    checked_there = {"bias_activation", "bias_activation_backward"}  # in test_activations.py
    assert left <= made_of_others | checked_there


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_amiss(name: str):
    case, kernels = CASES[name], get_device("emulated").sets["numba"]

    @settings(max_examples=10)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        dtype = data.draw(st.sampled_from(parity.DTYPES))
        arguments = case.draw(data.draw, dtype, st.integers(1, 40))
        given = [np.array(each) if isinstance(each, np.ndarray) else each for each in arguments]
        schedule = data.draw(st.sampled_from(parity.SCHEDULES))
        with emulator.schedule(schedule), emulator.checked(), np.errstate(all="ignore"):
            getattr(kernels, name)(*given)

    run()
