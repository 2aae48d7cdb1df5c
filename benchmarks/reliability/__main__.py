"""`python -m benchmarks reliability [kill|soak|overhead|memmap|corrupt ...] [options]`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cpu import report
from benchmarks.reliability.figures import Found

#: Measurements, the option that sizes each, its size, and the sizes of a smoke run.
MEASUREMENTS: dict[str, tuple[str, float, dict[str, float]]] = {
    "kill": ("runs", 50, {"runs": 1, "kills": 2}),
    "soak": ("steps", 200_000, {"steps": 1_000}),
    "overhead": ("rounds", 15, {"rounds": 1, "epochs": 1}),
    "memmap": ("gigabytes", 2.0, {"gigabytes": 0.02}),
    "corrupt": ("cases", 2_000, {"cases": 60}),
}


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks reliability",
        description="Can a training run be trusted? Exit code 1 if it cannot.",
    )
    names = tuple(MEASUREMENTS)
    parser.add_argument("names", nargs="*", metavar="name", help=f"{', '.join(names)}; default all")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (0)")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    for name, (option, size, _) in MEASUREMENTS.items():
        kind = type(size)
        parser.add_argument(f"--{option}", type=kind, default=None, help=f"of {name} ({size:,})")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
    for option, *_ in MEASUREMENTS.values():
        size = getattr(options, option)
        if size is not None and size <= 0:
            parser.error(f"--{option} must be positive, got {size}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for; 1 if something went wrong, else 0."""
    options = _parsed(arguments)
    about: dict[str, Any] = {
        "machine": report.machine(),
        "versions": report.versions(),
        "smoke": options.smoke,
    }
    machine = about["machine"]
    print(
        f"{machine['platform']}, {machine['processor']}, {machine['cores']} cores, "
        f"Python {machine['python']}, load {machine['load']}",
        flush=True,
    )
    found: list[Found] = []
    for name in options.names or MEASUREMENTS:
        option, size, smoke = MEASUREMENTS[name]
        sizes = dict(smoke) if options.smoke else {option: size}
        if getattr(options, option) is not None:
            sizes[option] = getattr(options, option)
        module = importlib.import_module(f"benchmarks.reliability.{name}")
        found.append(module.measure(**sizes, seed=options.seed))
        print(f"\n{found[-1].table()}", flush=True)
    if options.json:
        text = json.dumps({**about, "found": [asdict(each) for each in found]}, indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return 1 if any(each.faults for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
