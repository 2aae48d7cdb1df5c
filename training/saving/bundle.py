"""Bundles: a folder with a manifest in JSON and the `safetensors` files that it names.

    digits/
        model.json                          the manifest: what there is, and a checksum of each
        weights-3f1c09ab77de.safetensors    a group of arrays; its name holds its checksum's start

The manifest's rename is the moment at which a new bundle replaces an older one. Before it, the
older manifest names files that are all still there; after it, files of the older one are removed.
So a crash at any point leaves one of the two, whole. Nothing in a bundle is ever executed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine.errors import CheckpointError, describe

from ..files import atomic_write, flush_folder, make_folder, read_bytes, reading
from .arrays import pack, unpack
from .document import from_json, to_json
from .lock import Turn
from .seal import NOUGHTS, digest

Files = dict[str, dict[str, Any]]  # of each group: its file's name, bytes and sha256
Arrays = Mapping[str, Mapping[str, np.ndarray]]

VERSION = 1  # of the format
OURS = ("format", "version", "chainrule", "files", "checksum")  # keys of the manifest

#: Manifests hold configurations, vocabularies and histories; what is larger is none.
LARGEST_MANIFEST = 64 * 2**20

PERMISSIONS = "change the permissions, or give another folder"

_WORD = re.compile("[a-z][a-z0-9_]{0,39}")
_HEAD = re.compile(rb'\{\s*"format": "chainrule ([a-z0-9_]+)",\s*"version": ([0-9]{1,9}),')
_DIGEST = slice(-68, -4)  # where the manifest's bytes hold its checksum


def write_bundle(
    folder: str | os.PathLike[str],
    kind: str,
    document: Mapping[str, Any],
    arrays: Arrays,
    *,
    where: str = "write_bundle",
    indent: int | None = 1,
) -> None:
    """Write a bundle, in place of an older one of the same kind.

    Arguments:
        folder: the folder, which is made if it is missing, and its parents too.
        kind: a word, such as "model"; the manifest is `<kind>.json`.
        document: plain data: None, numbers (also NaN and infinities), strings, lists and dicts
            with strings as keys. Tuples come back as lists, NumPy's numbers as Python's.
        arrays: groups of named arrays, of booleans, integers or floating-point numbers, of any
            shape; a file is written for each group.
        where: name of the public function, for messages.
        indent: of the manifest, for those who read it; None is quicker.

    Raises:
        OSError: a file cannot be written; the older bundle is still there, whole.
        TypeError: something in the document is no plain data, or something in `arrays` no array;
            the message gives its place.
        ValueError: a name cannot be used, or the document is larger than what is read again.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bundle(folder, "model", {"units": 2}, {"weights": {"w": np.array([0.5])}})
    ...     read_bundle(folder, "model")
    ({'units': 2}, {'weights': {'w': array([0.5])}})
    """
    for word in (kind, *arrays):
        if not isinstance(word, str) or not _WORD.fullmatch(word):
            raise ValueError(
                f"{where}: {describe(word)} cannot be the name of a kind or group of arrays; give "
                "a word of up to 40 lower-case letters, digits and underscores"
            )
    taken = [key for key in document if key in OURS]
    if taken:
        raise ValueError(f"{where}: the document's key {taken[0]!r} is the format's own; rename it")
    plain = to_json(dict(document), where)
    packed = {
        group: pack(named, where=f"{where}: group {group!r}") for group, named in arrays.items()
    }
    files = {group: _entry(group, pieces) for group, pieces in packed.items()}
    content = _manifest_of(kind, files, plain, indent)
    if len(content) > LARGEST_MANIFEST:  # it would never be read again
        raise ValueError(
            f"{where}: configuration, vocabulary, history and the like take {len(content):,} bytes "
            f"of {kind}.json, and at most {LARGEST_MANIFEST:,} are read; nothing was written. Keep "
            "large tables in files of their own (arrays are saved apart)"
        )

    folder = make_folder(folder, where=where)
    with Turn(folder):  # or one would take the files of another, not yet named, for left over
        _write(folder, kind, content, files, packed, where)


def _write(
    folder: Path, kind: str, content: bytes, files: Files, packed: dict[str, list[Any]], where: str
) -> None:
    """Write the files of the groups, then the manifest, and remove what is no longer named."""
    manifest = folder / f"{kind}.json"
    older = _manifest_or_nothing(manifest)
    for group, pieces in packed.items():
        with atomic_write(folder / files[group]["name"], where=where, flush=False) as file:
            file.writelines(pieces)
    flush_folder(folder)  # the files' names are on the disk before the manifest that names them
    with atomic_write(manifest, where=where) as file:
        file.write(content)
    with suppress(OSError):  # the bundle is written; what is left of others costs space only
        _remove_older(folder, kind, files, older)


@cache
def _version() -> str:
    return metadata.version("chainrule")


def _entry(group: str, pieces: list[Any]) -> dict[str, Any]:
    """What the manifest says of a group's file."""
    checksum = digest(pieces)
    size = sum(memoryview(piece).nbytes for piece in pieces)
    return {"name": _file_name(group, checksum), "bytes": size, "sha256": checksum}


