"""What checkpoints cost the main job, and what a single one costs in which thread.

The job with checkpoints and the job without run as processes in turns, A B B A A B ..., so that a
drift of the machine's speed falls on both; the figure is the median of the ratios of a round.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.reliability.figures import Figure, Found
from benchmarks.reliability.processes import ROOT, JobError, run

#: Steps from one checkpoint to the next; the job has 36 steps in an epoch.
EVERY = 100
#: The target: per cent of the main job's time.
TARGET = 3.0
#: What is timed, in words for the table, and its target.
PARTS = (
    ("fit", "training", TARGET),
    ("whole", "the whole command", None),
    ("processors", "the processors' time for it", None),
)
#: Rounds, of which the median is held against the target.
ENOUGH = 5


def main_job(folder: Path, epochs: int, checkpoints: bool) -> dict[str, float]:
    """Seconds of `chainrule train` as a whole, of its `fit`, and of the processors it used."""
    command = [sys.executable, "-m", "chainrule", "train", "--epochs", str(epochs)]
    command += ["--output", str(folder / "out")]
    if checkpoints:
        command += ["--checkpoint", str(folder / "run"), "--every", str(EVERY)]
    begin, used = time.perf_counter(), os.times()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    whole, now = time.perf_counter() - begin, os.times()
    processors = now.children_user + now.children_system - used.children_user - used.children_system
    if done.returncode != 0:
        raise JobError(f"exit code {done.returncode}: {done.stderr.strip()[-4000:]}")
    history = json.loads((folder / "out" / "history.json").read_text())
    return {"whole": whole, "fit": history["seconds"], "processors": processors}


def steady(folder: str, epochs: int) -> dict[str, list[list[float]]]:
    """Train the main job's network; of each checkpoint the seconds, by the clock and of the thread.

    Of `kept` (all that the training waits for: the copy in memory, and for the one before to be
    written) and `written` (in the thread that writes).
    """
    import chainrule as cr
    from chainrule.main_job import build
    from chainrule.training.saving import keeper

    taken: dict[str, list[list[float]]] = {"kept": [], "written": []}

    def timed(part: str, function: Callable[..., None]) -> Callable[..., None]:
        def measured(*arguments: Any) -> None:
            clock, processor = time.perf_counter(), time.thread_time()
            function(*arguments)
            times = [time.perf_counter() - clock, time.thread_time() - processor]
            taken[part].append(times)

        return measured

    # The two places through which every checkpoint goes.
    setattr(keeper, "write", timed("written", keeper.write))
    setattr(keeper.Keeper, "save", timed("kept", keeper.Keeper.save))
    data = cr.datasets.load("digits")
    cr.seed(0)
    model = build([500, 500], len(data.classes), "relu", "adam", None)
    model.fit(
        *(data.x_train, data.y_train),
        epochs=epochs,
        verbose=0,
        validation_data=(data.x_validation, data.y_validation),
        checkpoint=folder,
        checkpoint_every=EVERY,
    )
    return taken


def measure(rounds: int = 15, epochs: int = 20, seed: int = 0) -> Found:
    """Run both so many times; the seed does not matter here."""
    del seed
    times: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as place:
        main_job(Path(place, "first"), 1, True)  # kernels are compiled and kept
        for number in range(rounds):
            turns = (False, True) if number % 2 == 0 else (True, False)
            for checkpoints in turns:
                folder = Path(place, f"{number}-{checkpoints}")
                times[checkpoints].append(main_job(folder, epochs, checkpoints))
        taken = run("steady", folder=f"{place}/steady", epochs=epochs)
    figures = [Figure("rounds", rounds), Figure("steps from one checkpoint to the next", EVERY)]
    for part, of, most in PARTS:
        without, with_ = (np.array([each[part] for each in times[key]]) for key in (False, True))
        least, median, largest = 100 * (np.quantile(with_ / without, (0.25, 0.5, 0.75)) - 1)
        full = rounds >= ENOUGH
        figures += [
            Figure(f"{of}, without checkpoints", float(np.median(without)), "s"),
            Figure(f"{of}, with checkpoints", float(np.median(with_)), "s"),
            Figure("  longer by", float(median), "%", most=most if full else None),
            Figure("  lower quartile", float(least), "%"),
            Figure("  upper quartile", float(largest), "%"),
        ]
    for part, of in (("kept", "the training waits"), ("written", "the writing thread")):
        clock, processor = (1e3 * np.median(taken[part], axis=0)).tolist()
        figures += [
            Figure(f"a checkpoint: {of}", clock, "ms"),
            Figure("  of it the processor's time", processor, "ms"),
        ]
    details = {"without": times[False], "with": times[True], "steady": taken}
    return Found("overhead", figures, details)
