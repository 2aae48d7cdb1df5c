"""The callback that writes the values of every epoch to a table in a file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chainrule.engine.errors import describe
from chainrule.training.arguments import check_flag
from chainrule.training.callbacks import Callback, Logs
from chainrule.training.files import atomic_write, check_writable_folder

ABSENT = "NA"  # as in Keras: a value that an epoch did not give


class CSVLogger(Callback):
    """Writes the values of every epoch to a file, a row each, as soon as they are there.

    The first row names the columns: `epoch`, counted from 0 as in the history, and the values of
    the first epoch, in the order of their names. A value that a later epoch lacks is NA; names
    that come later have no column. Numbers are written so that reading them gives the same bits.

    Arguments:
        filename: the file; its folder is made if need be. An older file is replaced at the end of
            the first epoch.
        separator: one character between values.
        append: write after what is in the file, which keeps its columns?

    Raises:
        TypeError, ValueError: an argument is of another kind.

    A resumed run goes on with the rows of its epochs: those that were written between the
    checkpoint and the interruption are taken out when their epochs are repeated.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     logger = CSVLogger(Path(folder, "log.csv"))
    ...     logger.on_train_begin()
    ...     logger.on_epoch_end(0, {"loss": 2.0, "accuracy": 0.5})
    ...     logger.on_epoch_end(1, {"loss": 0.25, "accuracy": 0.75})
    ...     print(Path(folder, "log.csv").read_text())
    epoch,accuracy,loss
    0,0.5,2.0
    1,0.75,0.25
    <BLANKLINE>
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(filename, (str, os.PathLike)):
            raise TypeError(
                f"CSVLogger: filename must be the path of a file, got {describe(filename)}"
            )
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ValueError(
                f"CSVLogger: separator must be one character, such as ',' or ';', got {separator!r}"
            )
        self.path, self.separator = Path(os.path.abspath(filename)), separator
        self.append = check_flag(append, "append", where="CSVLogger")
        self._start()

    def _start(self) -> None:
        self._columns: list[str] | None = None
        self._before = 0  # rows, the names of the columns included, from before this run
        self._is_open = False  # is the file as it must be for the next row?
        self._is_resumed = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """See that the file can be written, without changing what is in it.

        Raises:
            OSError: it cannot be read, or nothing can be written in its folder.
            ValueError: its first row, after which rows are to be appended, names no epoch.
        """
        self._start()
        check_writable_folder(self.path.parent, where="CSVLogger")
        rows, _ = self._read()
        if self.append and rows:
            self._before, self._columns = len(rows), _columns(rows[0], self.path)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write a row.

        Raises:
            OSError: the file cannot be written.
            TypeError: a value is neither a number nor a string.
        """
        logs = logs or {}
        if self._columns is None:
            self._columns = sorted(logs)
        row = [str(epoch), *(_text(name, logs.get(name, ABSENT)) for name in self._columns)]
        if self._is_open:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(self._lines([row]))
                file.flush()
                os.fsync(file.fileno())
            return
        rows, is_whole = self._read()
        own = rows[self._before :] if self._is_resumed else []
        if not is_whole:
            own = own[:-1]
        earlier = [each for each in own if each[0].isdigit() and int(each[0]) < epoch]
        head = rows[: self._before] or [["epoch", *self._columns]]
        self._replace([*head, *earlier, row])
        self._is_open = True

    def _lines(self, rows: Sequence[Sequence[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=self.separator, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def _read(self) -> tuple[list[list[str]], bool]:
        """The rows of the file; False if the last one was cut off while it was written."""
        if not self.path.exists():
            return [], True
        with open(self.path, encoding="utf-8", newline="") as file:
            text = file.read()
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator)
        return [row for row in reader if row], text.endswith("\n")

    def _replace(self, rows: Sequence[Sequence[str]]) -> None:
        with atomic_write(self.path, where="CSVLogger") as file:
            file.write(self._lines(rows).encode())

    def state(self) -> dict[str, Any]:
        """The columns, and how many rows were there before the run."""
        return {"columns": self._columns, "before": self._before}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state()` returned.

        Raises:
            ValueError: it is the state of another callback.
        """
        if set(state) != {"columns", "before"}:
            raise ValueError(
                f"CSVLogger: load_state: expected 'before' and 'columns', got {sorted(state)}"
            )
        columns = state["columns"]
        self._columns = None if columns is None else [str(name) for name in columns]
        self._before = int(state["before"])
        self._is_resumed = True


def _columns(head: list[str], path: Path) -> list[str]:
    if head[0] != "epoch":
        raise ValueError(
            f"CSVLogger: cannot append to {str(path)!r}: its first row should begin with 'epoch', "
            f"got {head[0]!r}; check the separator, or give another file"
        )
    return head[1:]


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return repr(float(value))
    except (TypeError, ValueError):
        raise TypeError(
            f"CSVLogger: logs[{name!r}] must be a number or a string, got {describe(value)}"
        ) from None
