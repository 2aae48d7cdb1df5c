"""The progress line: the source's format, redrawing on terminals, plain lines elsewhere."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.training.progress import (
    ProgressLine,
    check_verbose,
    display_width,
    format_seconds,
    format_step_time,
    format_value,
)


class Clock:
    """A clock that goes on only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines that a terminal would show after all writes."""
        lines = []
        for written in self.getvalue().split("\n"):
            shown: list[str] = []
            for part in written.split("\r"):
                shown[: len(part)] = part
            lines.append("".join(shown).rstrip())
        return lines


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")


def run_epoch(stream, values, *, steps=38, step_seconds=836e-6, verbose=1, total=38, epoch=1):
    clock = Clock()
    line = ProgressLine(total, verbose=verbose, stream=stream, clock=clock)
    line.start(epoch=epoch, epochs=10 if epoch else None)
    for step in range(1, steps + 1):
        clock.now += step_seconds
        line.update(step, {"loss": 2.0})
    line.finish(values)
    return line


VALUES = {"loss": 1.9452, "accuracy": 0.3241, "val_loss": 1.8201, "val_accuracy": 0.3571}
SOURCE_LINE = (
    "38/38 [==============================] - 0s 836us/step - loss: 1.9452 - accuracy: 0.3241"
    " - val_loss: 1.8201 - val_accuracy: 0.3571"
)


def test_file_gets_the_line_of_the_source_and_no_control_characters():
    stream = io.StringIO()
    run_epoch(stream, VALUES)
    assert stream.getvalue() == f"Epoch 1/10\n{SOURCE_LINE}\n"


def test_file_gets_one_line_per_epoch_however_long_it_takes():
    stream = io.StringIO()
    run_epoch(stream, VALUES, step_seconds=100.0)
    assert stream.getvalue().count("\n") == 2
    assert not re.search(r"[^\n -~]", stream.getvalue())


def test_terminal_ends_with_the_line_of_the_source():
    stream = Terminal()
    run_epoch(stream, VALUES)
    assert stream.screen() == ["Epoch 1/10", SOURCE_LINE, ""]


def test_evaluation_has_no_header():
    stream = io.StringIO()
    run_epoch(stream, VALUES, epoch=None)
    assert stream.getvalue() == SOURCE_LINE + "\n"


def test_verbose_0_writes_nothing_and_reads_neither_clock_nor_values():
    def forbidden():
        raise AssertionError("called although nothing is shown")

    stream = Terminal()
    line = ProgressLine(3, verbose=0, stream=stream, clock=forbidden)
    line.start(epoch=1, epochs=2)
    line.update(1, forbidden)
    line.finish(forbidden)
    line.close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_verbose_2_is_one_line_without_bar(stream):
    run_epoch(stream, {"loss": 1.5}, verbose=2)
    assert stream.getvalue() == "Epoch 1/10 - 38/38 - 0s 836us/step - loss: 1.5000\n"


def test_verbose_2_evaluation_has_no_header():
    stream = io.StringIO()
    run_epoch(stream, {"loss": 1.5}, verbose=2, epoch=None)
    assert stream.getvalue() == "38/38 - 0s 836us/step - loss: 1.5000\n"


@pytest.mark.parametrize("verbose", [3, -1, "yes", None, 1.0])
def test_unknown_verbose_is_refused(verbose):
    with pytest.raises(ValueError, match=r"^evaluate: verbose must be 0 .* got " + repr(verbose)):
        ProgressLine(3, verbose=verbose, where="evaluate")


def test_auto_and_numpy_integers_are_verbose_values():
    assert [check_verbose(v) for v in ("auto", np.int64(2), True, False)] == [1, 2, 1, 0]


def test_running_line_shows_count_head_dots_and_eta():
    stream, clock = Terminal(), Clock()
    line = ProgressLine(100, stream=stream, clock=clock)
    line.start()
    clock.now += 1.0
    line.update(50, {"loss": 2.0})
    assert stream.screen() == [" 50/100 [==============>...............] - ETA: 1s - loss: 2.0000"]


def test_redraws_are_at_least_50_ms_apart_and_values_are_asked_only_then():
    stream, clock = Terminal(), Clock()
    asked = []
    line = ProgressLine(1000, stream=stream, clock=clock)
    line.start()
    for step in range(1, 1001):
        clock.now += 0.001
        line.update(step, lambda: asked.append(clock.now) or {"loss": 1.0})
    assert 15 <= len(asked) <= 20
    assert min(np.diff(asked)) >= 0.05 - 1e-9
    assert asked[0] >= 100.05 - 1e-9


def test_values_are_never_asked_on_a_file_before_the_end():
    asked = []
    stream, clock = io.StringIO(), Clock()
    line = ProgressLine(10, stream=stream, clock=clock)
    line.start()
    for step in range(1, 11):
        clock.now += 1
        line.update(step, lambda: asked.append("update") or {})
    line.finish(lambda: asked.append("finish") or {"loss": 1.0})
    assert asked == ["finish"]


def test_a_shorter_redraw_leaves_nothing_of_the_longer_one():
    stream, clock = Terminal(), Clock()
    line = ProgressLine(10, stream=stream, clock=clock)
    line.start()
    for step, values in enumerate(({"loss": 1e-9, "accuracy": 0.5}, {"loss": 1.0}), start=1):
        clock.now += 1
        line.update(step, values)
    assert stream.screen()[0].endswith("- loss: 1.0000")
    assert "accuracy" in stream.getvalue()


@given(
    columns=st.integers(20, 140),
    steps=st.integers(1, 12345),
    names=st.lists(st.text("aé损\n\x1b", min_size=1, max_size=8), max_size=5, unique=True),
    value=st.floats(),
)
def test_no_line_on_a_terminal_reaches_its_last_column(columns, steps, names, value):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        stream, clock = Terminal(), Clock()
        line = ProgressLine(12345, stream=stream, clock=clock)
        line.start(epoch=1, epochs=10)
        values = dict.fromkeys(names, value)
        for step in (1, steps):
            clock.now += 1
            line.update(step, values)
        running = re.split("[\r\n]", stream.getvalue())
        line.finish(values)
        finished = re.split("[\r\n]", stream.getvalue())[len(running) :]
    assert max(map(display_width, running)) < columns
    # One value that is wider than the terminal cannot be broken; nothing is lost instead.
    widest = max([6 + display_width(f"{name}: {value:.4e}") for name in names], default=0)
    assert max(map(display_width, finished)) < max(columns, widest + 1, 6 + 20)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().endswith("\n")


def test_a_finished_line_that_is_too_long_is_broken_and_complete(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    run_epoch(stream, VALUES)
    assert stream.screen()[1:] == [
        "38/38 [==============================] - 0s 836us/step - loss: 1.9452",
        "    - accuracy: 0.3241 - val_loss: 1.8201 - val_accuracy: 0.3571",
        "",
    ]


def test_elapsed_includes_validation_and_step_time_leaves_it_and_the_first_step_out():
    stream, clock = io.StringIO(), Clock()
    line = ProgressLine(3, stream=stream, clock=clock)
    line.start()
    for step, seconds in enumerate((30.0, 0.012, 0.012), start=1):
        clock.now += seconds
        line.update(step)
    clock.now += 35
    line.finish()
    assert stream.getvalue() == "3/3 [==============================] - 1:05 12ms/step\n"


def test_a_single_step_counts_fully():
    stream = io.StringIO()
    run_epoch(stream, {}, steps=1, total=1, step_seconds=2.2, epoch=None)
    assert stream.getvalue() == "1/1 [==============================] - 2s 2s/step\n"


def test_unknown_total_runs_as_unknown_and_ends_as_known():
    stream, clock = Terminal(), Clock()
    line = ProgressLine(None, stream=stream, clock=clock)
    line.start()
    for step in (1, 2):
        clock.now += 1
        line.update(step, {"loss": 1.0})
    assert stream.screen() == ["2/Unknown - 2s 1s/step - loss: 1.0000"]
    line.finish({"loss": 1.0})
    assert stream.screen()[0] == (
        "2/2 [==============================] - 2s 1s/step - loss: 1.0000"
    )


def test_an_epoch_that_was_stopped_shows_how_far_it_came():
    stream = io.StringIO()
    run_epoch(stream, {}, steps=19, epoch=None)
    assert stream.getvalue().startswith("19/38 [==============>...............] - 0s")


def test_close_ends_an_interrupted_line_once():
    stream, clock = Terminal(), Clock()
    line = ProgressLine(10, stream=stream, clock=clock)
    line.start()
    clock.now += 1
    line.update(1)
    line.close()
    line.close()
    assert stream.getvalue().endswith("9s\n")
    assert stream.getvalue().count("\n") == 1


def test_no_steps_at_all_is_no_division_by_zero():
    stream = io.StringIO()
    run_epoch(stream, {}, steps=0, total=0, epoch=None)
    assert stream.getvalue().startswith("0/0")


def test_a_stream_that_cannot_encode_a_name_goes_on():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    run_epoch(stream, {"损失": 1.0})
    assert raw.getvalue().endswith(b"??: 1.0000\n")


def test_a_missing_standard_output_is_silent(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    run_epoch(None, VALUES)


def test_a_dumb_terminal_is_a_file(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    run_epoch(stream, VALUES, step_seconds=1.0)
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00012345, "1.2345e-04"),
        (0.001, "0.0010"),
        (-0.5, "-0.5000"),
        (-3e-5, "-3.0000e-05"),
        (9999.5, "9999.5000"),
        (1e4, "1.0000e+04"),
        (1e300, "1.0000e+300"),
        (-0.0, "0.0000"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (12345678, "12345678"),
        (np.int64(3), "3"),
        (np.float32(0.25), "0.2500"),
        (np.array(0.25), "0.2500"),
        ("text", "text"),
    ],
)
def test_values_stay_readable(value, text):
    assert format_value(value) == text


@given(st.floats(-1e300, 1e300).filter(bool))
def test_text_of_a_value_is_within_half_a_unit_of_its_last_digit(value):
    assert float(format_value(value)) == pytest.approx(value, rel=5.01e-5, abs=5.01e-5)
    if abs(value) < 1e-3:
        assert float(format_value(value)) == pytest.approx(value, rel=5.01e-5, abs=5e-324)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.99, "59s"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (-1, "0s")],
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0us/step"),
        (999.4e-6, "999us/step"),
        (999.6e-6, "1ms/step"),
        (0.9994, "999ms/step"),
        (0.9996, "1s/step"),
        (75, "75s/step"),
    ],
)
def test_step_times_never_show_a_thousand_of_a_unit(seconds, text):
    assert format_step_time(seconds) == text
