"""Prints, after the tests, how much was compared with PyTorch's operator database."""

from __future__ import annotations

from typing import Any

from .compare import OUTCOMES, total_line


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The line that says it; the table is what `python -m tests.parity` prints."""
    if OUTCOMES:
        terminalreporter.section("parity with PyTorch (table: python -m tests.parity)")
        terminalreporter.line(total_line(list(OUTCOMES.values())))
        reasons: dict[str, int] = {}
        for each in OUTCOMES.values():
            for reason, count in each.explained.items():
                reasons[reason] = reasons.get(reason, 0) + count
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} not compared: {reason}")
        missing = sorted({name for each in OUTCOMES.values() for name in each.missing})
        if missing:
            terminalreporter.line(f"not there: {', '.join(missing)}")
