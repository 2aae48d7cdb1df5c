"""Bundles: bit for bit, whole at any moment, and clear about what is wrong with them."""

from __future__ import annotations

import math
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from chainrule.engine.errors import CheckpointError
from chainrule.training.saving import bundle, read_bundle, read_manifest, write_bundle
from chainrule.training.saving.arrays import DTYPES


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Nothing here depends on when the disk has what is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


SCALARS = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text()
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(["$float", "$", "$$float"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)
KEYS = st.text().filter(
    lambda key: key not in ("format", "version", "chainrule", "files", "checksum")
)
ARRAYS = npst.arrays(
    st.sampled_from(sorted(DTYPES)).map(np.dtype),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def same(a: Any, b: Any) -> bool:
    """Equal in type and value, NaN's bits and the sign of zero included; and dicts in order."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray):
        return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    return bool(a == b)


@given(document=st.dictionaries(KEYS, PLAIN, max_size=5))
@settings(max_examples=100, deadline=None)
def test_documents_come_back(tmp_path_factory, document):
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(folder, "model", document, {})
    found, arrays = read_bundle(folder, "model")
    assert same(found, document)
    assert arrays == {}


@given(
    arrays=st.dictionaries(
        st.from_regex("[a-z][a-z0-9_]{0,39}", fullmatch=True),
        st.dictionaries(st.text().filter(lambda name: name != "__metadata__"), ARRAYS, max_size=3),
        max_size=3,
    ),
    layout=st.sampled_from(["plain", "transposed", "reversed", "big-endian"]),
)
@settings(max_examples=100, deadline=None)
def test_arrays_come_back_bit_for_bit(tmp_path_factory, arrays, layout):
    folder = tmp_path_factory.mktemp("bundle")
    laid = {
        group: {name: LAYOUTS[layout](array) for name, array in named.items()}
        for group, named in arrays.items()
    }
    write_bundle(folder, "model", {}, laid)
    document, found = read_bundle(folder, "model")
    assert document == {}
    assert found.keys() == arrays.keys()
    for group, named in laid.items():
        assert found[group].keys() == named.keys()
        for name, array in named.items():
            assert same(
                found[group][name], np.array(array, array.dtype.newbyteorder("="), order="C")
            )


LAYOUTS = {
    "plain": lambda x: x,
    "transposed": lambda x: x.T,
    "reversed": lambda x: x[::-1] if x.ndim else x,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
}


def test_the_files_are_such_as_safetensors_itself_reads():
    from safetensors.numpy import load

    from chainrule.training.saving.arrays import pack

    arrays = {
        "z": np.arange(6, dtype="float32").reshape(2, 3),
        "ä.b": np.array(True),
        "empty": np.zeros((0, 4)),
        "long": np.arange(3)[::-1],
        "byte": np.arange(5, dtype="uint8"),
    }
    content = b"".join(pack(arrays, where="test"))
    assert {k: v.tolist() for k, v in load(content).items()} == {
        k: v.tolist() for k, v in arrays.items()
    }


# Refusals when writing ----------------------------------------------------------------------------


class Own:
    def __repr__(self):
        return "Own()"


IN_ITSELF: list[Any] = []
IN_ITSELF.append(IN_ITSELF)


@pytest.mark.parametrize(
    ("document", "error", "text"),
    [
        ({"a": [1, {"b": Own()}]}, TypeError, r"document\['a'\]\[1\]\['b'\] is Own\(\)"),
        ({"a": np.ones(2)}, TypeError, r"document\['a'\] is shape \(2,\), float64.*saved apart"),
        ({"a": {1: 2}}, TypeError, r"a key of document\['a'\] is 1, .*convert it with str"),
        ({"a": {1, 2}}, TypeError, "no plain data"),
        ({"a": b"bytes"}, TypeError, "no plain data"),
        ({"a": 1j}, TypeError, "no plain data"),
        ({"a": IN_ITSELF}, ValueError, r"document\['a'\]\[0\].* deep, or in itself"),
        ({"a": 1 << 5000}, ValueError, r"document\['a'\] is an integer of 5001 bits"),
        ({"files": 1}, ValueError, "key 'files' is the format's own; rename it"),
    ],
)
def test_what_is_no_plain_data_is_told_with_its_place(tmp_path, document, error, text):
    with pytest.raises(error, match=rf"^save: .*{text}"):
        write_bundle(tmp_path / "run", "model", document, {"w": {"a": np.ones(2)}}, where="save")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arrays", "error", "text"),
    [
        ({"w": {"a": [1.0]}}, TypeError, r"group 'w': 'a' is \[1.0\], which is no NumPy array"),
        ({"w": {"a": np.array(["x"])}}, TypeError, r"'a' has shape \(1,\), <U1.*convert it to"),
        ({"w": {"a": np.array([1j])}}, TypeError, "complex128"),
        ({"w": {"a": np.array([None])}}, TypeError, "object"),
        ({"w": {3: np.ones(1)}}, TypeError, "the name of an array is 3; give a string"),
        ({"w": {"__metadata__": np.ones(1)}}, ValueError, "cannot be the name of an array"),
        ({"w": {"\ud800": np.ones(1)}}, ValueError, "cannot be the name of an array"),
        ({"../w": {}}, ValueError, "'../w' cannot be the name of a kind or group"),
        ({"W": {}}, ValueError, "lower-case"),
        ({"": {}}, ValueError, "lower-case"),
        ({"w" * 41: {}}, ValueError, "up to 40"),
    ],
)
def test_what_cannot_be_saved_as_arrays_is_named(tmp_path, arrays, error, text):
    with pytest.raises(error, match=rf"^save: .*{text}"):
        write_bundle(tmp_path / "run", "model", {}, arrays, where="save")
    assert not (tmp_path / "run").exists()


def test_numbers_of_numpy_and_tuples_become_plain(tmp_path):
    document = {
        "float": np.float32(0.5),
        "nan": np.float16("nan"),
        "int": np.uint8(3),
        "bool": np.bool_(True),
        "tuple": (1, (2,)),
        "string": np.str_("text"),
    }
    write_bundle(tmp_path, "model", document, {})
    found = read_manifest(tmp_path, "model").document
    assert same(found.pop("nan"), math.nan)
    assert same(found, {"float": 0.5, "int": 3, "bool": True, "tuple": [1, [2]], "string": "text"})


def test_arrays_have_memory_of_their_own(tmp_path):
    write_bundle(tmp_path, "model", {}, {"w": {"a": np.zeros(3), "b": np.zeros(3)}})
    found = read_bundle(tmp_path, "model")[1]["w"]
    found["a"] += 1
    assert not found["b"].any()


def test_groups_can_be_read_alone(tmp_path):
    write_bundle(tmp_path, "model", {}, {"a": {"x": np.ones(2)}, "b": {}})
    next(tmp_path.glob("b-*")).unlink()
    assert list(read_bundle(tmp_path, "model", groups=["a"])[1]) == ["a"]
    with pytest.raises(CheckpointError, match="holds no c, only a, b"):
        read_bundle(tmp_path, "model", groups=["a", "c"])


# Refusals when reading ----------------------------------------------------------------------------


def small(folder):
    arrays = {"weights": {"w": np.arange(3, dtype="float32")}}
    write_bundle(folder, "model", {"units": [1, math.inf]}, arrays)
    return folder / "model.json", next(folder.glob("weights-*"))


def refusal(folder):
    with pytest.raises((CheckpointError, OSError)) as caught:
        read_bundle(folder, "model", where="load_model")
    text = str(caught.value)
    assert text.startswith("load_model: ")
    assert str(folder) in text
    return caught.value, text


def test_every_byte_counts(tmp_path):
    """A bit of each byte of all files, one after the other."""
    for path in small(tmp_path):
        content = path.read_bytes()
        for i in range(len(content)):
            changed = bytes([content[i] ^ 1 << i % 8])
            path.write_bytes(content[:i] + changed + content[i + 1 :])
            with pytest.raises(CheckpointError):
                read_bundle(tmp_path, "model")
        path.write_bytes(content)
    read_bundle(tmp_path, "model")


def test_what_is_cut_anywhere_is_found_out(tmp_path):
    for path in small(tmp_path):
        content = path.read_bytes()
        for size in range(0, len(content), 3):
            path.write_bytes(content[:size])
            with pytest.raises(CheckpointError):
                read_bundle(tmp_path, "model")
        path.write_bytes(content)


def test_what_is_missing_is_told(tmp_path):
    error, text = refusal(tmp_path / "nowhere")
    assert type(error) is FileNotFoundError
    assert "there is no folder" in text
    error, text = refusal(tmp_path)
    assert type(error) is FileNotFoundError
    assert "holds no model: there is no model.json (it is empty)" in text
    for i in range(7):
        (tmp_path / f"photo-{i}.jpg").write_bytes(b"")
    _, text = refusal(tmp_path)
    assert "(it holds photo-0.jpg, photo-1.jpg, " in text
    assert "photo-4.jpg and 2 more); give a folder that chainrule has written" in text
    error, text = refusal(tmp_path / "photo-0.jpg")
    assert type(error) is NotADirectoryError
    assert "is a file; give the folder that model.json is in" in text
    _, arrays = small(tmp_path)
    arrays.unlink()
    error, text = refusal(tmp_path)
    assert type(error) is CheckpointError
    assert f"{arrays.name}' is missing, which the manifest names; copy the whole folder" in text


def resign(text):
    """A manifest's text with the checksum that it should have."""
    from hashlib import sha256

    text = text[: text.rindex('"checksum"')] + '"checksum": "' + "0" * 64 + '"\n}\n'
    return text[:-68] + sha256(text.encode()).hexdigest() + text[-4:]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"version": 1', '"version": 2', "saved by a newer chainrule (pip install -U chainrule)"),
        ('"version": 1', '"version": 0', "is damaged"),
        ('"format": "chainrule model"', '"format": "pt"', "or no manifest of chainrule's"),
        ("chainrule model", "chainrule checkpoint", "the manifest of a checkpoint, renamed"),
        ('"name": "', '"name": "../', "has a name or checksum not of ours"),
        ('"name": "', '"name": "/etc/passwd', "has a name or checksum not of ours"),
        ('"weights": {', '"../weights": {', "has a name or checksum not of ours"),
        ('"bytes": ', '"bytes": 1', "instead of"),
        ('"bytes": ', '"bytes": 0.5, "x": ', "has a name or checksum not of ours"),
        ('"sha256": "', '"sha256": null, "x": "', "TypeError"),
        ('"files": {', '"files": [], "x": {', "AttributeError"),
        ('"$float": "inf"', '"$float": "1"', "is no number"),
        ('"units": [', '"units": [' + "[" * 10**5, "RecursionError"),
        ('"units": [', '"units": [' + "9" * 10**5 + ",", "digits"),
        ('"units": [', '"units": [NoNumber, ', "JSONDecodeError"),
    ],
)
def test_a_manifest_that_tells_something_else_is_refused(tmp_path, old, new, expected):
    manifest, _ = small(tmp_path)
    text = manifest.read_text()
    assert resign(text) == text
    assert old in text
    manifest.write_text(resign(text.replace(old, new, 1)))
    error, text = refusal(tmp_path)
    assert type(error) is CheckpointError
    assert expected in text
    assert len(text) < 1000


