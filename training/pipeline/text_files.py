"""Text files as the source of a pipeline: windows of ids, or lines."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.training.integers import check_integer
from chainrule.training.sequences import pad_sequences, windows

from ..files import as_path
from .arguments import refuse
from .arrays import ArraySource
from .elements import Element
from .fingerprints import CHUNK, file_fingerprint
from .pipeline import Pipeline
from .steps import Opened, Run, Step

#: Which bytes are white space.
BLANK = np.isin(np.arange(256), list(b" \t\n\v\f\r"))


def from_text_file(
    path: str | os.PathLike[str],
    tokenizer: Any = None,
    length: int | None = None,
    *,
    stride: int = 1,
    target: str = "next",
    lines: bool = False,
    **elsewhere: Any,
) -> Pipeline:
    """A text file in UTF-8, as windows of ids to train a language model with, or line by line.

    Windows: x holds `length` ids, y those that follow each of them (or the one that follows the
    last), as `cr.text.windows` makes them. The ids of the whole text are kept in memory, in the
    smallest dtype; the windows are made when their turn comes.

    Lines: with `lines=True`, x is a line without its end (a line feed, perhaps after a carriage
    return), and there is no y. With a tokenizer it is the line's ids, int32, cut or filled with 0
    at the start to `length`, if that is given, as `cr.text.pad_sequences` does; without one it is a
    string, for `map` to make numbers of. The file may be larger than memory. Lines of white space
    alone are left out.

    Arguments:
        path: the file.
        tokenizer: has a method `encode`, which makes ids of a text: a fitted
            `cr.text.CharTokenizer` or `WordTokenizer`.
        length: ids of a window, or of a line.
        stride: distance between the starts of windows.
        target: "next" or "last", what y is; see `cr.text.windows`.
        lines: yield lines, not windows?
        **elsewhere: none; arguments of other libraries are explained.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is empty or blank, or no UTF-8 (the message names the byte and the line), or
            has less than `length` + 1 ids.
        TypeError: `tokenizer` or `length` are missing or none of the above.
        RuntimeError: the tokenizer has no vocabulary.

    >>> import tempfile
    >>> import chainrule as cr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "book.txt")
    ...     size = path.write_text("one two one two one")
    ...     tokenizer = cr.text.WordTokenizer().fit(path.read_text())
    ...     for x, y in from_text_file(path, tokenizer, length=3):
    ...         print(tokenizer.decode(x), "|", tokenizer.decode(y))
    one two one | two one two
    two one two | one two one
    """
    refuse(elsewhere, "from_text_file", encoding="the file must be UTF-8")
    path = as_path(path, "from_text_file")
    if tokenizer is None and not lines:
        raise TypeError(
            "from_text_file: tokenizer is missing; windows of ids need one, such as "
            "cr.text.CharTokenizer().fit(text); or give lines=True"
        )
    if tokenizer is not None and not callable(getattr(tokenizer, "encode", None)):
        raise TypeError(
            "from_text_file: tokenizer must have a method encode(text), got "
            f"{type(tokenizer).__name__}"
        )
    if length is None and not lines:
        raise TypeError("from_text_file: length is missing; give the ids of a window, length=40")
    if length is not None:
        length = check_integer(length, "length", least=1, where="from_text_file")
    if path.stat().st_size == _start(path):
        raise ValueError(f"from_text_file: {path} is empty")
    if lines:
        if stride != 1 or target != "next":
            raise TypeError("from_text_file: stride and target are for windows, not for lines")
        if tokenizer is None and length is not None:
            raise TypeError("from_text_file: length needs a tokenizer, whose ids it counts")
        return Pipeline(LineSource(path, tokenizer, length))
    ids = tokenizer.encode(_whole_text(path))
    x, y = windows(ids, length, stride=stride, target=target)  # type: ignore[arg-type]
    settings = {"length": length, "stride": stride, "target": target}
    return Pipeline(WindowSource(x, y, path, tokenizer, settings))


class WindowSource(ArraySource):
    """Windows of the ids of a text file."""

    name = "text"

    def __init__(
        self, x: np.ndarray, y: np.ndarray, path: Path, tokenizer: Any, settings: dict[str, Any]
    ) -> None:
        super().__init__(x, y)
        self.shown = path.name
        self.path, self.tokenizer, self._windows = path, tokenizer, settings

    @cached_property
    def _fingerprint(self) -> dict[str, Any]:
        file = file_fingerprint(self.path)
        return {**file, "tokenizer": _tokenizer_fingerprint(self.tokenizer), **self._windows}


class LineSource(Step):
    """The lines of a text file, which is mapped into memory."""

    name = "lines"

    def __init__(self, path: Path, tokenizer: Any, sequence_length: int | None) -> None:
        self.path, self.tokenizer, self.sequence_length = path, tokenizer, sequence_length
        self.shown = path.name
        self.starts, self.ends = _lines(path)
        self.length = len(self.starts)
        if self.length == 0:
            raise ValueError(f"from_text_file: {path} has nothing but white space")
        self.bytes = np.memmap(path, np.uint8, mode="r")
        self.element = self.sample(0)

    def sample(self, index: int) -> Element:
        """One line."""
        start = self.starts[index]
        line = self.bytes[start : self.ends[index]].tobytes().decode("utf-8")
        line = line.removesuffix("\n").removesuffix("\r")
        if self.tokenizer is None:
            return Element(line)
        ids = self.tokenizer.encode(line)
        if len(ids) == 0:
            raise ValueError(
                f"from_text_file: the line at byte {start} of {self.path} has no tokens: {line!r}; "
                "remove it"
            )
        if self.sequence_length is not None:
            ids = pad_sequences([ids], self.sequence_length)[0]
        return Element(np.asarray(ids))

    def settings(self) -> dict[str, Any]:
        """The file's hash, the tokenizer's, and the length of the lines."""
        return {**self._file, "length": self.sequence_length}

    @cached_property
    def _file(self) -> dict[str, Any]:
        tokenizer = None if self.tokenizer is None else _tokenizer_fingerprint(self.tokenizer)
        return {**file_fingerprint(self.path), "tokenizer": tokenizer}

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Lines(self)


class _Lines(Opened):
    def __init__(self, source: LineSource) -> None:
        self.source, self.length = source, source.length

    def get(self, index: int) -> Element:
        return self.source.sample(index)


def _tokenizer_fingerprint(tokenizer: Any) -> dict[str, Any]:
    """Class and hash of the configuration, vocabulary included, where there is one."""
    found = {"class_name": type(tokenizer).__name__}
    if hasattr(tokenizer, "to_config"):
        config = json.dumps(tokenizer.to_config(), sort_keys=True)
        found["sha256"] = hashlib.sha256(config.encode()).hexdigest()
    return found


def _start(path: Path) -> int:
    """Where the text begins: after the mark of UTF-8, if there is one."""
    with open(path, "rb") as file:
        return len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0


def _whole_text(path: Path) -> str:
    """The text of a file, its lines ending in a line feed alone."""
    content = path.read_bytes()[_start(path) :]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _no_utf8(path, error.start + _start(path), line, error) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Where the lines begin and end that are not blank, int64 of shape (lines,) each."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = _start(path)
    ends, lines = [np.array([at])], 0
    inked, total = [np.array([0])], 0  # characters up to each end that are no white space
    with open(path, "rb") as file:
        file.seek(at)
        while True:
            piece = file.read(CHUNK)
            kept = len(decoder.getstate()[0])  # bytes of a character that the last piece cut
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                line = lines + piece.count(b"\n", 0, max(0, error.start - kept)) + 1
                raise _no_utf8(path, at - kept + error.start, line, error) from None
            if not piece:
                break
            array = np.frombuffer(piece, np.uint8)
            places = np.flatnonzero(array == ord("\n"))
            ink = np.cumsum(~BLANK[array])
            ends.append(places + 1 + at)
            inked.append(ink[places] + total)
            lines, total, at = lines + len(places), total + int(ink[-1]), at + len(piece)
    bounds, ink = np.append(np.concatenate(ends), at), np.append(np.concatenate(inked), total)
    kept_lines = np.diff(ink) > 0
    return bounds[:-1][kept_lines], bounds[1:][kept_lines]


def _no_utf8(path: Path, byte: int, line: int, error: UnicodeDecodeError) -> ValueError:
    return ValueError(
        f"from_text_file: {path} is not UTF-8 at byte {byte}, in line {line} ({error.reason}); "
        "write it anew in UTF-8: Path(path).write_text(Path(path).read_text(encoding), 'utf-8') "
        "with the encoding it has"
    )
