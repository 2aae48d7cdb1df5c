"""Child processes that do a job, and what Linux knows of a process: memory, files, threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class JobError(RuntimeError):
    """A child process failed; the message is what it printed last."""


def start(job: str, **arguments: Any) -> subprocess.Popen[str]:
    """Start `job(**arguments)` of `worker.JOBS` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reliability.worker", job, json.dumps(arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def result(process: subprocess.Popen[str]) -> Any:
    """What the job returned.

    Raises JobError if it failed.
    """
    printed, errors = process.communicate()
    if process.returncode != 0:
        raise JobError(f"exit code {process.returncode}: {errors.strip()[-4000:]}")
    return json.loads(printed.splitlines()[-1])


def run(job: str, **arguments: Any) -> Any:
    """What `job(**arguments)` returns in a process of its own."""
    return result(start(job, **arguments))


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