def _manifest_of(kind: str, files: Files, plain: dict[str, Any], indent: int | None) -> bytes:
    """The manifest's bytes, with its checksum."""
    whole = {
        "format": f"chainrule {kind}",
        "version": VERSION,
        "chainrule": _version(),
        "files": files,
        **plain,
        "checksum": NOUGHTS.decode(),
    }
    text = json.dumps(whole, indent=indent, allow_nan=False)
    content = (text.rstrip("\n}") + "\n}\n").encode()
    return content[: _DIGEST.start] + _checksum(content) + content[_DIGEST.stop :]


def _file_name(group: str, checksum: str) -> str:
    return f"{group}-{checksum[:12]}.safetensors"


def _checksum(manifest: bytes) -> bytes:
    """That of a manifest in which the checksum's own digits are noughts."""
    whole = memoryview(manifest)
    return digest([whole[: _DIGEST.start], NOUGHTS, whole[_DIGEST.stop :]]).encode()


def _remove_older(folder: Path, kind: str, groups: Iterable[str], older: bytes) -> None:
    """Remove files that no manifest names any more, and what killed writers left of ours.

    Bundles of other kinds may lie in the same folder: what occurs in their manifests stays.
    """
    group = "|".join({*groups, *_groups_in(older)})
    ours = re.compile(rf"(?:{group})-[0-9a-f]{{12}}\.safetensors")
    left = re.compile(rf"\.(?:{ours.pattern}|{kind}\.json)\.[0-9a-f]{{8}}\.tmp")
    manifests = [_manifest_or_nothing(each) for each in folder.glob("*.json")]
    for each in folder.iterdir():
        named = any(each.name.encode() in manifest for manifest in manifests)
        if left.fullmatch(each.name) or (ours.fullmatch(each.name) and not named):
            each.unlink()


def _manifest_or_nothing(path: Path) -> bytes:
    if path.is_file() and path.stat().st_size <= LARGEST_MANIFEST:
        return path.read_bytes()
    return b""


def _groups_in(manifest: bytes) -> set[str]:
    names = re.findall(rb'"name": "([a-z0-9_]+)-[0-9a-f]{12}\.safetensors"', manifest)
    return {name.decode() for name in names}


# Reading ----------------------------------------------------------------------------------------


class Manifest(NamedTuple):
    """What a bundle's manifest says: by which chainrule, the document, and the groups' files."""

    chainrule: str
    document: dict[str, Any]
    files: Files


