"""The tape itself: time per node of long graphs, and what recording adds to an operation."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np

import chainrule as cr
from benchmarks.harness import Row, interleave


def run(smoke: bool) -> list[Row]:
    """Graphs of 10,000 and 100,000 nodes that share subexpressions; recording at 10 elements."""
    return [*_graphs(smoke), *_recording(smoke)]


def _double(length: int) -> tuple[cr.Tensor, cr.Tensor]:
    """x + x, repeatedly: 2**length paths. Halved, or it would overflow."""
    leaf = cr.tensor(1.0, requires_grad=True)
    x = leaf
    for _ in range(length // 2):
        x = x + x
        x = x * 0.5
    return leaf, x


def _tangle(length: int) -> tuple[cr.Tensor, cr.Tensor]:
    """The mean, repeatedly, of the newest and of an older one drawn at random; two nodes each."""
    half = length // 2
    older = (np.random.default_rng(0).random(half) * np.arange(1, half + 1)).astype(int)
    nodes = [cr.tensor(1.0, requires_grad=True)]
    for i in older.tolist():
        nodes.append((nodes[-1] + nodes[i]) * 0.5)
    return nodes[0], nodes[-1]


def _graphs(smoke: bool) -> list[Row]:
    short, long = (1_000, 10_000) if smoke else (10_000, 100_000)
    repeats = 2 if smoke else 9
    rows = []
    for name, build in {"x = x + x; x = x / 2": _double, "random older operands": _tangle}.items():
        times: dict[int, list[float]] = {short: [], long: []}
        for _ in range(repeats):
            for length in (short, long):
                leaf, result = build(length)
                gc.collect()  # of the round before, not while the clock runs
                start = time.perf_counter()
                result.backward()
                times[length].append((time.perf_counter() - start) / length)
                del leaf, result
        small, large = (float(np.median(times[length])) for length in (short, long))
        rows.append(
            Row(
                f"backward, {long:,} nodes, {name}: a node",
                large,
                f"{short:,} nodes",
                small,
                float(np.median(np.array(times[long]) / np.array(times[short]))),
                note="1 if the time is linear in the nodes",
            )
        )
    return rows


def _recording(smoke: bool) -> list[Row]:
    repeats, inner = (5, 20) if smoke else (300, 100)
    draw = np.random.default_rng(0)
    a, b = (cr.tensor(draw.normal(size=10), requires_grad=True) for _ in range(2))
    operations: dict[str, Callable[[], cr.Tensor]] = {
        "add": lambda: a + b,
        "multiply": lambda: a * b,
        "tanh": lambda: cr.tanh(a),
        "matmul": lambda: a @ b,
    }
    rows = []
    for name, recorded in operations.items():

        def unrecorded(recorded: Callable[[], cr.Tensor] = recorded, inner: int = inner) -> None:
            with cr.no_grad():
                for _ in range(inner):
                    recorded()

        def repeatedly(recorded: Callable[[], cr.Tensor] = recorded, inner: int = inner) -> None:
            for _ in range(inner):
                recorded()

        times = interleave({"recorded": repeatedly, "not": unrecorded}, repeats)
        with_, without = times["recorded"] / inner, times["not"] / inner
        added = float(np.median(with_ - without)) * 1e6
        rows.append(
            Row(
                f"{name}, 10 elements, recorded",
                float(np.median(with_)),
                "in no_grad()",
                float(np.median(without)),
                float(np.median(with_ / without)),
                note=f"recording adds {added:.2f} µs; to be at most 3",
            )
        )
    return rows
