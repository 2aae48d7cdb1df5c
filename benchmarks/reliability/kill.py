"""Runs that are killed at random moments and go on: each must end as if nothing had happened.

A process is killed by SIGKILL, against which it can do nothing. Half of the kills are aimed at the
writing of a checkpoint: the folder is watched until something unfinished is to be seen there.
After each kill, every checkpoint that is called whole must load, what is unfinished must not, and
none that was whole before may be gone without a newer one.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability.figures import Figure, Found
from benchmarks.reliability.processes import Child, JobError, run
from chainrule.training.saving.bundle import CheckpointError, read_bundle
from chainrule.training.saving.folders import KIND, NAME, checkpoints

#: What a run is made of in batches; see `trained.py`.
KINDS = ("arrays", "pipeline")
#: Seed of a run's first process; those that go on have others, which must not matter.
SEED = 5
#: After so many kills, some must have hit the writing, and some a run that could go on.
ENOUGH = 10
#: When a process is killed: while a checkpoint is written; at any moment after its first step; or
#: at any moment after its start.
WRITING, TRAINING, STARTING = MOMENTS = ("writing", "training", "starting")
#: What the digests are of.
DIGESTS = ("weights", "optimizer", "history", "best", "epochs")


@dataclass
class Tally:
    """What is counted, over all runs."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def unfinished(folder: Path) -> list[Path]:
    """Checkpoints without a manifest, and temporary files."""
    found = []
    for each in _listed(folder):
        if NAME.fullmatch(each.name):
            inside = _listed(each)
            temporary = [path for path in inside if path.name.endswith(".tmp")]
            if temporary or each / f"{KIND}.json" not in inside:
                found += [each, *temporary]
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # removed meanwhile, or not there yet
        return []


def inspect(folder: Path, newest: int, where: str, tally: Tally) -> int:
    """Look at what a killed process has left.

    Arguments:
        folder: of the checkpoints.
        newest: the step of the newest checkpoint that was whole before.
        where: which kill it was, for messages.
        tally: what is counted and found wrong.

    Returns:
        the step of the newest whole checkpoint, 0 if there is none.
    """
    tally.counts["left unfinished"] += bool(unfinished(folder))
    found = newest_state = None
    for path in sorted(each for each in _listed(folder) if NAME.fullmatch(each.name)):
        whole = (path / f"{KIND}.json").exists()
        try:
            document, _ = read_bundle(path, KIND)
        except FileNotFoundError as error:
            if whole:
                tally.faults.append(f"{where}: {path.name}: {error}")
            tally.counts["unfinished refused"] += 1
        except (CheckpointError, OSError) as error:
            tally.faults.append(f"{where}: {path.name}: {error}")
        else:
            tally.counts["read whole"] += 1
            found, newest_state = path, document["state"]["run"]
            if not whole:
                tally.faults.append(f"{where}: {path.name} was loaded without a manifest")
    step = 0 if found is None else int(found.name.rpartition("-")[2])
    if step < newest:
        tally.faults.append(f"{where}: the checkpoint of step {newest} is lost, step {step} left")
    if newest_state is None:
        tally.counts["begun anew"] += 1
    else:
        within = newest_state["phase"] == "train" and newest_state["batch"] > 0
        tally.counts["resumed amid an epoch"] += within
    return step


def inspect_models(folder: Path, where: str, tally: Tally) -> None:
    """Look at the best models that a killed process has left: what has a manifest must load."""
    for path in _listed(folder):
        if (path / "model.json").exists():
            try:
                read_bundle(path, "model")
                tally.counts["models read"] += 1
            except (CheckpointError, OSError) as error:
                tally.faults.append(f"{where}: the model {path.name}: {error}")


def _kill(child: Child, folder: Path, moment: str, delay: float, tally: Tally) -> bool:
    """Kill a process at a moment and after a delay; False if it ended before."""
    if moment != STARTING:
        child.wait_for_line()  # its first step is done, or all of it
    time.sleep(delay)
    while moment == WRITING and child.is_running and not unfinished(folder):
        time.sleep(2e-4)
    if not child.kill():
        return False
    tally.counts["kills"] += 1
    tally.counts[moment] += 1
    return True


