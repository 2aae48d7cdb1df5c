"""Compiling kernels before an example of hypothesis would, whose deadline is 200 ms."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import chainrule as cr
from chainrule.engine.calls import Call, ElementwiseCall, broadcasts_of, calls_of
from chainrule.engine.checking.operations import upstream_for
from chainrule.engine.devices import get_device
from chainrule.engine.record import RECORDS


@functools.cache
def warm() -> None:
    """Runs every operation once on each kernel set that has kernels of its own, also backward."""
    for name, kernels in get_device("cpu").sets.items():
        if not kernels.replaced:
            continue
        with cr.kernels(name):
            for record in list(RECORDS.values()):
                if record.builtin and record.differentiable:
                    _run(calls_of(record))
                    _run(broadcasts_of(record))


def _run(calls: Sequence[Call | ElementwiseCall]) -> None:
    for call, kind in itertools.product(calls, ("float64", "float32")):
        inputs = [cr.tensor(x, kind, requires_grad=True, device="cpu") for x in call.draw(0)]
        result = call(*inputs)
        if result.requires_grad:
            result.backward(upstream_for(result.shape, 0).astype(result.dtype))
