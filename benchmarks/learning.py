"""What is learnt, beside PyTorch: the same data in the same batches, the same optimiser.

    python -m benchmarks learning                       one epoch of each
    python -m benchmarks.learning text --epochs 10      the text program's full length
    python -m benchmarks.learning digits --epochs 30 --seeds 3

Weights start as each library starts them by default.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.harness import Row
from chainrule.layers import LSTM, Conv2D, Dense, Dropout, Embedding, Flatten, MaxPooling2D
from chainrule.models import Sequential

BATCH = {"text": 32, "digits": 64}


@dataclass
class Task:
    """Data, and what both libraries go through in an epoch."""

    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int

    def batches(self, seed: int, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The batches of an epoch, in an order that the seed decides; digits are shifted."""
        generator = np.random.default_rng((seed, epoch))
        order = generator.permutation(len(self.x))
        size = BATCH[self.name]
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            x = self.x[rows]
            if self.name == "digits":
                x = cr.images.random_shift(x, 2, generator=generator)
            yield x, self.y[rows]


def text(windows: int) -> Task:
    """The next character at every step, in windows of 20."""
    data = cr.datasets.python_docs()
    tokenizer = cr.text.CharTokenizer().fit(data.train)
    train = cr.text.windows(tokenizer.encode(data.train), 20, count=windows)
    test = cr.text.windows(tokenizer.encode(data.validation), 20, stride=20)
    return Task("text", *train, *test, tokenizer.vocab_size)


def digits(samples: int) -> Task:
    """MNIST's small set, with a channel axis."""
    data = cr.datasets.mnist_small()
    x, x_test = data.x_train[:samples, ..., None], data.x_test[..., None]
    return Task("digits", x, data.y_train[:samples], x_test, data.y_test, 10)


class Ours:
    """chainrule's model of a task."""

    def __init__(self, task: Task, seed: int) -> None:
        cr.seed(seed)
        if task.name == "text":
            layers: list[Any] = [
                Embedding(task.classes, 32),
                LSTM(128, return_sequences=True),
                LSTM(128, return_sequences=True),
            ]
        else:
            layers = [
                Conv2D(16, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Conv2D(32, 3, padding="same", activation="relu"),
                MaxPooling2D(),
                Flatten(),
                Dropout(0.3),
            ]
        self.model = Sequential([*layers, Dense(task.classes, activation="softmax")])
        self.model.compile("adam", "sparse_categorical_crossentropy")

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One step of Adam."""
        self.model.train_on_batch(x, y)

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """The share of right answers."""
        return float((self.model.predict(x, batch_size=256).argmax(-1) == y).mean())


class Theirs:
    """PyTorch's."""

    def __init__(self, task: Task, seed: int) -> None:
        import torch
        from torch import nn

        torch.manual_seed(seed)
        self.torch = torch
        if task.name == "text":

            class Characters(nn.Module):
                def __init__(self) -> None:
                    super().__init__()
                    self.embedding = nn.Embedding(task.classes, 32)
                    self.lstm = nn.LSTM(32, 128, num_layers=2, batch_first=True)
                    self.out = nn.Linear(128, task.classes)

                def forward(self, x: Any) -> Any:
                    return self.out(self.lstm(self.embedding(x))[0])

            self.model: Any = Characters()
        else:
            self.model = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Dropout(0.3),
                nn.Linear(32 * 7 * 7, task.classes),
            )
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)

    def inputs(self, x: np.ndarray) -> Any:
        """Integers as they are wanted, channels first."""
        if x.dtype.kind in "iu":
            return self.torch.tensor(x.astype(np.int64))
        return self.torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One step of Adam."""
        self.model.train()
        logits = self.model(self.inputs(x))
        targets = self.torch.tensor(y.astype(np.int64)).reshape(-1)
        loss = self.torch.nn.functional.cross_entropy(logits.reshape(len(targets), -1), targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """The share of right answers."""
        self.model.eval()
        with self.torch.no_grad():
            return float((self.model(self.inputs(x)).numpy().argmax(-1) == y).mean())


def _epoch(model: Any, task: Task, seed: int, epoch: int) -> float:
    """Seconds of an epoch."""
    begin = time.perf_counter()
    for x, y in task.batches(seed, epoch):
        model.step(x, y)
    return time.perf_counter() - begin


def run(smoke: bool) -> list[Row]:
    """One epoch of each task, one library after the other; the note tells the accuracies."""
    rows = []
    for task in (text(640 if smoke else 108_000), digits(640 if smoke else 3_500)):
        ours = Ours(task, 0)
        seconds = _epoch(ours, task, 0, 0)
        note = f"accuracy {ours.accuracy(task.x_test, task.y_test):.3f}"
        workload = f"an epoch of {task.name}, {len(task.x):,} samples"
        try:
            theirs = Theirs(task, 0)
        except ImportError:
            rows.append(Row(workload, seconds, note=f"{note}; PyTorch is not installed"))
            continue
        peer = _epoch(theirs, task, 0, 0)
        note += f", PyTorch's {theirs.accuracy(task.x_test, task.y_test):.3f}"
        rows.append(Row(workload, seconds, "PyTorch", peer, seconds / peer, note=note))
    return rows


def main() -> None:
    """Trains both libraries' models, and prints accuracies epoch by epoch."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("task", choices=("text", "digits"))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    task = text(108_000) if options.task == "text" else digits(3_500)
    last: dict[str, list[float]] = {"chainrule": [], "PyTorch": []}
    for seed in range(options.seeds):
        models = {"chainrule": Ours(task, seed), "PyTorch": Theirs(task, seed)}
        for epoch in range(options.epochs):
            told = []
            for name, model in models.items():
                seconds = _epoch(model, task, seed, epoch)
                accuracy = model.accuracy(task.x_test, task.y_test)
                told.append(f"{name} {accuracy:.4f} ({seconds:.1f} s)")
                if epoch == options.epochs - 1:
                    last[name].append(accuracy)
            print(f"seed {seed}, epoch {epoch + 1}: {', '.join(told)}", flush=True)
    for name, accuracies in last.items():
        print(f"{name}: mean {np.mean(accuracies):.4f} of {np.round(accuracies, 4).tolist()}")


if __name__ == "__main__":
    main()
