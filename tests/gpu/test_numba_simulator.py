"""The emulator gives what Numba's own simulator gives, for kernels that the simulator can run.

It knows no shuffles, and is chosen before Numba is imported: launches are recorded here, and run
again in a process of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from chainrule.gpu.emulator.numba_language import cuda

from . import numba_examples

pytest.importorskip("numba_cuda")
pytest.importorskip("greenlet")

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(5)

AGAIN = """
import importlib, json, sys
import numpy as np
from numba import cuda
from numba.cuda.simulator import kernel

class Simulated:
    # While a kernel runs, the simulator puts another module in the place of numba.cuda, where that
    # is a global name; here it is an argument of the function around the kernel.
    jit = staticmethod(cuda.jit)
    def __getattr__(self, name):
        return getattr(kernel._get_kernel_context(), name)

folder, launches = sys.argv[1], json.loads(sys.argv[2])
given, results, made = np.load(folder + "/given.npz"), {}, {}
for i, (module, name, real, grid, block, count) in enumerate(launches):
    if (module, real) not in made:
        factory = importlib.import_module(module).kernels
        made[module, real] = factory(Simulated(), np.dtype(real).type)
    arguments = [given[f"{i} {j}"] for j in range(count)]
    arguments = [each if each.ndim else each[()] for each in arguments]
    made[module, real][name][tuple(grid), block](*arguments)
    results.update({f"{i} {j}": each for j, each in enumerate(arguments)})
np.savez(folder + "/results.npz", **results)
"""


class Launch(NamedTuple):
    """One launch of a kernel that `module.kernels` makes; arrays of `arguments` are changed."""

    module: str
    name: str
    real: str
    grid: tuple[int, ...]
    block: int
    arguments: list[Any]


def simulated(launches: list[Launch], folder: Path) -> list[list[Any]]:
    """The arguments of each launch, as Numba's simulator leaves them."""
    given = {
        f"{i} {j}": value for i, each in enumerate(launches) for j, value in enumerate(each[-1])
    }
    np.savez(folder / "given.npz", **given)
    told = json.dumps([[*each[:-1], len(each.arguments)] for each in launches])
    subprocess.run(
        [sys.executable, "-c", AGAIN, str(folder), told],
        cwd=ROOT,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        check=True,
        timeout=300,
    )
    with np.load(folder / "results.npz") as results:
        return [
            [results[f"{i} {j}"] for j in range(len(each.arguments))]
            for i, each in enumerate(launches)
        ]


def examples(real: str) -> list[Launch]:
    """Launches of the examples on drawn arguments."""

    def numbers(size: int) -> Any:
        return RNG.normal(size=size).astype(real)

    mask = RNG.integers(0, 2, 70).astype(np.uint8)
    n, key = np.int64(70), np.uint64(2**63 + 12345)
    drawn: list[tuple[str, tuple[int, ...], int, list[Any]]] = [
        ("elementwise", (2,), 32, [numbers(70), mask, numbers(70), n, np.dtype(real).type(1.5)]),
        ("row_sums", (3,), 64, [numbers(3 * 100), numbers(3), np.int32(100)]),
        ("transpose", (2, 2), 64, [numbers(11 * 13), numbers(11 * 13), np.int32(11), np.int32(13)]),
        ("histogram", (2,), 32, [RNG.integers(0, 99, 70), np.zeros(16, np.int32), n]),
        ("scrambled", (3,), 32, [np.zeros(70, np.uint64), n, key]),
    ]
    module = numba_examples.__name__
    return [Launch(module, name, real, *rest) for name, *rest in drawn]


def test_the_emulator_gives_what_the_simulator_gives(tmp_path: Path):
    launches = [each for real in ("float32", "float64") for each in examples(real)]
    made: dict[str, Any] = {}
    for each, expected in zip(launches, simulated(launches, tmp_path), strict=True):
        kind = np.dtype(each.real).type
        kernels = made.setdefault(each.real, numba_examples.kernels(cuda, kind))
        changed = zip(each.arguments, expected, strict=True)
        assert any(np.any(before != after) for before, after in changed), each.name
        for schedule in ("forward", "reverse", "shuffle:3"):
            arguments = [value.copy() for value in each.arguments]
            kernels[each.name].launch(
                each.grid, each.block, arguments, schedule=schedule, checked=schedule != "reverse"
            )
            for got, other in zip(arguments, expected, strict=True):
                # The simulator's functions are of float64, whatever they are given.
                eps = np.finfo(each.real).eps if got.dtype.kind == "f" else 0
                np.testing.assert_allclose(got, other, rtol=16 * eps, atol=4 * eps)
