"""A model is trained, evaluated and asked by a pipeline as by the arrays that it is made of."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.callbacks import LambdaCallback
from chainrule.layers import Dense, Dropout, Embedding, Flatten
from chainrule.models import Sequential
from chainrule.preprocessing import Preprocessing
from chainrule.training.pipeline.making import from_arrays

X = np.random.default_rng(0).normal(size=(37, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def network(seed=5):
    cr.seed(seed)
    model = Sequential([Dense(7, activation="tanh"), Dropout(0.3), Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.build((None, 6))
    return model


def weights(model):
    return [weight.numpy().tobytes() for _, weight in model.named_weights()]


def test_in_order_the_results_are_those_of_arrays():
    one, other = network(), network()
    data = from_arrays(X, Y).batch(8)
    cr.seed(1)
    expected = one.fit(
        X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, validation_data=(X, Y)
    )
    cr.seed(1)
    found = other.fit(data, epochs=2, verbose=0, validation_data=data)
    assert weights(one) == weights(other)
    assert found.history == expected.history
    assert one.evaluate(X, Y, 8, verbose=0) == other.evaluate(data, verbose=0)
    assert (one.predict(X, 8) == other.predict(data)).all()
    assert (one.predict(X, 8) == other.predict(from_arrays(X).batch(8))).all()


def test_predictions_of_a_shuffled_pipeline_would_be_in_no_order():
    model = network()
    model.fit(X, Y, verbose=0)
    stream = cr.data.from_generator(lambda: zip(X, Y, strict=True))
    for shuffled in (from_arrays(X, Y).shuffle(), stream.shuffle(buffer_size=4)):
        with pytest.raises(ValueError, match=r"predict: x is a shuffled .*leave out shuffle\(\)"):
            model.predict(shuffled.batch(8).prefetch())
        model.evaluate(shuffled.batch(8), verbose=0)
    assert (model.predict(stream.batch(8)) == model.predict(X, 8)).all()


def test_the_same_seed_gives_the_same_bits_with_prefetch_on_or_off():
    def train(data):
        model = network()
        model.fit(data, epochs=3, verbose=0)
        return weights(model)

    data = from_arrays(X, Y).shuffle().map(lambda x, y: (x * cr.random.generator().random(), y))
    plain = train(data.batch(8))
    assert plain == train(data.batch(8))
    assert plain == train(data.batch(8).prefetch(3))
    assert plain != train(data.batch(9))


def test_what_a_pipeline_has_itself_is_not_given_beside_it():
    data = from_arrays(X, Y).batch(8)
    for options in (
        {"y": Y},
        {"batch_size": 8},
        {"validation_split": 0.2},
        {"augment": lambda x: x},
        {"shuffle": False},
    ):
        with pytest.raises(ValueError, match=f"x is a pipeline, which {next(iter(options))}"):
            network().fit(data, verbose=0, **options)
    with pytest.raises(ValueError, match="at its end"):
        network().fit(from_arrays(X, Y), verbose=0)
    with pytest.raises(ValueError, match="without targets"):
        network().fit(from_arrays(X).batch(8), verbose=0)
    with pytest.raises(ValueError, match="has batch_size itself"):
        network().evaluate(data, batch_size=8, verbose=0)


def test_classes_in_another_order_are_refused(monkeypatch):
    data = from_arrays(X, Y).batch(8)
    monkeypatch.setattr(data._source, "classes", ("no", "yes"), raising=False)
    model = network()
    for classes in (None, ["no", "yes"], ["nein", "ja"]):  # or other names for them
        model.preprocessing = Preprocessing(classes=classes)
        model.fit(data, verbose=0, validation_data=data)
        model.evaluate(data, verbose=0)
    model.preprocessing = Preprocessing(classes=["yes", "no"])
    for use in (
        lambda: model.fit(data, verbose=0),
        lambda: model.fit(X, Y, verbose=0, validation_data=data),
        lambda: model.evaluate(data, verbose=0),
    ):
        with pytest.raises(ValueError, match=r"in another order, \('no', 'yes'\) and not"):
            use()
    assert model.predict(data).shape == (37, 2)


def test_a_batch_without_samples_is_refused_by_its_number():
    empty = from_arrays(X, Y).batch(8).map(lambda x, y: (x, y) if len(x) == 8 else (x[:0], y[:0]))
    with pytest.raises(ValueError, match=r"map\(<lambda>\), batch 4: x .* at least one sample"):
        network().fit(empty, verbose=0)


def test_each_batch_is_proved_to_fit_before_its_step():
    y = Y.copy()
    y[30] = 7
    model = network()
    steps = []
    with pytest.raises(ValueError, match=r"y of batch 3\[6\] = 7"):
        model.fit(
            from_arrays(X, y).batch(8),
            verbose=0,
            callbacks=LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch)),
        )
    assert steps == [0, 1, 2]
    ids = np.zeros((20, 3), "int64")
    ids[17, 1] = 5
    text = Sequential([Embedding(5, 2), Flatten(), Dense(2, activation="softmax")])
    text.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="x of batch 2"):
        text.fit(from_arrays(ids, Y[:20]).batch(8), verbose=0)
    with pytest.raises(ValueError, match="x of batch 2"):
        text.predict(from_arrays(ids).batch(8))


def test_each_epoch_draws_numbers_of_its_own_and_a_resumed_one_draws_them_again(tmp_path):
    def train(**options):
        drawn = []

        def noisy(x, y):
            drawn.append(cr.random.generator().random())
            return x + drawn[-1], y

        model = network()
        data = from_arrays(X, Y).shuffle().map(noisy).batch(37)
        model.fit(data, verbose=0, **options)
        return drawn[len(X) :], weights(model)  # the first batch was computed before, to build on

    drawn, expected = train(epochs=4)
    assert len(drawn) == len(set(drawn))
    train(epochs=2, checkpoint=tmp_path)
    again, found = train(epochs=4, checkpoint=tmp_path, resume=True)
    assert found == expected
    assert again[-74:] == drawn[-74:]
