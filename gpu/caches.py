"""Where compiled kernels are kept from run to run, and how files get there whole."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """A folder for a kind of files, in $CHAINRULE_CACHE, or in chainrule in the user's cache.

    Where that cannot be written, one for this process alone.
    """
    own = os.environ.get("CHAINRULE_CACHE")
    if own:
        return _writable(Path(own) / kind)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return _writable(Path(base) / "chainrule" / kind)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return _own_folder()
    return folder if os.access(folder, os.W_OK) else _own_folder()


@lru_cache
def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="chainrule-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def write_whole(target: Path, content: bytes) -> None:
    """Writes a file under another name, and renames it: processes may write the same at once."""
    descriptor, temporary = tempfile.mkstemp(dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
