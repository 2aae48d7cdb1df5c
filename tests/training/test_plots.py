"""Training curves: a PNG that is complete or absent, and nothing else changed."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest

from chainrule.training.history import History
from chainrule.training.plots import plot_history


def trained(epochs=3, names=("loss", "accuracy", "val_loss", "val_accuracy")):
    history = History()
    for epoch in range(epochs):
        history.on_epoch_end(epoch, dict.fromkeys(names, 1.0 / (epoch + 1)))
    return history


def test_the_curves_drawn_are_those_of_the_history(tmp_path, monkeypatch):
    figure_module = pytest.importorskip("matplotlib.figure")
    figures = []

    class Spy(figure_module.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr(figure_module, "Figure", Spy)
    history = trained(names=("loss", "accuracy", "val_loss", "val_only"))
    plot_history(history, tmp_path / "curves.png")
    panels = {axes.get_title(): axes for axes in figures[0].axes}
    assert list(panels) == ["loss", "accuracy", "only"]
    drawn = {
        (title, line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
        for title, axes in panels.items()
        for line in axes.get_lines()
    }
    assert drawn == {
        ("loss", "training"): ([1, 2, 3], history.history["loss"]),
        ("loss", "validation"): ([1, 2, 3], history.history["val_loss"]),
        ("accuracy", "training"): ([1, 2, 3], history.history["accuracy"]),
        ("only", "validation"): ([1, 2, 3], history.history["val_only"]),
    }


def test_the_file_is_a_png_and_the_only_file(tmp_path):
    pytest.importorskip("matplotlib")
    plot_history(trained(), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert os.listdir(tmp_path) == ["curves.png"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1e300, 0.0])
def test_any_value_and_name_can_be_drawn(tmp_path, value):
    pytest.importorskip("matplotlib")
    history = trained(1, ("loss", r"$\broken$", "a_b"))
    history.on_epoch_end(1, {"loss": value})
    plot_history(history, tmp_path / "curves.png")


def test_pyplot_is_never_imported(tmp_path):
    pytest.importorskip("matplotlib")
    code = (
        "import sys; from chainrule.training.history import History\n"
        "from chainrule.training.plots import plot_history\n"
        "assert 'matplotlib' not in sys.modules\n"
        "history = History(); history.on_epoch_end(0, {'loss': 1.0})\n"
        "plot_history(history, sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "curves.png")], check=True)


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'chainrule\[plots\]'"):
        plot_history(trained(), tmp_path / "curves.png")
    assert os.listdir(tmp_path) == []


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png, got '.*curves\.pdf'"):
        plot_history(trained(), tmp_path / "curves.pdf")
    with pytest.raises(ValueError, match="history is empty"):
        plot_history(History(), tmp_path / "curves.png")
    pytest.importorskip("matplotlib")
    with pytest.raises(FileNotFoundError, match="plot_history: cannot write"):
        plot_history(trained(), tmp_path / "missing" / "curves.png")
