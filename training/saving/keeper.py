"""What keeps a run in a folder of checkpoints while it trains, and takes it up again.

A checkpoint is taken between two steps: all that the run depends on is copied in memory, and a
thread of its own writes the copy while the training goes on. A folder holds the newest two.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine import random
from chainrule.engine.tensor import on_host
from chainrule.training.arguments import check_integer
from chainrule.training.callback_states import callback_states, load_callback_states
from chainrule.training.files import check_writable_folder
from chainrule.training.notes import add_note
from chainrule.training.run import PHASES, Run
from chainrule.training.weights import assign_weights

from .bundle import CheckpointError, read_bundle, write_bundle
from .descriptions import differences
from .lock import FolderLock
from .nested import join, split
from .random_states import (
    Generators,
    generators_in,
    global_states,
    load_global_states,
    load_states_of,
    states_of,
)

KIND = "checkpoint"
NAME = re.compile(r"step-(\d{10})")
KEPT = 2


def checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """The checkpoints in a folder, the newest last; those that were not finished left out."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if NAME.fullmatch(each.name)]
    return sorted(each for each in found if (each / f"{KIND}.json").is_file())


class Saved(NamedTuple):
    """A checkpoint that was read: where from, and what `read_bundle` returned."""

    path: Path
    document: dict[str, Any]
    arrays: dict[str, dict[str, np.ndarray]]


@contextmanager
def keeping(
    folder: str | os.PathLike[str] | None, every: Any = None, resume: Any = False
) -> Iterator[Keeper | None]:
    """What keeps a run in a folder, for the length of a `with` block; None if there is no folder.

    Arguments: `checkpoint`, `checkpoint_every` and `resume` of `Model.fit`.

    Raises:
        ValueError, TypeError: the arguments do not go together, or the folder has no checkpoint to
            go on from, or one that would be lost.
        CheckpointError: the newest checkpoint is damaged.
        RuntimeError: another process, or another run of this one, keeps its run there.
        OSError: nothing can be written there.
    """
    every, resume = _checked(folder, every, resume)
    if folder is None:
        yield None
        return
    path = Path(folder)
    if resume is True:
        _require_checkpoint(path)
    check_writable_folder(path, where="fit")
    with FolderLock(path, where="fit"):
        saved = None
        if checkpoints(path):
            if not resume:
                raise ValueError(
                    f"fit: checkpoint={str(path)!r} holds the checkpoints of an earlier run, the "
                    f"newest {checkpoints(path)[-1].name}; resume=True goes on with that run, a "
                    "new one needs another folder"
                )
            saved = _newest(path)
        for each in path.iterdir():
            if NAME.fullmatch(each.name) and not (each / f"{KIND}.json").exists():
                remove(each)  # one that was being written, or removed, when its process ended
        keeper = Keeper(path, every, saved)
        try:
            yield keeper
        except BaseException as error:
            try:
                keeper.close()
            except Exception as second:
                if isinstance(error, Exception) and second is not error:
                    add_note(error, f"fit: besides, a checkpoint was not written: {second}")
            raise
        keeper.close()


def _checked(folder: Any, every: Any, resume: Any) -> tuple[int | None, bool | str]:
    """The arguments, if they are of the right types and go together."""
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise TypeError(
            f"fit: checkpoint must be the path of a folder, got {folder!r} "
            f"({type(folder).__name__})"
        )
    if isinstance(resume, np.bool_):
        resume = bool(resume)
    if not isinstance(resume, bool) and resume != "auto":
        raise TypeError(
            f"fit: resume must be True, False or 'auto' (go on if there is a checkpoint), got "
            f"{resume!r}"
        )
    if every is not None:
        every = check_integer(every, "checkpoint_every", least=1, where="fit")
    if folder is None:
        for name, given in (("checkpoint_every", every is not None), ("resume", resume)):
            if given:
                raise ValueError(
                    f"fit: {name} needs a folder; give checkpoint='runs/first', for example"
                )
    return every, resume


