"""From times to rows: whose ratio, to whom, and which rounds go together."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.cpu.report import details, quantity, summary
from benchmarks.cpu.results import best, pairwise, result, timing
from benchmarks.cpu.rounds import steps_of_slice

EAGER, COMPILED = ("eager",), ("eager", "compiled")


def row(against=COMPILED, target=0.7):
    """Three rounds on a machine that is three times slower in the second."""
    slow = np.array([1.0, 3.0, 1.0])
    made = [
        timing("ours", "ours", [[0.5 * s] * 3 for s in slow]),
        timing("ours, MKL", "ours", [[0.25 * s] * 3 for s in slow]),
        timing("same, otherwise", "beside", [[0.01 * s] for s in slow]),
        timing("eager", "eager", [[1.0 * s] for s in slow]),
        timing("slower", "eager", [[2.0 * s] for s in slow]),
        timing("compiled", "compiled", [[0.4 * s] for s in slow]),
    ]
    return result("p0", "a made-up row", target, against, made, {"absent": "is not installed"})


def test_ratios_are_those_of_the_same_round():
    """A drift that both see cancels; the ratio of medians of different rounds would keep it."""
    drift = np.exp(np.random.default_rng(0).normal(0, 2, 31))
    assert pairwise(0.6 * drift, drift) == pytest.approx(0.6)
    assert pairwise([1, 1, 9], [2, 2, 2]) == 0.5  # and one round's mishap does not count


def test_the_best_peer_is_one_for_all_rounds():
    """Each was lucky once: the least of each round would be a peer that does not exist."""
    a = timing("a", "eager", [[1.0], [2.0], [2.0]])
    b = timing("b", "eager", [[2.5], [1.0], [2.5]])
    chosen = best([a, b], EAGER)
    assert chosen is a
    assert pairwise([2.0, 2.0, 2.0], chosen.slices) == 1.0


def test_a_row_compares_with_the_peers_that_count():
    found = row()
    assert found.best == "compiled" and found.best_of_all is None
    assert found.ratios == pytest.approx({"ours": 1.25, "ours, MKL": 0.625})
    assert found.figure == pytest.approx(0.625) and found.reached
    eager = row(EAGER, target=0.2)
    assert (eager.best, eager.best_of_all) == ("eager", "compiled")
    assert eager.ratios == pytest.approx({"ours": 0.5, "ours, MKL": 0.25})
    assert eager.beside == pytest.approx({"ours": 1.25, "ours, MKL": 0.625})
    assert eager.reached is False


def test_without_peers_there_is_no_verdict():
    alone = result("p0", "alone", 0.5, COMPILED, [timing("ours", "ours", [[1.0]])], {})
    assert (alone.best, alone.ratios, alone.figure, alone.reached) == (None, {}, None, None)
    assert "ours" in summary([alone])


def test_a_slice_counts_by_its_median():
    assert timing("it", "eager", [[1, 1, 50], [2, 2, 2], [3, 3, 3]]).seconds == 2
    assert timing("it", "eager", [[1, 1, 50], [2, 2, 2], [3, 3, 3]]).least == 1
    found = row()
    assert found.least == pytest.approx({"ours": 1.25, "ours, MKL": 0.625})


def test_what_is_printed_tells_who_is_absent_and_what_is_missed():
    text = details(row())
    assert "absent" in text and "is not installed" in text
    assert text.index("compiled") < text.index("slower")  # the fastest first
    table = summary([row(), row(EAGER, target=0.2)]).splitlines()
    assert "reached" in table[1] and "0.625" in table[1]
    assert "missed" in table[2] and "1.250, 0.625 of compiled" in table[2]


def test_slices_are_as_long_as_is_asked_but_not_too_short():
    assert steps_of_slice(1e-3, 0.1, 2000) == 100
    assert steps_of_slice(1.0, 0.1, 2000) == 3
    assert steps_of_slice(1e-9, 0.1, 2000) == 2000
    assert quantity(0.1e-6) == "100 ns"
