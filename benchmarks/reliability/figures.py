"""What is found: figures with their targets, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cpu.report import aligned


@dataclass(frozen=True)
class Figure:
    """A number that was counted or measured; `most` is the target that it should not exceed."""

    what: str
    value: float
    unit: str = ""
    most: float | None = None

    @property
    def missed(self) -> bool:
        """Is it beyond its target?"""
        return self.most is not None and not self.value <= self.most

    def cells(self) -> tuple[str, str, str, str]:
        """Its line of a table."""
        target = "" if self.most is None else f"at most {_number(self.most)} {self.unit}".strip()
        verdict = "" if self.most is None else ("missed" if self.missed else "reached")
        return self.what, f"{_number(self.value)} {self.unit}".strip(), target, verdict


@dataclass(frozen=True)
class Found:
    """What a measurement found.

    Arguments:
        name: of the measurement.
        figures: what is printed.
        details: all that was measured, as plain data.
        faults: what went wrong, each in a sentence. A target that is missed is no fault: times and
            memory depend on what else the machine does.
    """

    name: str
    figures: Sequence[Figure]
    details: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[str] = ()

    def table(self) -> str:
        """The figures as aligned text, and the faults."""
        lines = [(self.name, "", "target", ""), *(each.cells() for each in self.figures)]
        return "\n".join([aligned(lines), *(f"FAULT: {each}" for each in self.faults)])


def _number(value: float) -> str:
    """A count in full, a measurement with three digits.

    >>> _number(200_000), _number(0.012345), _number(1234.5), _number(-2.0)
    ('200,000', '0.0123', '1,234', '-2')
    """
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
