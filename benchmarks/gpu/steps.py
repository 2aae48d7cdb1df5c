"""Steps of training on a device, beside PyTorch's on the same one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks.cost_model import cnn, lstm, mlp
from benchmarks.harness import Row, interleave

#: Name, our model, shape of a sample, batch size, classes.
MODELS: list[tuple[str, Callable[[], Any], tuple[int, ...], int, int]] = [
    ("MLP 100-500-500-10", mlp, (100,), 32, 10),
    ("2 LSTM of 128, T = 20", lstm, (20,), 32, 105),
    ("CNN 28×28", cnn, (28, 28, 1), 64, 10),
]


def trained(device: Any, peer: str | None, count: int, repeats: int, models: int = 3) -> list[Row]:
    """A row for each model: the time of a step of Adam, the mean of `count` in a row.

    Each library gets the batch as a NumPy array and copies it to the device. `peer` is PyTorch's
    device; None to do without.
    """
    rows = []
    for name, make, shape, batch, classes in MODELS[:models]:
        x, y = _batch(name, shape, batch, classes)
        runs = {"ours": _ours(make, device, x, y, count)}
        note = "without a peer: PyTorch has no GPU here, or is not installed"
        if peer is not None:
            runs["theirs"] = _theirs(name, peer, x, y, count)
            note = ""
        times = {key: each / count for key, each in interleave(runs, repeats).items()}
        workload = f"step on {device.name!r}, {name}, batch {batch}"
        ours = float(np.median(times["ours"]))
        if peer is None:
            rows.append(Row(workload, ours, note=note))
            continue
        ratio = float(np.median(times["ours"] / times["theirs"]))
        theirs = float(np.median(times["theirs"]))
        rows.append(Row(workload, ours, f"PyTorch on {peer!r}", theirs, ratio))
    return rows


def _batch(name: str, shape: tuple[int, ...], batch: int, classes: int) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    if "LSTM" in name:
        given = random.integers(2, 100, (2, batch, *shape))
        return given[0], given[1]
    x = random.standard_normal((batch, *shape)).astype("float32")
    return x, random.integers(0, classes, batch)


def _ours(make: Callable[[], Any], device: Any, x: Any, y: Any, count: int) -> Callable[[], object]:
    cr.seed(0)
    before = cr.default_device()
    cr.set_default_device(device)
    try:
        model = make()
        model.compile("adam", "sparse_categorical_crossentropy")
        model.build((None, *x.shape[1:]))
    finally:
        cr.set_default_device(before)

    def run() -> None:
        for _ in range(count):
            model.train_on_batch(x, y)
        device.synchronize()

    return run


def _theirs(name: str, device: str, x: Any, y: Any, count: int) -> Callable[[], object]:
    import torch

    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False  # float32, as ours
    model = _torch_model(torch, name).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    if x.ndim == 4:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def run() -> None:
        for _ in range(count):
            inputs, targets = (torch.from_numpy(each).to(device) for each in (x, y.reshape(-1)))
            logits = model(inputs)
            loss = torch.nn.functional.cross_entropy(logits.reshape(len(targets), -1), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if device != "cpu":
            torch.cuda.synchronize()

    return run


def _torch_model(torch: Any, name: str) -> Any:
    nn = torch.nn
    if name.startswith("MLP"):
        hidden = [nn.Linear(100, 500), nn.ReLU(), nn.Linear(500, 500), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(500, 10))
    if name.startswith("CNN"):
        first = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        second = [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32 * 7 * 7, 10))

    class Characters(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(105, 32)
            self.lstm = nn.LSTM(32, 128, num_layers=2, batch_first=True)
            self.out = nn.Linear(128, 105)

        def forward(self, x: Any) -> Any:
            return self.out(self.lstm(self.embedding(x))[0])

    return Characters()


def torch_device() -> str | None:
    """PyTorch's GPU, if it has one."""
    try:
        import torch
    except ImportError:
        return None
    return "cuda" if torch.cuda.is_available() else None
