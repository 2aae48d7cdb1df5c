"""What is wrong with a kernel: one error for a launch, with a report for each fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...engine.errors import DeviceError


@dataclass(frozen=True)
class Report:
    """One fault: its kind, the place in the source, and the block and thread where it was seen."""

    kind: str
    text: str
    file: str
    line: int
    block: tuple[int, ...]
    thread: tuple[int, ...]

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file else ""
        return f"{where}{self.text} [block {self.block}, thread {self.thread}]"


class EmulatorError(DeviceError):
    """A kernel that cannot be compiled or launched, or that did something wrong when it ran.

    `reports` lists the faults of the run, each a `Report`; it is empty for the other errors.
    """

    def __init__(self, message: str, reports: Sequence[Report] = ()) -> None:
        super().__init__(message)
        self.reports = tuple(reports)


def parse_reports(text: str) -> list[Report]:
    """The reports that the runtime wrote, one a line, fields separated by tabs."""
    reports = []
    for each in text.splitlines():
        kind, file, line, block, thread, what = each.split("\t", 5)
        places = [tuple(int(i) for i in place.split(",")) for place in (block, thread)]
        reports.append(Report(kind, what, file, int(line), places[0], places[1]))
    return reports


def run_error(kernel: str, reports: Sequence[Report]) -> EmulatorError:
    """The error that lists the faults of one launch."""
    lines = [f"{kernel}: {len(reports)} fault{'s' if len(reports) > 1 else ''} in this launch"]
    return EmulatorError("\n  ".join([*lines, *map(str, reports)]), reports)