def _require_checkpoint(folder: Path) -> None:
    """Raise ValueError or OSError if there is nothing to go on from."""
    remedy = "leave out resume=True for a new run; resume='auto' goes on only if there is one"
    if not folder.exists():
        raise FileNotFoundError(
            f"fit: checkpoint={str(folder)!r} does not exist, so that there is no checkpoint to go "
            f"on from; {remedy}"
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"fit: checkpoint={str(folder)!r} is a file; give the folder of the checkpoints"
        )
    if not checkpoints(folder):
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
        held = "it is empty"
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            held = f"it holds {', '.join(map(repr, names[:3]))}{more}"
        hint = ""
        if NAME.fullmatch(folder.name):
            hint = f"give the folder around it, {str(folder.parent)!r}; or "
        raise ValueError(
            f"fit: checkpoint={str(folder)!r} has no checkpoint to go on from ({held}); {hint}"
            f"{remedy}"
        )


def _newest(folder: Path) -> Saved:
    """The newest checkpoint.

    Raises CheckpointError if it is damaged; it says whether the one before is whole.
    """
    *earlier, newest = checkpoints(folder)
    try:
        return Saved(newest, *read_bundle(newest, KIND, where="fit"))
    except CheckpointError as error:
        for path in reversed(earlier):
            with suppress(CheckpointError, OSError):
                read_bundle(path, KIND, where="fit")
                add_note(
                    error,
                    f"fit: {path.name} is whole; remove {str(newest)!r} to go on from there",
                )
                break
        raise


