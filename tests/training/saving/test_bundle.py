"""Bundles: bit for bit, whole at any moment, and clear about what is wrong with them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from chainrule.training.saving import read_bundle, write_bundle
from chainrule.training.saving.arrays import DTYPES

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
