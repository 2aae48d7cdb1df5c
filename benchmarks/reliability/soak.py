"""A long run in one process: does memory grow, do files or threads stay open?

Memory is RssAnon, what the process itself has taken and touched: pages of files, which the system
may drop, do not count. Epochs are so short that all that is done in one, checkpoints and saved
models too, has been done twice within the first thousand steps: what is loaded for it counts.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.figures import Figure, Found
from benchmarks.reliability.processes import holdings, run

#: Steps from one look to the next, of which the first is early; and of an epoch, at whose end there
#: is a checkpoint.
LOOK, FIRST_LOOK, EPOCH = 10_000, 1_000, 500
BATCH, FEATURES = 4, 8
MEGABYTE = 1e6


def soaked(steps: int, folder: str) -> list[dict[str, int]]:
    """Train so many steps; what this process held after the first 1,000 and every 10,000.

    Arguments:
        steps: at least eight; of fewer than 2,000 there are four epochs.
        folder: of the checkpoints and of the best models.
    """
    long = min(EPOCH, steps // 4)
    looks = {min(FIRST_LOOK, 2 * long), *range(0, steps, min(LOOK, steps // 4)), steps} - {0}
    held: dict[int, dict[str, int]] = {step: {} for step in sorted(looks)}
    _trained(steps, long, Path(folder), held)
    return [{"step": step, **found} for step, found in held.items()]


def _trained(steps: int, long: int, folder: Path, held: dict[int, dict[str, int]]) -> None:
    """Train in epochs of `long` steps; fill in what the process holds after the steps in `held`."""
    import numpy as np

    import chainrule as cr
    from chainrule.callbacks import Callback, EarlyStopping, ModelCheckpoint, TerminateOnNaN
    from chainrule.layers import BatchNormalization, Dense, Dropout
    from chainrule.models import Sequential

    class Watch(Callback):
        steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if self.steps in held:
                held[self.steps] = holdings()
            self.model.stop_training = self.steps >= steps

    def noisy(x: Any, y: Any) -> Any:
        return (x + 0.1 * cr.random.generator().normal(size=x.shape)).astype(x.dtype), y

    cr.seed(0)
    source = np.random.default_rng(0)
    x = source.normal(size=(BATCH * long, FEATURES)).astype("float32")
    y = (x[:, :2] > 0).sum(-1)
    model = Sequential(
        [Dense(16, activation="relu"), BatchNormalization(), Dropout(0.2), Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        cr.data.from_arrays(x, y).shuffle().map(noisy).batch(BATCH).prefetch(),
        epochs=-(-steps // long),
        verbose=0,
        validation_data=(x[:256], y[:256]),
        callbacks=[
            *(Watch(), TerminateOnNaN(), EarlyStopping(patience=steps)),
            ModelCheckpoint(folder / "best", "loss", keep=2),
        ],
        checkpoint=folder / "run",
        checkpoint_every=long,
    )


def measure(steps: int = 200_000, seed: int = 0) -> Found:
    """Train so many steps in a child process; the seed does not matter here."""
    del seed
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        held = run("soaked", steps=steps, folder=place)
    first, last = held[0], held[-1]
    grown, most = (each["anonymous"] - first["anonymous"] for each in (last, max(held, key=_size)))
    between = f"from step {first['step']:,} to {last['step']:,}"
    figures = [
        Figure("steps", last["step"]),
        Figure("memory of the process after the first look", _size(first) / MEGABYTE, "MB"),
        Figure(f"  its growth {between}", grown / MEGABYTE, "MB", most=1),
        Figure("  the largest growth within", most / MEGABYTE, "MB"),
        Figure(f"open files, growth {between}", last["descriptors"] - first["descriptors"], most=0),
        Figure("threads, at most", max(each["threads"] for each in held)),
        Figure("duration", time.perf_counter() - begin, "s"),
    ]
    return Found("soak", figures, {"held": held})


def _size(held: dict[str, int]) -> int:
    return held["anonymous"]
