"""A folder that one training run writes at a time."""

from __future__ import annotations

import errno
import os
import platform
import sys
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..files import explained, make_folder

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = ".lock"

#: What systems answer if another holds the lock, and if they have no locks at all.
HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
NONE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class FolderLock:
    """A context in which no other process, and no other part of this one, locks the same folder.

    The lock belongs to the system, not to the file: it ends with the process, however that dies.
    The file `.lock` says who holds it, and stays. Children made by fork do not hold it: it ends
    with this process even if they live on.

    Arguments:
        folder: the folder, which is made if it is missing.
        where: name of the public function, for messages.

    Raises on entering:
        BlockingIOError: another holds the lock; the message gives its process id.
        OSError: the folder cannot be written, or its file system has no locks.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with FolderLock(folder, where="fit"):
    ...         Path(folder, ".lock").read_text().split()[0] == str(os.getpid())
    True
    """

    def __init__(self, folder: str | os.PathLike[str], *, where: str = "FolderLock") -> None:
        self.folder = Path(folder)
        self.where = where
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        folder = make_folder(self.folder, where=self.where)
        path = folder / NAME
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise explained(error, path, self.where) from error
        try:
            _lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())
        except OSError as error:
            with suppress(OSError):
                os.close(descriptor)
            raise self._refused(error, path) from error
        self._descriptor = descriptor
        _held.add(self)
        return self

    def __exit__(self, *_: Any) -> None:
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is None:  # in a child of the process that holds it
            return
        with suppress(OSError):  # a full disk must not hide an error from within
            os.ftruncate(descriptor, 0)
        os.close(descriptor)

    def _refused(self, error: OSError, path: Path) -> OSError:
        folder = str(self.folder)
        if error.errno in HELD:
            return BlockingIOError(
                f"{self.where}: the folder {folder!r} is in use by {_holder(path)}; wait for it to "
                "end or stop it, or choose another folder"
            )
        if error.errno in NONE:
            refusal = OSError(
                f"{self.where}: the file system of {folder!r} has no locks ({error.strerror}), so "
                "two runs could overwrite each other's files; choose a folder on a local disk"
            )
            refusal.errno = error.errno
            return refusal
        return explained(error, path, self.where)


class Turn(FolderLock):
    """A context in which no other process, or thread, is in a `Turn` of the same folder.

    It waits for the others, and leaves no file. Where the system cannot lock a folder, as on
    Windows, it does nothing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Turn(folder):
    ...     os.listdir(folder)
    []
    """

    def __enter__(self) -> Turn:
        if sys.platform != "win32":
            with suppress(OSError):
                self._descriptor = os.open(self.folder, os.O_RDONLY)
                _held.add(self)
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: Any) -> None:
        descriptor, self._descriptor = self._descriptor, None
        _held.discard(self)
        if descriptor is not None:
            os.close(descriptor)


def _holder(path: Path) -> str:
    try:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        words = []
    if not words or not words[0].isdecimal():  # it has only just been locked
        return "another process"
    if words == [str(os.getpid()), platform.node()]:
        return f"this very process ({words[0]})"
    return f"process {words[0]}" + (f" on {words[1]}" if len(words) > 1 else "")


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise an OSError at once."""
    if sys.platform == "win32":
        # Windows lets nobody read what is locked: lock a byte far behind those of the content.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


#: Locks of this process. A child shares the open files of its parent, and would hold them locked.
_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _let_go() -> None:
    for lock in list(_held):
        if lock._descriptor is not None:
            os.close(lock._descriptor)
            lock._descriptor = None
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
