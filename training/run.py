"""A training run: where it stands, and how it goes on from there.

It is at a whole moment between any two steps, and before and after every hook of the callbacks.
What it says of itself then (`Run.state`), with weights, optimiser, callbacks and random numbers, is
all that the rest of the run depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from . import loop
from .callbacks import CallbackList
from .feeds import Feed
from .objective import Objective
from .progress import ProgressLine

#: What comes next in an epoch. Each is entered before the hooks that belong to it are called, so
#: that what is left of a hook that was cut off (`_pending`) is called in the phase that follows.
BEGIN, BEGUN, TRAIN, VALIDATE, END = "begin", "begun", "train", "validate", "end"
PHASES = (BEGIN, BEGUN, TRAIN, VALIDATE, END)
#: Hooks of which the rest is called when a run goes on; a validation is done again as a whole.
FINISHED = ("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end")


class Keeper(Protocol):
    """What keeps a run's state where it outlives the process."""

    def begin(self, run: Run) -> bool:
        """Puts the run where an earlier one stopped. Is there such a one?"""

    def due(self, step: int) -> bool:
        """Is the state to be kept after that many steps?"""

    def due_after_epoch(self) -> bool:
        """Is it to be kept after each epoch?"""

    def save(self, run: Run) -> None:
        """Keeps the state."""

    def mark_validation(self, run: Run) -> None:
        """Remembers what a validation may change, which then begins."""

    def rescue(self, run: Run, error: Exception) -> None:
        """Keeps the state of a run that an error ends, and says so in the error."""


