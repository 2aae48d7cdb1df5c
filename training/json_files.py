"""Plain data in JSON files, written completely or not at all."""

from __future__ import annotations

import json
import os
from typing import Any

from .files import atomic_write, read_bytes


def write_json(value: Any, path: str | os.PathLike[str], *, where: str) -> None:
    """Write None, numbers, strings, lists and dicts of them.

    Raises OSError if the file cannot be written.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json({"a": [1, 2]}, Path(folder, "a.json"), where="save")
    ...     read_json(Path(folder, "a.json"), where="load")
    {'a': [1, 2]}
    """
    content = json.dumps(value, indent=1, allow_nan=False)
    with atomic_write(path, where=where) as file:
        file.write(content.encode() + b"\n")


def read_json(path: str | os.PathLike[str], *, where: str) -> Any:
    """What `write_json` wrote.

    Raises OSError if the file cannot be read, ValueError if it is no JSON.
    """
    remedy = "give the path of a file that save has written"
    content = read_bytes(path, where=where, remedy=remedy)
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{where}: {str(path)!r} is damaged, or no JSON ({error}); give a file that save has "
            "written"
        ) from error
