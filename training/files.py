"""Files that are either written completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from chainrule.engine.errors import describe

#: What the disk says of itself, in the middle of writing.
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

REMEDIES: dict[int | None, str] = {
    errno.ENOENT: "create the folder first, or choose another path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
    errno.EEXIST: "there is a file of that name; remove it, or choose another path",
    errno.EISDIR: "it is a folder; give the name of a file",
    errno.EACCES: "change the folder's permissions, or choose another path",
    errno.EPERM: "change the folder's permissions, or choose another path",
    errno.EROFS: "the file system is read-only; choose another path",
    errno.ENOSPC: "the disk is full; free some space, or choose another path",
    errno.EDQUOT: "your quota is used up; remove some files, or choose another path",
    errno.EFBIG: "the file would be larger than the file system, or `ulimit -f`, allows",
    errno.EIO: "the disk does not work as it should; choose a path on another",
    errno.ENAMETOOLONG: "shorten the name",
}


def explained(error: OSError, path: Path, where: str) -> OSError:
    """The same class of error with a message that names the path and what to do."""
    reason = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno, "choose another path")
    explained = type(error)(f"{where}: cannot write {str(path)!r} ({reason}): {remedy}")
    explained.errno = error.errno
    return explained


def as_path(path: Any, where: str, name: str = "path") -> Path:
    """A path, given as a string or as a path object.

    Raises TypeError for anything else.

    >>> as_path(3, "save")
    Traceback (most recent call last):
        ...
    TypeError: save: path must be a string or a pathlib.Path, got 3
    """
    try:
        return Path(path)
    except TypeError:
        raise TypeError(
            f"{where}: {name} must be a string or a pathlib.Path, got {describe(path)}"
        ) from None


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], *, where: str = "atomic_write", flush: bool = True
) -> Iterator[BinaryIO]:
    """Open a binary file that appears under `path` only once all of it is on the disk.

    What is written goes to a temporary file in the same folder, which is flushed to the disk and
    renamed at the end. On any failure, an interrupt included, the temporary file is removed and
    an older file at `path` stays whole. A link at `path` stays a link: the file it points to is
    replaced. The new file keeps the permissions of the old one.

    Arguments:
        path: the file to write; its folder must exist.
        where: name of the public function, for messages.
        flush: is the file's name to be on the disk, too, when all is done? If several files
            are written, it is enough to flush their folder once.

    Returns:
        a context manager that gives the open file; its `name` is the temporary path, for
        libraries that write to a path.

    Raises:
        OSError: the file cannot be written (of the class that fits: `FileNotFoundError` for a
            missing folder, `PermissionError`, `IsADirectoryError`, ...).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(Path(folder, "weights.bin")) as file:
    ...         _ = file.write(b"1 2 3")
    ...     Path(folder, "weights.bin").read_bytes()
    b'1 2 3'
    """
    path = as_path(path, where)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise explained(IsADirectoryError(errno.EISDIR, "Is a directory"), path, where)
    # Not by `tempfile`, whose files nobody else can read: this one has the user's default mode.
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        file = open(temporary, "xb")  # noqa: SIM115 - closed below, before it is renamed
    except OSError as error:
        raise explained(error, path, where) from error
    try:
        try:
            yield file
        except OSError as error:
            # Errors that name a file of their own, or none of the disk's, are the caller's.
            if error.errno in OF_THE_DISK and error.filename is None:
                raise explained(error, path, where) from error
            raise
        try:
            file.close()
            with open(temporary, "rb+") as written:  # also what was written by its path
                os.fsync(written.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise explained(error, path, where) from error
    except BaseException:
        with suppress(OSError):  # a full disk may refuse the last flush again
            file.close()
        with suppress(OSError):  # of a broken disk; the first error tells more
            temporary.unlink(missing_ok=True)
        raise
    if flush:
        flush_folder(target.parent)


def read_bytes(path: str | os.PathLike[str], *, where: str, remedy: str) -> bytes:
    """All of a file's bytes.

    Arguments:
        path: the file.
        where: name of the public function, for messages.
        remedy: what to do if it cannot be read, for messages.

    Raises:
        OSError: it cannot be read, of the class that fits (`FileNotFoundError`, ...).

    >>> read_bytes("nothing", where="load", remedy="save it first")
    Traceback (most recent call last):
        ...
    FileNotFoundError: load: cannot read 'nothing' (No such file or directory); save it first
    """
    with reading(path, where=where, remedy=remedy):
        return as_path(path, where).read_bytes()


@contextmanager
def reading(path: str | os.PathLike[str], *, where: str, remedy: str) -> Iterator[None]:
    """A context in which errors of the system name the path, and what to do: see `read_bytes`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        explained = type(error)(f"{where}: cannot read {str(path)!r} ({reason}); {remedy}")
        explained.errno = error.errno
        raise explained from error


def flush_folder(folder: Path) -> None:
    """Make new names in a folder last; Windows cannot open a folder, some file systems refuse."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(path: str | os.PathLike[str], *, where: str = "make_folder") -> Path:
    """Create the folder, with its parents, so that their names last.

    Arguments:
        path: the folder; it may be there already.
        where: name of the public function, for messages.

    Returns:
        the folder's path.

    Raises:
        OSError: it cannot be created, or is a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make_folder(Path(folder, "runs", "digits")).is_dir()
    True
    """
    folder = as_path(path, where)
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, folder, where) from error
    for each in missing:
        flush_folder(each.parent)
    return folder


def check_writable_folder(
    path: str | os.PathLike[str], *, where: str = "check_writable_folder"
) -> Path:
    """Create the folder, with its parents, and prove that a file can be written in it.

    To be called before training starts, so that hours of work are not lost at their end.

    Arguments:
        path: the folder.
        where: name of the public function, for messages.

    Returns:
        the folder's path.

    Raises:
        OSError: it cannot be created, is a file, or nothing can be written in it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_writable_folder(Path(folder, "runs", "digits")).is_dir()
    True
    """
    folder = make_folder(path, where=where)
    probe = folder / f".writable.{secrets.token_hex(4)}.tmp"
    try:
        try:
            probe.write_bytes(b"written")
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise explained(error, folder, where) from error
    return folder
