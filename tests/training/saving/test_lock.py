"""A folder's lock: one holder at a time, whoever they are, and none once the holder is dead."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.training.saving import lock as lock_module
from chainrule.training.saving.lock import FolderLock

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks as on POSIX")

HOLD = """
import os, sys, time
from chainrule.training.saving.lock import FolderLock
with FolderLock(sys.argv[1], where="holder"):
    child = os.fork() if "fork" in sys.argv else -1
    if child == 0:  # by the time that fork returns in it, it has let go
        print(os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    if child == -1:
        print(child, flush=True)
    sys.stdin.read()
"""


def hold(folder, *options):
    """A process that holds the folder's lock until its input is closed, and its child's id."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, int(process.stdout.readline())


def end(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_another_process_is_named_and_its_end_frees_the_folder(tmp_path):
    process, _ = hold(tmp_path / "runs" / "digits")
    try:
        folder = str(tmp_path / "runs" / "digits")
        refused = pytest.raises(
            BlockingIOError, match=rf"^fit: .*digits' .*process {process.pid}\b"
        )
        with refused, FolderLock(folder, where="fit"):
            pass
        assert Path(folder, ".lock").read_text().split()[0] == str(process.pid)
        process.stdin.close()
        assert process.wait(60) == 0
        with FolderLock(folder):
            pass
    finally:
        process.kill()
        process.stdout.close()


@posix
def test_a_killed_holder_holds_nothing(tmp_path):
    process, _ = hold(tmp_path)
    end(process)
    with FolderLock(tmp_path):
        assert (tmp_path / ".lock").read_text().split()[0] == str(os.getpid())


@posix
def test_a_child_that_outlives_the_holder_holds_nothing(tmp_path):
    process, child = hold(tmp_path, "fork")
    try:
        end(process)
        os.kill(child, 0)  # it is alive
        with FolderLock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


@posix
def test_a_child_does_not_let_go_what_its_parent_holds(tmp_path):
    with FolderLock(tmp_path) as lock:
        child = os.fork()
        if child == 0:
            lock.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(child, 0)
        assert (tmp_path / ".lock").read_text().split()[0] == str(os.getpid())
        with pytest.raises(BlockingIOError), FolderLock(tmp_path):
            pass


def test_two_locks_of_one_process_exclude_each_other(tmp_path):
    lock = FolderLock(tmp_path, where="fit")
    with lock:
        for other in (FolderLock(tmp_path, where="fit"), lock):
            refused = pytest.raises(BlockingIOError, match=r"fit: .* this very process .*stop it")
            with refused, other:
                pass
        with pytest.raises(BlockingIOError), FolderLock(tmp_path):
            pass
    with lock:
        pass
    assert os.listdir(tmp_path) == [".lock"]


def test_it_is_let_go_on_errors(tmp_path):
    with pytest.raises(KeyError), FolderLock(tmp_path):
        raise KeyError
    with FolderLock(tmp_path):
        pass


def test_no_descriptor_is_left_open(tmp_path):
    def opened():
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("there is no list of open files")
    before = opened()
    for _ in range(3):
        with FolderLock(tmp_path), pytest.raises(BlockingIOError), FolderLock(tmp_path):
            pass
    assert opened() == before


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_says_so(tmp_path, monkeypatch, number):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock_module, "_lock", refuse)
    refused = pytest.raises(OSError, match=r"fit: the file system of .* has no locks .*local disk")
    with refused as caught, FolderLock(tmp_path, where="fit"):
        pass
    assert caught.value.errno == number
    assert not isinstance(caught.value, BlockingIOError)


def test_a_full_disk_is_explained_and_frees_the_lock(tmp_path, monkeypatch):
    def full(descriptor, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="disk is full"), FolderLock(tmp_path):
        pass
    monkeypatch.undo()
    with FolderLock(tmp_path):
        pass


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"fit: cannot write '.*file'"):
        FolderLock(tmp_path / "file", where="fit").__enter__()
    (tmp_path / ".lock").mkdir()
    with pytest.raises(IsADirectoryError, match=r"cannot write '.*\.lock'"):
        FolderLock(tmp_path).__enter__()


@posix
def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"cannot write '.*\.lock'"):
        FolderLock(tmp_path / "runs").__enter__()
    assert (tmp_path / "precious").read_text() == "precious"