def test_a_newer_manifest_is_newer_whatever_its_checksum(tmp_path):
    manifest, _ = small(tmp_path)
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 7'))
    _, text = refusal(tmp_path)
    assert "has format 7" in text
    assert "newer chainrule (pip install -U chainrule), or it is damaged" in text


def test_a_manifest_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    manifest, _ = small(tmp_path)
    with open(manifest, "r+b") as file:
        file.truncate(2**40)
    monkeypatch.setattr(Path, "read_bytes", None)
    _, text = refusal(tmp_path)
    assert "it has 1,099,511,627,776 bytes" in text


def test_a_manifest_that_would_not_be_read_is_not_written(tmp_path, monkeypatch):
    small(tmp_path)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    monkeypatch.setattr("chainrule.training.saving.bundle.LARGEST_MANIFEST", 5000)
    arrays = {"weights": {"w": np.ones(3)}}
    write_bundle(tmp_path / "fits", "model", {"words": "x" * 4000}, arrays)
    assert read_bundle(tmp_path / "fits", "model")[0] == {"words": "x" * 4000}
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(ValueError, match="at most 5,000 are read; nothing was written"):
            write_bundle(folder, "model", {"words": "x" * 5000}, arrays, where="save")
    assert not (tmp_path / "new").exists()
    assert before == {each.name: each.read_bytes() for each in tmp_path.iterdir() if each.is_file()}


