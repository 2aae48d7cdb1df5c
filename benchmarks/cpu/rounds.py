"""Contenders that take turns: A B C A B C ..., each in its own process, the others asleep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

#: Where `benchmarks` can be imported.
ROOT = Path(__file__).parents[2]

#: A contender that does not answer for so long is ended and left out.
PATIENCE_SECONDS = 300.0


class ContenderError(RuntimeError):
    """A contender failed; the message is its own."""


class Process:
    """A worker, to be asked; see `worker`. `environment` replaces the whole environment."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - close does
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cpu.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=dict(os.environ if environment is None else environment),
            text=True,
            encoding="utf-8",
        )

    def send(self, do: str, **question: Any) -> None:
        """Asks, and does not wait for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **question}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise ContenderError(self._last_words()) from None

    def receive(self) -> dict[str, Any]:
        """The answer to the oldest question; ContenderError if there is none, or it is an error."""
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise ContenderError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer

    def ask(self, do: str, **question: Any) -> dict[str, Any]:
        """Asks and waits."""
        self.send(do, **question)
        return self.receive()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().splitlines() if line.strip()]
        return f"its process ended ({code}): {lines[-1] if lines else 'without a word'}"

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # it went away with a question unread
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def steps_of_slice(seconds: float, wanted: float, most: int) -> int:
    """How many steps of `seconds` fill a slice of `wanted` seconds: 3 at least.

    >>> steps_of_slice(0.001, 0.1, 2000), steps_of_slice(0.5, 0.1, 2000), steps_of_slice(0, 1, 50)
    (100, 3, 50)
    """
    return max(3, min(most, int(wanted / seconds) if seconds > 0 else most))


def take_turns(
    processes: Mapping[str, Process],
    steps: Mapping[str, int],
    rounds: int,
    *,
    most: int = 2000,
    pause: float = 0.002,
) -> tuple[dict[str, list[list[float]]], dict[str, str]]:
    """The seconds of the steps of each slice, by contender, and why some dropped out.

    Before each slice some steps are not timed, which wake up the threads of a pool; after it there
    is a pause, in which those that spin give up.
    """
    slices: dict[str, list[list[float]]] = {name: [] for name in processes}
    failed: dict[str, str] = {}
    for turn in range(rounds):
        for name, process in processes.items():
            if name in failed:
                continue
            untimed = max(1, min(20, steps[name] // 5))
            try:
                answer = process.ask("run", untimed=untimed, steps=steps[name], seed=turn + 1000)
            except ContenderError as error:
                failed[name] = str(error)
                continue
            slices[name].append(answer["times"])
            time.sleep(pause)
    return {name: each for name, each in slices.items() if name not in failed}, failed
