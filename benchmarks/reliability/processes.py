"""Child processes that do a job, and what Linux knows of a process: memory, files, threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class JobError(RuntimeError):
    """A child process failed; the message is what it printed last."""


class Child:
    """A process of its own that does `job(**arguments)` of `worker.JOBS`."""

    def __init__(self, job: str, **arguments: Any) -> None:
        command = [sys.executable, "-m", "benchmarks.reliability.worker", job]
        # A pipe that nobody reads would fill.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _close
        self._process = subprocess.Popen(
            [*command, json.dumps(arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._lines: list[str] = []

    def wait_for_line(self) -> None:
        """Wait until it has printed another line, or has ended."""
        self._lines.append(self._stdout.readline())

    @property
    def is_running(self) -> bool:
        """Has it not ended?"""
        return self._process.poll() is None

    def kill(self) -> bool:
        """End it by SIGKILL; False if it has ended by itself before."""
        self._process.kill()
        if self._process.wait() != -signal.SIGKILL:
            return False
        self._close()
        return True

    def result(self) -> Any:
        """What the job returned.

        Raises JobError if it failed.
        """
        self._lines += self._stdout.readlines()
        code = self._process.wait()
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace").strip()[-4000:]
        self._close()
        printed = [line for line in self._lines if line]
        if code != 0 or not printed:
            raise JobError(f"exit code {code}: {errors}")
        return json.loads(printed[-1])

    def _close(self) -> None:
        self._stdout.close()
        self._errors.close()


def run(job: str, **arguments: Any) -> Any:
    """What `job(**arguments)` returns in a process of its own."""
    return Child(job, **arguments).result()


def say(**content: Any) -> None:
    """Print a line of JSON, at once."""
    print(json.dumps(content), flush=True)


# What Linux knows of this process ---------------------------------------------------------------


def anonymous_bytes() -> int:
    """Bytes of memory that are this process's own: no file's, and not shared (RssAnon).

    Raises OSError where there is no /proc.
    """
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"RssAnon:"):
                return 1024 * int(line.split()[1])
    raise OSError("/proc/self/status has no line RssAnon")


def descriptors() -> int:
    """Files, sockets and pipes that this process has open."""
    return len(os.listdir("/proc/self/fd")) - 1  # the listing's own


def holdings() -> dict[str, int]:
    """Memory, descriptors and threads of this process, now."""
    return {
        "anonymous": anonymous_bytes(),
        "descriptors": descriptors(),
        "threads": threading.active_count(),
    }


class Peak:
    """The largest `anonymous_bytes` within a `with` block, sampled by a thread.

    Arguments:
        seconds: from one sample to the next.
    """

    def __init__(self, seconds: float = 0.01) -> None:
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.before = self.most = 0
        self.samples = 0

    def __enter__(self) -> Peak:
        self.before = self.most = anonymous_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(self._seconds):
            self.most = max(self.most, anonymous_bytes())
            self.samples += 1

    @property
    def growth(self) -> int:
        """Bytes by which memory grew at most."""
        return self.most - self.before
