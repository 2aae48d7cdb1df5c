"""The main job: train the worked example's network on digits, report, and write the results."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from chainrule import datasets
from chainrule.engine.devices import get_device
from chainrule.engine.errors import CheckpointError, DeviceError
from chainrule.engine.random import moment, seed
from chainrule.layers import Dense, Flatten
from chainrule.optim import SGD, Adam
from chainrule.training.files import atomic_write, check_writable_folder
from chainrule.training.history import History
from chainrule.training.metrics import confusion_matrix, format_confusion
from chainrule.training.preprocessing import Preprocessing
from chainrule.training.saving.bundle import read_bundle
from chainrule.training.saving.folders import KIND, checkpoints
from chainrule.training.sequential import Sequential

LEARNING_RATES = {"adam": 0.001, "sgd": 0.1}


class UsageError(Exception):
    """What was asked cannot be done; the message says why and what to do instead."""


def build(
    hidden: list[int], classes: int, activation: str, optimizer: str, learning_rate: float | None
) -> Sequential:
    """The compiled network: hidden layers, and a softmax over the classes.

    >>> len(build([500, 500], 10, "relu", "sgd", None).layers)
    4
    """
    model = Sequential(
        [
            Flatten(),
            *(Dense(units, activation=activation) for units in hidden),
            Dense(classes, activation="softmax"),
        ]
    )
    rate = LEARNING_RATES[optimizer] if learning_rate is None else learning_rate
    rule = Adam(learning_rate=rate) if optimizer == "adam" else SGD(learning_rate=rate)
    model.compile(optimizer=rule, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def free_folder(data: str, root: Path = Path("runs")) -> Path:
    """The first of runs/<data>-1, runs/<data>-2, ... that does not exist."""
    name = Path(data).stem or "data"
    number = 1
    while (root / f"{name}-{number}").exists():
        number += 1
    return root / f"{name}-{number}"


def _check_checkpoint(arguments: argparse.Namespace) -> None:
    """Raise UsageError for options that need another one."""
    for option, given in (("--every", arguments.every), ("--resume", arguments.resume)):
        if given and not arguments.checkpoint:
            raise UsageError(f"{option} needs a folder: --checkpoint FOLDER")
    if not arguments.checkpoint:
        return
    folder, there = Path(arguments.checkpoint), checkpoints(arguments.checkpoint)
    if arguments.resume is True and not there:
        within = checkpoints(folder.parent) if (folder / f"{KIND}.json").exists() else []
        around = f"give the folder around it, {folder.parent}; or " if within else ""
        raise UsageError(
            f"--checkpoint {folder} has no checkpoint to go on from; {around}leave out --resume "
            "for a new run; --resume auto goes on only if there is one"
        )
    if there and not arguments.resume:
        raise UsageError(
            f"--checkpoint {folder} holds the checkpoints of an earlier run, the newest "
            f"{there[-1].name}; --resume goes on with that run, a new one needs another folder"
        )


def _check_seed(arguments: argparse.Namespace) -> None:
    """Raise UsageError if the run to go on with was started with another seed.

    The random numbers would be those of the run, whatever the seed says.
    """
    there = checkpoints(arguments.checkpoint) if arguments.checkpoint else []
    if not there:
        return
    try:
        document, _ = read_bundle(there[-1], KIND, groups=(), where="--checkpoint")
        key = document["start"]["key"]
    except (CheckpointError, OSError, KeyError, TypeError):
        return  # `fit` reads it anew, and tells what is wrong
    if key != moment().key:
        raise UsageError(
            f"the run in --checkpoint {arguments.checkpoint} was not started with --seed "
            f"{arguments.seed}; give its own seed, or another folder for a new run"
        )


def train(arguments: argparse.Namespace) -> int:
    """Runs the job with parsed arguments; returns the exit code.

    Raises UsageError for input that cannot be used, before any training.
    """
    try:
        device = get_device(arguments.device)
        data = datasets.load(arguments.data)
        _check_checkpoint(arguments)
        folder = Path(arguments.output or arguments.checkpoint or free_folder(arguments.data))
        option = "--checkpoint" if arguments.checkpoint and not arguments.output else "--output"
        check_writable_folder(folder, where=option)
        seed(arguments.seed)
        _check_seed(arguments)
        model = build(
            arguments.hidden,
            len(data.classes),
            arguments.activation,
            arguments.optimizer,
            arguments.learning_rate,
        )
        model.preprocessing = Preprocessing(classes=data.classes)
        model.to(device).build((None, *data.x_train.shape[1:]))
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(str(error)) from error

    print(
        f"{data.name}: {len(data.x_train):,} images to train, {len(data.x_validation):,} to "
        f"validate, {len(data.x_test):,} to test, {len(data.classes)} classes"
    )
    if not device.on_host:
        print(f"Computing on {device.name}, with the kernel set {device.kernels.name!r}")
    model.summary()
    history = History()
    start = time.perf_counter()
    interrupted = False
    try:
        model.fit(
            data.x_train,
            data.y_train,
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            validation_data=(data.x_validation, data.y_validation),
            callbacks=[history],
            checkpoint=arguments.checkpoint,
            checkpoint_every=arguments.every,
            resume=arguments.resume,
        )
    except KeyboardInterrupt:
        interrupted = True
    except DeviceError as error:  # no compiler for the emulator, no memory on the GPU
        raise UsageError(str(error)) from error
    except (CheckpointError, ValueError, OSError, RuntimeError) as error:
        if arguments.checkpoint is None:
            raise
        notes = getattr(error, "__notes__", [])
        raise UsageError("\n".join([str(error), *notes])) from error
    seconds = time.perf_counter() - start
    try:
        return _finish(arguments, model, data, history, folder, seconds, interrupted)
    except OSError as error:  # the disk is full, for example
        kept = ""
        if arguments.checkpoint and checkpoints(arguments.checkpoint):
            kept = f" (the run is kept: --checkpoint {arguments.checkpoint} --resume goes on)"
        raise UsageError(f"{error}{kept}") from error


def _finish(
    arguments: argparse.Namespace,
    model: Sequential,
    data: datasets.Dataset,
    history: History,
    folder: Path,
    seconds: float,
    interrupted: bool,
) -> int:
    """Writes and shows what has come of it; returns the exit code."""
    weights = folder / "weights.safetensors"
    model.save_weights(weights)
    if interrupted:
        print(f"\nStopped by Ctrl-C after {len(history.epoch)} whole epochs.")
        print(f"The weights so far are in {weights}")
        there = checkpoints(arguments.checkpoint) if arguments.checkpoint else []
        if there:
            print(f"The same command with --resume goes on from {there[-1].name}.")
        elif arguments.checkpoint:
            print("There is no checkpoint yet: --every STEPS, of fewer steps, writes them earlier.")
        return 130
    print(f"Trained for {seconds:.1f} s.\n\nOn the test images:")
    loss, accuracy = model.evaluate(data.x_test, data.y_test, batch_size=256)
    predicted = model.predict(data.x_test, batch_size=256).argmax(axis=-1)
    table = confusion_matrix(data.y_test, predicted, len(data.classes))
    print(f"\nTest loss {loss:.4f}, test accuracy {accuracy:.4f}\n")
    print(format_confusion(table, data.classes))
    _write_json(
        folder / "history.json",
        {
            "arguments": {key: value for key, value in vars(arguments).items() if key != "command"},
            "history": history.history,
            "seconds": seconds,
            "test_loss": loss,
            "test_accuracy": accuracy,
            "confusion": table.tolist(),
        },
    )
    model.save(folder / "model")
    print(
        f"\nModel     {folder / 'model'}\nWeights   {weights}\nHistory   {folder / 'history.json'}"
    )
    try:
        from chainrule.training.plots import plot_history

        plot_history(history, folder / "curves.png")
        print(f"Curves    {folder / 'curves.png'}")
    except ImportError as error:
        print(f"Curves    not drawn: {error}")
    return 0


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, default=float)
    with atomic_write(path) as file:
        file.write(text.encode())
