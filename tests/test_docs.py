"""The examples in docs/ print what the pages say."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

import pytest

from chainrule.gpu.emulator import EmulatorError
from chainrule.gpu.emulator.compiling import find_compiler

from chainrule.gpu import usable

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize(
    "page", sorted(p.name for p in DOCS.glob("*.md") if ">>> " in p.read_text())
)
def test_the_examples_of_a_page(page):
    if page == "emulator.md":
        if sys.platform != "linux":
            pytest.skip("checked mode of the emulator needs Linux")
        try:
            find_compiler()
        except EmulatorError as missing:
            pytest.skip(str(missing))
    if page == "gpu.md" and not usable("emulated"):
        pytest.skip("no C++ compiler for the emulator")
    failed, tried = doctest.testfile(
        str(DOCS / page), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert tried > 0 and failed == 0
