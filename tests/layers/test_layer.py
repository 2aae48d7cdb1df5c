"""The base layer: conversion, building, weights and their names, freezing, copies, registry."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.layers import LAYERS, LSTM, Dense, Layer, Normalization, from_config
from chainrule.models import Sequential

OURS = "chainrule.layers."
#: What the constructor of a layer needs, where it needs something.
ARGUMENTS = {
    "Activation": ("tanh",),
    "Conv1D": (4, 3, 2, "causal"),
    "Conv2D": (4, (3, 2), 1, "same", 2, 2, "relu"),
    "Dense": (3,),
    "Dropout": (0.5,),
    "LearnedPositions": (4,),
    "MultiHeadAttention": (2,),
    "Reshape": ((2, -1),),
    "TransformerDecoderBlock": (2, 8),
    "TransformerEncoderBlock": (2, 8),
    "Bidirectional": (LSTM(3, dtype="float64"),),
    "Embedding": (5, 3),
    "GRU": (3,),
    "LSTM": (3,),
    "SimpleRNN": (3,),
}
signed = np.random.default_rng(0).standard_normal


class Identity(Layer):
    def call(self, x):
        return x


class Scale(Layer):
    """A layer of one's own, with a parameter and state."""

    def __init__(self, start="ones", **options):
        super().__init__(**options)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight("factor", (input_shape[-1],), self.start)
        self.seen = self.add_weight("seen", (), "zeros", trainable=False)
        super().build(input_shape)

    def call(self, x):
        return x * self.factor


class Network(Layer):
    """Layers in an attribute, a list, a tuple and a dict."""

    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = Dense(3, activation="tanh")
        self.many = [Dense(2), (Dense(2),)]
        self.heads = {"left": Scale(), "right": Scale()}

    def call(self, x):
        x = self.hidden(x)
        for layer in (self.many[0], self.many[1][0], *self.heads.values()):
            x = layer(x)
        return x


NAMES = [
    *("hidden.kernel", "hidden.bias", "many.0.kernel", "many.0.bias", "many.1.0.kernel"),
    *("many.1.0.bias", "heads.left.factor", "heads.right.factor"),
]


def built(layer, *shape):
    layer(np.zeros(shape))
    return layer


# What goes in and out -----------------------------------------------------------------------


@given(
    hnp.arrays(
        st.sampled_from(["float32", "float64", "int8", "uint8", "int64", "bool", ">i2"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
        elements=st.integers(0, 1),
    ),
    st.sampled_from(["float32", "float64"]),
)
def test_data_are_cast_to_the_layers_dtype_and_never_aliased(array, dtype):
    result = Identity(dtype=dtype)(array)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result.numpy(), array)
    assert not np.shares_memory(result.numpy(), array)


def test_a_tensor_of_the_right_dtype_passes_as_it_is_and_another_keeps_its_gradient():
    layer = Identity()
    x = cr.tensor([1.0, 2.0], dtype="float32")
    assert layer(x) is x
    wide = cr.tensor([1.0, 2.0], requires_grad=True)
    layer(wide).backward([3.0, -4.0])
    assert wide.grad.dtype == np.float64
    assert wide.grad.tolist() == [3.0, -4.0]
    assert layer(cr.tensor([1, 2])).dtype == np.float32


def test_nested_lists_are_data_and_ragged_ones_are_refused_by_name():
    assert Identity()([[1, 2], [3, 4]]).shape == (2, 2)
    with pytest.raises(ShapeError, match="Identity: the rows"):
        Identity()([[1], [2, 3]])


@pytest.mark.parametrize("bad", [["a"], None, np.array([1j]), np.array(["2020"], "datetime64[D]")])
def test_data_that_are_no_numbers_are_refused_by_name(bad):
    with pytest.raises(DtypeError, match="Identity"):
        Identity()(bad)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_list_of_tensors_is_not_taken_for_one_array(requires_grad):
    with pytest.raises(TypeError, match=r"Identity: x must be one tensor, got 2 in a list.*stack"):
        Identity()([cr.tensor([1.0], requires_grad=requires_grad)] * 2)


def test_the_default_dtype_is_float32_or_the_one_that_was_set():
    assert Identity().dtype == np.float32
    cr.set_default_dtype("float64")
    try:
        assert Identity().dtype == np.float64
        assert repr(Dense(3)) == "Dense(units=3)"
    finally:
        cr.set_default_dtype(None)


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "nonsense", "complex64"])
def test_a_dtype_without_gradients_is_refused(dtype):
    with pytest.raises(DtypeError, match="Identity"):
        Identity(dtype=dtype)