class Keeper:
    """Keeps a run in a folder, for which it holds the lock.

    Arguments:
        folder: where the checkpoints are.
        every: steps from one to the next; None for one after each epoch.
        saved: the checkpoint to go on from, as `read_bundle` returned it, or None.
    """

    def __init__(self, folder: Path, every: int | None, saved: Saved | None) -> None:
        self.folder, self.every, self._saved = folder, every, saved
        self._settings: dict[str, Any] = {}
        self._generators: Generators = []
        self._writer = Writer()
        self._start = random.moment()

    def rewind(self) -> None:
        """Put chainrule's random numbers where they were when the saved run was started.

        What is drawn before the first step, such as the samples to validate with, is the same then.
        """
        if self._saved is not None:
            start = self._saved.document["start"]
            random.load(random.Moment(start["generator"], start["key"], start["reserved"]))
        self._start = random.moment()

    def describe(self, settings: dict[str, Any], augment: Any = None) -> None:
        """Say what the run is: what must be the same when it is taken up again.

        Raises:
            ValueError: the saved run was another; the message tells which fields differ.
        """
        self._settings, self._generators = settings, generators_in(augment)
        if self._saved is None:
            return
        saved = self._saved.document.get("settings", {})
        found = [
            line for key in settings for line in differences(saved.get(key), settings[key], key)
        ]
        if found:
            raise ValueError(
                f"fit: the checkpoint {str(self._saved.path)!r} is of another run:\n  "
                + "\n  ".join(found)
                + "\nGive what the run was started with, or another folder for a new one"
            )

    # What a run asks of it ----------------------------------------------------------------------

    def begin(self, run: Run) -> bool:
        """Put the run where the saved one stopped, if there is one."""
        if self._saved is None:
            return False
        path, document, arrays = self._saved
        self._saved = None  # its arrays are needed no more
        try:
            state = join(document["state"], arrays.get("training", {}))
            if state["run"]["phase"] not in PHASES:
                raise ValueError(f"the phase {state['run']['phase']!r} is unknown")
            optimizer = join(document["optimizer"], arrays.get("optimizer", {}))
            run.show(state["run"])
            assign_weights(run.model.named_weights(), arrays.get("weights", {}), where="fit")
            run.model.optimizer.load_state(optimizer)
            load_callback_states(run.hooks.callbacks, state["callbacks"])
            run.load_state(state["run"])
            load_states_of(self._generators, state["generators"], what="augment")
            load_global_states(state["random"])
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"fit: the checkpoint {str(path)!r} is incomplete ({error!r}); it was not written "
                "by this version of chainrule"
            ) from error
        run.finish_pending(state["run"]["pending"])
        return True

    def due(self, step: int) -> bool:
        """Is the state to be kept after that many steps?"""
        return self.every is not None and step % self.every == 0

    def due_after_epoch(self) -> bool:
        """Is it to be kept after each epoch?"""
        return self.every is None

    def save(self, run: Run) -> None:
        """Copy the state, to be written by a thread; it waits for the one before to be written.

        Raises:
            OSError: the one before could not be written.
        """
        if self._may_save(run):
            self._writer.wait()
            self._writer.write(*self._copy(run))

    def rescue(self, run: Run, error: Exception) -> None:
        """Write the state of a run that an error ends, and note on the error where it is."""
        try:
            if not self._may_save(run):
                return
            self._writer.wait()
            self._writer.write(*self._copy(run))
            self._writer.wait()
        except Exception as second:
            add_note(error, f"fit: nor could the state be saved: {second}")
            return
        add_note(
            error,
            f"fit: the state after step {run.step:,} is saved in {str(self.folder)!r}; "
            "fit(..., resume=True) goes on from there",
        )

    def close(self) -> None:
        """Wait for what is being written.

        Raises:
            OSError: it could not be written.
        """
        self._writer.close()

    def _may_save(self, run: Run) -> bool:
        """Do all callbacks agree? Each is asked, since one that does not may end the training."""
        answers = [each.may_save() for each in run.hooks.callbacks]
        return all(answers)

    def _copy(self, run: Run) -> tuple[Any, ...]:
        """All that the rest of the run depends on, apart from it: what `_write` is given."""
        weights = {name: np.array(on_host(each)) for name, each in run.model.named_weights()}
        optimizer, moments = split(run.model.optimizer.state(), copy=False)
        state, training = split(
            {
                "run": run.state(),
                "callbacks": callback_states(run.hooks.callbacks),
                "random": global_states(),
                "generators": states_of(self._generators),
            }
        )
        document = {
            "settings": self._settings,
            "start": self._start._asdict(),
            "optimizer": optimizer,
            "state": state,
        }
        arrays = {"weights": weights, "optimizer": moments, "training": training}
        return self.folder, run.step, document, arrays


def _write(folder: Path, step: int, document: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a checkpoint, then remove all but the newest."""
    write_bundle(folder / f"step-{step:010d}", KIND, document, arrays, where="fit", indent=None)
    for old in checkpoints(folder)[:-KEPT]:
        remove(old)


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint; the manifest first, without which the rest is none."""
    with suppress(FileNotFoundError):
        (checkpoint / f"{KIND}.json").unlink()
    shutil.rmtree(checkpoint, ignore_errors=True)


class Writer:
    """A thread that writes one checkpoint at a time; it is there from the first on."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._given = threading.Semaphore(0)
        self._idle = threading.Event()
        self._idle.set()
        self._work: tuple[Any, ...] | None = None
        self._error: BaseException | None = None

    def write(self, *work: Any) -> None:
        """Hand it a checkpoint; `wait` has been called before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="chainrule-writer", daemon=True)
            self._thread.start()
        self._work = work
        self._idle.clear()
        self._given.release()

    def wait(self) -> None:
        """Until all is written. Raises what went wrong."""
        self._idle.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Until all is written, and the thread has ended. Raises what went wrong."""
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._work = None
                self._given.release()
                self._thread.join()
                self._thread = None

    def _run(self) -> None:
        while True:
            self._given.acquire()
            work, self._work = self._work, None
            if work is None:
                return
            try:
                _write(*work)
            except BaseException as error:
                self._error = error
            finally:
                del work
                self._idle.set()
