"""The training that is killed: short, and with all that makes it hard to go on exactly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.reliability.processes import say
from chainrule.callbacks import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.models import Sequential
from chainrule.optim.schedules import CosineDecay
from chainrule.training.saving.bundle import read_bundle

#: What the batches come from.
KINDS = ("arrays", "pipeline")
MODEL = "model"
SAMPLES, FEATURES, CLASSES, HIDDEN, BATCH = 400, 20, 4, 48, 16


class Started(Callback):
    """Says when the first step of this process is done."""

    def __init__(self) -> None:
        super().__init__()
        self.said = False

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Print a line, once."""
        if not self.said:
            self.said = True
            say(started=True)


def noisy(x: np.ndarray, y: Any = None) -> Any:
    """Samples with noise: of a batch that `fit` augments, or of a pipeline's (x, y)."""
    x = (x + 0.1 * cr.random.generator().normal(size=x.shape)).astype(x.dtype)
    return x if y is None else (x, y)


def _data() -> tuple[np.ndarray, np.ndarray]:
    """The same samples in every process; a fifth of the classes is wrong, so that none fits."""
    source = np.random.default_rng(0)
    x = source.normal(size=(SAMPLES, FEATURES)).astype("float32")
    y = (x @ source.normal(size=(FEATURES, CLASSES))).argmax(-1)
    wrong = source.random(SAMPLES) < 0.2
    y[wrong] = source.integers(0, CLASSES, wrong.sum())
    return x, y


def _network(kind: str) -> Sequential:
    model = Sequential(
        [
            *(Dense(HIDDEN, activation="tanh"), BatchNormalization(), Dropout(0.3)),
            *(Dense(HIDDEN, activation="relu"), BatchNormalization(), Dropout(0.2)),
            Dense(CLASSES, activation="softmax"),
        ]
    )
    rate: Any = 0.01  # so high that the loss rises at times, and callbacks act
    if kind == "pipeline":
        rate = CosineDecay(rate, 160)
    adam = cr.optim.Adam(learning_rate=rate, global_clipnorm=1.0)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _callbacks(kind: str, best: str) -> list[Callback]:
    chosen = [Started(), EarlyStopping(patience=2), ModelCheckpoint(best, keep=2)]
    if kind == "arrays":  # a schedule of the optimiser's would not have its rate changed
        chosen.append(ReduceLROnPlateau(patience=1, factor=0.7))
    return chosen


def train(
    kind: str,
    seed: int,
    best: str,
    folder: str | None = None,
    epochs: int = 8,
    every: int = 3,
) -> dict[str, Any]:
    """Train, or go on with the run in the folder.

    Arguments:
        kind: one of KINDS.
        seed: of the random numbers at the start of this process.
        best: the folder in which the best models are kept.
        folder: of the checkpoints; None to keep none.
        epochs: as for `fit`.
        every: steps from one checkpoint to the next.

    Returns:
        SHA-256 digests of weights, optimiser, history and the best models, and the number of
        epochs.

    Raises:
        ValueError: the kind is none of them.
    """
    if kind not in KINDS:
        raise ValueError(f"train: there is no such kind as {kind!r}; give one of {KINDS}")
    cr.seed(seed)
    x, y = _data()
    keep = SAMPLES // 5
    options: dict[str, Any] = {"validation_data": (x[:keep], y[:keep])}
    x, y = x[keep:], y[keep:]
    model = _network(kind)
    if folder is not None:
        options |= {"checkpoint": folder, "checkpoint_every": every, "resume": "auto"}
    options |= {"epochs": epochs, "verbose": 0, "callbacks": _callbacks(kind, best)}
    if kind == "arrays":
        history = model.fit(x, y, batch_size=BATCH, augment=noisy, **options)
    else:
        pipeline = cr.data.from_arrays(x, y).shuffle().map(noisy).batch(BATCH).prefetch()
        history = model.fit(pipeline, **options)
    return {
        "weights": digest({name: each.numpy() for name, each in model.named_weights()}),
        "optimizer": digest(model.optimizer.state()),
        "history": digest({"epoch": history.epoch, "history": history.history}),
        "best": digest({path.name: read_bundle(path, MODEL) for path in best_models(Path(best))}),
        "epochs": len(history.epoch),
    }


def digest(value: Any) -> str:
    """SHA-256 of plain data and arrays: names, shapes, dtypes and every bit.

    >>> digest({"a": np.zeros(2)}) == digest({"a": np.zeros(2)})
    True
    >>> digest({"a": np.zeros(2)}) == digest({"a": -np.zeros(2)})
    False
    """
    found = hashlib.sha256()
    _feed(found, value)
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, dict):
        found.update(f"dict of {len(value)};".encode())
        for name in sorted(value):
            found.update(f"{name!r}:".encode())
            _feed(found, value[name])
    elif isinstance(value, (list, tuple)):
        found.update(f"list of {len(value)};".encode())
        for each in value:
            _feed(found, each)
    elif isinstance(value, np.ndarray):
        found.update(f"array {value.shape} {value.dtype.str};".encode())
        found.update(value.tobytes())
    elif isinstance(value, (float, np.floating)):
        found.update(f"{float(value).hex()};".encode())
    else:
        found.update(f"{value!r};".encode())


def best_models(folder: Path) -> list[Path]:
    """The folders of a ModelCheckpoint's models, also of those that are not whole."""
    return sorted(each for each in folder.iterdir() if each.is_dir())
