"""The progress line of training and evaluation: steps, bar, time and values."""

from __future__ import annotations

import os
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, TextIO, TypeAlias

Values: TypeAlias = Mapping[str, Any] | Callable[[], Mapping[str, Any]]

BAR_WIDTH = 30
SHORTEST_BAR = 5  # with less room than this the bar is left out: it would say nothing
REDRAW_SECONDS = 0.05


def display_width(text: str) -> int:
    """Number of terminal columns that `text` takes: wide East Asian characters take two.

    >>> display_width("loss"), display_width("损失")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def format_value(value: object) -> str:
    """Text of one logged value: four decimals, or an exponent where these would say nothing.

    Arguments:
        value: a number (Python's or NumPy's); anything else is shown by its `str`.

    >>> [format_value(v) for v in (1.9452, -0.5, 0.0, 3e-7, 1.23456e9, float("nan"), 7)]
    ['1.9452', '-0.5000', '0.0000', '3.0000e-07', '1.2346e+09', 'nan', '7']
    """
    if isinstance(value, Integral):
        return str(value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
    if number == 0:
        return "0.0000"  # also for -0.0
    return f"{number:.4f}" if 1e-3 <= abs(number) < 1e4 else f"{number:.4e}"


def format_seconds(seconds: float) -> str:
    """Text of a duration in whole seconds, as a clock shows it from one minute on.

    >>> [format_seconds(s) for s in (0.4, 3, 65, 3723)]
    ['0s', '3s', '1:05', '1:02:03']
    """
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}" if minutes else f"{rest}s"


def format_step_time(seconds: float) -> str:
    """Text of the time per step, in whole microseconds, milliseconds or seconds.

    >>> [format_step_time(s) for s in (836e-6, 0.012, 0.9999, 2.1)]
    ['836us/step', '12ms/step', '1s/step', '2s/step']
    """
    for unit, scale in (("us", 1e6), ("ms", 1e3)):
        # Rounded before it is compared, so that 999.6 us is 1 ms and never 1000 us.
        if (count := round(seconds * scale)) < 1000:
            return f"{count}{unit}/step"
    return f"{round(seconds)}s/step"


def check_verbose(verbose: object, *, where: str = "fit") -> int:
    """The `verbose` argument as 0 (silent), 1 (bar) or 2 (one line an epoch, no bar).

    Arguments:
        verbose: 0, 1, 2 or `"auto"`, which is 1.
        where: name of the public function, for the message.

    Raises:
        ValueError: it is none of them.

    >>> check_verbose("auto")
    1
    """
    if isinstance(verbose, str) and verbose == "auto":
        return 1
    if isinstance(verbose, Integral) and verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(
        f"{where}: verbose must be 0 (silent), 1 (progress bar), 2 (one line per epoch) "
        f"or 'auto', got {verbose!r}"
    )


class ProgressLine:
    """One line that tells how far an epoch, or an evaluation, has come.

    On a terminal the line is redrawn in place, at most every 50 ms, and cut to the terminal's
    width while it changes; the finished line is broken between its values where it is too long.
    On a file or a pipe one plain line is written when the epoch ends, without control characters.

    The time shown at the end is the whole time since `start`, validation included; the time per
    step counts training steps only, and leaves out the first one where there are more, since it
    also pays for compiling kernels.

    Arguments:
        total: number of steps; None if it is unknown before the end, and `n/Unknown` is shown.
        verbose: 0 writes nothing, 1 writes as described, 2 writes one line per epoch without the
            bar, `"auto"` is 1.
        stream: where to write; None is `sys.stdout` at the time of the call.
        clock: function that returns the time in seconds; never goes back.
        where: name of the public function, for messages.

    Raises:
        ValueError: `verbose` is not one of its values.

    >>> ticks = iter([0.0, 0.0, 0.5, 0.6, 0.7])
    >>> line = ProgressLine(2, clock=lambda: next(ticks))
    >>> line.start(epoch=1, epochs=10)
    Epoch 1/10
    >>> line.update(1)
    >>> line.update(2)
    >>> line.finish({"loss": 1.9452, "accuracy": 0.3241})
    2/2 [==============================] - 0s 100ms/step - loss: 1.9452 - accuracy: 0.3241
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        verbose: int | str = "auto",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
        where: str = "fit",
    ) -> None:
        self.total = total
        self.verbose = check_verbose(verbose, where=where)
        self._stream = sys.stdout if stream is None else stream
        if self._stream is None:  # a windowed Python has no standard output
            self.verbose = 0
        self._terminal = self.verbose == 1 and _is_terminal(self._stream)
        self._clock = clock
        self._drawn = 0  # columns taken by the line that stands unfinished on the terminal
        self._begin("")

    def _begin(self, header: str) -> None:
        self._header = header
        self._step = self._first_step = 0
        self._start = self._last = self._after_first = self._clock() if self.verbose else 0.0
        self._next_draw = self._start + REDRAW_SECONDS

    def start(self, *, epoch: int | None = None, epochs: int | None = None) -> None:
        """Start the clock, and write `Epoch 1/10` where an epoch is given.

        Arguments:
            epoch: number of the epoch, from 1; None for an evaluation, which has no header.
            epochs: number of epochs; None if unknown.
        """
        self.close()
        ending = "" if epochs is None else f"/{epochs}"
        self._begin("" if epoch is None else f"Epoch {epoch}{ending}")
        if self._header and self.verbose == 1:
            self._write(self._header + "\n")

    def update(self, step: int, values: Values | None = None) -> None:
        """Tell that `step` steps are done; redraws if it is time to.

        Arguments:
            step: number of steps done, from 1.
            values: names and numbers to show, or a function that returns them, which is called
                only if the line is redrawn.
        """
        if not self.verbose:
            return
        self._last = now = self._clock()
        if not self._step:
            self._first_step, self._after_first = step, now
        self._step = step
        if self._terminal and now >= self._next_draw:
            self._next_draw = now + REDRAW_SECONDS
            self._redraw(values)

    def finish(self, values: Values | None = None) -> None:
        """Write the finished line, with the elapsed time, and end it.

        Arguments:
            values: as for `update`; a function is called unless `verbose` is 0.
        """
        if not self.verbose:
            return
        steps = self._step if self.total is None else self.total
        count = self._count(steps)
        spent = format_seconds(self._clock() - self._start)
        pieces = [f"{spent} {format_step_time(self._step_time())}", *_pieces(values)]
        if self.verbose == 2:
            head = f"{self._header} - {count}" if self._header else count
            self._write(" - ".join([head, *pieces]) + "\n")
            return
        room = self._room() if self._terminal else sys.maxsize
        lines = [count + self._bar(steps, room - len(count))]
        for piece in pieces:
            if display_width(lines[-1]) + 3 + display_width(piece) <= room:
                lines[-1] += f" - {piece}"
            else:
                lines.append(f"    - {piece}")
        self._replace_line(lines[0], room)
        self._write("".join(f"\n{line}" for line in lines[1:]) + "\n")
        self._drawn = 0

    def close(self) -> None:
        """End a line that an interrupt left unfinished, so that what follows starts on its own.

        Does nothing after `finish`; call it from a `finally`.
        """
        if self._drawn:
            self._drawn = 0
            self._write("\n")

    def _redraw(self, values: Values | None) -> None:
        room = self._room()
        count = self._count(self.total)
        if self.total is None:
            spent = format_seconds(self._last - self._start)
            pieces = [f"{spent} {format_step_time(self._step_time())}"]
        else:
            left = max(0, self.total - self._step) * self._step_time()
            pieces = [f"ETA: {format_seconds(round(left))}"]
        tail = "".join(f" - {piece}" for piece in [*pieces, *_pieces(values)])
        bar = self._bar(self.total, room - len(count) - display_width(tail))
        self._replace_line(_cut(count + bar + tail, room), room)

    def _replace_line(self, line: str, room: int) -> None:
        width = display_width(line)
        leftover = max(0, min(self._drawn, room) - width)
        self._write(("\r" if self._drawn else "") + line + " " * leftover)
        self._drawn = width if self._terminal else 0

    def _count(self, total: int | None) -> str:
        text = "Unknown" if total is None else str(total)
        return f"{self._step:>{len(text) if total is not None else 1}}/{text}"

    def _bar(self, total: int | None, room: int) -> str:
        width = min(BAR_WIDTH, room - 3)
        if total is None or width < SHORTEST_BAR:
            return ""
        if self._step >= total:
            return f" [{'=' * width}]"
        filled = width * self._step // total
        head = "=" * (filled - 1) + ">" if filled else ""
        return f" [{head:.<{width}}]"

    def _step_time(self) -> float:
        if self._step > self._first_step:
            return (self._last - self._after_first) / (self._step - self._first_step)
        return (self._last - self._start) / max(1, self._step)

    def _room(self) -> int:
        """Columns that can be filled: one less than there are, since a full line may wrap."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError, AttributeError):  # a stream that has no file descriptor
            columns = shutil.get_terminal_size().columns
        return (columns or 80) - 1

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        # A metric's name that a Windows console cannot show must not end the training.
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and os.environ.get("TERM") != "dumb"


def _pieces(values: Values | None) -> list[str]:
    """`name: value` of each, with control characters replaced."""
    shown = values() if callable(values) else values or {}
    texts = (f"{name}: {format_value(value)}" for name, value in shown.items())
    return ["".join(c if c.isprintable() else "?" for c in text) for text in texts]


def _cut(line: str, room: int) -> str:
    if display_width(line) <= room:
        return line
    while line and display_width(line) > room - 3:
        line = line[:-1]
    return (line + "...")[: max(0, room)]
