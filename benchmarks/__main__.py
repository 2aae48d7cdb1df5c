"""`python -m benchmarks [--smoke] [--json FILE] [--chart FILE] [name ...]`: see `main`.

`python -m benchmarks reliability ...` has options of its own: see `benchmarks.reliability`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cpu import growth, peaks, report, startup
from benchmarks.cpu.contenders import BY_NAME
from benchmarks.cpu.results import Result
from benchmarks.cpu.suite import Options, Started, limits, measure, rows
from benchmarks.cpu.workload import workloads
from benchmarks.harness import Row

#: Other benchmarks, by the module with their `run(smoke)`.
OTHERS = ("cost_model", "gradient_checks", "graph", "learning", "gpu")
#: What is measured apart, with options of its own.
RELIABILITY = "reliability"


def table(found: list[Row]) -> str:
    """The rows of the other benchmarks as aligned text."""
    lines = [("workload", "ours", "peer", "peer's", "ratio", "target", "")]
    for row in found:
        lines.append(
            (
                row.workload,
                report.quantity(row.seconds),
                row.peer,
                report.quantity(row.peer_seconds),
                report.ratio(row.ratio),
                "" if row.target is None else f"{row.target:.2f}",
                row.note,
            )
        )
    return report.aligned(lines)


def show(found: list[Row], file: str | None) -> None:
    """Prints the rows, and writes them to a file of JSON if one is named."""
    print(f"{platform.platform()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print(table(found))
    if file:
        Path(file).write_text(json.dumps([asdict(row) for row in found], indent=1))


def measures(kept: Started | None = None) -> dict[str, Callable[[Options], Iterable[Result]]]:
    """What measures each group of rows; `kept`: see `measure`."""
    groups = dict.fromkeys(each.group for each in workloads(False).values())

    def timed(group: str) -> Callable[[Options], Iterable[Result]]:
        return lambda options: (measure(each, options, kept) for each in rows([group], options))

    return {
        **{group: timed(group) for group in groups},
        "p8": startup.run,
        "p9": peaks.run,
        "p10": growth.run,
    }


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    groups, single = list(measures()), list(workloads(False))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures chainrule beside PyTorch, JAX, MyGrad and HIPS autograd, as far as "
        "they are installed: each in a process of its own, in turns, on fresh random batches. A "
        "ratio is the median, over the rounds, of our time over that of the best peer in the same "
        "round. 'python -m benchmarks reliability --help' tells of runs that are killed and go on.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"a group of rows ({', '.join(groups)}: by default all), a row ({', '.join(single)}), "
        f"or another benchmark ({', '.join(OTHERS)}); 'all' is everything",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes, few rounds: does it run at all?"
    )
    parser.add_argument("--rounds", type=int, default=None, help="turns of each contender (30)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn (0.1)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="CONTENDER",
        help=f"run this one; may be repeated: {', '.join(BY_NAME)}",
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a variable for all contenders",
    )
    parser.add_argument(
        "--unset", action="append", default=[], metavar="KEY", help="remove a variable"
    )
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    parser.add_argument(
        "--chart",
        metavar="FILE",
        help="draw the ratios as a PNG; of P10 the curves, as FILE-growth.png",
    )
    options = parser.parse_args(arguments)
    known = {*groups, *single, *OTHERS, "all"}
    unknown = sorted(set(options.names) - known)
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    unknown = sorted(set(options.only) - set(BY_NAME))
    if unknown:
        parser.error(f"--only: unknown: {', '.join(unknown)}; known: {', '.join(BY_NAME)}")
    if any("=" not in each for each in options.env):
        parser.error("--env: write KEY=VALUE")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what the command line asks for."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] == RELIABILITY:
        from benchmarks.reliability.__main__ import main as measure_reliability

        sys.exit(measure_reliability(arguments[1:]))
    chosen = _parsed(arguments)
    names = list(dict.fromkeys(chosen.names))
    if "all" in names or (chosen.smoke and not names):
        names = [*measures(), *OTHERS]
    elif not names:
        names = list(measures())
    changes: dict[str, str | None] = dict.fromkeys(chosen.unset)
    changes |= dict(each.split("=", 1) for each in chosen.env)
    rounds = chosen.rounds or (2 if chosen.smoke else 30)
    seconds = 0.005 if chosen.smoke else chosen.seconds
    options = Options(chosen.smoke, rounds, seconds, tuple(chosen.only), changes)
    about: dict[str, Any] = {
        "machine": report.machine(),
        "versions": report.versions(),
        "environment": report.relevant(options.environment()),
        "rounds": rounds,
        "smoke": chosen.smoke,
    }
    results: list[Result] = []
    if any(name not in OTHERS for name in names):
        about["limits"] = limits(options)
        _introduce(about)
        for found in _measured(names, options):
            print(report.details(found) + "\n", flush=True)
            results.append(found)
        about["machine"]["load_after"] = report.machine()["load"]
        print(report.summary(results))
    others: list[Row] = []
    for name in names:
        if name in OTHERS:
            more = importlib.import_module(f"benchmarks.{name}").run(chosen.smoke)
            print(f"\n{name}\n{table(more)}", flush=True)
            others += more
    if chosen.json:
        about["others"] = [asdict(row) for row in others]
        report.write_json(chosen.json, results, about)
    if chosen.chart:
        _draw(chosen.chart, results, about["machine"])


def _measured(names: list[str], options: Options) -> Iterator[Result]:
    kept = Started() if options.smoke else None
    groups = measures(kept)
    try:
        for name in names:
            if name in groups:
                yield from groups[name](options)
            elif name not in OTHERS:
                yield from (measure(each, options, kept) for each in rows([name], options))
    finally:
        if kept is not None:
            kept.close()


def _draw(file: str, results: list[Result], machine: dict[str, Any]) -> None:
    from benchmarks.cpu.chart import draw, draw_growth

    subtitle = f"{machine['processor']}, {machine['cores']} cores"
    compared = [each for each in results if not each.points]
    if compared:
        draw(file, compared, subtitle)
    grown = [each for each in results if each.points]
    if grown:
        path = Path(file)
        draw_growth(path.with_name(f"{path.stem}-growth.png"), grown, subtitle)


def products(limit: dict[str, float]) -> str:
    """The rates of products of matrices, by whom."""
    names = {"gemm_flops": "NumPy", "gemm_flops_ours": "chainrule", "gemm_flops_mkl": "MKL"}
    return ", ".join(f"{limit[k] / 1e9:.0f} ({names[k]})" for k in names if k in limit)


def _introduce(about: dict[str, Any]) -> None:
    machine, limit = about["machine"], about["limits"]
    print(
        f"{machine['platform']}, {machine['processor']}, {machine['cores']} cores, "
        f"Python {machine['python']}, load {machine['load']}"
    )
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    print("environment:", " ".join(f"{k}={v}" for k, v in about["environment"].items()) or "-")
    print(
        f"limits: GEMM of float32, 1000³: {products(limit)} GFLOP/s, copy "
        f"{limit['copy_bytes_per_second'] / 1e9:.1f} GB/s (read and written)\n",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
