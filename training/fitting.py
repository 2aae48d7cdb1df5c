"""What `fit` does before the first step: it checks what it is given, and puts a run together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine import random
from chainrule.engine.dtypes import default_dtype

from .arguments import (
    VALIDATION_NAMES,
    check_epochs,
    check_flag,
    check_samples,
    check_validation_data,
)
from .callbacks import CallbackList
from .calls import require_no_lone_sample, require_own_layers
from .data import DEFAULT_BATCH_SIZE, Batches, split_validation
from .feeds import Feed, PipelineFeed, is_pipeline, require_alone
from .history import History
from .inputs import count, rows, several, structure
from .progress import ProgressLine, check_verbose
from .run import Keeper, Run


class Options(NamedTuple):
    """The arguments of `Model.fit`, under their names there."""

    batch_size: int | None
    epochs: int
    verbose: int | str
    callbacks: Any
    validation_split: float
    validation_data: Any
    shuffle: bool
    initial_epoch: int
    augment: Callable[[np.ndarray], Any] | None
    checkpoint: Any
    checkpoint_every: Any
    resume: Any


def fit(model: Any, x: Any, y: Any, options: Options) -> History:
    """Train a compiled model; see `Model.fit`."""
    epochs, initial_epoch = check_epochs(options.epochs, options.initial_epoch)
    verbose = check_verbose(options.verbose)
    shuffle = check_flag(options.shuffle, "shuffle", where="fit")
    augment = options.augment
    if augment is not None and not callable(augment):
        raise TypeError(f"fit: augment must be a function of a batch of x, got {augment!r}")
    chosen = CallbackList(options.callbacks).callbacks
    if is_pipeline(x):
        require_alone(y, options)
    else:
        x, y = check_samples(*model._prepared_data(x, y, "fit"), where="fit")
    if augment is not None and several(x):
        raise TypeError(f"fit: augment changes one array, but x is {structure(x)}")
    with _keeping(options) as keeper:
        if keeper is not None:
            keeper.rewind()
        feed, held_out = _feeds(model, x, y, options, shuffle)
        model._build_and_check(feed, "fit", ("x", "y"))
        sample = rows(feed.first()[0], slice(0, 1))
        require_own_layers(model, model._entering(sample, "fit"), "fit")
        if isinstance(feed, Batches):
            require_no_lone_sample(model, count(feed.x), feed.batch_size, "fit")
        if held_out is not None:
            model._build_and_check(held_out, "fit", VALIDATION_NAMES)
        model._attach("fit")
        if keeper is not None:
            pipelines = [
                each.pipeline for each in (feed, held_out) if isinstance(each, PipelineFeed)
            ]
            settings = _settings(model, feed, held_out, options)
            keeper.describe(settings, model, augment, pipelines)
        return _train(
            model, feed, held_out, chosen, epochs, initial_epoch, verbose, augment, keeper
        )


def _keeping(options: Options) -> AbstractContextManager[Any]:
    """What keeps the run, or None; loaded where a run is to be kept."""
    asked = (options.checkpoint, options.checkpoint_every, options.resume)
    if asked == (None, None, False):
        return nullcontext()
    from .saving.keeper import keeping

    return keeping(*asked)


def _train(
    model: Any,
    feed: Feed,
    held_out: Feed | None,
    chosen: list[Any],
    epochs: int,
    initial_epoch: int,
    verbose: int,
    augment: Callable[[np.ndarray], Any] | None,
    keeper: Keeper | None,
) -> History:
    history = History()
    params = {"epochs": epochs, "steps": feed.steps, "verbose": verbose}
    hooks = CallbackList([*chosen, history], model=model, params=params)
    model.history, model.stop_training = history, False
    line = ProgressLine(feed.steps, verbose=verbose)
    with model._run() as objective:
        Run(
            model,
            objective,
            feed,
            hooks,
            line,
            epochs=epochs,
            initial_epoch=initial_epoch,
            held_out=held_out,
            augment=augment,
            keeper=keeper,
        ).go()
    return history


def _feeds(model: Any, x: Any, y: Any, options: Options, shuffle: bool) -> tuple[Feed, Feed | None]:
    """The batches to train with, and those to validate with, if there are any."""
    batch_size = DEFAULT_BATCH_SIZE if options.batch_size is None else options.batch_size
    held_out: Feed | None = None
    if is_pipeline(options.validation_data):
        # Validation sees the same batches in every epoch, whatever the seed of the run.
        held_out = PipelineFeed(
            options.validation_data, 0, name="validation_data", classes=model._known_classes()
        )
    elif options.validation_data is not None:
        x_val, y_val = check_validation_data(options.validation_data, model._prepared_data)
        held_out = Batches(x_val, y_val, batch_size)
    elif options.validation_split != 0:
        x, y, x_val, y_val = split_validation(x, y, options.validation_split, random.generator())
        held_out = Batches(x_val, y_val, batch_size)
    if is_pipeline(x):
        seed = int(random.generator().integers(1 << 63))
        return PipelineFeed(x, seed, classes=model._known_classes()), held_out
    return Batches(x, y, batch_size, random.generator() if shuffle else None), held_out


def _settings(model: Any, feed: Feed, held_out: Feed | None, options: Options) -> dict[str, Any]:
    """All that must be the same for a run to be the same, as plain data."""
    from .saving.descriptions import compile_document, model_document

    return {
        "model": model_document(model),
        "compile": compile_document(model),
        "preprocessing": model.preprocessing and model.preprocessing.to_config(),
        "data": feed.fingerprint(),
        "validation_data": None if held_out is None else held_out.fingerprint(),
        "augment": options.augment is not None,
        "default_dtype": default_dtype().name,
    }