def one_run(
    kind: str,
    expected: dict[str, Any],
    seconds: float,
    kills: int,
    source: random.Random,
    tally: Tally,
) -> None:
    """Kill a run, let it end at last, and compare it with the uninterrupted one.

    Arguments:
        kind: one of KINDS.
        expected: what the uninterrupted run returned.
        seconds: how long that trained.
        kills: how often it is killed at most; it may end before.
        source: draws when it is killed.
        tally: what is counted and found wrong.
    """
    number = tally.counts["runs"] = tally.counts["runs"] + 1
    planned = source.randint(1, kills)
    with tempfile.TemporaryDirectory() as place:
        folder, best = Path(place, "run"), Path(place, "best")
        newest = 0
        for turn in range(planned + 1):
            # Until something is kept, a run that begins is another run if its seed is.
            seed = 1000 * number + turn if checkpoints(folder) else SEED
            child = Child("train", kind=kind, seed=seed, folder=str(folder), best=str(best))
            if turn < planned:
                moment = source.choices(MOMENTS, (0.5, 0.4, 0.1))[0]
                delay = source.uniform(0, 1.6 * seconds / (planned + 1))
                if _kill(child, folder, moment, delay, tally):
                    where = f"run {number}, kill {turn + 1}"
                    newest = inspect(folder, newest, where, tally)
                    inspect_models(best, where, tally)
                    tally.counts["killed runs"] += turn == 0
                    continue
            try:
                ended = child.result()
            except JobError as error:
                tally.faults.append(f"run {number} did not go on: {error}")
                return
            wrong = [name for name in DIGESTS if ended[name] != expected[name]]
            if wrong:
                tally.counts["mismatches"] += 1
                tally.faults.append(f"run {number} ({kind}) ended with other {', '.join(wrong)}")
            return


def measure(runs: int = 50, kills: int = 5, seed: int = 0) -> Found:
    """Kill so many runs, half of each kind, each up to so many times; the seed draws when."""
    begin = time.perf_counter()
    source, tally = random.Random(seed), Tally()
    expected, seconds = {}, {}
    for kind in KINDS[:runs]:
        with tempfile.TemporaryDirectory() as place:
            child = Child(
                "train", kind=kind, seed=SEED, folder=f"{place}/run", best=f"{place}/best"
            )
            child.wait_for_line()
            began = time.perf_counter()
            kept = child.result()
            seconds[kind] = time.perf_counter() - began
            expected[kind] = run("train", kind=kind, seed=SEED, best=f"{place}/best-alone")
        if kept != expected[kind]:
            tally.faults.append(f"to keep a run of {kind} changes how it ends")
    for number in range(runs):
        kind = KINDS[number % len(KINDS)]
        one_run(kind, expected[kind], seconds[kind], kills, source, tally)
    counts = tally.counts
    if counts["kills"] >= ENOUGH:
        for what in ("resumed amid an epoch", "left unfinished"):
            if not counts[what]:
                tally.faults.append(f"of {counts['kills']} kills none counts as {what!r}")
    figures = [
        Figure("runs", counts["runs"]),
        Figure("  that were killed, once at least", counts["killed runs"]),
        Figure("kills", counts["kills"]),
        Figure("  aimed at the writing of a checkpoint", counts[WRITING]),
        Figure("  that left an unfinished checkpoint", counts["left unfinished"]),
        Figure("  after which the run went on amid an epoch", counts["resumed amid an epoch"]),
        Figure("  before there was a checkpoint", counts["begun anew"]),
        Figure("whole checkpoints read after the kills", counts["read whole"]),
        Figure("whole models of ModelCheckpoint read", counts["models read"]),
        Figure("unfinished ones, refused", counts["unfinished refused"]),
        Figure("runs that ended otherwise than uninterrupted", counts["mismatches"], most=0),
        Figure("all faults", len(tally.faults), most=0),
        Figure("duration", time.perf_counter() - begin, "s"),
    ]
    details = {"counts": dict(counts), "seconds": seconds, "expected": expected, "seed": seed}
    return Found("kill", figures, details, tally.faults)
