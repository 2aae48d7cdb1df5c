"""P9: the peak of resident memory of P1 to P4, beyond what a library is before it trains.

Each contender does it in a fresh process: a few steps of the tiny size of the same row first, which
load what is loaded on demand (Numba here, parts of PyTorch there) and start the threads; what is in
memory then does not count. Compilers that run for the real size count, as a user has them too.
"""

from __future__ import annotations

from .results import Result, result, timing
from .rounds import ContenderError, Process
from .suite import Options, entrants
from .workload import Workload, workloads

#: Steps of which the peak is taken, and how often all of it is repeated.
STEPS, REPEATS = 20, 3
#: The least that can be told apart.
PAGE = 4096.0


def run(options: Options) -> list[Result]:
    """A row for each workload that says so; one of them for a smoke run."""
    chosen = [each for each in workloads(options.smoke).values() if each.memory]
    return [_row(each, options) for each in chosen[: 1 if options.smoke else None]]


def _row(workload: Workload, options: Options) -> Result:
    chosen, left_out = entrants(workload, options)
    chosen = [each for each in chosen if each.kind != "beside"]
    repeats, steps = (1, 2) if options.smoke else (min(options.rounds, REPEATS), STEPS)
    peaks: dict[str, list[list[float]]] = {each.name: [] for each in chosen}
    for _ in range(repeats):
        for each in chosen:
            if each.name in left_out:
                continue
            question = {"workload": workload.name, "builder": each.builder}
            with Process(options.environment(each)) as process:
                try:
                    answer = process.ask("memory", steps=steps, smoke=options.smoke, **question)
                except ContenderError as error:
                    left_out[each.name] = str(error)
                    continue
            peaks[each.name].append([max(PAGE, float(answer["beyond"]))])
    timings = [
        timing(each.name, each.kind, peaks[each.name])
        for each in chosen
        if each.name not in left_out
    ]
    return result(
        f"p9-{workload.name}",
        f"peak memory beyond the imports: {workload.title}",
        None if options.smoke else 1.0,
        ("eager", "compiled"),
        timings,
        left_out,
        unit="B",
    )
