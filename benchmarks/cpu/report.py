"""What the suite prints and writes: tables, JSON, and what machine it ran on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .results import Result, Timing

#: Beginnings of the variables that change what is measured.
VARIABLES = (
    *("CHAINRULE_", "NUMBA_", "OPENBLAS_", "MKL_", "OMP_", "GOMP_", "KMP_", "VECLIB_", "BLIS_"),
    *("TORCH", "ATEN_", "ONEDNN_", "DNNL_", "XLA_", "JAX_", "MALLOC_", "GLIBC_", "LD_PRELOAD"),
)
PACKAGES = ("chainrule", "numpy", "numba", "mkl", "torch", "jax", "mygrad", "autograd")


def machine() -> dict[str, Any]:
    """Processor, cores, load, Python."""
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        model = platform.processor()
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "processor": model,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def versions() -> dict[str, str]:
    """The installed versions of all that takes part."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that change what is measured."""
    return {k: v for k, v in sorted(environment.items()) if k.startswith(VARIABLES)}


def quantity(value: float | None, unit: str = "s") -> str:
    """A number in a unit that suits it.

    >>> quantity(0.00123), quantity(2.5e7, "B"), quantity(1.042, ""), quantity(None)
    ('1.23 ms', '25 MB', '1.04', '')
    """
    if value is None:
        return ""
    if unit == "":
        return f"{value:.3g}"
    scales = {
        "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)),
        "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)),
    }[unit]
    name, size = next((each for each in scales if abs(value) >= each[1]), scales[-1])
    return f"{value / size:.3g} {name}"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def ratio(value: float | None) -> str:
    """A ratio, or nothing."""
    return "" if value is None else f"{value:.3f}"


def _named(row: Result, name: str) -> Timing | None:
    return next((each for each in row.timings if each.name == name), None)


def summary(rows: Sequence[Result]) -> str:
    """The main table: our installs beside the best peer."""
    installs = list(dict.fromkeys(each.name for row in rows for each in row.ours))
    head = ["row", *installs, "best peer", "its", *(f"{name}: ratio" for name in installs), "least"]
    lines = [[*head, "target", "", "beside"]]
    for row in rows:
        ours = {name: _named(row, name) for name in installs}
        peer = _named(row, row.best) if row.best else None
        verdict = {True: "reached", False: "missed", None: ""}[row.reached]
        beside = ""
        if row.best_of_all is not None:
            found = ", ".join(ratio(each) for each in row.beside.values())
            beside = f"{found} of {row.best_of_all}"
        lines.append(
            [
                row.workload,
                *(quantity(each.seconds if each else None, row.unit) for each in ours.values()),
                peer.name if peer else "",
                quantity(peer.seconds if peer else None, row.unit),
                *(ratio(row.ratios.get(name)) for name in installs),
                ", ".join(ratio(row.least[name]) for name in installs if name in row.least),
                "" if row.target is None else f"{row.target:.2f}",
                verdict,
                beside,
            ]
        )
    return aligned(lines)


def details(row: Result) -> str:
    """One row with all its contenders: median, least, ratio to the best peer of the row."""
    lines = [f"{row.workload}: {row.title}"]
    for each in sorted(row.timings, key=lambda timing: timing.seconds):
        text = f"  {each.name:<28} {quantity(each.seconds, row.unit):>9}"
        if each.slices:
            text += f"   least {quantity(each.least, row.unit):>9}"
        if each.name in row.ratios:
            text += f"   {ratio(row.ratios[each.name])} of {row.best}"
            text += "" if row.target is None else f", target {row.target:.2f}"
        lines.append(text)
    lines += [f"  {name:<28} left out: {why}" for name, why in row.left_out.items()]
    if row.note:
        lines.append(f"  {row.note}")
    return "\n".join(lines)


def write_json(file: str | Path, rows: Sequence[Result], about: Mapping[str, Any]) -> None:
    """All that was measured, and where."""
    content = {**about, "rows": [asdict(row) for row in rows]}
    Path(file).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
