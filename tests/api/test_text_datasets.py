"""The packaged text is what its card says, and a damaged file of it is refused."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import sys
import tracemalloc
from pathlib import Path

import pytest

from chainrule import datasets, text_datasets

SHA256 = "37d06970fc926e60c16dff401e441b84752446a36b6b64516c229fdec77e992c"
PACKAGED = Path(datasets.__file__).parent / "data"


@pytest.fixture(scope="module")
def make_datasets():
    script = Path(__file__).resolve().parents[2] / "scripts" / "make_datasets.py"
    spec = importlib.util.spec_from_file_location("make_datasets", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_packaged_text_is_the_one_on_record():
    assert sha256(datasets.python_docs().text) == SHA256


def test_the_text_is_split_by_position_and_the_last_tenth_validates():
    data = datasets.python_docs()
    assert (len(data.train), len(data.validation)) == (418_473, 46_497)
    assert data.text == data.train + data.validation
    assert len(data.validation) == len(data.text) // 10
    with pytest.raises(AttributeError):
        data.train = ""  # type: ignore[misc]
    assert repr(data).startswith("<TextDataset 'python-docs': 418,473 characters")


def test_the_card_says_what_the_text_is():
    text = datasets.python_docs().text
    card = (PACKAGED / "README.md").read_text(encoding="utf-8")
    printing = {chr(code) for code in range(32, 127)}
    others = "".join(sorted(set(text) - printing - {"\n"}))
    assert printing - set(text) == {"$", "`"}
    facts = [
        f"{len(text):,} characters",
        f"{text.count(chr(10)):,} lines",
        f"{len(set(text))} diff",
    ]
    for fact in (*facts, others, "PSF License Version 2", "python_docs.txt.gz"):
        assert fact in card
    licence = (PACKAGED / "LICENSE.python_docs.md").read_text(encoding="utf-8")
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in licence
    assert "Python Software Foundation;\nAll Rights Reserved" in licence


def test_what_the_script_writes_is_read_back(make_datasets, tmp_path, monkeypatch):
    text = datasets.python_docs().text
    for attempt in ("first", "second"):
        make_datasets.write_text(tmp_path / attempt, text)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert gzip.decompress((tmp_path / "first").read_bytes()).decode() == text
    (tmp_path / "first").rename(tmp_path / "python_docs.txt.gz")
    monkeypatch.setattr(text_datasets, "_FOLDER", tmp_path)
    assert datasets.python_docs().text == text


def test_the_script_makes_the_same_text_again_where_python_has_it(make_datasets):
    if sys.version_info[:3] != make_datasets.TEXT_VERSION:
        with pytest.raises(RuntimeError, match=r"text is that of Python 3\.11\.7"):
            make_datasets.python_docs()
    else:
        assert sha256(make_datasets.python_docs()) == SHA256


@pytest.mark.parametrize("damage", ["no gzip", "cut short", "flipped", "too long", "no UTF-8"])
def test_a_damaged_file_is_refused(damage, tmp_path, monkeypatch):
    packed = bytearray((PACKAGED / "python_docs.txt.gz").read_bytes())
    if damage == "no gzip":
        packed = bytearray(b"<html>not found</html>")
    elif damage == "cut short":
        packed = packed[: len(packed) // 2]
    elif damage == "flipped":
        packed[len(packed) // 2] ^= 0xFF
    elif damage == "too long":
        packed = bytearray(gzip.compress(bytes(text_datasets._MOST_BYTES + 1), 1))
    else:
        packed = bytearray(gzip.compress(b"caf\xe9"))
    (tmp_path / "python_docs.txt.gz").write_bytes(packed)
    monkeypatch.setattr(text_datasets, "_FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"python_docs: .*(damaged|more than).*install chainrule"):
        datasets.python_docs()


def test_no_more_than_the_bound_is_unpacked(tmp_path, monkeypatch):
    with gzip.open(tmp_path / "python_docs.txt.gz", "wb", 1) as file:
        file.write(bytes(20_000_000))
    monkeypatch.setattr(text_datasets, "_FOLDER", tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"holds more than 1,000,000 bytes"):
            datasets.python_docs()
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_load_says_that_it_is_no_set_of_samples():
    for name in ("python-docs", "python_docs"):
        with pytest.raises(ValueError, match=r"python-docs is a text.*python_docs\(\)"):
            datasets.load(name)
