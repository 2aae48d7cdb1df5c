"""A model with preprocessing computes of raw samples what one without computes of prepared ones."""

from __future__ import annotations

import copy
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Concatenate, Dense, Embedding, Flatten, GlobalAveragePooling1D
from chainrule.losses import BinaryCrossentropy
from chainrule.models import Model, Sequential
from chainrule.optim import SGD
from chainrule.preprocessing import Encode, MinMax, Preprocessing, Rescale, Standardize, Step
from chainrule.text import WordTokenizer
from chainrule.training.callbacks import LambdaCallback

CLASSES = ["cat", "dog", "eel"]


def samples(n=20, seed=0):
    """Features on scales of their own, and names."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 4)) * [1, 1000, 1e-3, 0] + [0, 1e4, 5, 7]
    return x, draw.choice(CLASSES, n).tolist()


def ids(names):
    return np.array([CLASSES.index(each) for each in names])


def compiled(preprocessing=None, dtype="float32", **options):
    model = Sequential(
        [Dense(5, activation="tanh", dtype=dtype), Dense(3, activation="softmax", dtype=dtype)]
    )
    model.preprocessing = preprocessing
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | options
    model.compile(SGD(learning_rate=0.1), **options)
    return model


def fitted(model, *args, **options):
    """The history of a model that is trained from the same random numbers as any other here."""
    cr.seed(3)
    return model.fit(*args, **options).history


def same_weights(a, b):
    return all(
        np.array_equal(one, other)
        for one, other in zip(a.get_weights(), b.get_weights(), strict=True)
    )


# Raw samples give what prepared ones give ---------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["float64", "float32", "int64"])
@pytest.mark.parametrize("validation", [{}, {"validation_split": 0.3}, {"validation_data": True}])
def test_bit_for_bit(dtype, given, validation):
    x, names = samples()
    x = (x * 100).astype(given)
    x_val, names_val = samples(7, seed=1)
    x_val = (x_val * 100).astype(given)
    preprocessing = Preprocessing(Standardize.fit(x), Rescale(0.5, 0.1), classes=CLASSES)
    step = preprocessing.steps[0]
    wide = np.result_type(given, dtype)

    def prepared(samples):
        std = np.where(step.std == 0, 1, step.std).astype(wide)
        scaled = (samples.astype(wide) - step.mean.astype(wide)) / std
        return (scaled * wide.type(0.5) + wide.type(0.1)).astype(dtype)

    model, plain = compiled(preprocessing, dtype), compiled(None, dtype)
    raw_validation, ready_validation = validation, validation
    if "validation_data" in validation:
        raw_validation = {"validation_data": (x_val, names_val)}
        ready_validation = {"validation_data": (prepared(x_val), ids(names_val))}
    before = x.copy()
    raw = fitted(model, x, names, 6, 3, 0, **raw_validation)
    ready = fitted(plain, prepared(x), ids(names), 6, 3, 0, **ready_validation)
    assert same_weights(model, plain)
    assert raw == ready
    assert (x == before).all()

    y, x_ready = ids(names), prepared(x)
    assert model.evaluate(x, names, verbose=0) == plain.evaluate(x_ready, y, verbose=0)
    assert model.evaluate(x, y, 7, verbose=0) == plain.evaluate(x_ready, y, 7, verbose=0)
    assert (model.predict(x, 3) == plain.predict(x_ready, 3)).all()
    assert (model.predict_on_batch(x) == plain.predict_on_batch(x_ready)).all()
    assert model.test_on_batch(x, names) == plain.test_on_batch(x_ready, y)
    assert model.train_on_batch(x, names) == plain.train_on_batch(x_ready, y)
    assert same_weights(model, plain)
    assert (model.predict_classes(x) == np.array(CLASSES)[plain.predict(x_ready).argmax(-1)]).all()
    assert (plain.predict_classes(x_ready) == plain.predict(x_ready).argmax(-1)).all()


def test_a_call_of_the_model_takes_what_comes_after_the_preprocessing():
    x, names = samples()
    model = compiled(Preprocessing(Standardize.fit(x), classes=CLASSES))
    model.fit(x, names, verbose=0)
    called = model(model.preprocessing(x)).numpy()
    assert (called == model.predict(x)).all()
    assert not np.array_equal(model(x).numpy(), called)


def test_augment_is_given_raw_batches_and_the_preprocessing_comes_after():
    x = np.random.default_rng(0).integers(0, 256, (12, 4, 4), np.uint8)
    names = samples(12)[1]
    seen = []

    def inverted(batch):
        seen.append(batch.dtype)
        return 255 - batch

    def model_with(preprocessing):
        model = Sequential([Flatten(), Dense(3, activation="softmax")])
        model.preprocessing = preprocessing
        model.compile(SGD(learning_rate=0.1), "sparse_categorical_crossentropy")
        return model

    model = model_with(Preprocessing(Rescale(1 / 255), classes=CLASSES))
    fitted(model, x, names, 5, 2, 0, augment=inverted)
    plain = model_with(None)
    fitted(plain, (255 - x) * np.float32(1 / 255), ids(names), 5, 2, 0)
    assert same_weights(model, plain)
    assert set(seen) == {np.dtype(np.uint8)}


def test_a_pipeline_gives_raw_batches_too():
    x, names = samples()
    preprocessing = Preprocessing(Standardize.fit(x), classes=CLASSES)
    model, plain = compiled(preprocessing), compiled()
    data, y = cr.data.from_arrays(x, ids(names)).batch(6), ids(names)
    ready = cr.data.from_arrays(preprocessing(x), y).batch(6)
    raw = fitted(model, data, epochs=2, verbose=0, validation_data=data)
    assert raw == fitted(plain, ready, epochs=2, verbose=0, validation_data=ready)
    assert same_weights(model, plain)
    assert (model.predict(data) == model.predict(x, 6)).all()
    assert (model.predict(data) == plain.predict(ready)).all()
    assert model.evaluate(data, verbose=0) == plain.evaluate(ready, verbose=0)
    wrong = cr.data.from_arrays(x[:, :2], y).batch(6)
    with pytest.raises(ValueError, match="predict: x of batch 0 does not fit the preprocessing"):
        model.predict(wrong)


# Text ---------------------------------------------------------------------------------------------

TEXTS = ["a good film", "bad , bad", "good and good", "so bad a film", "good !", "a bad end"]
VERDICTS = ["good", "bad", "good", "bad", "good", "bad"]


def reader(final, loss):
    cr.seed(0)
    tokenizer = WordTokenizer(cleaning={}).fit(TEXTS)
    model = Sequential(
        [Embedding(tokenizer.vocab_size, 8, mask_zero=True), GlobalAveragePooling1D(), final]
    )
    model.preprocessing = Preprocessing(Encode(tokenizer, 5), classes=["bad", "good"])
    model.compile(cr.optim.Adam(learning_rate=0.05), loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("final", "loss"),
    [
        (lambda: Dense(2, activation="softmax"), "sparse_categorical_crossentropy"),
        (lambda: Dense(1, activation="sigmoid"), "binary_crossentropy"),
        (lambda: Dense(1), BinaryCrossentropy(from_logits=True)),
    ],
)
def test_from_texts_and_verdicts_to_verdicts_on_texts(final, loss):
    model = reader(final(), loss)
    model.fit(TEXTS, VERDICTS, batch_size=3, epochs=60, verbose=0)
    assert model.evaluate(TEXTS, VERDICTS, verbose=0)[1] == 1.0
    assert model.predict_classes(TEXTS).tolist() == VERDICTS
    assert model.predict_classes(np.array(["Good !!!", "unheard-of , bad"])).tolist() == [
        "good",
        "bad",
    ]
    encoded = model.preprocessing(TEXTS)
    assert (model.predict(TEXTS) == model(encoded).numpy()).all()
    assert (model.predict(encoded) == model.predict(TEXTS)).all()  # ids that are made already


def test_single_batches_of_texts():
    model = reader(Dense(1, activation="sigmoid"), "binary_crossentropy")
    model.train_on_batch(TEXTS, VERDICTS)
    assert (model.predict_on_batch(TEXTS) == model.predict(TEXTS)).all()
    found = model.test_on_batch(TEXTS, VERDICTS)
    assert found == model.evaluate(TEXTS, VERDICTS, verbose=0)
    assert found == model.test_on_batch(TEXTS, [[each == "good"] for each in VERDICTS])


def test_texts_are_set_aside_for_validation_too():
    model = reader(Dense(2, activation="softmax"), "sparse_categorical_crossentropy")
    history = model.fit(TEXTS, VERDICTS, verbose=0, validation_split=0.5).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


class Both(Model):
    """Texts beside numbers."""

    def __init__(self):
        super().__init__()
        self.embedding, self.pooling = Embedding(20, 4), GlobalAveragePooling1D()
        self.join, self.out = Concatenate(), Dense(1, activation="sigmoid")

    def call(self, x):
        text, number = (x["text"], x["number"]) if isinstance(x, dict) else x
        return self.out(self.join([self.pooling(self.embedding(text)), number]))


@pytest.mark.parametrize("kind", ["dict", "tuple"])
def test_several_inputs(kind):
    numbers = np.arange(6.0)[:, None] * 1000
    tokenizer = WordTokenizer(cleaning={}).fit(TEXTS)
    steps = ([Encode(tokenizer, 5)], [MinMax.fit(numbers)])
    x = (TEXTS, numbers)
    if kind == "dict":
        steps = {"text": steps[0], "number": steps[1]}
        x = {"number": numbers, "text": TEXTS}
    trained = []
    for raw in (True, False):
        cr.seed(0)
        model = Both()
        preprocessing = Preprocessing(steps, classes=["bad", "good"])
        model.preprocessing = preprocessing if raw else None
        model.compile("sgd", "binary_crossentropy")
        given = x if raw else preprocessing(x)
        y = VERDICTS if raw else [[each == "good"] for each in VERDICTS]
        model.fit(given, y, batch_size=4, epochs=2, verbose=0, validation_data=(given, y))
        trained.append((model, model.predict(given)))
    assert same_weights(trained[0][0], trained[1][0])
    assert (trained[0][1] == trained[1][1]).all()
    with pytest.raises(ValueError, match=r"predict: x must be .*, got one array"):
        trained[0][0].predict(numbers)


class Side(Step):
    """The left half of each image, as a row."""

    def apply(self, x, dtype):
        return x[:, :, : x.shape[2] // 2].reshape(len(x), -1).astype(dtype)


def test_a_step_of_ones_own_may_change_the_shape_of_samples():
    x = np.random.default_rng(0).random((6, 4, 4))
    model = Sequential([Dense(3)])
    model.preprocessing = Preprocessing(Rescale(2), Side())
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((6, 3)), verbose=0, validation_split=0.5)
    assert model.built_for == (None, 8)
    assert model.evaluate(x, np.zeros((6, 3)), verbose=0) > 0


# It belongs to the model --------------------------------------------------------------------------


def test_memory_maps_are_transformed_batch_by_batch(tmp_path):
    """16 MB of bytes would be 64 MB of floats; the room for a batch of 64 is 256 KB."""
    big = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (16_000, 1000))
    y = np.zeros(len(big), np.int64)
    model = Sequential([Dense(2, activation="softmax")])
    model.preprocessing = Preprocessing(Rescale(1 / 255))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(big[:64], y[:64], verbose=0)
    for run in (
        lambda: model.fit(big, y, 64, verbose=0),
        lambda: model.evaluate(big, y, 64, verbose=0),
        lambda: model.predict(big, 64),
    ):
        tracemalloc.start()
        run()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6e6


def test_it_goes_with_a_copy_and_changes_with_the_attribute():
    x, names = samples()
    model = compiled(Preprocessing(Standardize.fit(x), classes=CLASSES))
    model.fit(x, names, verbose=0)
    twin = copy.deepcopy(model)
    assert (twin.predict(x) == model.predict(x)).all()
    assert twin.preprocessing.to_config() == model.preprocessing.to_config()
    twin.preprocessing = None
    assert (twin.predict(model.preprocessing(x)) == model.predict(x)).all()
    assert compiled().preprocessing is None


def test_callbacks_may_predict_raw_samples_within_a_run():
    x, names = samples()
    model = compiled(Preprocessing(Standardize.fit(x), classes=CLASSES))
    seen = []
    callback = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.evaluate(x, names, verbose=0)[0])
    )
    history = model.fit(
        x, names, epochs=2, verbose=0, callbacks=callback, validation_data=(x, names)
    )
    assert history.history["val_loss"] == seen


# Wrong use ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [Rescale(2), [Rescale(2)], "standardize", Preprocessing, 5])
def test_it_must_be_a_preprocessing(wrong):
    with pytest.raises(
        TypeError, match=r"Sequential\.preprocessing must be a Preprocessing, or No"
    ):
        compiled().preprocessing = wrong


@pytest.mark.parametrize("function", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((2, 5)), [0, 1], r"{}: x does not fit the preprocessing: Standardize is for .*4,"),
        (np.ones((2, 4)), ["cat", "cow"], r"{}: y\[1\] = 'cow' is none of the 3 classes"),
        (np.ones((2, 4)), [0, 3], r"{}: y\[1\] = 3 is outside the classes 0 to 2"),
        ((np.ones((2, 4)),), [0, 1], r"{}: x must be one array"),
        (["a", "b"], [0, 1], r"{}: x has .*text must be encoded"),
        ([[np.nan] * 4] * 2, [0, 1], "{}: x has 8 values that are NaN"),
        (np.ones((2, 4)), ["cat"], "{}: y has 1 rows but x has 2"),
        (np.full((2, 4), 1e300), [0, 1], "{}: x leaves the range of float32"),
    ],
)
def test_data_that_do_not_fit(function, x, y, message):
    model = compiled(Preprocessing(Standardize.fit(samples()[0]), classes=CLASSES))
    with pytest.raises((ValueError, TypeError), match=message.format(function)):
        getattr(model, function)(x, y)


def test_messages_name_the_data_to_validate_with():
    x, names = samples()
    model = compiled(Preprocessing(Standardize.fit(x), classes=CLASSES))
    for data, message in [
        ((x[:, :2], names), r"fit: validation_data\[0\] does not fit the preprocessing"),
        ((x, ["cow"] * 20), r"fit: validation_data\[1\]\[0\] = 'cow'"),
        ((x, None), r"must be a pair"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            model.fit(x, names, verbose=0, validation_data=data)
    assert not model.optimizer.parameters


def test_a_model_with_another_number_of_outputs_is_refused_before_it_is_trained():
    x, _ = samples()
    model = compiled(Preprocessing(classes=["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match=r"fit: .*shape \(1, 3\), .* 4 classes, 'a', .* 4 units"):
        model.fit(x, np.zeros(20, int), verbose=0)
    with pytest.raises(ValueError, match=r"predict_classes: .* 4 classes"):
        model.predict_classes(x)


def test_texts_and_names_without_preprocessing_are_told_of_it():
    x, names = samples()
    for given, y in ((["a"] * 20, ids(names)), (x, names), (np.array(["a"] * 20, object), names)):
        with pytest.raises(TypeError, match=r"model\.preprocessing = Preprocessing\(\.\.\.\)"):
            compiled().fit(given, y)
    with pytest.raises(TypeError, match=r"predict: x has .* Encode\(tokenizer, length\)"):
        compiled().predict(["a"])


def test_a_text_without_tokens_stops_before_the_first_step():
    model = reader(Dense(2, activation="softmax"), "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"fit: x\[5\] = ' ' has no token"):
        model.fit([*TEXTS[:5], " "], VERDICTS)
    assert not model.built


def test_tensors_are_samples_and_targets_too():
    x, names = samples()
    model = compiled(Preprocessing(Standardize.fit(x), classes=CLASSES))
    model.fit(cr.tensor(x), cr.tensor(ids(names)), verbose=0)
    assert model.evaluate(cr.tensor(x), cr.tensor(ids(names)), verbose=0) == model.evaluate(
        x, names, verbose=0
    )
    assert (model.predict(cr.tensor(x)) == model.predict(x)).all()
    assert (model.predict_on_batch(cr.tensor(x)) == model.predict_on_batch(x)).all()
