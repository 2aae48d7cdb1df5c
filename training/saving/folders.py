"""A folder of checkpoints: `step-0000000100/` and so on, of which the newest are kept."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine.errors import CheckpointError

from ..notes import add_note
from .arrays import pack
from .bundle import read_bundle, write_bundle
from .document import to_json

KIND = "checkpoint"
NAME = re.compile(r"step-(\d{10})")
KEPT = 2


def checkpoints(folder: str | os.PathLike[str]) -> list[Path]:
    """The checkpoints in a folder, the newest last; those that were not finished left out."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if NAME.fullmatch(each.name)]
    return sorted(each for each in found if (each / f"{KIND}.json").is_file())


class Saved(NamedTuple):
    """A checkpoint that was read: where from, and what `read_bundle` returned."""

    path: Path
    document: dict[str, Any]
    arrays: dict[str, dict[str, np.ndarray]]


def require_checkpoint(folder: Path) -> None:
    """Raise ValueError or OSError if there is nothing to go on from."""
    remedy = "leave out resume=True for a new run; resume='auto' goes on only if there is one"
    if not folder.exists():
        raise FileNotFoundError(
            f"fit: checkpoint={str(folder)!r} does not exist, so that there is no checkpoint to go "
            f"on from; {remedy}"
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"fit: checkpoint={str(folder)!r} is a file; give the folder of the checkpoints"
        )
    if not checkpoints(folder):
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
        held = "it is empty"
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            held = f"it holds {', '.join(map(repr, names[:3]))}{more}"
        hint = ""
        if NAME.fullmatch(folder.name):
            hint = f"give the folder around it, {str(folder.parent)!r}; or "
        raise ValueError(
            f"fit: checkpoint={str(folder)!r} has no checkpoint to go on from ({held}); {hint}"
            f"{remedy}"
        )


def require_no_model(folder: Path) -> None:
    """Raise FileExistsError for the folder of a saved model, which `load_model` would read then."""
    if (folder / "model.json").exists():
        raise FileExistsError(
            f"fit: checkpoint={str(folder)!r} is the folder of a saved model; give the run a "
            f"folder of its own, such as {str(folder / 'run')!r}"
        )


def newest(folder: Path) -> Saved:
    """The newest checkpoint.

    Raises CheckpointError if it is damaged; it says whether the one before is whole.
    """
    *earlier, last = checkpoints(folder)
    try:
        return Saved(last, *read_bundle(last, KIND, where="fit"))
    except CheckpointError as error:
        for path in reversed(earlier):
            with suppress(CheckpointError, OSError):
                read_bundle(path, KIND, where="fit")
                add_note(
                    error,
                    f"fit: {path.name} is whole; remove {str(last)!r} to go on from there",
                )
                break
        raise


def check(folder: Path, step: int, document: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Raise what `write` would, but for the disk: TypeError or ValueError for what no file holds.

    `folder` and `step` are those of `write`, and not looked at.
    """
    to_json(document, "fit")
    for group, named in arrays.items():
        pack(named, where=f"fit: group {group!r}")


def write(folder: Path, step: int, document: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a checkpoint, then remove all but the newest."""
    path = folder / f"step-{step:010d}"
    try:
        write_bundle(path, KIND, document, arrays, where="fit", indent=None)
    except Exception:
        with suppress(OSError):  # half of one is of no use, and the disk may be full
            if not (path / f"{KIND}.json").exists():
                remove(path)
        raise
    for old in checkpoints(folder)[:-KEPT]:
        remove(old)


def clean(folder: Path) -> None:
    """Remove what was being written, or removed, when its process ended."""
    for each in folder.iterdir():
        if NAME.fullmatch(each.name) and not (each / f"{KIND}.json").exists():
            remove(each)


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint; the manifest first, without which the rest is none."""
    with suppress(FileNotFoundError):
        (checkpoint / f"{KIND}.json").unlink()
    shutil.rmtree(checkpoint, ignore_errors=True)
