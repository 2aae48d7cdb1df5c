"""Weights in files and lists: exact, all or none, and clear about what does not fit."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors.numpy import load_file, save_file

import chainrule as cr
from chainrule.engine.tensor import Tensor
from chainrule.layers import Dense, Layer, Normalization
from chainrule.models import Model, Sequential
from chainrule.training.weights import assign_weights, read_weights, save_weights


def built(*units, dtype=None, features=3):
    model = Sequential([Dense(n, dtype=dtype) for n in units])
    model.build((None, features))
    return model


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


@given(
    array=npst.arrays(
        st.sampled_from([np.float32, np.float64, np.int64]),
        npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    transpose=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_is_read_is_what_was_written_bit_by_bit(tmp_path_factory, array, transpose):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    weight = Tensor(array)
    if transpose:
        weight = weight.transpose()
    save_weights([("w", weight)], path)
    found = read_weights(path)["w"]
    assert found.dtype == weight.dtype
    assert found.shape == weight.shape
    assert found.tobytes() == weight.numpy().tobytes()


def test_a_model_is_restored(tmp_path):
    path = tmp_path / "model.safetensors"
    model, other = built(4, 2), built(4, 2)
    model.compile("adam", "mse")
    model.fit(np.ones((5, 3)), np.ones((5, 2)), epochs=2, verbose=0)
    model.save_weights(path)
    assert set(load_file(path)) == {name for name, _ in model.named_weights()}
    tensors = other.parameters()
    other.load_weights(str(path))
    assert same(model.get_weights(), other.get_weights())
    assert all(a is b for a, b in zip(tensors, other.parameters(), strict=True))
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]


def test_training_goes_on_with_loaded_weights(tmp_path):
    """Loading copies into the memory that the optimiser steps."""
    x, y, path = np.ones((5, 3)), np.ones((5, 2)), tmp_path / "w"
    model = built(2, dtype="float64")
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    model.save_weights(path)
    model.fit(x, y, verbose=0)
    expected = model.get_weights()
    model.load_weights(path)
    model.fit(x, y, verbose=0)
    assert same(model.get_weights(), expected)


def test_state_is_saved_and_frees_a_model_from_its_training_data(tmp_path):
    def make():
        model = Sequential([Normalization(dtype="float64"), Dense(2, dtype="float64")])
        model.build((None, 3))
        return model

    x, first, second = np.random.default_rng(0).normal(3, 2, (9, 3)), make(), make()
    first.layers[0].adapt(x)
    first.save_weights(tmp_path / "w")
    with pytest.raises(RuntimeError, match="adapt"):
        second.predict(x)
    second.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(first.predict(x), second.predict(x))


def test_floating_weights_are_converted_to_the_models_dtype(tmp_path):
    double, single = built(2, dtype="float64"), built(2, dtype="float32")
    double.save_weights(tmp_path / "w")
    single.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(single.get_weights()[0], double.get_weights()[0].astype("f4"))
    assert single.get_weights()[0].dtype == np.float32


def test_shared_weights_are_saved_once(tmp_path):
    shared = Dense(3)
    model = Sequential([shared, shared])
    model.build((None, 3))
    model.save_weights(tmp_path / "w")
    assert len(load_file(tmp_path / "w")) == 2


def test_get_and_set_are_copies_in_keras_order():
    model = built(4, 2)
    weights = model.get_weights()
    assert [each.shape for each in weights] == [(3, 4), (4,), (4, 2), (2,)]
    weights[0][:] = 5
    assert not (model.get_weights()[0] == 5).any()
    model.set_weights(weights)
    weights[0][:] = 6
    assert (model.get_weights()[0] == 5).all()
    model.set_weights([np.zeros((3, 4), int), [0, 0, 0, 0], np.zeros((4, 2)), np.zeros(2)])
    assert all((each == 0).all() for each in model.get_weights())


def test_a_gradient_from_before_is_refused_after_loading():
    model = built(2, 1)
    loss = (model(np.ones((1, 3))) ** 2).sum()
    model.set_weights(model.get_weights())
    with pytest.raises(cr.GradientError, match="changed in place"):
        loss.backward()


# Refusals ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_listed_and_nothing_is_changed(tmp_path):
    path = tmp_path / "w"
    built(4, 2).save_weights(path)
    changed = load_file(path)
    changed["dense.kernel"] = changed["dense.kernel"] * 0
    changed["dense_1.kernel"] = np.zeros((2, 4), np.float32)
    changed["extra.kernel"] = changed.pop("dense_1.bias")
    save_file(changed, path)
    model = built(4, 2)
    before = model.get_weights()
    with pytest.raises(ValueError, match="the weights do not fit") as caught:
        model.load_weights(path)
    text = str(caught.value)
    assert "missing from the file: dense_1.bias" in text
    assert "unknown to the model: extra.kernel" in text
    assert "dense_1.kernel (the model has (4, 2), got (2, 4))" in text
    assert same(before, model.get_weights())


def test_a_long_list_is_cut():
    model = built(*[1] * 11)
    with pytest.raises(
        ValueError, match=r"missing from the file: dense.kernel, .*, dense_9.bias and 2 more"
    ):
        assign_weights(model.named_weights(), {})


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "w"
    path.write_bytes(content)
    model = built(2)
    with pytest.raises(ValueError, match=r"load_weights: '.*w' is damaged"):
        model.load_weights(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "w"
    model = built(2)
    model.save_weights(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="is damaged"):
        model.load_weights(path)


def test_missing_files_and_folders_are_named(tmp_path):
    model = built(2)
    with pytest.raises(FileNotFoundError, match=r"load_weights: cannot read '.*nothing'"):
        model.load_weights(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"load_weights: .*\(it is empty\)"):
        model.load_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"save_weights: cannot write .*create the folder"):
        model.save_weights(tmp_path / "no" / "w")


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "w", built(2)
    model.save_weights(path)
    old = path.read_bytes()
    model.set_weights([each + 1 for each in model.get_weights()])

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save_weights(path)
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["w"]


class Own(Model):
    def __init__(self):
        super().__init__()
        self.part = Dense(2)

    def call(self, x):
        return self.part(x)


@pytest.mark.parametrize("make", [lambda: Sequential([Dense(2)]), Own])
@pytest.mark.parametrize("where", ["save_weights", "load_weights", "get_weights", "set_weights"])
def test_a_model_that_is_not_built_says_so(make, where, tmp_path):
    arguments = {"save_weights": [tmp_path / "w"], "load_weights": [tmp_path / "w"]}
    arguments["set_weights"] = [[np.zeros((3, 2)), np.zeros(2)]]
    with pytest.raises(RuntimeError, match=rf"^{where}: .*no weights yet.*build\(input_shape\)"):
        getattr(make(), where)(*arguments.get(where, []))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        ([np.zeros((3, 2))], ValueError, r"2 weight arrays \(dense.kernel, dense.bias\), got 1"),
        ([np.zeros((2, 3)), np.zeros(2)], cr.ShapeError, r"the model has \(3, 2\), got \(2, 3\)"),
        ([np.full((3, 2), "a"), np.zeros(2)], cr.DtypeError, "cannot be converted"),
    ],
)
def test_lists_that_do_not_fit_are_refused_whole(weights, error, text):
    model = built(2)
    before = model.get_weights()
    with pytest.raises(error, match=f"set_weights: .*{text}"):
        model.set_weights(weights)
    assert same(before, model.get_weights())


def test_floating_numbers_do_not_become_integers():
    class Counter(Layer):
        def __init__(self):
            super().__init__()
            self.count = Tensor([3])
            self._is_parameter["count"] = False

    counter = Counter()
    with pytest.raises(cr.DtypeError, match=r"count has shape .* int64, but got"):
        assign_weights(counter.named_weights(), {"count": np.array([1.5])})
    assert counter.count.tolist() == [3]


# Damage, and files of others ----------------------------------------------------------------------


def test_every_byte_of_a_file_of_ours_counts(tmp_path):
    path = tmp_path / "w"
    save_weights([("a", Tensor(np.arange(3.0))), ("b", Tensor([True]))], path)
    content = path.read_bytes()
    for i in range(len(content)):
        for bit in (0, 2, 5):
            path.write_bytes(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
            with pytest.raises(cr.CheckpointError, match=r"load_weights: '.*w' is damaged"):
                read_weights(path)
    path.write_bytes(content)
    assert read_weights(path)["b"].tolist() == [True]


def test_the_same_weights_are_the_same_bytes(tmp_path):
    weights = [("a", Tensor(np.arange(3.0))), ("b", Tensor([True])), ("c", Tensor([1.0]))]
    save_weights(weights, tmp_path / "w")
    save_weights(weights[::-1], tmp_path / "v")
    assert (tmp_path / "w").read_bytes() == (tmp_path / "v").read_bytes()


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_files_of_others_have_no_checksum_and_load(tmp_path, metadata):
    model = built(2)
    own = dict(zip(("dense.kernel", "dense.bias"), model.get_weights(), strict=True))
    save_file({name: each + 1 for name, each in own.items()}, tmp_path / "w", metadata=metadata)
    model.load_weights(tmp_path / "w")
    np.testing.assert_array_equal(model.get_weights()[0], own["dense.kernel"] + 1)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "its 0 bytes do not hold the header"),
        (b"\xff" * 100, "its 100 bytes do not hold the header"),
        ((2**63).to_bytes(8, "little") + b"{}", "do not hold the header"),
        (
            (2).to_bytes(8, "little") + b"{}" + bytes(99),
            "has 109 bytes, and its header tells of 10",
        ),
        ((4).to_bytes(8, "little") + b"[[[[", "header"),
        (b"PK\x03\x04" + bytes(60), "header"),
    ],
)
def test_what_is_wrong_with_a_header_is_told(tmp_path, content, text):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(cr.CheckpointError, match=f"is damaged, or no safetensors file.*{text}"):
        read_weights(tmp_path / "w")


def test_a_huge_file_is_not_read_if_its_header_does_not_tell_of_it(tmp_path):
    path = tmp_path / "w"
    built(2).save_weights(path)
    with open(path, "r+b") as file:
        file.truncate(2**42)
    tracemalloc.start()
    try:
        with pytest.raises(cr.CheckpointError, match=r"4,398,046,511,104 bytes, and its header"):
            read_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_numbers_that_numpy_lacks_are_named(tmp_path, dtype):
    size = 2 if dtype == "BF16" else 1
    header = f'{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,{size}]}}}}'.encode()
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(cr.CheckpointError, match=f"{dtype}.*NumPy lacks; save them as float32"):
        read_weights(tmp_path / "w")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as on POSIX")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w")
    with pytest.raises(cr.CheckpointError, match="it is no file on a disk"):
        read_weights(tmp_path / "w")


def test_the_weights_of_a_saved_model_are_loaded_from_its_folder(tmp_path):
    model, other = built(4, 2), built(4, 2)
    model.save(tmp_path / "digits")
    other.load_weights(f"{tmp_path}/digits/")
    assert same(model.get_weights(), other.get_weights())
    next((tmp_path / "digits").glob("weights-*")).unlink()
    with pytest.raises(cr.CheckpointError, match=r"load_weights: '.*weights-.* is missing"):
        other.load_weights(tmp_path / "digits")


def test_the_weights_of_the_latest_checkpoint_are_loaded(tmp_path):
    x, y = np.ones((6, 3)), np.ones((6, 2))
    model, other = built(2), built(2)
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=2, verbose=0, checkpoint=tmp_path / "run")
    other.load_weights(tmp_path / "run")
    assert same(model.get_weights(), other.get_weights())


@pytest.mark.parametrize(
    "names", [["0.weight", "0.bias"], ["layers.0.weight"], ["rnn.weight_ih_l0"], ["2.bias"]]
)
def test_names_of_pytorch_are_recognised(names):
    with pytest.raises(cr.ShapeError, match=r"utils.from_torch_weights\(model, safetensors"):
        assign_weights(built(2).named_weights(), {name: np.ones(2) for name in names})


@pytest.mark.parametrize("names", [[], ["dense_7.kernel", "norm.bias"], ["weighted.kernel"]])
def test_names_of_ours_are_not_taken_for_pytorchs(names):
    with pytest.raises(cr.ShapeError, match="Build the model with the layers") as caught:
        assign_weights(built(2).named_weights(), {name: np.ones(2) for name in names})
    assert "torch" not in str(caught.value)


def test_pytorchs_file_is_taken_in_the_way_that_the_message_tells(tmp_path):
    model, twin = built(4, 2), built(4, 2)
    save_file(cr.utils.to_torch_weights(twin), tmp_path / "w")
    with pytest.raises(ValueError, match="from_torch_weights"):
        model.load_weights(tmp_path / "w")
    cr.utils.from_torch_weights(model, load_file(tmp_path / "w"))
    assert same(model.get_weights(), twin.get_weights())


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        (b"PK\x03\x04", r"it is a zip file, .*save_file\(model\.state_dict\(\), path\)"),
        (b"\x89HDF\r\n", r"it is an HDF5 file, .*model\.set_weights"),
        (b"\x80\x02\x8a\n", "it is a pickle, .* which is never read: .*from_torch_weights"),
        (b"weights", "give a file that save_weights has written"),
        (b"", "give a file that save_weights has written"),
    ],
)
def test_files_of_other_libraries_are_told_how_they_come_here(tmp_path, start, remedy):
    path = tmp_path / "weights"
    path.write_bytes(start)
    with pytest.raises(ValueError, match=f"load_weights: .*{remedy}"):
        built(2).load_weights(path)
