"""Optimiser kernels: when they are compiled, and that threads share them without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule.engine.devices import get_device
from chainrule.engine.kernels import numba_optimizers
from chainrule.engine.kernels.compiled import optimizers, threads
from chainrule.engine.threads import cores

from .test_kernel_parity import compare, fresh

CALLS: dict[str, list[Any]] = {
    "sgd_step": [0.1, 0.9, True, 0.01],
    "adam_step": [0.1, 0.9, 0.999, 1e-8, 0.01, 3],
    "sum_of_squares": [],
}
#: How many arrays each takes before them.
ARRAYS = {"sgd_step": 3, "adam_step": 4, "sum_of_squares": 1}


@pytest.mark.parametrize("kernel", sorted(numba_optimizers.THRESHOLDS))
def test_just_below_and_at_the_threshold(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the thresholds as they are: equal to the reference on both sides, compiled on one."""
    found = optimizers.summer if kernel == "sum_of_squares" else optimizers.stepper
    random = np.random.default_rng(0)
    limit = numba_optimizers.THRESHOLDS[kernel] // 4
    for size in (limit - 1, limit):
        arrays = [np.abs(random.standard_normal(size)).astype(np.float32) for _ in range(4)]
        arguments: list[Any] = [*arrays[: ARRAYS[kernel]], *CALLS[kernel]]
        compare("cpu", "numba", kernel, arguments)
        monkeypatch.setattr(numba_optimizers, "_loaded", False)  # then short runs are compiled too
        before = found.cache_info()
        getattr(get_device("cpu").sets["numba"], kernel)(*fresh(arguments, np))
        after = found.cache_info()
        assert (after.hits + after.misses > before.hits + before.misses) is (size == limit)


@pytest.mark.parametrize("kernel", sorted(numba_optimizers.THRESHOLDS))
def test_optimiser_kernels_do_not_depend_on_the_number_of_threads(kernel: str) -> None:
    """To the bit, in runs that are shared and do not divide evenly."""
    random = np.random.default_rng(1)
    arrays = [abs(random.standard_normal(200_003)) for _ in range(ARRAYS[kernel])]
    outcomes: list[list[Any]] = []
    try:
        for count in (1, 2, 3):
            threads.limit(count)
            arguments = [*(each.copy() for each in arrays), *CALLS[kernel]]
            returned = getattr(get_device("cpu").sets["numba"], kernel)(*arguments)
            outcomes.append([returned, *arguments[: ARRAYS[kernel]]])
    finally:
        threads.limit(cores())
    for other in outcomes[1:]:
        for a, b in zip(outcomes[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_short_and_compiled_adam_steps_agree_to_the_bit(
    dtype: str, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Denormal, huge and infinite numbers too, or a step would depend on what was loaded before."""
    random, outcomes = np.random.default_rng(2), []
    drawn = [random.standard_normal(1_003) * 10.0 ** random.integers(-44, 38, 1_003) for _ in "wgm"]
    drawn.append(abs(drawn[0] * drawn[1]))
    with np.errstate(all="ignore"):
        for threshold, loaded in ((2**30, False), (2**30, True), (0, False)):
            monkeypatch.setitem(numba_optimizers.THRESHOLDS, "adam_step", threshold)
            monkeypatch.setattr(numba_optimizers, "_loaded", loaded)
            arrays = [each.astype(dtype) for each in drawn]
            for t in (1, 2, 500):
                numba_optimizers.adam_step(*arrays, 0.01, 0.9, 0.999, 1e-8, decay, t)
            outcomes.append(arrays)
    for other in outcomes[1:]:
        for a, b in zip(outcomes[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.isfinite(outcomes[0][0]).sum() > 500
