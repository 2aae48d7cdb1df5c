"""A checksum within a `safetensors` file, which has none of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from .arrays import pack

#: Two marks in the header, so that one that is damaged does not make the file a stranger's.
SAVED_BY = re.compile(rb'"saved_by"\s*:\s*"chainrule"')
CHECKSUM = re.compile(rb'"chainrule_sha256"\s*:\s*"([0-9a-f]{64})"')

NOUGHTS = b"0" * 64

#: A file's first bytes, in which the marks are, if it has any.
START = 512


def pack_sealed(arrays: Mapping[str, np.ndarray], *, where: str) -> list[Any]:
    """As `pack`, with a checksum in the header.

    It is the SHA-256 of the whole file in which the checksum's digits are noughts.

    >>> content = b"".join(pack_sealed({"w": np.array([1.0, 2.0])}, where="save"))
    >>> check_seal(content)
    >>> check_seal(content[:-1] + b"?")
    Traceback (most recent call last):
        ...
    ValueError: its checksum is wrong, so it was changed since chainrule wrote it
    """
    metadata = {"format": "np", "saved_by": "chainrule", "chainrule_sha256": NOUGHTS.decode()}
    header, *memory = pack(arrays, where=where, metadata=metadata)
    checksum = digest([header, *memory]).encode()
    return [header.replace(NOUGHTS, checksum, 1), *memory]


def check_seal(content: bytes) -> None:
    """Raise ValueError for a file that chainrule wrote, and that was changed since.

    Files of others, which have no checksum, are left to the parser.
    """
    start = content[:START]
    saved_by, found = SAVED_BY.search(start), CHECKSUM.search(start)
    if not saved_by and not found:
        return
    if not saved_by or not found or found[1].decode() != _without(content, found):
        raise ValueError("its checksum is wrong, so it was changed since chainrule wrote it")


def _without(content: bytes, found: re.Match[bytes]) -> str:
    whole = memoryview(content)
    return digest([whole[: found.start(1)], NOUGHTS, whole[found.end(1) :]])


def digest(pieces: Iterable[Any]) -> str:
    """The SHA-256, in hexadecimal digits, of pieces of bytes one after the other."""
    found = sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()
