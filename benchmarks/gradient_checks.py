"""How long a gradient check takes: a small function beside PyTorch's, a large model, the table."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import chainrule as cr
from benchmarks.harness import Row, compare, interleave
from chainrule.layers import Dense
from chainrule.models import Sequential


def run(smoke: bool) -> list[Row]:
    """A function of 10 parameters, an MLP of 306,010, and every operation of the table."""
    return [_small(smoke), *([] if smoke else [_large(), _table()])]


def _small(smoke: bool) -> Row:
    point = np.linspace(-1.0, 1.0, 10)
    repeats = 3 if smoke else 200

    def ours() -> None:
        cr.assert_gradients(lambda x: (cr.tanh(x) * x).sum(), point)

    name, note = "gradcheck, 10 parameters", "to be under 5 ms"
    try:
        import torch
    except ImportError:
        times = interleave({"ours": ours}, repeats)
        return Row(name, float(np.median(times["ours"])), note=note)
    torch.set_num_threads(1)

    def theirs() -> None:
        x = torch.tensor(point, requires_grad=True)
        torch.autograd.gradcheck(lambda x: (torch.tanh(x) * x).sum(), (x,))

    return compare(name, ours, "torch gradcheck", theirs, repeats=repeats, note=note)


def _large() -> Row:
    draw = np.random.default_rng(0)
    sizes = (500, 500)
    model = Sequential(
        [*(Dense(n, activation="relu") for n in sizes), Dense(10, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = draw.normal(size=(32, 100)), draw.integers(0, 10, 32)
    seconds = _median(lambda: cr.assert_gradients(model, x, y), 5)
    return Row("gradcheck, MLP of 306,010 parameters", seconds, note="to be under 2 s")


def _table() -> Row:
    from chainrule import gradcheck_command

    start = time.perf_counter()
    names = gradcheck_command.table()
    wrong = sum(not gradcheck_command.check((name, 2, 0, ())).ok for name in names)
    note = f"one process, second order, {wrong} wrong; to be under 60 s on two cores"
    return Row(f"gradcheck, {len(names)} operations", time.perf_counter() - start, note=note)


def _median(function: Callable[[], object], repeats: int) -> float:
    return float(np.median(interleave({"it": function}, repeats)["it"]))
