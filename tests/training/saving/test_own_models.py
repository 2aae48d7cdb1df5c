"""Models and layers of one's own, saved and loaded, and what cannot be."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.layers import Dense, Layer
from chainrule.metrics import Metric
from chainrule.models import Model, Sequential, load_model
from chainrule.optim import SGD, schedules
from tests.layers.test_every_layer import drawn
from tests.training.saving.saved_models import (
    OWN,
    Headed,
    Tower,
    X,
    Y,
    equal,
    same_model,
    saved,
    trained_on,
)


@pytest.fixture(autouse=True)
def seeded():
    cr.seed(0)


def test_models_of_ones_own_are_made_again_from_what_their_constructors_were_given(tmp_path):
    start = layers.HeNormal(seed=3)
    body = Tower(2, width=6, start=start, activation=layers.Activation("tanh"))
    model = Headed(body, [Dense(3), Sequential([Dense(2), Tower(1)])])
    body.floors[0].trainable = False
    model.compile("adam", "mse")
    trained_on(model, X, Y)
    again = saved(model, tmp_path, custom_objects=OWN)
    same_model(model, again)
    assert type(again.body.last) is layers.Activation
    assert repr(again.body.floors[0].kernel_initializer) == repr(start)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    equal(trained_on(again, X, Y), trained_on(model, X, Y))
    assert again.get_config() == model.get_config()


class Stack(Model):
    """Its constructor uses up the list that it is given."""

    def __init__(self, widths, options=None):
        super().__init__()
        self.dense = []
        while widths:
            self.dense.append(Dense(widths.pop(0), **(options or {})))
        self.options = options

    def call(self, x):
        for dense in self.dense:
            x = dense(x)
        return x


def test_what_becomes_of_a_list_that_a_constructor_was_given_does_not_matter(tmp_path):
    options = {"activation": "relu"}
    model = Stack([3, 2], options)
    options["activation"] = "tanh"
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    model(x)
    assert model.get_config() == {"widths": [3, 2], "options": {"activation": "relu"}}
    model.save(tmp_path / "stack")
    again = cr.load_model(tmp_path / "stack", {"Stack": Stack})
    assert np.array_equal(again.predict(x), model.predict(x))
    within = []
    within.append(within)
    assert Tower(1, activation=within).built is False  # refused where it is used, or saved


def test_what_counts_is_what_the_outermost_constructor_was_given(tmp_path):
    class Taller(Tower):
        def __init__(self, more, **options):
            super().__init__(floors=more + 1, **options)

    class Same(Tower):
        """Without a constructor of its own."""

    class Many(Model):
        def __init__(self, *widths):
            super().__init__()
            self.parts = [Dense(width) for width in widths]

        def call(self, x):
            return self.parts[0](x)

    model = Headed(Taller(1, width=5), [Same(floors=1), Dense(3)])
    model(X)
    own = OWN | {"Taller": Taller, "Same": Same}
    again = saved(model, tmp_path, custom_objects=own)
    same_model(model, again)
    assert again.body.get_config() == {"more": 1, "width": 5}
    with pytest.raises(TypeError, match=r"Many.get_config: .*arguments without names \(\*args\)"):
        Many(3).get_config()
    assert Many().get_config() == {}
    with pytest.raises(TypeError, match="there is no argument 'height'; there are: floors, width"):
        Tower(height=3)
    twin = copy.deepcopy(model)
    assert twin.get_config() == model.get_config()
    assert twin._given.arguments["body"] is twin.body


def test_own_layers_losses_metrics_and_rules_are_given(tmp_path):
    class Scale(Layer):
        def __init__(self, start=1.0, **options):
            super().__init__(**options)
            self.start = start

        def build(self, input_shape):
            self.factor = self.add_weight("factor", input_shape[-1:], layers.Constant(self.start))
            super().build(input_shape)

        def call(self, x):
            return x * self.factor

        def compute_output_shape(self, input_shape):
            return input_shape

    class Cubed(cr.losses.Loss):
        def __init__(self, factor):
            super().__init__("cubed")
            self.factor = factor

        def call(self, y_true, y_pred):
            return (abs(y_true - y_pred) ** 3).mean(axis=-1) * self.factor

    class Within(Metric):
        def __init__(self, border, name="within"):
            super().__init__(name)
            self.border = border

        def values(self, y_true, y_pred):
            return abs(y_true - y_pred) < self.border

    class Halving(schedules.LearningRateSchedule):
        def __init__(self, every):
            self.every = every

        def __call__(self, step):
            return 0.5 ** (5 + step // self.every)

    def sign_matches(y_true, y_pred):
        return (y_true > 0) == (y_pred > 0)

    model = Sequential([Sequential([Dense(3), Scale(2.0)]), Scale(name="second")])
    model.build((None, 5))
    rule = SGD(learning_rate=Halving(2))
    model.compile(rule, Cubed(0.5), [Within(0.3), "mae", sign_matches])
    trained_on(model, X, Y)
    model.save(tmp_path / "model")
    own = {each.__name__: each for each in (Scale, Cubed, Within, Halving, sign_matches)}
    again = load_model(tmp_path / "model", own)
    same_model(model, again)
    equal(trained_on(again, X, Y), trained_on(model, X, Y))
    assert list(again.history.history) == ["loss", "within", "mae", "sign_matches"]
    for left_out, place in (
        ("Scale", r"model.layers\[0\].layers\[1\]: class_name 'Scale' is unknown; known: .*custom"),
        ("Cubed", "compile.loss: class_name 'Cubed'"),
        ("Within", r"compile.metrics\[0\]: class_name 'Within'"),
        ("Halving", r"compile.optimizer.learning_rate: class_name 'Halving'"),
        ("sign_matches", r"compile.metrics\[2\]: .*custom_objects=\{'sign_matches': \.\.\.\}"),
    ):
        fewer = {key: each for key, each in own.items() if key != left_out}
        with pytest.raises(ValueError, match=f"^load_model: {place}"):
            load_model(tmp_path / "model", fewer)
    only = load_model(tmp_path / "model", {"Scale": Scale}, compile=False)
    assert not only.compiled
    with pytest.raises(ValueError, match=r"custom_objects\['Scale'\] must be a class derived from"):
        load_model(tmp_path / "model", own | {"Scale": Dense(3)})
    with pytest.raises(TypeError, match="custom_objects must be a dict"):
        load_model(tmp_path / "model", [Scale])


def test_own_layers_are_given_layers_not_their_configurations(tmp_path):
    class Around(Layer):
        def __init__(self, inner, after, start="zeros", **options):
            super().__init__(**options)
            self.inner, self.after, self.start = inner, after, start

        def call(self, x):
            return self.after(self.inner(x))

        def compute_output_shape(self, input_shape):
            return self.inner.compute_output_shape(input_shape)

    class Wide(Dense):
        pass

    model = Sequential(
        [
            Around(Dense(3), layers.Activation("tanh"), layers.HeNormal()),
            Wide(4, "relu", kernel_initializer="he_normal", kernel_regularizer="l2"),
        ]
    )
    expected = model.predict(X)
    again = saved(model, tmp_path, custom_objects={"Around": Around, "Wide": Wide})
    same_model(model, again)
    np.testing.assert_array_equal(again.predict(X), expected)
    assert type(again.layers[0].start) is layers.HeNormal
    assert again.get_config() == model.get_config() and len(again.losses) == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Tower(1, activation=np.tanh), "argument 'activation' is <ufunc 'tanh'>"),
        (lambda: Sequential([Dense(2, lambda x: x)]), "argument 'activation' is <function"),
    ],
)
def test_what_is_not_plain_cannot_be_saved_and_nothing_is_written(make, text, tmp_path):
    model = make()
    model(cr.ones((1, 4)))
    with pytest.raises(TypeError, match=rf"^save: .* cannot be made again.*{text}"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_model_that_would_come_back_otherwise_cannot_be_saved(tmp_path):
    added = Tower(1)
    added.extra = Dense(4)
    added.extra.build((None, 4))
    shared = Dense(3)
    twice = Headed(Sequential([shared]), [shared])
    forward = layers.LSTM(3, return_sequences=True)
    within = Sequential([forward, layers.Bidirectional(forward)])
    replaced = Tower(1)
    replaced.head = Dense(5)
    for model, x, text in (
        (added, X, "extra.bias"),
        (twice, X[:, :3], "heads.0"),
        (within, drawn(2, 4, 3), "would have shape|other weights"),
        (replaced, X, r"shape \(4, 3\)"),
    ):
        model(x)
        with pytest.raises(TypeError, match=f"^save: .*(?:{text}).*save_weights"):
            model.save(tmp_path / "m")
    first, second = type("Same", (Tower,), {}), type("Same", (Tower,), {})
    model = Headed(first(1), [second(1)])
    model(X)
    with pytest.raises(TypeError, match="two classes of layers are called Same"):
        model.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_attention_to_a_memory_of_another_width(tmp_path):
    class Translator(Model):
        def __init__(self):
            super().__init__()
            self.decoder = layers.TransformerDecoderBlock(2, 6)
            self.attention = layers.MultiHeadAttention(2)

        def call(self, x):
            a, b, c = x
            return self.attention(self.decoder(a, b), b, c)

    model = Translator()
    x = tuple(drawn(2, 5, width, seed=width).astype("float32") for width in (4, 6, 7))
    expected = model.predict(x)
    again = saved(model, tmp_path, custom_objects={"Translator": Translator})
    same_model(model, again)
    np.testing.assert_array_equal(again.predict(x), expected)
