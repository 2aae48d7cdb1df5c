"""The table of the campaign, as text and as the section of docs/gradient-checking.md."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .campaign import Alarms, Outcome, missed_sites, rows, survivors, totals
from .checkers import CHECKERS, Checker

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gradient-checking.md"


def marks(part: str) -> tuple[str, str]:
    """The lines between which a part of the page stands that a command writes."""
    command = f"python -m tests.mutants {part} --write".replace("  ", " ")
    return f"<!-- begin: {command} -->", f"<!-- end: {command} -->"


def table(outcomes: Sequence[Outcome], checkers: Sequence[Checker]) -> list[str]:
    """The table in Markdown: kinds of wrong VJP, and how many each checker found."""
    heads = ["wrong VJP", "what is wrong", "planted", *(each.name for each in checkers)]
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * (len(heads) - 2)]
    lines += [f"| {' | '.join(row)} |" for row in rows(outcomes, checkers)]
    shown = totals(outcomes, checkers)
    lines.append(f"| **all but the last two** | | {' | '.join(shown)} |")
    return lines


def alarm_table(alarms: Alarms, checkers: Sequence[Checker]) -> list[str]:
    """The table of false alarms, on ordinary points and on kinks."""
    lines = ["| checker | right gradients shown | false alarms | of these at ties and on kinks |"]
    lines.append("|---|---:|---:|---:|")
    for each in checkers:
        kinked = sum(", tied, " in text for text in alarms.where.get(each.name, []))
        shown, raised = alarms.shown[each.name], alarms.raised[each.name]
        lines.append(f"| {each.name} | {shown} | {raised} | {kinked} |")
    return lines


def section(outcomes: Sequence[Outcome], alarms: Alarms, checkers: Sequence[Checker]) -> str:
    """The section of the page."""
    live = [each for each in outcomes if each.live]
    names = {each.mutant.record.name for each in outcomes}
    versions = [each.version for each in checkers if each.version]
    absent = [each.name for each in CHECKERS if each not in checkers]
    parts = [
        "## Wrong VJPs that it has been shown",
        f"Made by `python -m tests.mutants --write` with NumPy {np.__version__}, "
        f"{', '.join(dict.fromkeys(versions)) or 'no other library'}. {len(outcomes)} wrong VJPs "
        f"were planted in {len(names)} operations: every kind in every argument of every operation "
        f"of the table that has a gradient. {len(outcomes) - len(live)} of them give the right "
        "gradient on every case of their operation, for every seed and upstream gradient that was "
        "tried (a factor that is 1 there, an axis that does not exist), and are not counted. Each "
        f"of the other {len(live)} was shown to each checker on the same cases, the operation's "
        "own, until it was found; a case on which a checker finds fault with the right gradient "
        "too does not count as found.",
        "\n".join(table(outcomes, checkers)),
        "The last two kinds show on arrays and dtypes that no case of the table has. They were "
        "looked for on arrays of 42 elements, and on float32, of elementwise operations only.",
        "False alarms, on the table as it is: the operations' own cases to first order, those to "
        "second order, and points with ties and on kinks.",
        "\n".join(alarm_table(alarms, checkers)),
        "Settings:",
        "\n".join(f"- {each.name}: {each.settings}." for each in checkers),
    ]
    if absent:
        parts.append(f"Not installed where this was made, and left out: {', '.join(absent)}.")
    return "\n\n".join(parts)


def write(text: str, part: str = "", page: Path = PAGE) -> None:
    """Puts what a command found in its place on the page, or at the page's end."""
    begin, end = marks(part)
    text = f"{begin}\n\n{text}\n\n{end}\n"
    before = page.read_text(encoding="utf-8") if page.exists() else "# Gradient checking\n"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end) + r"\n?", re.DOTALL)
    if pattern.search(before):
        after = pattern.sub(lambda _: text, before)
    else:
        after = before.rstrip("\n") + "\n\n" + text
    handle, name = tempfile.mkstemp(dir=page.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(after)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(name, 0o644)
    os.replace(name, page)


def details(outcomes: Sequence[Outcome], checkers: Sequence[Checker]) -> list[str]:
    """Of our own checkers: every mutant that survived, and every case at which one did."""
    lines = []
    for each in checkers:
        if not each.ours:
            continue
        left = survivors(outcomes, each)
        found, pairs, missed = missed_sites(outcomes, each)
        lines.append(f"{each.name}: {len(left)} survivors; found at {found} of {pairs} cases")
        lines += [f"  SURVIVES {text}" for text in left]
        lines += [f"  missed: {text}" for text in missed]
    return lines
