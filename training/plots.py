"""Pictures of training runs, drawn with matplotlib where it is installed."""

from __future__ import annotations

import os
from pathlib import Path

from chainrule.training.files import atomic_write
from chainrule.training.history import History

VALIDATION = "val_"


def plot_history(history: History, path: str | os.PathLike[str]) -> None:
    """Save the curves of a run as a PNG: the loss and each metric, training and validation.

    matplotlib's state (figures, backend) is left alone, so this works in notebooks, in threads
    and without a display. The file is complete or absent: see `files.atomic_write`.

    Arguments:
        history: what `fit` returned; it must have recorded at least one epoch.
        path: the file to write; ends in `.png`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the history is empty, or the path has another ending.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> history = History()
    >>> history.on_epoch_end(0, {"loss": 2.0, "val_loss": 2.5})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_history(history, Path(folder, "curves.png"))  # doctest: +SKIP
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"plot_history: path must end in .png, got {str(path)!r}")
    if not history.history:
        raise ValueError("plot_history: the history is empty; train for at least one epoch first")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise ImportError(
            "plot_history: drawing curves needs matplotlib, which cannot be imported; "
            "install it with: pip install 'chainrule[plots]'"
        ) from error

    names = list(dict.fromkeys(name.removeprefix(VALIDATION) for name in history.history))
    epochs = [epoch + 1 for epoch in history.epoch]  # counted as the progress line counts them
    figure = Figure(figsize=(5.5 * len(names), 4), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label, line in (
            (name, "training", "o-"),
            (VALIDATION + name, "validation", "s--"),
        ):
            if key in history.history:
                panel.plot(epochs, history.history[key], line, markersize=3, label=label)
        panel.set_title(name.replace("$", r"\$"))  # a name is not a formula
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.legend()
    with atomic_write(path, where="plot_history") as file:
        FigureCanvasAgg(figure).print_png(file)
