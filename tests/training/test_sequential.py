"""Sequential: building, names, shared layers, the summary, and the refusals."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense, Flatten, Layer, Normalization, ReLU, from_config
from chainrule.models import Model, Sequential
from chainrule.training.summary import format_bytes


def test_it_is_built_by_its_first_input_or_by_a_shape():
    for build in (lambda model: model(np.ones((7, 4))), lambda model: model.build((None, 4))):
        model = Sequential([Dense(3), Dense(2)])
        assert not model.built
        build(model)
        assert model.built
        assert [weight.shape for weight in model.parameters()] == [(4, 3), (3,), (3, 2), (2,)]
    assert model.compute_output_shape((None, 4)) == (None, 2)


def test_it_computes_its_layers_one_after_the_other():
    x = cr.random.normal((5, 2, 3), dtype="float32")
    layers = [Flatten(), Dense(4, activation="tanh"), ReLU(), Dense(2, activation="softmax")]
    model = Sequential(layers)
    expected, logits = x, None
    for layer in layers:
        logits = layers[-1].logits(expected) if layer is layers[-1] else None
        expected = layer(expected)
    np.testing.assert_array_equal(model(x).numpy(), expected.numpy())
    np.testing.assert_array_equal(model.logits(x).numpy(), logits.numpy())
    assert model.final_activation == "softmax"
    assert Sequential().final_activation is None


def test_layers_come_and_go():
    model = Sequential([Dense(3)])
    model(np.ones((1, 2)))
    kept = model.layers[0].kernel.numpy().copy()
    model.add(Dense(1))
    assert not model.built
    assert model(np.ones((1, 2))).shape == (1, 1)
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), kept)
    assert model.pop().units == 1
    assert model.built
    assert model(np.ones((1, 2))).shape == (1, 3)
    assert len(model.layers) == 1
    model.layers.clear()
    assert len(model.layers) == 1


def test_names_differ_and_do_not_depend_on_other_models():
    Sequential([Dense(1), Dense(1)]).build((None, 1))
    model = Sequential([Dense(1), Dense(1, name="middle"), Flatten(), Dense(1), ReLU(), Dense(1)])
    model.build((None, 2))
    names = ["dense", "middle", "flatten", "dense_1", "relu", "dense_2"]
    assert [name for name, _ in model.sublayers()] == names
    assert model.get_layer("dense_1") is model.layers[3]
    weights = [name for name, _ in model.named_weights()]
    assert weights[2:4] == ["middle.kernel", "middle.bias"]
    assert weights[-1] == "dense_2.bias"
    assert [layer.name for layer in model.layers].count("dense") == 3


def test_a_layer_that_stands_twice_shares_its_weights():
    shared = Dense(3, activation="tanh", dtype="float64")
    model = Sequential([shared, shared, Dense(1, dtype="float64")])
    x = np.random.default_rng(0).normal(size=(4, 3))
    loss = (model(x) ** 2).sum()
    assert model.count_params() == 3 * 3 + 3 + 3 + 1
    assert [name for name, _ in model.sublayers()] == ["dense", "dense_1"]
    loss.backward()
    # Its gradient is the sum over both places: that of two equal layers, added.
    first, second, last = Dense(3, "tanh", dtype="float64"), Dense(3, "tanh", dtype="float64"), None
    last = Dense(1, dtype="float64")
    twin = Sequential([first, second, last])
    twin.build((None, 3))
    kernel, bias = shared.kernel.numpy(), shared.bias.numpy()
    twin.set_weights([kernel, bias, kernel, bias, *model.get_weights()[2:]])
    (twin(x) ** 2).sum().backward()
    both = first.kernel.grad.numpy() + second.kernel.grad.numpy()
    np.testing.assert_allclose(shared.kernel.grad.numpy(), both, rtol=1e-12)
    text = []
    model.summary(print_fn=text.append)
    assert "Total params: 16 " in text[0]


def test_inputs_are_cast_to_the_first_layers_dtype():
    for dtype in ("float32", "float64"):
        model = Sequential([Dense(2, dtype=dtype)])
        assert model(np.ones((1, 2), "uint8")).dtype == dtype
    exact = np.array([[1 + 2.0**-40, 0.0]])
    model = Sequential([Dense(1, kernel_initializer="ones", dtype="float64")])
    assert model(exact).item() == exact[0, 0]


def test_models_nest():
    inner = Sequential([Dense(3, activation="relu"), Dense(2)], name="inner")
    model = Sequential([inner, Dense(2, activation="softmax")])
    model.build((None, 4))
    assert [name for name, _ in model.named_weights()] == [
        "inner.dense.kernel",
        "inner.dense.bias",
        "inner.dense_1.kernel",
        "inner.dense_1.bias",
        "dense.kernel",
        "dense.bias",
    ]
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.ones((3, 4)), [0, 1, 1], verbose=0)


def test_a_part_that_was_frozen_before_it_was_built_stays_frozen():
    class Pair(Layer):
        """Makes its own layer only when it is built."""

        def build(self, input_shape):
            self.inner = Dense(2)
            self.inner.build(input_shape)
            super().build(input_shape)

        def call(self, x):
            return self.inner(x)

        def compute_output_shape(self, input_shape):
            return self.inner.compute_output_shape(input_shape)

    model = Sequential([Pair(trainable=False), Dense(1)])
    model.build((None, 3))
    assert [weight.requires_grad for weight in model.parameters()] == [False, False, True, True]


def test_its_configuration_makes_the_same_model():
    model = Sequential([Flatten(), Dense(3, activation="relu"), Dense(2, name="out")], name="net")
    twin = from_config(model.to_config())
    assert repr(twin) == repr(model)
    assert twin.name == "net"
    assert [name for name, _ in twin.sublayers()] == ["flatten", "dense", "out"]


def test_the_configuration_of_a_layer_that_stands_twice_says_so():
    shared = Dense(2)
    model = Sequential([shared, Dense(2), shared, Sequential([ReLU()]), shared])
    config = model.get_config()
    assert config["layers"][2] == config["layers"][4] == {"repeats": 0}
    twin = from_config(model.to_config())
    assert [twin.layers.index(each) for each in twin.layers] == [0, 1, 0, 3, 0]
    twin.build((None, 2))
    assert twin.count_params() == 12
    for wrong in (2, -1, True, "0", 99):
        config["layers"][2] = {"repeats": wrong}
        with pytest.raises(ValueError, match=r"layers\[2\].repeats: it must repeat an earlier"):
            Sequential.from_config(config)


def test_a_layer_in_two_models_within_each_other_is_refused():
    shared = Dense(2)
    for model in (
        Sequential([shared, Sequential([ReLU(), shared])]),
        Sequential([Sequential([shared]), Sequential([shared])]),
        Sequential([Sequential([Sequential([shared])]), shared]),
    ):
        with pytest.raises(TypeError, match=r"layers\[.*are the same layer 'dense', in different"):
            model.get_config()


def test_a_subclass_that_makes_its_layers_has_a_configuration_of_its_arguments():
    class Tower(Sequential):
        def __init__(self, height, width=3):
            super().__init__([Dense(width) for _ in range(height)])
            self.height, self.width = height, width

    tower = Tower(2)
    assert tower.get_config() == {"height": 2, "width": 3}
    twin = from_config(tower.to_config(), custom_objects={"Tower": Tower})
    assert type(twin) is Tower and len(twin.layers) == 2
    with pytest.raises(ValueError, match=r"'Tower' is unknown.*custom_objects="):
        from_config(tower.to_config())


# The summary ------------------------------------------------------------------------------------


def test_summary_of_the_network_of_the_derivation():
    layers = [Dense(500, activation="relu"), Dense(500, activation="relu"), Dense(10, "sigmoid")]
    model = Sequential(layers)
    model.build((None, 100))
    text = []
    model.summary(print_fn=text.append)
    assert text[0].splitlines() == [
        'Model: "sequential"',
        "_" * 65,
        " Layer (type)                  Output Shape             Param #",
        "=" * 65,
        " dense (Dense)                 (None, 500)              50,500",
        " dense_1 (Dense)               (None, 500)              250,500",
        " dense_2 (Dense)               (None, 10)               5,010",
        "=" * 65,
        "Total params: 306,010 (1.17 MB)",
        "Trainable params: 306,010 (1.17 MB)",
        "Non-trainable params: 0 (0.00 B)",
        "_" * 65,
    ]


def test_summary_before_it_is_built(capsys):
    Sequential([Flatten(), Dense(3)]).summary()
    out = capsys.readouterr().out
    assert " dense (Dense)                 ?                        ?\n" in out
    assert "not built" in out
    Sequential().summary()
    assert "Total params: 0 (0.00 B)" in capsys.readouterr().out


def test_summary_counts_state_and_frozen_weights_but_not_the_optimiser():
    normalization = Normalization()
    normalization.adapt(np.random.default_rng(0).normal(size=(9, 4)))
    model = Sequential([normalization, Dense(3, dtype="float32", trainable=False), Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    text = []
    model.summary(print_fn=text.append)
    assert "Total params: 31 (124.00 B)" in text[0]
    assert "Trainable params: 8 (32.00 B)" in text[0]
    assert "Non-trainable params: 23 (92.00 B)" in text[0]


def test_a_long_name_widens_the_table():
    model = Sequential([Dense(1, name="n" * 60), Dense(1, name="ünïcödé層")])
    model.build((None, 1))
    text = []
    model.summary(print_fn=text.append)
    lines = text[0].splitlines()
    assert len(lines[1]) > 90
    assert all(len(line) <= len(lines[1]) for line in lines)


def test_bytes_grow_into_the_next_unit():
    assert [format_bytes(n) for n in (1023, 1024, 1024**2, 1024**3)] == [
        "1023.00 B",
        "1.00 KB",
        "1.00 MB",
        "1.00 GB",
    ]


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Dense, r"write Dense\(\.\.\.\) with parentheses"),
        ("relu", r"got 'relu' \(str\)"),
        (np.tanh, "a layer is needed"),
        (None, "a layer is needed"),
    ],
)
def test_what_is_no_layer_is_refused(layer, text):
    with pytest.raises(TypeError, match=text):
        Sequential([layer])
    with pytest.raises(TypeError, match=text):
        Sequential().add(layer)


def test_other_misuse_is_refused():
    with pytest.raises(TypeError, match="must be a list of layers"):
        Sequential(Dense(3))
    with pytest.raises(ValueError, match="a layer called 'a' already"):
        Sequential([Dense(1, name="a"), Dense(1, name="a")])
    model = Sequential()
    with pytest.raises(ValueError, match="cannot be put into itself"):
        model.add(model)
    with pytest.raises(ValueError, match="there are no layers"):
        model(np.ones((1, 2)))
    with pytest.raises(IndexError, match="no layer to take away"):
        model.pop()
    model.add(Dense(2))
    with pytest.raises(ValueError, match="there is no layer 'out'; there are: dense"):
        model.get_layer("out")
    for shape in (100, (), None):
        with pytest.raises(ValueError, match=r"tuple with the batch first, such as \(None, 100\)"):
            model.build(shape)
    assert isinstance(model, Model)


def test_a_failed_build_can_be_repeated():
    model = Sequential([Dense(3), Dense(2)])
    with pytest.raises(cr.ShapeError):
        model.build((None,))
    model.build((None, 4))
    assert model(np.ones((1, 4))).shape == (1, 2)
