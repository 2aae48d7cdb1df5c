"""Files are written completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.training import files
from chainrule.training.files import (
    atomic_write,
    check_writable_folder,
    make_folder,
    read_bytes,
)

posix_user = pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 0)() == 0,
    reason="needs a user whom permissions bind",
)


def test_the_file_appears_whole_at_the_end(tmp_path):
    path = tmp_path / "weights.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["weights.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_whole_and_nothing_else(tmp_path, error):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_a_failing_flush_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    full_disk = pytest.raises(OSError, match=r"fit: cannot write '.*weights.bin' .*disk is full")
    with full_disk, atomic_write(path, where="fit") as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_content_is_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    with atomic_write(tmp_path / "weights.bin") as file:
        file.write(b"new")
    assert calls[:2] == ["fsync", "replace"]


def test_a_full_disk_is_explained(tmp_path):
    path = tmp_path / "weights.bin"
    with pytest.raises(OSError, match="disk is full") as caught, atomic_write(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC


def test_errors_of_the_writer_are_its_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="other"), atomic_write(tmp_path / "a") as file:
        file.write(Path(tmp_path / "other").read_bytes())


def test_a_library_may_write_by_the_temporary_path(tmp_path):
    path = tmp_path / "weights.bin"
    with atomic_write(path) as file:
        file.close()
        Path(file.name).write_bytes(b"by path")
    assert path.read_bytes() == b"by path"


def test_a_missing_folder_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "missing" / "weights.bin"
    missing = pytest.raises(FileNotFoundError, match=r"cannot write .*missing.*create the folder")
    with missing, atomic_write(path):
        pass
    assert not path.parent.exists()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"), atomic_write(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links as on POSIX")
def test_modes_and_links_are_kept(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="modes as on POSIX")
def test_a_new_file_has_the_usual_mode(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with atomic_write(tmp_path / "atomic"):
        pass
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_names_of_the_greatest_length_can_be_written(tmp_path):
    with atomic_write(tmp_path / ("n" * 250)) as file:
        file.write(b"new")
    assert (tmp_path / ("n" * 250)).read_bytes() == b"new"


def test_the_folder_is_made_and_left_empty(tmp_path):
    folder = check_writable_folder(tmp_path / "runs" / "digits")
    assert os.listdir(folder) == []
    assert check_writable_folder(str(folder)) == folder


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "runs").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"train: cannot write '.*runs' .*remove it"):
        check_writable_folder(tmp_path / "runs", where="train")
    with pytest.raises(NotADirectoryError, match="part of the path is a file"):
        check_writable_folder(tmp_path / "runs" / "digits")


def test_a_folder_that_refuses_files_is_found_out(tmp_path, monkeypatch):
    def refuse(self, data):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(PermissionError, match="change the folder's permissions"):
        check_writable_folder(tmp_path)


@posix_user
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="permissions"):
        check_writable_folder(tmp_path)
    with pytest.raises(PermissionError, match="permissions"), atomic_write(tmp_path / "a"):
        pass


# Disks that fail ----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB; only the superuser can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if not mount or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [70_000, 2_000_000])
def test_a_disk_that_is_full_keeps_the_old_file(small_disk, size):
    path = small_disk / "weights.bin"
    with atomic_write(path) as file:
        file.write(b"old")
    full = pytest.raises(OSError, match=r"fit: cannot write '.*weights.bin' .*disk is full; free")
    with full as caught, atomic_write(path, where="fit") as file:
        for _ in range(10):
            file.write(bytes(size // 10))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert os.listdir(small_disk) == ["weights.bin"]


def test_a_disk_that_only_reads_keeps_the_old_file(small_disk):
    path = small_disk / "weights.bin"
    path.write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = pytest.raises(OSError, match="the file system is read-only; choose another path")
    with refused, atomic_write(path):
        pass
    with pytest.raises(OSError, match="the file system is read-only"):
        make_folder(small_disk / "runs")
    with pytest.raises(OSError, match="the file system is read-only"):
        check_writable_folder(small_disk)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_failures_of_the_disk_while_it_is_written_are_explained(tmp_path, number):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")
    failed = pytest.raises(OSError, match=r"fit: cannot write '.*weights.bin' \(.*\): ")
    with failed as caught, atomic_write(path, where="fit") as file:
        file.write(b"new")
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_a_temporary_file_that_cannot_be_removed_hides_no_error(tmp_path, monkeypatch):
    def refuse(self, missing_ok=False):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(KeyError), atomic_write(tmp_path / "a"):
        raise KeyError


def test_new_folders_are_flushed_into_their_parents(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "flush_folder", flushed.append)
    make_folder(tmp_path / "a" / "b")
    assert set(flushed) == {tmp_path, tmp_path / "a"}
    flushed.clear()
    make_folder(tmp_path / "a" / "b")
    assert flushed == []


def test_what_cannot_be_read_is_named_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load: cannot read '.*nothing' .*; save it"):
        read_bytes(tmp_path / "nothing", where="load", remedy="save it")
    with pytest.raises(OSError, match=r"load: cannot read"):
        read_bytes(tmp_path, where="load", remedy="save it")


@pytest.mark.parametrize("path", [3, b"model", None, ["model"]])
def test_what_is_no_path_is_refused_by_the_functions_name(path):
    model = cr.models.Sequential([cr.layers.Dense(1)])
    model.build((None, 1))
    pytest.importorskip("PIL")
    tokenizer = cr.text.CharTokenizer().fit("a")
    for name, argument, use in (
        ("save", "path", lambda: model.save(path)),
        ("load_model", "path", lambda: cr.load_model(path)),
        ("save_weights", "path", lambda: model.save_weights(path)),
        ("load_weights", "path", lambda: model.load_weights(path)),
        ("from_npy", "x", lambda: cr.data.from_npy(path)),
        ("from_text_file", "path", lambda: cr.data.from_text_file(path, lines=True)),
        ("from_image_folder", "folder", lambda: cr.data.from_image_folder(path, (2, 2))),
        ("save", "path", lambda: tokenizer.save(path)),
        ("load", "path", lambda: cr.text.CharTokenizer.load(path)),
    ):
        with pytest.raises(TypeError, match=f"^{name}: {argument} must be a string or a pathlib"):
            use()
