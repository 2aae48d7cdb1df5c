"""One contender in a process of its own, which does what it is asked line by line.

A question is a line of JSON, {"do": name, ...}, and so is the answer, {"error": ...} if it failed.
Whatever libraries print goes to standard error.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .memory import forget_peak, peak_bytes, resident_bytes, trim
from .workload import Program, Workload, workloads

#: Steps before any is timed, and seconds of them: kernels are compiled, pools are made.
WARM_UP_STEPS, WARM_UP_SECONDS = 3, 0.3
SMOKE_SECONDS = 0.01
#: Steps that a slice has at least.
LEAST_STEPS = 3


class Worker:
    """What can be asked of it: the methods, by their names."""

    def __init__(self) -> None:
        self.workload: Workload | None = None
        self.program: Program | None = None

    def prepare(self, workload: str, builder: str, smoke: bool) -> dict[str, Any]:
        """Builds the program and warms it up; the seconds that a step seems to take."""
        self.program = None
        self.workload = workloads(smoke)[workload]
        self.program = self.workload.programs[builder]()
        taken: list[float] = []
        end = time.perf_counter() + (SMOKE_SECONDS if smoke else WARM_UP_SECONDS)
        while len(taken) < WARM_UP_STEPS or time.perf_counter() < end:
            taken += self.run(0, 1, len(taken))["times"]
        return {"seconds": float(np.median(taken[1:])), "first": taken[0]}

    def run(
        self, untimed: int, steps: int, seed: int, patience: float = math.inf
    ) -> dict[str, Any]:
        """The seconds of each of some steps on batches that are drawn anew before.

        After `patience` seconds no more than three are waited for: where others use the machine
        too, threads that wait for each other can take a hundred times as long as they seemed to.
        """
        if self.workload is None or self.program is None:
            raise RuntimeError("prepare a workload first")
        generator = np.random.default_rng((2, seed))
        draw, convert, step = self.workload.draw, self.program.convert, self.program.step
        count = max(1, min(steps, self.workload.pool))
        batches = [convert(draw(generator)) for _ in range(count)]
        times, clock, result = [], time.perf_counter, None
        end = clock() + patience
        for i in range(untimed):
            step(batches[i % count])
            if clock() > end:
                break
        end = clock() + patience
        for i in range(steps):
            if i >= LEAST_STEPS and clock() > end:
                break
            batch = batches[i % count]
            begin = clock()
            result = step(batch)
            times.append(clock() - begin)
        return {"times": times, "result": result if isinstance(result, float) else None}

    def memory(self, workload: str, builder: str, steps: int, smoke: bool) -> dict[str, Any]:
        """The peak of resident memory in some steps, beyond what a tiny one has loaded."""
        self.prepare(workload, builder, smoke=True)
        if builder == "chainrule":
            # The tiny size needs no Numba, which goes on importing until it has loaded a kernel.
            importlib.import_module("chainrule.engine.kernels.compiled.threads").pool()
        self.program = None
        trim()
        before = resident_bytes()
        forget_peak()
        self.workload = workloads(smoke)[workload]
        self.program = self.workload.programs[builder]()
        for i in range(steps):
            self.run(0, 1, i)
        peak = peak_bytes()
        return {"before": before, "peak": peak, "beyond": peak - before}

    def growth(self, kind: str, sizes: list[int], seconds: float) -> dict[str, Any]:
        """How time and memory grow: see `growth`."""
        from .growth import points

        return {"points": points(kind, sizes, seconds)}

    def limits(self, smoke: bool) -> dict[str, Any]:
        """What this machine gives at most: rates of products, and copy bandwidth by NumPy."""
        from chainrule.engine.kernels import numba_products

        size, length = (200, 100_000) if smoke else (1000, 20_000_000)
        generator = np.random.default_rng(0)
        a, b = generator.standard_normal((2, size, size), np.float32)
        source = np.ones(length, np.float32)
        target = np.empty_like(source)
        ours = _least(lambda: numba_products.matmul(a, b), 50)
        copy = _least(lambda: np.copyto(target, source), 50)
        mkl = _mkl(a, b)
        others = {} if mkl is None else {"gemm_flops_mkl": 2 * size**3 / _least(mkl, 50)}
        product = _least(lambda: a @ b, 50)
        return {
            "gemm_flops": 2 * size**3 / product,
            "gemm_flops_ours": 2 * size**3 / ours,
            **others,
            "copy_bytes_per_second": 2 * source.nbytes / copy,
        }


def _mkl(a: Any, b: Any) -> Any:
    """The product of two square matrices by MKL, if its package is installed."""
    found = [*Path(sys.prefix, "lib").glob("libmkl_rt.so*")]
    if not found:
        return None
    multiply, size, c = ctypes.CDLL(str(found[0])).cblas_sgemm, len(a), np.empty_like(a)
    rows, plain, one, zero = 101, 111, ctypes.c_float(1), ctypes.c_float(0)
    shape = (rows, plain, plain, size, size, size)

    def product() -> None:
        p, q, r = (ctypes.c_void_p(each.ctypes.data) for each in (a, b, c))
        multiply(*shape, one, p, size, q, size, zero, r, size)

    return product


def _least(function: Any, repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def serve(questions: TextIO, answers: TextIO) -> None:
    """Answers until the questions end, or one asks to quit."""
    worker = Worker()
    for line in questions:
        question = json.loads(line)
        name = question.pop("do")
        if name == "quit":
            return
        try:
            answer = getattr(worker, name)(**question)
        except Exception as error:  # the parent leaves the contender out, and says why
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Speaks by the standard streams that it was started with."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
