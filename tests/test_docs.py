"""The examples in docs/ print what the pages say."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest

from chainrule.gpu import usable

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize(
    "page", sorted(p.name for p in DOCS.glob("*.md") if ">>> " in p.read_text())
)
def test_the_examples_of_a_page(page):
    if page in ("gpu.md", "emulator.md") and not usable("emulated"):
        pytest.skip("no C++ compiler for the emulator")
    if page == "emulator.md" and sys.platform != "linux":
        pytest.skip("the emulator's checked mode needs Linux")
    failed, tried = doctest.testfile(
        str(DOCS / page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert tried > 0 and failed == 0
