"""Whatever is done to a saved file: an error that is clear, quick and small."""

from __future__ import annotations

import sys

import pytest

from . import corruption


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as on POSIX")
@pytest.mark.parametrize("seed", range(3))
def test_damage_is_found(seed):
    found = list(corruption.cases(100, seed))
    assert len(found) == 100
    assert [case for case in found if case.verdict] == []


def test_the_table_tells_of_what_goes_wrong(monkeypatch, capsys):
    """The script can fail: a reader that never looks at what it reads is found out."""
    monkeypatch.setattr(corruption, "load", lambda folder, bare: None)
    assert corruption.main(["--cases", "5"]) == 1
    assert "0 of 5 as they should be" in capsys.readouterr().out