@pytest.mark.parametrize("name", ["", "a.b", 3])
def test_a_name_that_could_not_stand_in_a_dotted_name_is_refused(name):
    with pytest.raises(ValueError, match="name must be a string without dots"):
        Identity(name=name)


def test_what_call_returns_must_be_a_tensor():
    class Wrong(Layer):
        def call(self, x):
            return x.numpy()

    with pytest.raises(TypeError, match=r"Wrong: call\(x\) must return a Tensor.*ndarray"):
        Wrong()([1.0])
    with pytest.raises(NotImplementedError, match="Layer: define call"):
        Layer()([1.0])


def test_a_forgotten_super_init_is_told():
    class Forgetful(Layer):
        def __init__(self):
            self.inner = Dense(1)

        def call(self, x):
            return self.inner(x)

    for use in (lambda f: f([[1.0]]), lambda f: f.parameters(), lambda f: f.name):
        with pytest.raises(AttributeError, match=r"Forgetful.__init__ must call super\(\)"):
            use(Forgetful())


# Building -----------------------------------------------------------------------------------


def test_the_first_input_builds_and_later_ones_do_not():
    layer = Scale()
    assert not layer.built
    layer(np.ones((5, 3)))
    factor = layer.factor
    layer(np.ones((7, 3)))
    assert layer.built
    assert layer.factor is factor


def test_build_is_told_the_batch_as_none():
    shapes = []

    class Spy(Identity):
        def build(self, input_shape):
            shapes.append(input_shape)

    spy = Spy()
    spy(np.ones((5, 3, 2)))
    spy(np.ones((6, 3, 2)))
    Spy()(1.0)
    assert shapes == [(None, 3, 2), ()]


def test_a_layer_can_be_built_by_hand_and_under_no_grad():
    layer = Scale()
    with cr.no_grad():
        layer.build((None, 3))
    factor = layer.factor
    layer(np.ones((5, 3)))
    assert layer.factor is factor
    assert factor.requires_grad
    assert not layer.seen.requires_grad


def test_building_twice_never_replaces_weights():
    layer = built(Scale(), 2, 3)
    with pytest.raises(ValueError, match="already has an attribute 'factor'"):
        layer.build((None, 3))


@pytest.mark.parametrize("name", ["call", "trainable", "name"])
def test_a_weight_cannot_take_the_name_of_something_else(name):
    with pytest.raises(ValueError, match=f"already has an attribute '{name}'"):
        Identity().add_weight(name, (2,), "zeros")


def test_weights_that_are_not_there_yet_are_never_silently_left_out():
    network = Network()
    for ask in (network.parameters, network.named_weights, network.count_params):
        with pytest.raises(RuntimeError, match=r"Dense 'hidden' has no weights yet.*build"):
            ask()
    with pytest.raises(AttributeError, match="'kernel'; it has no weights yet"):
        _ = network.hidden.kernel
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        _ = built(Scale(), 1, 1).nonsense
    network.zero_grad()


def test_an_initializer_may_be_a_function_and_must_keep_to_the_shape():
    layer = built(Scale(start=lambda shape, dtype: np.arange(*shape)), 2, 3)
    assert layer.factor.dtype == np.float32
    assert layer.factor.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ShapeError, match=r"'factor' returned shape \(2,\), not \(3,\)"):
        built(Scale(start=lambda shape, dtype: np.zeros(2)), 2, 3)


# Weights and their names --------------------------------------------------------------------


