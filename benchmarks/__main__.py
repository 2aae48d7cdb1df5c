"""`python -m benchmarks [--smoke] [--json FILE] [name ...]` runs benchmarks, prints a table."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
from dataclasses import asdict
from pathlib import Path

import numpy as np

import benchmarks
from benchmarks.harness import Row


def names() -> list[str]:
    """The modules of this folder that have a function `run(smoke)`."""
    found = (each.name for each in pkgutil.iter_modules(benchmarks.__path__))
    return [name for name in found if name not in ("__main__", "harness")]


def seconds(value: float | None) -> str:
    """A time in a unit that suits it."""
    if value is None:
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def table(rows: list[Row]) -> str:
    """The rows as aligned text."""
    lines = [("workload", "ours", "peer", "peer's", "ratio", "target", "")]
    for row in rows:
        lines.append(
            (
                row.workload,
                seconds(row.seconds),
                row.peer,
                seconds(row.peer_seconds),
                "" if row.ratio is None else f"{row.ratio:.3f}",
                "" if row.target is None else f"{row.target:.2f}",
                row.note,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show(rows: list[Row], file: str | None) -> None:
    """Prints the rows, and writes them to a file of JSON if one is named."""
    print(f"{platform.platform()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print(table(rows))
    if file:
        Path(file).write_text(json.dumps([asdict(row) for row in rows], indent=1))


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names())}")
    parser.add_argument("--smoke", action="store_true", help="few repeats: does it run at all?")
    parser.add_argument("--json", metavar="FILE", help="write the rows there too")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names())}")
    rows: list[Row] = []
    for name in arguments.names or names():
        rows += importlib.import_module(f"benchmarks.{name}").run(arguments.smoke)
    show(rows, arguments.json)


if __name__ == "__main__":
    main()
