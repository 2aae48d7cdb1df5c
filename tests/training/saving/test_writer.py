"""A bundle's writer: whatever stops it, and whenever, the older or the newer bundle is whole."""

from __future__ import annotations

import builtins
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.training.saving import read_bundle, read_manifest, write_bundle

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits as on POSIX")


def write(folder, number):
    arrays = {
        "weights": {"w": np.full((30, 20), number, "float32"), "b": np.arange(number + 1)},
        "optimizer": {"m": np.full(100, number, "float64")},
    }
    write_bundle(folder, "checkpoint", {"step": number, "text": "x" * 5000}, arrays)


def number_in(folder):
    """Which bundle is there; all of it must be that one's."""
    document, arrays = read_bundle(folder, "checkpoint")
    number = document["step"]
    assert (arrays["weights"]["w"] == number).all()
    assert len(arrays["weights"]["b"]) == number + 1
    assert (arrays["optimizer"]["m"] == number).all()
    return number


class Counting:
    """Counts calls of the system, and kills this process at one of them."""

    def __init__(self, limit, when):
        self.calls, self.limit, self.when = 0, limit, when

    def __call__(self, function):
        def call(*args, **kwargs):
            self.calls += 1
            now = self.calls == self.limit
            if now and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*args, **kwargs)
            finally:
                if now:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call


