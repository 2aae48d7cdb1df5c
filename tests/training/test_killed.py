"""A process that is killed while it trains, at any moment, loses nothing that matters."""

from __future__ import annotations

import sys

import pytest

from benchmarks.reliability import kill

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.mark.slow
def test_runs_that_are_killed_end_as_if_they_had_not_been():
    """The short form of `python -m benchmarks reliability kill`, which kills more runs."""
    found = kill.measure(runs=3, kills=2, seed=1)
    counts = found.details["counts"]
    assert not found.faults
    assert counts["runs"] == 3
    assert counts["kills"] >= 3
    # It says nothing if no kill hit a run that had something to go on from.
    assert counts["resumed amid an epoch"] > 0
    assert counts["read whole"] > 0
