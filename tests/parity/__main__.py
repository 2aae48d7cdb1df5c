"""Prints the comparison with PyTorch's operator database: `python -m tests.parity [name ...]`."""

from __future__ import annotations

import sys
import time

from .adapter import ANSWERS, UNANSWERED
from .compare import compare, database, report


def main(names: list[str]) -> int:
    """Compares the entries named (all without names), prints the report, and returns 1 if any
    disagrees.
    """
    unknown = [name for name in names if name not in ANSWERS]
    if unknown:
        print(f"no answer to {', '.join(unknown)}; there are: {', '.join(ANSWERS)}")
        return 2
    start = time.perf_counter()
    entries = database()
    loaded = time.perf_counter()
    outcomes = [compare(name, ANSWERS[name]) for name in names or ANSWERS if name in entries]
    done = time.perf_counter()
    print("\n".join(report(outcomes)))
    absent = [name for name in names or ANSWERS if name not in entries]
    if absent:
        print(f"PyTorch has no entry of that name: {', '.join(absent)}")
    for name, reason in UNANSWERED.items():
        print(f"{name}: {reason}")
    print(f"{loaded - start:.0f} s to load the database, {done - loaded:.0f} s to compare")
    return int(any(each.failures or each.missing for each in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