def test_the_arrays_of_another_bundle_do_not_fit(tmp_path):
    _, arrays = small(tmp_path / "a")
    write_bundle(tmp_path / "b", "model", {}, {"weights": {"w": np.ones(3, "float32")}})
    arrays.write_bytes(next((tmp_path / "b").glob("weights-*")).read_bytes())
    _, text = refusal(tmp_path / "a")
    assert "its checksum differs from the manifest's" in text


def test_a_file_that_cannot_be_read_is_an_error_of_the_system(tmp_path, monkeypatch):
    small(tmp_path)

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    error, text = refusal(tmp_path)
    assert type(error) is PermissionError
    assert "change the permissions" in text


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_writers_of_one_folder_wait_for_each_other(tmp_path, monkeypatch):
    def write(number):
        write_bundle(tmp_path, "model", {}, {"weights": {"w": np.full(3, number)}})

    write(0)
    other = threading.Thread(target=write, args=(2,))
    flush = bundle.flush_folder

    def meanwhile(folder):
        flush(folder)
        if not other.ident:  # amid the first
            other.start()
            other.join(0.3)

    monkeypatch.setattr(bundle, "flush_folder", meanwhile)
    write(1)
    other.join()
    assert read_bundle(tmp_path, "model")[1]["weights"]["w"].tolist() == [2, 2, 2]
    assert len(list(tmp_path.iterdir())) == 2