def test_names_are_the_dotted_attributes_in_order():
    network = built(Network(), 2, 4)
    assert [name for name, _ in network.named_parameters()] == NAMES
    with_state = [name for name, _ in network.named_weights()]
    assert set(with_state) - set(NAMES) == {"heads.left.seen", "heads.right.seen"}
    assert [p.shape for p in network.parameters()[:2]] == [(4, 3), (3,)]
    assert network.count_params() == (4 + 1) * 3 + (3 + 1) * 2 + (2 + 1) * 2 + 2 + 2
    assert [name for name, _ in network.sublayers()] == [
        *("hidden", "many.0", "many.1.0", "heads.left", "heads.right")
    ]


def test_what_is_shared_occurs_once_under_its_first_name():
    class Shared(Layer):
        def __init__(self):
            super().__init__()
            self.a = self.b = Dense(2)
            self.c = Dense(2)
            self.parent = self

        def call(self, x):
            return self.c(self.b(self.a(x)))

    shared = built(Shared(), 1, 2)
    shared.c.kernel = shared.a.kernel
    assert [name for name, _ in shared.named_parameters()] == ["a.kernel", "a.bias", "c.bias"]


def test_a_leaf_that_requires_gradients_is_a_parameter_and_other_tensors_are_not():
    class Own(Layer):
        def __init__(self):
            super().__init__()
            self.scale = cr.tensor(2.0, dtype="float32", requires_grad=True)
            self.positions = cr.arange(3)
            self.pair = [cr.tensor(1.0, requires_grad=True), 5]

        def call(self, x):
            self.last = x * self.scale
            return self.last

    own = built(Own(), 2)
    assert [name for name, _ in own.named_weights()] == ["scale", "pair.0"]
    own.trainable = False
    assert [name for name, _ in own.named_parameters()] == ["scale", "pair.0"]
    assert not own.scale.requires_grad
    own.trainable = True
    assert own.scale.requires_grad
    assert not own.positions.requires_grad


def test_zero_grad_forgets_the_gradients_of_all_layers():
    network = Network()
    network(signed((2, 4))).backward(signed((2, 2)))
    assert all(p.grad is not None for p in network.parameters())
    network.zero_grad()
    assert all(p.grad is None for p in network.parameters())


# Freezing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_freezing_reaches_sub_layers_built_or_not(when):
    network = Network()
    if when == "after":
        built(network, 2, 4)
    network.trainable = False
    result = network(signed((2, 4)))
    assert not result.requires_grad
    assert not any(p.requires_grad for p in network.parameters())
    assert [name for name, _ in network.named_parameters()] == NAMES
    assert not network.hidden.trainable
    network.trainable = True
    network(signed((2, 4))).backward(signed((2, 2)))
    assert all(p.grad is not None for p in network.parameters())
    assert not network.heads["left"].seen.requires_grad


class MakesAtBuild(Layer):
    def __init__(self):
        super().__init__()
        self.early = Dense(3)

    def build(self, input_shape):
        self.late = Dense(2)
        super().build(input_shape)

    def call(self, x):
        return self.late(self.early(x))


@pytest.mark.parametrize("copied", [False, True])
def test_freezing_reaches_sub_layers_that_build_makes_but_none_freed_since(copied):
    outer = Sequential([MakesAtBuild()])
    outer.trainable = False
    outer.layers[0].early.trainable = True
    outer = copy.deepcopy(outer) if copied else outer
    outer(signed((2, 4)))
    layer = outer.layers[0]
    assert [p.requires_grad for p in layer.early.parameters()] == [True, True]
    assert [p.requires_grad for p in layer.late.parameters()] == [False, False]
    assert layer.early.trainable and not layer.late.trainable
    outer.trainable = True
    assert all(p.requires_grad for p in outer.parameters())


def test_a_layer_freed_before_it_is_built_makes_trainable_ones():
    outer = MakesAtBuild()
    outer.trainable = False
    outer.trainable = True
    outer(signed((2, 4)))
    assert all(p.requires_grad for p in outer.parameters())


def test_a_frozen_part_gets_no_gradient_and_lets_it_through():
    network = built(Network(), 2, 4)
    network.many[0].trainable = False
    network(signed((2, 4))).backward(signed((2, 2)))
    got = {name for name, p in network.named_parameters() if p.grad is not None}
    assert set(NAMES) - got == {"many.0.kernel", "many.0.bias"}