def read_bundle(
    folder: str | os.PathLike[str],
    kind: str,
    *,
    groups: Collection[str] | None = None,
    where: str = "read_bundle",
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """The document and the groups of arrays that `write_bundle` wrote.

    Every bit is checked before anything is given back.

    Arguments:
        folder: the bundle's folder.
        kind: as when it was written.
        groups: those to read; by default all.
        where: name of the public function, for messages.

    Raises:
        FileNotFoundError: there is no such folder, or no bundle of this kind in it.
        OSError: a file cannot be read.
        CheckpointError (a ValueError): the bundle is damaged, incomplete, foreign, or was written
            by a newer chainrule.
    """
    manifest = read_manifest(folder, kind, where=where)
    while True:
        try:
            return manifest.document, _read_groups(Path(folder), manifest.files, groups, where)
        except CheckpointError:
            newer = read_manifest(folder, kind, where=where)
            if newer.files == manifest.files:
                raise
            manifest = newer  # another process has just written a bundle in place of this one


def _read_groups(
    folder: Path, files: Files, groups: Collection[str] | None, where: str
) -> dict[str, dict[str, np.ndarray]]:
    missing = sorted(set(groups or ()) - set(files))
    if missing:
        raise CheckpointError(
            f"{where}: {str(folder)!r} holds no {missing[0]}, only "
            f"{', '.join(files) or 'a manifest'}; give another folder"
        )
    arrays = {}
    for group in files if groups is None else groups:
        entry = files[group]
        path = _inside(folder, entry["name"], where)
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise _damaged(where, path, f"it has {size:,} bytes instead of {entry['bytes']:,}")
        content = read_bytes(path, where=where, remedy=PERMISSIONS)
        if digest([content]) != entry["sha256"]:
            raise _damaged(where, path, "its checksum differs from the manifest's")
        try:
            arrays[group] = unpack(content)
        except ValueError as error:
            raise _damaged(where, path, str(error)) from error
    return arrays


def read_manifest(
    folder: str | os.PathLike[str], kind: str, *, where: str = "read_manifest"
) -> Manifest:
    """What a bundle's manifest says, without reading the arrays.

    Raises what `read_bundle` raises.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bundle(folder, "model", {"units": 2}, {})
    ...     read_manifest(folder, "model").document
    {'units': 2}
    """
    folder = Path(folder)
    path = _manifest_path(folder, kind, where)
    size = path.stat().st_size
    if size > LARGEST_MANIFEST:
        raise _damaged(where, path, f"it has {size:,} bytes, and a manifest {LARGEST_MANIFEST:,}")
    content = read_bytes(path, where=where, remedy=PERMISSIONS)
    head = _HEAD.match(content)
    if head is None:
        raise CheckpointError(
            f"{where}: {str(path)!r} is damaged, or no manifest of chainrule's (it begins with "
            f"{content[:30]!r}); give a folder that chainrule has written"
        )
    # The checksum comes before the parser, so that nothing strange is ever parsed.
    whole = content[_DIGEST] == _checksum(content) and content.endswith(b'"\n}\n')
    if int(head[2]) > VERSION:
        raise CheckpointError(
            f"{where}: {str(path)!r} has format {int(head[2])}, and this chainrule knows up to "
            f"{VERSION}: it was saved by a newer chainrule (pip install -U chainrule)"
            + ("" if whole else ", or it is damaged")
        )
    if int(head[2]) < 1 or not whole:
        raise _damaged(where, path, "its checksum is wrong, so it was changed or cut")
    if head[1].decode() != kind:
        raise _damaged(where, path, f"it is the manifest of a {head[1].decode()}, renamed")
    try:
        return _checked(json.loads(content.decode()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(where, path, f"{type(error).__name__}: {error}") from error


def _checked(found: dict[str, Any]) -> Manifest:
    """A parsed manifest; its checksum is right, but anybody can compute one."""
    files = found["files"]
    for group, entry in files.items():
        name, size, checksum = entry["name"], entry["bytes"], entry["sha256"]
        fits = re.fullmatch("[0-9a-f]{64}", checksum) and type(size) is int
        if not (_WORD.fullmatch(group) and fits and name == _file_name(group, checksum)):
            raise ValueError(f"the file {name!r} of {group!r} has a name or checksum not of ours")
    document = from_json({key: each for key, each in found.items() if key not in OURS})
    if not isinstance(document, dict):
        raise ValueError("its document is a number")
    return Manifest(str(found["chainrule"]), document, files)


def _manifest_path(folder: Path, kind: str, where: str) -> Path:
    """The manifest's path; errors say what there is in its place."""
    path = folder / f"{kind}.json"
    with reading(folder, where=where, remedy=PERMISSIONS):
        if path.is_file():
            return _inside(folder, path.name, where)
        exists, is_folder = folder.exists(), folder.is_dir()
        there = sorted(each.name for each in folder.iterdir()) if is_folder else []
    if not exists:
        raise FileNotFoundError(f"{where}: there is no folder {str(folder)!r}; check the path")
    if not is_folder:
        raise NotADirectoryError(
            f"{where}: {str(folder)!r} is a file; give the folder that {kind}.json is in "
            "(weights alone are read by load_weights, into a model that is made before)"
        )
    more = f" and {len(there) - 5} more" if len(there) > 5 else ""
    held = f"it holds {', '.join(there[:5])}{more}" if there else "it is empty"
    raise FileNotFoundError(
        f"{where}: {str(folder)!r} holds no {kind}: there is no {path.name} ({held}); give a "
        "folder that chainrule has written"
    )


def _inside(folder: Path, name: str, where: str) -> Path:
    """The path of a bundle's file, which must be a file in the folder itself."""
    path = folder / name
    if not path.exists():
        raise CheckpointError(
            f"{where}: {str(path)!r} is missing, which the manifest names; copy the whole folder"
        )
    if not path.is_file() or path.resolve().parent != folder.resolve():
        raise _damaged(where, path, "it is no file, or a link that leads out of the folder")
    return path


def _damaged(where: str, path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{where}: {str(path)!r} is damaged: {reason}; take another checkpoint, or a copy"
    )
