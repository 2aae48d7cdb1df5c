"""Measures the rows that are asked for: starts contenders, lets them take turns, ends them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .contenders import CONTENDERS, Contender
from .results import Result, result, timing
from .rounds import ContenderError, Process, steps_of_slice, take_turns
from .workload import Workload, workloads


@dataclass(frozen=True)
class Options:
    """How to measure: rounds, seconds of a slice, what to change in the contenders' environment.

    `only` names the contenders to run, all if it is empty; `changes` sets variables, or removes
    those whose value is None.
    """

    smoke: bool = False
    rounds: int = 30
    seconds: float = 0.1
    only: tuple[str, ...] = ()
    changes: Mapping[str, str | None] = field(default_factory=dict)

    def environment(self, contender: Contender | None = None) -> dict[str, str]:
        """The environment of a contender's process; what the user changes comes last."""
        found = dict(os.environ)
        for name, value in {**(contender.environment if contender else {}), **self.changes}.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = value
        return found

    def wants(self, contender: Contender) -> bool:
        """Is it to run?"""
        return not self.only or contender.name in self.only


def limits(options: Options) -> dict[str, float]:
    """The machine's GEMM rate and copy bandwidth, measured in a process like the others'."""
    with Process(options.environment()) as process:
        return process.ask("limits", smoke=options.smoke)


def entrants(workload: Workload, options: Options) -> tuple[list[Contender], dict[str, str]]:
    """Who takes part in a row, and why others do not."""
    found, left_out = [], {}
    for each in CONTENDERS:
        if each.builder not in workload.programs:
            if each.kind in ("eager", "compiled") and "-" not in each.builder:
                left_out[each.name] = "has no program of this row"
            continue
        if not options.wants(each):
            continue
        reason = each.missing()
        if reason is None and options.smoke and each.compiler and not options.only:
            reason = "compiles for too long for a smoke run"
        if reason is None:
            found.append(each)
        else:
            left_out[each.name] = reason
    return found, left_out


class Started(dict[str, Process]):
    """Processes by the names of their contenders, started when they are asked for."""

    def of(self, contender: Contender, options: Options) -> Process:
        """The process of a contender."""
        if contender.name not in self:
            self[contender.name] = Process(options.environment(contender))
        return self[contender.name]

    def close(self) -> None:
        """Ends all of them."""
        while self:
            self.popitem()[1].close()


def measure(workload: Workload, options: Options, kept: Started | None = None) -> Result:
    """The row of a workload: all contenders' times in the same rounds.

    The processes are of this row alone: what one row leaves behind (freed memory, above all) is not
    to change the next. A smoke run hands over `kept`, and closes it: it has no time for that.
    """
    chosen, left_out = entrants(workload, options)
    kinds = {each.name: each.kind for each in chosen}
    started = Started() if kept is None else kept
    with contextlib.ExitStack() as stack:
        if kept is None:
            stack.callback(started.close)
        processes = {each.name: started.of(each, options) for each in chosen}
        question = {"workload": workload.name, "smoke": options.smoke}
        for each in chosen:  # all at once: compiling takes long
            processes[each.name].send("prepare", builder=each.builder, **question)
        steps: dict[str, int] = {}
        for name in list(processes):
            try:
                processes[name].receive()
            except ContenderError as error:
                left_out[name] = str(error)
                del processes[name]
                started.pop(name).close()
        for name, process in processes.items():  # one after the other: how long is a step?
            first = process.ask("run", untimed=1, steps=3, seed=1)["times"]
            guess = steps_of_slice(sorted(first)[1], options.seconds, 30)
            times = process.ask("run", untimed=0, steps=guess, seed=2)["times"]
            steps[name] = steps_of_slice(sorted(times)[guess // 2], options.seconds, 2000)
        slices, failed = take_turns(processes, steps, options.rounds)
    timings = [timing(name, kinds[name], each) for name, each in slices.items()]
    return result(
        workload.name,
        workload.title,
        None if options.smoke else workload.target,
        workload.against,
        timings,
        {**left_out, **failed},
    )


def rows(names: list[str], options: Options) -> list[Workload]:
    """The workloads of some groups, or of some names."""
    return [
        each
        for each in workloads(options.smoke).values()
        if each.name in names or each.group in names
    ]