class Torn:
    """A file in which each writing is two calls, so that it can end in its middle."""

    def __init__(self, file, counting):
        self.file, self.half = file, counting(self.half)

    def half(self, content):
        self.file.write(content)
        self.file.flush()

    def write(self, content):
        content = bytes(content)
        self.half(content[: len(content) // 2])
        self.half(content[len(content) // 2 :])

    def writelines(self, pieces):
        for piece in pieces:
            self.write(piece)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()


def killed(folder, number, limit, when):
    """Whether a child that wrote the bundle was killed at that call."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    counting = Counting(limit, when)
    os.fsync = lambda descriptor: None  # takes long, and makes no difference to who is killed
    for name in ("replace", "fsync", "open", "close", "unlink", "mkdir"):
        setattr(os, name, counting(getattr(os, name)))
    opened = counting(open)
    builtins.open = lambda *args, **kwargs: Torn(opened(*args, **kwargs), counting)
    write(folder, number)
    os._exit(0)


def kill_over_an_older_bundle(folder):
    write(folder, 1)
    for when in ("before", "after"):
        newest, limit, outcomes, ended = number_in(folder), 0, [], False
        while not ended:
            limit, number = limit + 1, newest + 1
            ended = not killed(folder, number, limit, when)
            found = number_in(folder)
            outcomes.append(found == number)
            assert found in (newest, number), f"killed {when} call {limit}"
            newest = found
        assert limit > 20, limit
        assert outcomes == sorted(outcomes), "a later call undoes it"
        assert {True, False} == set(outcomes)
        kept = {each["name"] for each in read_manifest(folder, "checkpoint").files.values()}
        assert set(os.listdir(folder)) == kept | {"checkpoint.json"}, "something is left over"


def kill_at_the_first_bundle(folder):
    outcomes = []
    for limit in range(1, 40):
        path = Path(folder, str(limit), "run")
        killed(path, 1, limit, "before")
        try:
            outcomes.append(number_in(path) == 1)
        except FileNotFoundError:
            outcomes.append(False)
    assert outcomes == sorted(outcomes)
    assert {True, False} == set(outcomes)


def run(code, *arguments):
    """Run code in a process of its own, which has one thread, so that it may fork."""
    code = f"import sys; from tests.training.saving.test_writer import *; {code}"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).resolve().parents[3]
    return subprocess.run(command, cwd=root, timeout=120, capture_output=True, text=True)


@posix
@pytest.mark.parametrize("what", ["kill_over_an_older_bundle", "kill_at_the_first_bundle"])
def test_killed_at_any_call_the_older_or_the_newer_is_whole(tmp_path, what):
    done = run(f"{what}(Path(sys.argv[1]))", tmp_path / "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_disk_that_fails_at_any_call_leaves_the_older_bundle(tmp_path, monkeypatch, number):
    """And what fails after the manifest's rename is no error: the newer one is there."""
    folder = tmp_path / "run"
    write(folder, 1)
    before = sorted(os.listdir(folder))
    replace, calls = os.replace, [0]

    def failing(function, limit):
        def call(*args):
            calls[0] += 1
            if calls[0] == limit:
                raise OSError(number, os.strerror(number))
            return function(*args)

        return call

    failures = 0
    for limit in range(1, 10):
        calls[0] = 0
        monkeypatch.setattr(os, "fsync", failing(lambda descriptor: None, limit))
        monkeypatch.setattr(os, "replace", failing(replace, limit))
        error = None
        try:
            write(folder, 2)
        except OSError as caught:
            error = caught
        if error is not None:
            failures += 1
            assert error.errno == number
            assert str(error).startswith("write_bundle: cannot write '")
            assert number_in(folder) == 1
            assert not [each for each in os.listdir(folder) if each.endswith(".tmp")]
            assert set(before) <= set(os.listdir(folder))
        else:
            assert number_in(folder) == 2
            calls[0] = 100
            write(folder, 1)
            assert sorted(os.listdir(folder)) == before
    assert failures == 6  # two calls for each of three files


def write_limited(folder, limit):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(OSError, match=r"cannot write .* \(File too large\): .*ulimit -f"):
        write(folder, 2)


@posix
@pytest.mark.parametrize("limit", [100, 1000, 4000])
def test_a_limit_on_the_size_of_files_is_explained(tmp_path, limit):
    """A real failure of write(2), in the middle of a file."""
    folder = tmp_path / "run"
    write(folder, 1)
    done = run(f"write_limited(Path(sys.argv[1]), {limit})", folder)
    assert done.returncode == 0, done.stderr
    assert number_in(folder) == 1
    assert not [each for each in os.listdir(folder) if each.endswith(".tmp")]


def test_only_what_is_ours_is_removed(tmp_path):
    folder = tmp_path / "run"
    digits = "0123456789ab"
    ours = [
        f"weights-{digits}.safetensors",
        f".weights-{digits}.safetensors.01234567.tmp",
        ".checkpoint.json.01234567.tmp",
    ]
    theirs = [
        "notes.txt",
        "weights.safetensors",
        f"weights-{digits}.safetensors.bak",
        f"other-{digits}.safetensors",
        f"my-weights-{digits}.safetensors",
        ".model.json.01234567.tmp",
        ".lock",
        "data.json",
    ]
    folder.mkdir()
    for name in ours + theirs:
        (folder / name).write_text("{}")
    write(folder, 1)
    names = set(os.listdir(folder))
    assert not names & set(ours)
    assert set(theirs) <= names


def test_groups_that_are_no_longer_there_are_removed(tmp_path):
    write_bundle(tmp_path, "model", {}, {"a": {}, "b": {"x": np.ones(2)}})
    write_bundle(tmp_path, "model", {}, {"a": {}})
    assert sorted(name.partition("-")[0] for name in os.listdir(tmp_path)) == ["a", "model.json"]


def test_two_kinds_live_in_one_folder(tmp_path):
    for number in (1, 2):
        write_bundle(tmp_path, "model", {}, {"weights": {"w": np.array([number])}})
        write_bundle(tmp_path, "checkpoint", {}, {"weights": {"w": np.array([-number])}})
    assert read_bundle(tmp_path, "model")[1]["weights"]["w"] == 2
    assert read_bundle(tmp_path, "checkpoint")[1]["weights"]["w"] == -2
    assert len(os.listdir(tmp_path)) == 4


def test_the_same_bundle_is_the_same_bytes(tmp_path):
    for name in "ab":
        write(tmp_path / name, 3)
    a, b = ({each.name: each.read_bytes() for each in (tmp_path / name).iterdir()} for name in "ab")
    assert a == b


def test_a_reader_beside_a_writer_reads_one_or_the_other(tmp_path, monkeypatch):
    """The writer replaces the bundle between the manifest's reading and the arrays'."""
    from chainrule.training.saving import bundle

    write(tmp_path, 1)
    read, done = bundle._read_groups, []

    def late(*arguments):
        if len(done) < 3:
            done.append(1)
            write(tmp_path, 1 + len(done))
        return read(*arguments)

    monkeypatch.setattr(bundle, "_read_groups", late)
    assert number_in(tmp_path) == 4
