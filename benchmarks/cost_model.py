"""The cost model against what a training step takes, of the derivation's network and others.

"ours" is the time of a step as `model.cost` predicts it from smaller batches, "peer's" is what a
step takes in `fit`. The note compares the memory that a step needs in the same way.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.harness import Row
from chainrule.layers import (
    LSTM,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    LayerNormalization,
    LearnedPositions,
    MaxPooling2D,
    SinusoidalPositions,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from chainrule.models import Sequential


def mlp() -> Sequential:
    """The derivation's network (DERIVATIONS 4.3)."""
    hidden = [Dense(500, activation="relu"), Dense(500, activation="relu")]
    return Sequential([*hidden, Dense(10, activation="softmax")])


def lstm() -> Sequential:
    """The derivation's program (DERIVATIONS 5.2), as in `examples/char_lstm.py`."""
    layers = [LSTM(128, return_sequences=True), LSTM(128, return_sequences=True)]
    return Sequential([Embedding(105, 32), *layers, Dense(105, activation="softmax")])


def encoder() -> Sequential:
    """As in `examples/bert_encoder.py`."""
    blocks = [TransformerEncoderBlock(4, 256, activation="gelu", norm_first=True) for _ in range(2)]
    return Sequential([Embedding(105, 64), SinusoidalPositions(), *blocks, Dense(105, "softmax")])


def decoder() -> Sequential:
    """As in `examples/char_gpt.py`."""
    blocks = [TransformerDecoderBlock(4, 384, activation="gelu", norm_first=True) for _ in range(3)]
    last = [LayerNormalization(), Dense(105, activation="softmax")]
    return Sequential([Embedding(105, 96), LearnedPositions(64), *blocks, *last])


def cnn() -> Sequential:
    """As in `examples/digits_cnn.py`."""
    first = [Conv2D(16, 3, padding="same", activation="relu"), MaxPooling2D()]
    second = [Conv2D(32, 3, padding="same", activation="relu"), MaxPooling2D()]
    return Sequential([*first, *second, Flatten(), Dense(10, activation="softmax")])


#: Name, model, shape of a sample, batch size.
MODELS: list[tuple[str, Callable[[], Sequential], tuple[int, ...], int]] = [
    ("MLP 100-500-500-10", mlp, (100,), 32),
    ("2 LSTM of 128, T = 20", lstm, (20,), 32),
    ("encoder of width 64, T = 64", encoder, (64,), 32),
    ("decoder of width 96, T = 64", decoder, (64,), 32),
    ("CNN 28×28", cnn, (28, 28, 1), 64),
]


def _data(
    model: Any, shape: tuple[int, ...], count: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    size = count * steps
    if model.keeps_integers:
        x = rng.integers(2, 100, (size, *shape))
    else:
        x = rng.standard_normal((size, *shape)).astype("float32")
    outputs = model.compute_output_shape((None, *shape))
    return x, rng.integers(0, outputs[-1], (size, *outputs[1:-1]))


def run(smoke: bool) -> list[Row]:
    """A row a model."""
    rows = []
    steps, repeats = (2, 1) if smoke else (20, 3)
    for name, make, shape, size in MODELS[:1] if smoke else MODELS:
        cr.seed(0)
        model = make()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.build((None, *shape))
        cost = model.cost(size)
        x, y = _data(model, shape, size, steps)
        times = []
        for _ in range(1 + repeats):
            begin = time.perf_counter()
            model.fit(x, y, batch_size=size, verbose=0)
            times.append((time.perf_counter() - begin) / steps)
        measured = float(np.median(times[1:]))
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        model.train_on_batch(x[:size], y[:size])
        peak = tracemalloc.get_traced_memory()[1] - before + cost.state
        tracemalloc.stop()
        note = f"memory {cost.memory / 1e6:.2f} of {peak / 1e6:.2f} MB ({cost.memory / peak:.3f})"
        workload = f"predicted step, {name}, batch {size}"
        ratio = cost.seconds / measured
        rows.append(Row(workload, cost.seconds, "measured", measured, ratio, 1.5, note))
    return rows
