"""Writes docs/operations.md, the derivative table, from the operation records.

Usage: python scripts/make_docs.py [--check]; with --check it writes nothing, and fails if the file
is not what the records give.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chainrule.engine import table
from chainrule.training.files import atomic_write

TARGET = Path(__file__).resolve().parents[1] / "docs" / "operations.md"


def main() -> None:
    """Writes the page, or compares it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    page = table.page()
    if not arguments.check:
        with atomic_write(TARGET, where="make_docs") as file:
            file.write(page.encode())
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page:
        sys.exit(f"{TARGET} is not what the records give: run python scripts/make_docs.py")


if __name__ == "__main__":
    main()
