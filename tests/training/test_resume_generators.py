"""Random generators of the user's own go on where they were, wherever they are held."""

from __future__ import annotations

import functools
import random as python_random

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Layer
from chainrule.models import Sequential

from .resuming import Noisy, StopAt, X, Y, fit, network, outcome

SOURCE = np.random.default_rng(0)


class Held:
    """An object that holds a generator."""

    kept = np.random.default_rng(0)

    def __init__(self):
        self.source = np.random.default_rng(0)

    def by_attribute(self, x):
        return moved(x, self.source.random())

    def by_class(self, x):
        return moved(x, self.kept.random())

    def by_method(self, x):
        return self.by_attribute(x)


class Slotted:
    __slots__ = ("source",)

    def __init__(self):
        self.source = np.random.default_rng(0)

    def __call__(self, x):
        return moved(x, self.source.random())


class Composed:
    def __init__(self, *functions):
        self.functions = functions

    def __call__(self, x):
        for function in self.functions:
            x = function(x)
        return x


class Derived(Composed):
    """Its `__call__` is that of another class."""


HELD = Held()


def moved(x, by):
    return x + np.float32(by)


def within_a_comprehension(x):
    return moved(x, sum([SOURCE.random() for _ in range(2)]))


def of_a_global_object(x):
    return moved(x, HELD.source.random())


def drawing(draw, x):
    return moved(x, draw())


def closed_over(source):
    sources = [source]
    return lambda x: moved(x, sources[0].random())


MAKERS = {
    "comprehension": lambda: within_a_comprehension,
    "global object": lambda: of_a_global_object,
    "method": lambda: Held().by_attribute,
    "class": lambda: Held().by_class,
    "method of a method": lambda: Held().by_method,
    "slot": lambda: Slotted(),
    "composed": lambda: Derived(lambda x: x, Composed(Held().by_attribute)),
    "draw": lambda: functools.partial(drawing, np.random.default_rng(0).random),
    "draw in C": lambda: functools.partial(drawing, python_random.Random(0).random),
    "list": lambda: closed_over(np.random.default_rng(0)),
    "MT19937": lambda: closed_over(np.random.Generator(np.random.MT19937(0))),
    "Philox": lambda: closed_over(np.random.Generator(np.random.Philox(0))),
    "RandomState": lambda: closed_over(np.random.RandomState(0)),
    "Python": lambda: closed_over(python_random.Random(0)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_generators_of_augment_go_on_where_they_were(tmp_path, kind):
    def train(seed=5, **options):
        model = network(seed)
        for each in (SOURCE, HELD.source, Held.kept):
            each.bit_generator.state = np.random.PCG64(seed).state  # a fresh process has its own
        fit(model, augment=MAKERS[kind](), **options)
        return outcome(model)

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[Noisy(), StopAt(6)], checkpoint=tmp_path, checkpoint_every=1)
    assert train(seed=77, checkpoint=tmp_path, resume=True) == whole


def test_a_generator_in_a_function_of_a_pipeline_is_warned_of(tmp_path):
    def of_numpy(x, y):
        return x + np.random.normal(size=x.shape).astype(x.dtype), y

    source = np.random.default_rng(0)

    def own(x, y):
        return x + source.normal(size=x.shape).astype(x.dtype), y

    def right(x, y):
        return x + cr.random.generator().normal(size=x.shape).astype(x.dtype), y

    def samples():
        yield from ((x + np.float32(SOURCE.random()), y) for x, y in zip(X, Y, strict=True))

    arrays = cr.data.from_arrays(X, Y)
    for name, pipeline in (
        ("of_numpy > global np.random.normal", arrays.map(of_numpy)),
        ("own > variable source", arrays.map(own)),
        ("samples > global SOURCE", cr.data.from_generator(samples)),
    ):
        with pytest.warns(UserWarning, match=f"holds a random generator .{name}"):
            network().fit(pipeline.batch(8), verbose=0, checkpoint=tmp_path / name[:3])
    network().fit(arrays.map(right).batch(8), verbose=0, checkpoint=tmp_path / "right")
    network().fit(arrays.map(own).batch(8), verbose=0)


class Shaky(Layer):
    """A layer with a generator of its own."""

    def __init__(self):
        super().__init__()
        self.source = np.random.default_rng(3)

    def call(self, x):
        return x * float(self.source.random())


def test_generators_of_layers_losses_and_metrics_go_on_where_they_were(tmp_path):
    def train(seed=5, **options):
        source = np.random.default_rng(4)

        def noisy_loss(y_true, y_pred):
            return ((y_true - y_pred) ** 2).mean() * source.random()

        def noisy_metric(y_true, y_pred):
            return abs(y_true - y_pred) * source.random()

        cr.seed(seed)
        model = Sequential([Dense(4), Shaky(), Dense(1)])
        model.compile("adam", noisy_loss, [noisy_metric])
        model.fit(X, Y[:, None].astype("float32"), batch_size=8, epochs=3, verbose=0, **options)
        return outcome(model)

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[StopAt(7)], checkpoint=tmp_path, checkpoint_every=2)
    assert train(seed=77, checkpoint=tmp_path, resume=True) == whole


def test_a_generator_of_another_kind_is_refused(tmp_path):
    fit(network(), augment=closed_over(np.random.default_rng(0)), epochs=1, checkpoint=tmp_path)
    other = np.random.Generator(np.random.SFC64(0))
    with pytest.raises(ValueError, match=r"was a PCG64 when .*, and is a SFC64 now"):
        fit(network(), augment=closed_over(other), checkpoint=tmp_path, resume=True)
