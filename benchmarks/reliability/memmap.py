"""Training from a file that is larger than what the process may take: one epoch, batch by batch."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.figures import Figure, Found
from benchmarks.reliability.processes import Peak, run

FEATURES, CLASSES, BATCH, EVERY = 1024, 10, 256, 1000
MEGABYTE, GIGABYTE = 1e6, 1e9
#: How the file is read, in words for the table.
WAYS = {
    "pipeline": "cr.data.from_npy(...).shuffle().batch(256).prefetch()",
    "kept": "  the same, with checkpoint=folder, checkpoint_every=1000",
    "arrays": 'fit(np.load(..., mmap_mode="r"), y)',
}


def streamed(way: str, x: str, y: str, folder: str) -> dict[str, Any]:
    """Train an epoch from files of np.save; by how much memory grew at most, sampled every 10 ms.

    Arguments:
        way: one of WAYS.
        x: the file of the samples.
        y: that of the targets.
        folder: of the checkpoints, if there are any.
    """
    import numpy as np

    import chainrule as cr
    from chainrule.layers import Dense
    from chainrule.models import Sequential

    cr.seed(0)
    model = Sequential([Dense(32, activation="relu"), Dense(CLASSES, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    begin = time.perf_counter()
    with Peak() as peak:
        if way == "arrays":
            samples, targets = np.load(x, mmap_mode="r"), np.load(y)
            history = model.fit(samples, targets, batch_size=BATCH, epochs=1, verbose=0)
        else:
            kept = {"checkpoint": folder, "checkpoint_every": EVERY} if way == "kept" else {}
            pipeline = cr.data.from_npy(x, y).shuffle().batch(BATCH).prefetch()
            history = model.fit(pipeline, epochs=1, verbose=0, **kept)
    return {
        "growth": peak.growth,
        "before": peak.before,
        "samples": peak.samples,
        "seconds": time.perf_counter() - begin,
        "loss": history.history["loss"][-1],
    }


def write_data(folder: Path, gigabytes: float) -> tuple[Path, Path, int]:
    """Files of random samples, float32 of shape (n, 1024), and classes; and their bytes."""
    import numpy as np

    n = max(BATCH, int(gigabytes * GIGABYTE / (4 * FEATURES)))
    x_path, y_path = folder / "x.npy", folder / "y.npy"
    x = np.lib.format.open_memmap(x_path, "w+", np.float32, (n, FEATURES))
    source = np.random.default_rng(0)
    for start in range(0, n, 4096):
        part = x[start : start + 4096]
        source.random(out=(drawn := np.empty(part.shape, np.float32)), dtype=np.float32)
        part[:] = drawn
    x.flush()
    np.save(y_path, source.integers(0, CLASSES, n))
    return x_path, y_path, x_path.stat().st_size


def measure(gigabytes: float = 2.0, seed: int = 0) -> Found:
    """Write a file of that size, and train from it in three ways; the seed does not matter here."""
    del seed
    with tempfile.TemporaryDirectory() as place:
        x, y, size = write_data(Path(place), gigabytes)
        details = {
            way: run("streamed", way=way, x=str(x), y=str(y), folder=f"{place}/run") for way in WAYS
        }
    figures = [Figure("file of samples, float32", size / GIGABYTE, "GB")]
    for way, shown in WAYS.items():
        found = details[way]
        figures += [
            Figure(f"{shown}: growth", found["growth"] / MEGABYTE, "MB", most=300),
            Figure("  an epoch", found["seconds"], "s"),
        ]
    return Found("memmap", figures, {"bytes": size, **details})
