"""What keeps a run in a folder of checkpoints while it trains, and takes it up again.

A checkpoint is taken between two steps: all that the run depends on is copied in memory, and a
thread of its own writes the copy while the training goes on.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.engine import random
from chainrule.engine.errors import CheckpointError
from chainrule.engine.tensor import Tensor, on_host

from ..callback_states import callback_states, load_callback_states
from ..files import check_writable_folder
from ..integers import check_integer
from ..notes import add_note
from ..pipeline.generators import GeneratorSource
from ..pipeline.pipeline import Pipeline
from ..pipeline.steps import Map
from ..run import PHASES, VALIDATE, Run
from ..weights import assign_weights
from .adjusted import numbers_of, set_numbers
from .compiling import optimizer_document, optimizer_from
from .descriptions import differences, freeze, frozen
from .folders import (
    Saved,
    check,
    checkpoints,
    clean,
    newest,
    require_checkpoint,
    require_no_model,
    write,
)
from .generators import Generators, generators_in, load_states_of, states_of
from .lock import FolderLock
from .nested import join, split
from .random_states import global_states, load_global_states
from .writer import Writer

#: What of a run's settings describes the model, as in the bundle of a saved model.
OF_MODEL = ("model", "compile", "preprocessing")


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
        BlockingIOError: another process, or another run of this one, keeps its run there.
        OSError: nothing can be written there.
    """
    every, resume = _checked(folder, every, resume)
    if folder is None:
        yield None
        return
    path = Path(os.path.abspath(folder))  # where it is now, if a callback changes the folder
    require_no_model(path)
    if resume is True:
        require_checkpoint(path)
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
            saved = newest(path)
        clean(path)
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
    if folder is not None and (not os.fspath(folder) or "\0" in str(folder)):
        raise ValueError(
            f"fit: checkpoint={folder!r} is no path of a folder; give one, as 'runs/first'"
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
        self._writer = Writer(write)
        self._copies: dict[str, dict[str, np.ndarray]] = {}
        self._before_validation: dict[str, Any] | None = None
        self._start = self._before = random.moment()
        self._process = os.getpid()

    def rewind(self) -> None:
        """Put chainrule's random numbers where they were when the saved run was started.

        What is drawn before the first step, such as the samples to validate with, is the same then.
        """
        if self._saved is not None:
            start = self._saved.document["start"]
            random.load(random.Moment(start["generator"], start["key"], start["reserved"]))
        self._start = random.moment()

    def describe(
        self,
        settings: dict[str, Any],
        model: Any,
        augment: Any = None,
        pipelines: Iterable[Pipeline] = (),
    ) -> None:
        """Say what the run is: what must be the same when it is taken up again.

        Warns of random generators in functions of pipelines, which a thread may call ahead.

        Raises:
            ValueError: the saved run was another; the message tells which fields differ.
        """
        self._settings = settings
        self._generators = generators_in(_parts(model, augment))
        _warn_of_generators(pipelines)
        if self._saved is None:
            return
        document = self._saved.document
        saved = {**document.get("settings", {}), **{key: document.get(key) for key in OF_MODEL}}
        found = [
            line for key in settings for line in differences(saved.get(key), settings[key], key)
        ]
        if found:
            random.load(self._before)
            raise ValueError(
                f"fit: the checkpoint {str(self._saved.path)!r} is of another run:\n  "
                + "\n  ".join(found)
                + "\nGive what the run was started with, or another folder for a new one"
            )

    # What a run asks of it ----------------------------------------------------------------------

    def begin(self, run: Run) -> bool:
        """Put the run where the saved one stopped, if there is one.

        Raises:
            TypeError, ValueError: something that is to be kept cannot be: not after an hour, when
                the first checkpoint is due.
        """
        found = self._go_back(run)
        check(*self._copy(run))
        return found

    def _go_back(self, run: Run) -> bool:
        if self._saved is None:
            return False
        path, document, arrays = self._saved
        self._saved = None  # its arrays are needed no more
        with _complete(path):
            state = join(document["state"], arrays.get("training", {}))
            if state["run"]["phase"] not in PHASES:
                raise KeyError(state["run"]["phase"])
            callbacks, pending = state["callbacks"], state["run"]["pending"]
        run.show(state["run"])
        with _complete(path):
            model = run.model
            assign_weights(model.named_weights(), arrays.get("weights", {}), where="fit")
            optimizer_from(model, document["optimizer"], arrays.get("optimizer", {}))
            freeze(model, state["frozen"])
            set_numbers(model, state["numbers"])
        load_callback_states(run.hooks.callbacks, callbacks)  # what it raises is the user's
        with _complete(path):
            run.load_state(state["run"])
            load_states_of(self._generators, state["generators"])
            load_global_states(state["random"])
        run.finish_pending(pending)
        return True

    def due(self, step: int) -> bool:
        """Is the state to be kept after that many steps?"""
        return self.every is not None and step % self.every == 0

    def due_after_epoch(self) -> bool:
        """Is it to be kept after each epoch?"""
        return self.every is None

    def mark_validation(self, run: Run) -> None:
        """Remember what a validation may change: one that is cut off is gone through again."""
        self._before_validation = join(*split(self._around(run), copy=False))

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
        if os.getpid() == self._process:
            self._writer.close()

    def _may_save(self, run: Run) -> bool:
        """Do all callbacks agree? Each is asked, since one that does not may end the training.

        In a child that was forked amid the run nothing is written: the folder is the parent's.
        """
        if os.getpid() != self._process:
            return False
        answers = [each.may_save() for each in run.hooks.callbacks]
        return all(answers)

    def _copy(self, run: Run) -> tuple[Any, ...]:
        """All that the rest of the run depends on, apart from it: what `write` is given."""
        model = run.model
        optimizer, remembered = optimizer_document(model, copy=False)
        amid = self._before_validation if run.phase == VALIDATE else None
        around = self._around(run) if amid is None else amid
        own = {"frozen": frozen(model), "numbers": numbers_of(model)}
        state, others = split({"run": run.state(), **own, **around})
        settings = dict(self._settings)
        document = {
            **{key: settings.pop(key) for key in OF_MODEL},
            "optimizer": optimizer,
            "settings": settings,
            "start": self._start._asdict(),
            "state": state,
        }
        arrays = {
            "weights": self._copied("weights", dict(model.named_weights())),
            "optimizer": self._copied("optimizer", remembered),
            "training": others,
        }
        return self.folder, run.step, document, arrays

    def _around(self, run: Run) -> dict[str, Any]:
        """What the run depends on apart from the model and itself."""
        return {
            "callbacks": callback_states(run.hooks.callbacks),
            "random": global_states(),
            "generators": states_of(self._generators),
        }

    def _copied(self, group: str, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
        """Copies of arrays or Tensors, in the memory of the ones before, which are written."""
        before, copies = self._copies.get(group, {}), {}
        for name, each in arrays.items():
            array = on_host(each) if isinstance(each, Tensor) else each
            copy = before.get(name)
            if copy is None or (copy.shape, copy.dtype) != (array.shape, array.dtype):
                copy = np.empty(array.shape, array.dtype)
            copy[...] = array
            copies[name] = copy
        self._copies[group] = copies
        return copies


def _parts(model: Any, augment: Any) -> dict[str, Any]:
    """What may draw random numbers in a run, by name."""
    objective = model._objective
    layers = {f"layer {prefix[:-1] or layer.name}": layer for prefix, layer in model._tree()}
    metrics = {f"metric {each.name}": each for each in objective.metrics}
    return {
        "augment": augment,
        **layers,
        "loss": objective.loss,
        **metrics,
        "learning_rate": model.optimizer.schedule,
    }


def _warn_of_generators(pipelines: Iterable[Pipeline]) -> None:
    functions = [
        step.function
        for pipeline in pipelines
        for step in pipeline._step.steps()
        if isinstance(step, (Map, GeneratorSource))
    ]
    roots = {getattr(each, "__name__", type(each).__name__): each for each in functions}
    for path, _ in generators_in(roots)[:1]:
        warnings.warn(
            f"fit: a function of the pipeline holds a random generator ({path}), whose state no "
            "checkpoint keeps: a run that is resumed draws other numbers from it. Draw them from "
            "cr.random instead, as cr.random.generator().normal(...), within the function",
            UserWarning,
            stacklevel=2,
        )


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Raises CheckpointError where something is missing in a checkpoint, or of another type."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"fit: the checkpoint {str(path)!r} is incomplete ({error!r}); it was not written by "
            "this version of chainrule"
        ) from error
