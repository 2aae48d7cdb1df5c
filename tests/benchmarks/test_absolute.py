"""P8 to P10: processes that start, memory at its peak, growth beside the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cpu import growth, startup
from benchmarks.cpu.chart import draw_growth
from benchmarks.cpu.memory import forget_peak, peak_bytes, resident_bytes
from benchmarks.cpu.suite import Options
from benchmarks.cpu.worker import Worker

LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="not Linux")
ALONE = Options(smoke=True, rounds=1, only=("chainrule",))


def test_the_first_step_of_the_main_job_is_reached_with_an_empty_cache():
    name, limit = "p8-cold", 2.0**30  # a ratio to it is exact
    row = startup._first_step(ALONE, name, "no kernel compiled before", limit, cold=True)
    assert not row.left_out
    (ours,) = row.ours
    assert 0 < ours.seconds == row.ratios["chainrule"] * limit


def test_what_cannot_start_is_told():
    def fails():
        raise OSError("no such file\n")

    found, failed = startup._turns({"a": ("ours", lambda: 2.0), "b": ("eager", fails)}, 3)
    assert [each.name for each in found] == ["a"] and found[0].slices == [2.0] * 3
    assert failed == {"b": "no such file"}


@LINUX
def test_the_peak_is_found_after_it_has_passed():
    forget_peak()
    before = resident_bytes()
    array = np.ones(8_000_000)  # written to, so that it is resident
    size = array.nbytes
    del array
    assert 0.9 * size < peak_bytes() - before < 1.5 * size
    forget_peak()
    assert peak_bytes() - before < 0.9 * size


@LINUX
def test_memory_beyond_the_tiny_run_is_what_is_reported():
    found = Worker().memory("p1-adam", "chainrule", steps=1, smoke=True)
    assert found["beyond"] == found["peak"] - found["before"] >= 0


@pytest.mark.parametrize("kind", list(growth.KINDS))
def test_what_grows_is_measured_beside_the_model(kind):
    small, large = growth.points(kind, growth.KINDS[kind][2], 0.0)
    assert 0 < small["seconds"] < float("inf")
    assert small["operations"] < large["operations"]
    assert small["memory"] < large["memory"] and small["bytes"] < large["bytes"]


def test_the_largest_step_is_found_where_it_is():
    """A cliff of a factor 5 between 100 and 1,000, in what else grows as the square root."""
    sizes = [1, 10, 100, 1000, 10_000]
    found = [{"size": n, "seconds": n**0.5 * (5 if n > 100 else 1), "operations": n} for n in sizes]
    worst, where = growth.largest(found, "seconds", "operations")
    assert worst == pytest.approx(5 / 10**0.5) and where == "from 100 to 1,000"


def test_the_rows_of_growth_and_their_picture(monkeypatch, tmp_path):
    """Of a chain, whose time is told by a worker that takes three halves of the length."""

    class Told:
        def __init__(self, environment):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def ask(self, do, kind, sizes, seconds):
            return {
                "points": [
                    {"size": n, "operations": n, "memory": n, "seconds": n**1.5, "bytes": n}
                    for n in map(float, sizes)
                ]
            }

    monkeypatch.setattr(growth, "Process", Told)
    monkeypatch.setattr(growth, "KINDS", {"chain": growth.KINDS["chain"]})
    rows = {each.workload: each for each in growth.run(Options(only=("chainrule",)))}
    assert rows["p10-chain-time"].figure == pytest.approx(10**0.5)
    assert rows["p10-chain-time"].reached is False
    assert rows["p10-chain-memory"].figure == 1 and rows["p10-chain-memory"].reached
    picture = tmp_path / "growth.png"
    draw_growth(picture, list(rows.values()), "here")
    assert picture.read_bytes().startswith(b"\x89PNG")