def test_the_constructors_trainable_reaches_sub_layers_made_after_it():
    network = Network(trainable=False)
    assert not network(signed((2, 4))).requires_grad
    assert not any(p.requires_grad for p in network.parameters())
    by_hand = Network(trainable=False)
    by_hand.build((None, 4))
    assert not by_hand(signed((2, 4))).requires_grad


def test_what_was_made_frozen_can_be_freed_before_the_first_input():
    network = Network(trainable=False)
    network.trainable = True
    built(network, 2, 4)
    assert all(p.requires_grad for p in network.parameters())


def test_a_head_unfrozen_before_the_first_input_stays_so():
    network = Network()
    network.trainable = False
    network.heads["right"].trainable = True
    built(network, 2, 4)
    free = [name for name, p in network.named_parameters() if p.requires_grad]
    assert free == ["heads.right.factor"]


# Copies -------------------------------------------------------------------------------------


def test_a_copy_of_a_layer_not_built_is_built_by_itself():
    layer = Dense(3)
    other = copy.deepcopy(layer)
    assert built(other, 2, 4).built
    assert not layer.built


def test_a_copy_has_weights_of_its_own_and_shares_inside_what_was_shared():
    network = built(Network(), 2, 4)
    network.heads["right"] = network.heads["left"]
    network.many[0].bias = network.many[1][0].bias
    network.hidden.trainable = False
    x = signed((5, 4))
    other = copy.deepcopy(network)
    np.testing.assert_array_equal(other(x).numpy(), network(x).numpy())
    assert [n for n, _ in other.named_weights()] == [n for n, _ in network.named_weights()]
    assert other.heads["right"] is other.heads["left"]
    assert other.many[0].bias is other.many[1][0].bias
    for (_, mine), (_, theirs) in zip(network.named_weights(), other.named_weights(), strict=True):
        assert mine.requires_grad == theirs.requires_grad
        assert not np.shares_memory(mine.numpy(), theirs.numpy())
    before = network(x).numpy().copy()
    for p in other.parameters():
        p.assign(p.numpy() + 1)
    np.testing.assert_array_equal(network(x).numpy(), before)


# Shapes and hooks ---------------------------------------------------------------------------


def test_the_shape_of_the_result_is_found_by_a_trial_unless_it_is_known():
    network = Network()
    assert network.compute_output_shape((None, 4)) == (None, 2)
    assert network.compute_output_shape((7, 4)) == (7, 2)
    assert network.hidden.kernel.shape == (4, 3)
    with pytest.raises(ShapeError, match="only the batch may be None"):
        network.compute_output_shape((None, None, 4))


def test_without_a_final_activation_the_logits_are_the_result():
    layer = built(Scale(start="random_normal"), 2, 3)
    x = signed((2, 3))
    assert layer.final_activation is None
    np.testing.assert_array_equal(layer.logits(x).numpy(), layer(x).numpy())


# Configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", sorted(name for name, cls in LAYERS.items() if cls.__module__.startswith(OURS))
)
def test_every_known_layer_survives_json(name):
    layer = LAYERS[name](*ARGUMENTS.get(name, ()), name="mine", dtype="float64", trainable=False)
    config = layer.to_config()
    other = from_config(json.loads(json.dumps(config)))
    assert type(other) is type(layer)
    assert other.to_config() == config
    assert (other.name, other.dtype, other.trainable) == ("mine", np.float64, False)


@pytest.mark.parametrize(
    "bad",
    [
        *({}, None, "Dense", {"class_name": "Dense"}, {"class_name": "Dense", "config": []}),
        {"class_name": "Network", "config": {}},
        {"class_name": ["Dense"], "config": {}},
        {"class_name": "os.system", "config": {"command": "true"}},
        {"class_name": "Dense", "config": {}, "module": "os"},
    ],
)
def test_a_configuration_names_only_known_layers(bad):
    with pytest.raises(ValueError, match="from_config"):
        from_config(bad)


def test_an_unknown_class_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"'Network' is unknown; known: .*Dense, "):
        from_config(Network().to_config())


def test_default_names_are_the_class_in_snake_case():
    class TwoWords(Identity):
        pass

    assert TwoWords().name == "two_words"
    assert Normalization().name == "normalization"
    assert Dense(3, name="hidden").name == "hidden"
