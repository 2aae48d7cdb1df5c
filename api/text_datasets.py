"""Real text: one that comes with the package.

Its origin and licence are told in `data/README.md`, beside this module.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "data"

#: More bytes than this are not unpacked: a damaged or exchanged file cannot fill the memory.
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, eq=False, repr=False)
class TextDataset:
    """A text to train with and another to validate with, cut apart by position.

    Attributes:
        name: what it is called.
        train, validation: the two texts; `validation` follows `train` in the whole.
        description: one sentence on what it is and where it comes from.
        licence: under which terms it may be passed on.

    >>> python_docs()
    <TextDataset 'python-docs': 418,473 characters to train, 46,497 to validate; 103 different ones>
    """

    name: str
    train: str
    validation: str
    description: str
    licence: str = ""

    @property
    def text(self) -> str:
        """The whole text: `train`, then `validation`."""
        return self.train + self.validation

    def __repr__(self) -> str:
        return (
            f"<TextDataset {self.name!r}: {len(self.train):,} characters to train, "
            f"{len(self.validation):,} to validate; {len(set(self.text))} different ones>"
        )


def python_docs() -> TextDataset:
    """The help texts of Python 3.11.7: 464,970 characters of English prose and code.

    The last tenth is for validation. It is set aside before windows are cut (see
    `chainrule.text.windows`), so that no window is in both parts.

    Raises ValueError if the packaged file is damaged.

    >>> data = python_docs()
    >>> len(data.train), len(data.validation), data.train[:22]
    (418473, 46497, 'The "assert" statement')
    """
    text = _unpacked(_FOLDER / "python_docs.txt.gz")
    kept = len(text) - len(text) // 10
    return TextDataset(
        "python-docs",
        text[:kept],
        text[kept:],
        description="The texts of Python 3.11.7's help(topic), from its Language Reference.",
        licence="PSF License Version 2",
    )


def _unpacked(file: Path) -> str:
    """The text in a file in UTF-8, compressed as by gzip."""
    remedy = "install chainrule again"
    try:
        with gzip.open(file) as stream:
            content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"python_docs: {file} holds more than {_MOST_BYTES:,} bytes; {remedy}")
        return content.decode()
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"python_docs: {file} is damaged ({error}); {remedy}") from error
