"""What docs/gpu.md says that the doctor says is what it says, on machines made up for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chainrule import doctor
from chainrule.gpu import trial
from tests.gpu.machines import FakeDriver, machine, probe_module

__all__ = ["machine"]  # a fixture

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gpu.md"
QUOTED = re.compile(r"<!-- doctor: (\w+) -->\n```text\n(.*?)```", re.DOTALL)
MACHINES = {
    "complete": (FakeDriver(12040), {"cupy-cuda12x": "14.2.0", "numba-cuda": "0.30.4"}),
    "packages": (FakeDriver(13000), {}),
    "newer": (FakeDriver(12040), {"cupy-cuda13x": "14.2.0", "numba-cuda": "0.30.4"}),
    "nothing": (None, {}),
}


def quotations() -> dict[str, str]:
    return dict(QUOTED.findall(PAGE.read_text(encoding="utf-8")))


def test_the_page_quotes_each_machine() -> None:
    assert set(quotations()) == set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_the_doctor_says_what_the_page_says(machine, monkeypatch, name: str) -> None:
    monkeypatch.setattr(probe_module, "try_cupy_apart", lambda install: None)
    machine(*MACHINES[name])
    lines, mine = [], False
    for device, told in doctor.devices():
        mine = device == "cuda" or (mine and not device)
        if mine:
            lines.append(f"{device.ljust(8)}  {told}")
    assert "\n".join(lines) + "\n" == quotations()[name]


def test_a_trial_is_what_would_be_run() -> None:
    assert probe_module.try_cupy_apart is trial.try_cupy_apart