class Run:
    """A training, epoch by epoch and batch by batch.

    Arguments:
        model, objective: what is trained, and by what.
        feed: the batches to train with.
        hooks: the callbacks; `line`: the progress line.
        epochs: the number of the last epoch; `initial_epoch`: of those already done.
        held_out: the batches to validate with, or None.
        augment: changes the samples of a batch before its step, or None.
        keeper: keeps the state, or None.
    """

    def __init__(
        self,
        model: Any,
        objective: Objective,
        feed: Feed,
        hooks: CallbackList,
        line: ProgressLine,
        *,
        epochs: int,
        initial_epoch: int = 0,
        held_out: Feed | None = None,
        augment: Callable[[np.ndarray], Any] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.model, self.objective, self.feed, self.hooks = model, objective, feed, hooks
        self.line, self.epochs, self.held_out, self.augment = line, epochs, held_out, augment
        self.keeper = keeper
        self.epoch, self.batch, self.step = initial_epoch, 0, 0
        self.phase = BEGIN
        self.order: np.ndarray | None = None
        self.logs: dict[str, float] = {}
        self._is_whole = True  # False within a step, from which nothing can go on
        self._is_cut_off = False  # by an error
        self._is_told = True  # False from the end of a step until the callbacks have heard of it
        self._has_begun = False

    def go(self) -> None:
        """Train to the end: the last epoch, or the one in which a callback stops the training."""
        is_over = False
        try:
            self.hooks.on_train_begin()
            if self.keeper is not None and self.keeper.begin(self):
                is_over = self.phase == BEGIN and self.model.stop_training
            self._has_begun = True
            while self.epoch < self.epochs and not is_over:
                self._go_through_epoch()
                is_over = self.model.stop_training
            if self.keeper is not None and not self.keeper.due_after_epoch():
                self.keeper.save(self)
        except Exception as error:
            if self.keeper is not None and self._has_begun and self._is_whole:
                self._is_cut_off = True
                self.keeper.rescue(self, error)
            raise
        finally:
            try:
                self.line.close()  # which may fail, as with nobody to read what is printed
            finally:
                self.hooks.on_train_end(self.logs)

    def _go_through_epoch(self) -> None:
        """The epoch, or what is left of it."""
        if self.phase == BEGIN:
            self.line.start(epoch=self.epoch + 1, epochs=self.epochs)
            self.phase = BEGUN
            self.hooks.on_epoch_begin(self.epoch)
        if self.phase == BEGUN:
            self.order = self.feed.draw(self.epoch)
            self.objective.reset()
            self.phase = TRAIN
        if self.phase == TRAIN:
            self._train()
            self.logs, self.phase = self.objective.logs(), VALIDATE
        if self.phase == VALIDATE:
            if self.held_out is not None:
                if self.keeper is not None:
                    self.keeper.mark_validation(self)
                found = loop.evaluate(
                    self.model, self.objective, self.held_out, self.hooks, where="fit"
                )
                self.logs |= {f"val_{name}": value for name, value in found.items()}
            self.line.finish(self.logs)
            self.phase = END
            self.hooks.on_epoch_end(self.epoch, self.logs)
        self.epoch, self.batch, self.order, self.phase = self.epoch + 1, 0, None, BEGIN
        if self.keeper is not None and self.keeper.due_after_epoch():
            self.keeper.save(self)

    def _train(self) -> None:
        """The batches of the epoch that are left; ends early if a callback stops the training."""
        model, objective, hooks, line = self.model, self.objective, self.hooks, self.line
        augment, keeper, unchecked = self.augment, self.keeper, self.feed.unchecked
        has_begun, self._batch_has_begun = self._batch_has_begun, False
        if self.batch and model.stop_training:
            return
        with closing(self.feed.open(self.order, self.batch, self.epoch)) as batches:
            for x, y in batches:
                index = self.batch
                if hooks.train_batch_hooks and not has_begun:
                    hooks.on_train_batch_begin(index)
                has_begun = False
                self._is_whole = False
                if augment is not None:
                    x = loop.augmented(augment, x)
                loop.train_step(model, objective, x, y, batch=index if unchecked else None)
                self.batch = index + 1
                self.step += 1
                self._is_whole, self._is_told = True, False
                line.update(index + 1, objective.logs)
                if hooks.train_batch_hooks:
                    hooks.on_train_batch_end(index, objective.logs())
                self._is_told = True
                if keeper is not None and keeper.due(self.step):
                    keeper.save(self)
                if model.stop_training:
                    break

    #: Have the callbacks heard of the beginning of the next batch?
    _batch_has_begun = False

    # Where it stands ----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Where the run stands, as plain data and arrays."""
        pending = None
        cut_off = self._pending() if self._is_cut_off else None
        if cut_off is not None:
            hook, index, arguments = cut_off
            names = [type(each).__name__ for each in self.hooks.callbacks]
            pending = {
                "hook": hook,
                "callbacks": names[:-1],  # the last is the history
                "first": index,
                "arguments": list(arguments),
            }
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "phase": self.phase,
            "order": self.order,
            "logs": self.logs,
            "stopped": bool(self.model.stop_training),
            "objective": self.objective.state(),
            "pending": pending,
        }

    def _pending(self) -> tuple[str, int, tuple[Any, ...]] | None:
        """A hook of which some callbacks have not heard: (hook, index of the first, arguments)."""
        cut_off = self.hooks.interrupted
        if cut_off is not None:
            return cut_off if cut_off[0] in FINISHED else None
        if self._is_told:
            return None
        return "on_train_batch_end", 0, (self.batch - 1, self.objective.logs())

    def show(self, state: dict[str, Any]) -> None:
        """Let an epoch that had begun be seen, and be heard of, before its state is taken on.

        So a callback finds what it sets at an epoch's beginning; what it counts is in its state.
        """
        if state["phase"] != BEGIN:
            self.line.start(epoch=state["epoch"] + 1, epochs=self.epochs)
            self.hooks.on_epoch_begin(state["epoch"])

    def load_state(self, state: dict[str, Any]) -> None:
        """Take on what `state()` returned."""
        self.objective.load_state(state["objective"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self.phase, self.order, self.logs = state["phase"], state["order"], dict(state["logs"])
        self.model.stop_training = state["stopped"]

    def finish_pending(self, pending: dict[str, Any] | None) -> None:
        """Call what is left of a hook in which a callback raised, of that callback first.

        Raises ValueError if the callbacks are others; the one that raised may have been left out.
        """
        if pending is None:
            return
        then, first = pending["callbacks"], pending["first"]
        now = [type(each).__name__ for each in self.hooks.callbacks][:-1]
        if now != then and now != then[:first] + then[first + 1 :]:
            raise ValueError(
                f"fit: the run stopped in {pending['hook']} of {then[first]}, one of the callbacks "
                f"{', '.join(then)}, and is resumed with {', '.join(now) or 'none'}; give the same "
                f"ones, with or without {then[first]}"
            )
        hook, arguments = pending["hook"], pending["arguments"]
        if hook == "on_epoch_end":
            arguments = [arguments[0], self.logs]
        self._batch_has_begun = hook == "on_train_batch_begin"
        self.hooks.finish(hook, first, *arguments)
