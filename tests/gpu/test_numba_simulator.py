"""The emulator gives what Numba's own simulator gives, for kernels that the simulator can run.

It knows no shuffles, and is chosen before Numba is imported: launches are recorded here, and run
again in a process of their own.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest

from chainrule.engine.devices import get_device
from chainrule.engine.windows import windows
from chainrule.gpu.backends import NumbaEmulated
from chainrule.gpu.emulator.numba_language import cuda
from chainrule.gpu.families.matmul import tiled_matmul

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
    with np.errstate(all="ignore"):
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
    mask = RNG.integers(0, 2, 70).astype(np.uint8)
    n, key = np.int64(70), np.uint64(2**63 + 12345)
    x, y = numbers(70, real), numbers(70, real)
    table, turned = numbers(11 * 13, real), numbers(11 * 13, real)
    drawn: list[tuple[str, tuple[int, ...], int, list[Any]]] = [
        ("elementwise", (2,), 32, [x, mask, y, n, np.dtype(real).type(1.5)]),
        ("row_sums", (3,), 64, [numbers(3 * 100, real), numbers(3, real), np.int32(100)]),
        ("transpose", (2, 2), 64, [table, turned, np.int32(11), np.int32(13)]),
        ("histogram", (2,), 32, [RNG.integers(0, 99, 70), np.zeros(16, np.int32), n]),
        ("scrambled", (3,), 32, [np.zeros(70, np.uint64), n, key]),
    ]
    return [Launch(numba_examples.__name__, name, real, *rest) for name, *rest in drawn]


def numbers(shape: Any, real: str = "float32") -> Any:
    """Random numbers of both signs."""
    return RNG.normal(size=shape).astype(real)


def of_the_project(k: Any) -> None:
    """Calls the project's kernels that use neither shuffles nor many blocks."""
    seen = windows((5, 6), (2, 3), (1, 2), "same", 1)
    x = numbers((2, 5, 6, 2))
    k.im2col(x[..., :1], seen)
    k.col2im(numbers((*seen.window, 2, *seen.lengths, 1)), seen)
    y = k.max_pool(x, (2, 3), (1, 2), "same")
    k.max_pool_backward(numbers(y.shape), y, x, (2, 3), (1, 2), "same")
    k.avg_pool(x, (2, 2), (2, 2), "valid")
    tiled_matmul(k, numbers((5, 3)), numbers((3, 4)))


def recorded(call: Callable[[Any], None]) -> list[Launch]:
    """The launches of Numba's kernels in a call on the emulated device, each before it is made."""
    launches: list[Launch] = []
    launch = NumbaEmulated.launch

    def note(self: Any, entry: Any, real: str, grid: Any, shared: int, arguments: Any) -> None:
        given = [np.array(each).reshape(-1) if np.ndim(each) else each for each in arguments]
        module = f"chainrule.gpu.numba_kernels.{entry.family}"
        launches.append(Launch(module, entry.name, real, grid, entry.block, given))
        launch(self, entry, real, grid, shared, arguments)

    with mock.patch.object(NumbaEmulated, "launch", note):
        call(get_device("emulated").sets["numba"])
    return launches


@pytest.fixture(scope="module")
def launches() -> list[Launch]:
    return [*examples("float32"), *examples("float64"), *recorded(of_the_project)]


def test_the_emulator_gives_what_the_simulator_gives(launches: list[Launch], tmp_path: Path):
    for each, expected in zip(launches, simulated(launches, tmp_path), strict=True):
        factory = importlib.import_module(each.module).kernels
        kernel = factory(cuda, np.dtype(each.real).type)[each.name]
        changed = zip(each.arguments, expected, strict=True)
        assert any(np.any(before != after) for before, after in changed), each.name
        for schedule in ("forward", "reverse", "shuffle:3"):
            arguments = [value.copy() for value in each.arguments]
            kernel.launch(
                each.grid, each.block, arguments, schedule=schedule, checked=schedule != "reverse"
            )
            for got, other in zip(arguments, expected, strict=True):
                # The simulator's functions are of float64, whatever they are given.
                eps = np.finfo(each.real).eps if got.dtype.kind == "f" else 0
                np.testing.assert_allclose(got, other, 16 * eps, 4 * eps, err_msg=each.name)


def test_launches_of_the_project_are_among_them(launches: list[Launch]):
    names = {each.name for each in launches}
    assert names >= {"im2col", "col2im", "max_pool", "avg_pool", "tiled_matmul", "row_sums"}
