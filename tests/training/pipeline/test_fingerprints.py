"""Fingerprints of arrays: equal contents, equal fingerprints; and no others."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule.training.pipeline import fingerprints
from chainrule.training.pipeline.fingerprints import array_fingerprint, file_fingerprint

contents = hnp.arrays(
    st.sampled_from(["bool", "uint8", "int64", "float32", "float64"]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
)


@given(contents, st.integers(1, 64))
def test_it_is_the_hash_of_the_bytes_however_they_lie(array, chunk):
    expected = hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest()
    before, fingerprints.CHUNK = fingerprints.CHUNK, chunk
    try:
        found = array_fingerprint(array)
        assert found == array_fingerprint(np.asfortranarray(array))
        assert found == array_fingerprint(np.flip(np.flip(array, 0).copy(), 0))
        assert found == array_fingerprint(array.astype(array.dtype.newbyteorder(">")))
    finally:
        fingerprints.CHUNK = before
    assert found == {
        "sha256": expected,
        "dtype": array.dtype.name,
        "shape": list(array.shape),
    }


@given(contents.filter(lambda a: a.size > 0), st.data())
def test_one_changed_value_changes_it(array, data):
    other = array.copy()
    place = data.draw(st.integers(0, array.size - 1))
    other.reshape(-1).view(np.uint8)[place * array.itemsize] ^= 1
    assert array_fingerprint(array)["sha256"] != array_fingerprint(other)["sha256"]


def test_several_arrays_and_tensors():
    a, b = np.arange(3), np.ones(2)
    assert array_fingerprint((a, b)) == {"[0]": array_fingerprint(a), "[1]": array_fingerprint(b)}
    assert array_fingerprint({"ids": a}) == {"['ids']": array_fingerprint(a)}
    assert array_fingerprint(cr.tensor(b)) == array_fingerprint(b) == array_fingerprint([1.0, 1.0])
    with pytest.raises(TypeError, match="Python objects"):
        array_fingerprint(np.array([object()]))


def test_of_a_file(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"abc" * 1000)
    expected = hashlib.sha256(b"abc" * 1000).hexdigest()
    assert file_fingerprint(path) == {"bytes": 3000, "sha256": expected}
