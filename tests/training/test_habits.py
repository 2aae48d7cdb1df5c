"""What users of Keras and PyTorch give to models and pipelines: the error says what to type."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense
from chainrule.models import Model, Sequential
from chainrule.training import habits


@pytest.fixture
def model():
    model = Sequential([Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.build((None, 3))
    return model


X, Y = np.ones((8, 3), np.float32), np.zeros(8, np.int64)


@pytest.mark.parametrize(
    ("method", "given", "keyword", "remedy"),
    [
        ("fit", (X, Y), "steps_per_epoch", r"\.batch\(32\)\.take\(steps\)"),
        ("fit", (X, Y), "validation_freq", "leave it out"),
        ("fit", (X, Y), "class_weight", "all samples count alike"),
        ("fit", (X, Y), "workers", r"\.prefetch\(2\)"),
        ("fit", (X, Y), "epoch", "it is called epochs"),
        ("fit", (X, Y), "nonsense", "there are: x, y, batch_size, epochs"),
        ("evaluate", (X, Y), "steps", r"x\.take\(steps\)"),
        ("evaluate", (X, Y), "sample_weight", "all samples count alike"),
        ("predict", (X,), "steps", r"x\.take\(steps\)"),
        ("predict", (X,), "sample_weight", "there are: x, batch_size"),
        ("compile", ("sgd", "mse"), "jit_compile", "leave it out"),
        ("compile", ("sgd", "mse"), "lr", r"optimizer=cr\.optim\.Adam\(0\.001\)"),
        ("save", ("model",), "save_format", "one format"),
        ("save_weights", ("w",), "overwrite", "the file is replaced"),
        ("load_weights", ("w",), "skip_mismatch", "all weights must fit"),
    ],
)
def test_an_argument_from_elsewhere_is_answered(
    model, tmp_path, monkeypatch, method, given, keyword, remedy
):
    monkeypatch.chdir(tmp_path)
    before = model.get_weights()
    with pytest.raises(TypeError, match=f"{method}: there is no argument '{keyword}'; .*{remedy}"):
        getattr(model, method)(*given, **{keyword: 1})
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(before[0], model.get_weights()[0])


def test_load_model_answers_too():
    with pytest.raises(TypeError, match=r"load_model: .*'safe_mode'; nothing in a file is ever"):
        cr.load_model("nowhere", safe_mode=False)


def test_no_remedy_is_for_an_argument_that_is_there():
    """When an argument is added, its remedy must go; and signatures are those that are written."""
    for name in ("fit", "evaluate", "predict", "compile", "save", "save_weights", "load_weights"):
        known = set(inspect.signature(getattr(Model, name)).parameters)
        assert "self" in known
        assert not known & set(getattr(habits, name.upper())), name
    assert not set(inspect.signature(cr.load_model).parameters) & set(habits.LOAD_MODEL)


def test_a_subclass_may_take_what_the_model_does_not():
    class Own(Sequential):
        def fit(self, x, y, steps_per_epoch=None, **others):
            self.asked = steps_per_epoch
            return super().fit(x, y, **others)

    model = Own([Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], steps_per_epoch=3, verbose=0)
    assert model.asked == 3


class DataSet:
    """As a user of PyTorch writes them: it does not end where it should."""

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        if index >= 10 * len(X):  # a test that fails must not go on for ever
            raise IndexError(index)
        return X[index % len(X)], Y[index % len(X)]


class Loader:
    dataset = DataSet()

    def __iter__(self):
        yield X, Y


def samples():
    yield X[0], Y[0]


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize(
    ("x", "remedy"),
    [
        (samples, r"x is a function, not an array; .*from_generator\(function\)\.batch\(32\)"),
        (samples(), r"x is a generator, which .* only once; .*from_generator\(function\)"),
        (DataSet(), r"x is a DataSet, .*from_generator\(lambda: \(data\[i\] for i in range\(len"),
        (Loader(), r"x is a Loader, not an array; .*from_generator"),
    ],
)
def test_streams_are_told_how_to_become_pipelines(model, method, x, remedy):
    with pytest.raises(TypeError, match=f"{method}: {remedy}"):
        getattr(model, method)(x)


def test_a_stream_to_validate_with_is_told_too(model):
    with pytest.raises(TypeError, match=r"fit: validation_data is a DataSet, .*from_generator"):
        model.fit(X, Y, validation_data=DataSet())
    with pytest.raises(TypeError, match=r"a pair \(x, y\) of arrays, or a pipeline, got 3 items"):
        model.fit(X, Y, validation_data=(X, Y, Y))


def test_what_is_recommended_for_a_data_set_works(model):
    with pytest.raises(TypeError, match=r"lambda: \(data\[i\] for i in range\(len\(data\)\)\)"):
        cr.data.from_generator(DataSet())
    data = DataSet()
    made = cr.data.from_generator(lambda: (data[i] for i in range(len(data))), length=len(data))
    history = model.fit(made.shuffle(buffer_size=1000).batch(4), epochs=2, verbose=0)
    assert history.params["steps"] == 2


def test_what_is_recommended_for_steps_per_epoch_works(model):
    train = cr.data.from_arrays(X, Y).shuffle().batch(2).take(3)
    assert model.fit(train, epochs=1, verbose=0).params["steps"] == 3


def test_lists_arrays_and_their_like_are_no_streams(model):
    model.fit(X.tolist(), Y.tolist(), verbose=0)
    with pytest.raises(ValueError, match="fit: y is missing"):
        model.fit(X)
    with pytest.raises(ValueError, match="fit: y is missing"):
        model.fit([1.0, 2.0])
