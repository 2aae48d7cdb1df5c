"""P10: how time and memory grow with the batch, the width and the length of a graph.

From one size to the next neither may grow by more than the cost model's count does (DERIVATIONS
2.6: operations and bytes, both exact) but for a tenth; of a chain, by more than its length. What is
above that is a cliff: a cache that is left, a kernel that is chosen badly, garbage that is walked.
Times are the least of some repeats in turns over the sizes, bytes what NumPy and Python allocate at
most (`tracemalloc`), from the model's making to its second step.
"""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .contenders import CONTENDERS
from .results import Result, Timing, result
from .rounds import ContenderError, Process
from .suite import Options

#: How often it is each size's turn.
ROUNDS = 4
#: What a step may exceed the model's by.
TARGET = 1.1

BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
WIDTHS = (50, 100, 250, 500, 1000, 2000, 4000)
LENGTHS = (100, 1_000, 10_000, 100_000, 1_000_000)

#: By what grows: what it is, its sizes, and those of a smoke run.
KINDS: dict[str, tuple[str, Sequence[int], Sequence[int]]] = {
    "batch": ("MLP 100-500-500-10, Adam, batch 1 to 4096", BATCHES, (4, 16)),
    "width": ("MLP 100-n-n-10, Adam, batch 32, n from 50 to 4000", WIDTHS, (8, 16)),
    "chain": ("a chain of 100 to 1,000,000 operations, forward and backward", LENGTHS, (10, 100)),
}


def points(kind: str, sizes: Sequence[int], seconds: float) -> list[dict[str, float]]:
    """For each size what is measured and what the model says; `seconds` are spent on each.

    "predicted" is the time that `model.cost` foretells from smaller batches.
    """
    found: list[dict[str, float]] = []
    for size in sizes:
        if kind != "chain" or not found:
            _made(kind, size)[1]()  # loads what is loaded on demand
        point = {"size": float(size), "seconds": float("inf")}
        tracemalloc.start()
        model, step = _made(kind, size)
        for _ in range(2):
            step()
        point["bytes"] = float(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        if model is None:
            point |= {"operations": float(size), "memory": float(size)}
        else:
            cost = model.cost(size if kind == "batch" else 32)
            point |= {"operations": float(cost.operations), "memory": float(cost.memory)}
            point["predicted"] = cost.seconds
        found.append(point)
        del model, step
        gc.collect()
    steps = [_made(kind, size)[1] for size in sizes]
    for turn in range(ROUNDS):
        for point, step in zip(found, steps, strict=True):
            if turn == 0:
                step()
            end = time.perf_counter() + seconds / ROUNDS
            while True:
                begin = time.perf_counter()
                step()
                now = time.perf_counter()
                point["seconds"] = min(point["seconds"], now - begin)
                if now > end:
                    break
    return found


def _made(kind: str, size: int) -> tuple[Any, Callable[[], object]]:
    """The model, if there is one, and a step."""
    return _chain(size) if kind == "chain" else _mlp(kind, size)


def _mlp(kind: str, size: int) -> tuple[Any, Callable[[], object]]:
    import chainrule as cr
    from chainrule.layers import Dense
    from chainrule.models import Sequential

    batch, width = (size, 500) if kind == "batch" else (32, size)
    hidden = [Dense(width, activation="relu") for _ in range(2)]
    model = Sequential([*hidden, Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    cr.seed(0)
    model.build((None, 100))
    generator = np.random.default_rng(0)
    x = generator.standard_normal((batch, 100), np.float32)
    y = generator.integers(0, 10, batch)
    return model, lambda: model.train_on_batch(x, y)


def _chain(length: int) -> tuple[None, Callable[[], None]]:
    import chainrule as cr

    x = cr.tensor(np.ones(10, np.float32), requires_grad=True)

    def step() -> None:
        x.grad = None
        y = x
        for _ in range(length // 2):
            y = y * 1.5
            y = y * (1 / 1.5)
        y.sum().backward()

    return None, step


def largest(found: Sequence[dict[str, float]], measured: str, model: str) -> tuple[float, str]:
    """The largest step of what is measured over the model's, and between which sizes it is.

    >>> sizes = [{"size": n, "seconds": n * n, "operations": n} for n in (1, 10, 20)]
    >>> largest(sizes, "seconds", "operations")
    (10.0, 'from 1 to 10')
    """
    steps = [
        (
            (b[measured] / a[measured]) / (b[model] / a[model]),
            f"from {a['size']:,.0f} to {b['size']:,.0f}",
        )
        for a, b in itertools.pairwise(found)
    ]
    return max(steps)


def run(options: Options) -> list[Result]:
    """Two rows for each that grows: time and memory; the figure is the largest step."""
    measured: dict[str, dict[str, list[dict[str, float]]]] = {kind: {} for kind in KINDS}
    left_out: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    seconds = 0.02 if options.smoke else 10 * options.seconds
    for each in CONTENDERS:
        if each.kind != "ours" or not options.wants(each):
            continue
        reason = each.missing()
        if reason:
            for reasons in left_out.values():
                reasons[each.name] = reason
            continue
        with Process(options.environment(each)) as process:
            for kind, (_, sizes, tiny) in KINDS.items():
                chosen = tiny if options.smoke else sizes
                try:
                    answer = process.ask("growth", kind=kind, sizes=chosen, seconds=seconds)
                except ContenderError as error:
                    left_out[kind][each.name] = str(error)
                else:
                    measured[kind][each.name] = answer["points"]
    return [
        _row(kind, which, measured[kind], left_out[kind], options)
        for kind in KINDS
        for which in ("time", "memory")
    ]


def _row(
    kind: str,
    which: str,
    measured: dict[str, list[dict[str, float]]],
    left_out: dict[str, str],
    options: Options,
) -> Result:
    field, model = {"time": ("seconds", "operations"), "memory": ("bytes", "memory")}[which]
    timings, notes = [Timing("the model's slope", "eager", 1.0, 1.0, [1.0])], []
    for name, found in measured.items():
        worst, where = largest(found, field, model)
        timings.append(Timing(name, "ours", worst, worst, [worst]))
        notes.append(f"{name}: {where}")
    row = result(
        f"p10-{kind}-{which}",
        f"largest step of {which}: {KINDS[kind][0]}",
        None if options.smoke else TARGET,
        ("eager",),
        timings,
        left_out,
        unit="",
        note="; ".join(notes),
    )
    row.points = measured
    return row
