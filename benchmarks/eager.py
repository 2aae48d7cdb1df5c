"""The cost of recording: a few operations on small arrays, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import chainrule as cr
from benchmarks.harness import Row, compare, interleave


def run(smoke: bool) -> list[Row]:
    """`((a*b+a).relu()*b).sum().backward()` at 10 and 1,000 elements, beside PyTorch's eager."""
    repeats, inner = (5, 10) if smoke else (300, 50)
    rows = []
    for size in (10, 1_000):
        draw = np.random.default_rng(0)
        a_values, b_values = draw.normal(size=(2, size)).astype("float32")
        a, b = (cr.tensor(each, requires_grad=True) for each in (a_values, b_values))

        def ours(a: cr.Tensor = a, b: cr.Tensor = b) -> None:
            a.grad = b.grad = None
            ((a * b + a).relu() * b).sum().backward()

        workload = f"((a*b+a).relu()*b).sum().backward(), {size:,} elements"
        theirs = _pytorch(a_values, b_values)
        if theirs is None:
            times = interleave({"ours": ours}, repeats, inner)["ours"]
            rows.append(Row(workload, float(np.median(times)), note="PyTorch is not installed"))
        else:
            target = 0.5 if size == 10 else None
            rows.append(
                compare(
                    workload, ours, "PyTorch", theirs, repeats=repeats, inner=inner, target=target
                )
            )
    return rows


def _pytorch(a_values: np.ndarray, b_values: np.ndarray) -> Callable[[], None] | None:
    try:
        import torch
    except ImportError:
        return None
    a, b = (torch.tensor(each, requires_grad=True) for each in (a_values, b_values))

    def theirs() -> None:
        a.grad = b.grad = None
        ((a * b + a).relu() * b).sum().backward()

    return theirs
