"""The kernels of a GPU, and steps of training on one; without a GPU, what they would have to move.

    python -m benchmarks gpu --json gpu.json      on the GPU, if there is one
    python -m benchmarks.gpu --device emulated    small arrays in the emulator: does it all run?

A kernel's peer is a plain copy of as many bytes on the same GPU (of a product of matrices: the
library's, of as many operations), so that a ratio of 1 is the best there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu.measuring import (
    Clock,
    CountedDevice,
    EventClock,
    HostClock,
    Launch,
    Peaks,
    noted,
    peaks,
)
from benchmarks.gpu.steps import torch_device, trained
from benchmarks.gpu.workloads import SMALL, WORKLOADS, Arrays, Sizes
from benchmarks.harness import Row
from chainrule.engine.devices import get_device
from chainrule.gpu.probing import probe_cuda
from chainrule.gpu.table import entries

KERNEL_SETS = ("raw", "numba")
#: What stands before figures of the emulator.
EMULATED = "emulated, no GPU's figure: "
#: Bytes that take longer to move than a launch takes.
LEAST = 1 << 24
NO_WORKLOAD = "no workload launches it: add one to benchmarks/gpu/workloads.py"


def run(smoke: bool) -> list[Row]:
    """Figures of the GPU; where there is none, what its kernels must move."""
    report = probe_cuda()
    if report.usable:
        return measured("cuda", smoke)
    sizes = SMALL if smoke else Sizes()
    print(f"No GPU gave a figure: {report.reason}. What each kernel must move:")
    return counted(sizes)


def counted(sizes: Sizes, device: Any = None) -> list[Row]:
    """A row for each entry of the table, without a time: its bytes and operations.

    Argument: `device`, another one than a CountedDevice of NumPy's, whose arrays are filled then.
    """
    filled, device = device is not None, device or CountedDevice()
    rows, reached = [], set()
    for name, each in _launches(device, "raw", WORKLOADS, sizes, filled):
        given, made = each.bytes("reads", "updates"), each.bytes("writes", "updates")
        note = f"reads {_scaled(given, 'B')}, writes {_scaled(made, 'B')}"
        if each.operations is not None:
            note += f", {_scaled(each.operations, 'FLOP')}"
        rows.append(_row(name, each, note=f"{note}; no GPU, no figure"))
        reached.add(each.entry.name)
    missed = [each.name for each in entries() if each.name not in reached]
    return rows + [Row(name, None, note=NO_WORKLOAD) for name in missed]


def measured(
    name: str,
    smoke: bool,
    clock: Clock | None = None,
    workloads: Iterable[Any] = WORKLOADS,
    kernel_sets: Iterable[str] = KERNEL_SETS,
    models: int = 3,
) -> list[Row]:
    """Rows of the peaks, of each entry in both kernel sets, and of steps of training.

    Arguments: `name` of the device: "cuda", or "emulated", whose times are those of the host and
    say nothing of a GPU; `clock`, another one than the device's.
    """
    device: Any = get_device(name)
    on_gpu = name != "emulated"
    if clock is None:
        clock = EventClock() if on_gpu else HostClock()
    small = smoke or not on_gpu
    sizes, repeats = (SMALL, 2) if small else (Sizes(), 20)
    best = peaks(device, clock, 1_000 if small else 2**26, repeats)
    mark = "" if on_gpu else EMULATED
    rows = [
        Row(f"{mark}copy", None, note=_scaled(best.bytes, "B/s")),
        Row(f"{mark}GEMM", None, note=_scaled(best.operations, "FLOP/s")),
    ]
    for kernel_set in kernel_sets:
        backend = device.backend(kernel_set)
        try:
            for name, each in _launches(device, kernel_set, workloads, sizes):
                name = f"{mark}{kernel_set}: {name}"
                rows.append(_timed(name, each, backend, clock, best, repeats))
        except Exception as error:
            if kernel_set == "raw":
                raise
            # A package of Numba may not fit the NumPy here: the rest is measured all the same.
            told = f"does not run here: {type(error).__name__}: {error}"
            rows.append(Row(f"{mark}{kernel_set}", None, note=told))
    count, repeats = (1, 1) if small else (50, 10)
    steps = trained(device, torch_device() if on_gpu else None, count, repeats, models)
    return rows + [replace(each, workload=f"{mark}{each.workload}") for each in steps]


def _launches(
    device: Any, kernel_set: str, workloads: Iterable[Any], sizes: Sizes, filled: bool = True
) -> Iterator[tuple[str, Launch]]:
    """What the calls of workloads launch, each with a name, if their kernels are in the set.

    Of a call that launches an entry several times, the launch that moves most.
    """
    k = device.sets[kernel_set]
    for workload in workloads:
        for call in workload(Arrays(device, sizes, filled)):
            if call.kernel is None or call.kernel in k.replaced:
                with noted(device, kernel_set) as noting, np.errstate(all="ignore"):
                    call.run(k)
                for launch in noting.largest.values():
                    yield f"{launch}, {call.note}" if call.note else str(launch), launch


def _timed(
    workload: str, launch: Launch, backend: Any, clock: Clock, best: Peaks, repeats: int
) -> Row:
    given = launch.entry, launch.real, launch.grid, launch.shared, launch.arguments
    seconds = float(np.median(clock.times(lambda: backend.launch(*given), repeats)))
    if launch.operations is not None:
        peer, least, unit, work = "GEMM", best.operations, "FLOP/s", launch.operations
    else:
        peer, least, unit, work = "copy", best.bytes, "B/s", launch.moved
    ideal = work / least
    note = f"{_scaled(work / seconds, unit)}, {ideal / seconds:.0%} of the {peer}'s"
    if launch.moved < LEAST:
        note = f"moves {_scaled(launch.moved, 'B')}: the time is that of a launch"
    return _row(workload, launch, seconds, peer, ideal, note)


def _row(
    workload: str,
    launch: Launch,
    seconds: float | None = None,
    peer: str = "",
    ideal: float | None = None,
    note: str = "",
) -> Row:
    ratio = None if seconds is None or ideal is None else seconds / ideal
    return Row(workload, seconds, peer, ideal, ratio, None, note, launch.moved, launch.operations)


def _scaled(value: float, unit: str) -> str:
    """A number with three digits and a prefix.

    >>> _scaled(1234e9, "B/s"), _scaled(12, "B")
    ('1.23 TB/s', '12 B')
    """
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"
