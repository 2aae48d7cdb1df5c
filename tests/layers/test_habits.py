"""What users of Keras and PyTorch type first: it is refused, and the message says what to type."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule import layers
from chainrule.layers import LSTM, Conv2D, Dense, Dropout, Embedding, Layer, habits
from chainrule.models import Model, Sequential
from chainrule.optim.rated import ATTRIBUTES


@pytest.mark.parametrize(
    ("kind", "positional", "keyword", "remedy"),
    [
        (Conv2D, (8, 3), {"input_shape": (28, 28, 1)}, r"Conv2D: .*model\.build\(\(None, 28, 28,"),
        (Dense, (8,), {"input_dim": 3}, "the first input builds"),
        (Dense, (), {"in_features": 3}, "found from the first input"),
        (Conv2D, (8, 3), {"stride": 2}, "called strides"),
        (LSTM, (8,), {"batch_first": True}, "the batch is always the first axis"),
        (Dropout, (), {"p": 0.5}, "called rate"),
        (Embedding, (8, 3), {"input_length": 3}, "any length"),
        (Dense, (8,), {"unit": 3}, "there are: units, activation, use_bias"),
        (cr.optim.Adam, (), {"lr": 0.1}, "Adam: .*called learning_rate"),
        (cr.optim.SGD, (), {"velocity": 0.1}, "there are: parameters, learning_rate, momentum"),
        (Model, (), {"inputs": 1, "outputs": 2}, r"call\(self, x\)"),
    ],
)
def test_an_argument_from_elsewhere_is_answered(kind, positional, keyword, remedy):
    with pytest.raises(TypeError, match=f"there is no argument '.*'; .*{remedy}|{remedy}"):
        kind(*positional, **keyword)


def test_the_learning_rate_is_not_set_under_another_name():
    optimizer = cr.optim.Adam()
    with pytest.raises(AttributeError, match="Adam: lr is called learning_rate"):
        optimizer.lr = 0.1
    with pytest.raises(AttributeError, match="Adam: lr is called learning_rate"):
        optimizer.lr  # noqa: B018


def test_attributes_of_optimizers_elsewhere_are_answered():
    optimizer = cr.optim.SGD()
    with pytest.raises(AttributeError, match=r"SGD has no attribute 'state_dict'; .* state\(\)"):
        optimizer.state_dict()
    with pytest.raises(AttributeError, match=r"load_state\(state\)"):
        optimizer.load_state_dict({})
    with pytest.raises(AttributeError, match="'SGD' object has no attribute 'nonsense'"):
        optimizer.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match="'int' object has no attribute 'rate'"):
        cr.optim.SGD(learning_rate=lambda step: step.rate)
    for kind in (cr.optim.Adam, cr.optim.SGD):
        assert not [name for name in ATTRIBUTES if hasattr(kind, name)]
    assert copy.deepcopy(optimizer).learning_rate == optimizer.learning_rate


def test_constructors_keep_their_signatures_and_their_own_errors():
    assert "kernel_regularizer" in inspect.signature(Conv2D).parameters
    assert list(inspect.signature(Embedding).parameters)[:2] == ["input_dim", "output_dim"]
    assert next(iter(inspect.signature(Dense(3)).parameters)) == "x"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'units'"):
        Dense()


def test_a_constructor_may_read_options_of_its_own():
    class Own(Layer):
        def __init__(self, **options):
            self.input_dim = options.pop("input_dim")
            super().__init__(**options)

    assert Own(input_dim=3, name="own").input_dim == 3
    with pytest.raises(TypeError, match=r"Own: there is no argument 'stride'"):
        Own(input_dim=3, stride=2)


def test_a_name_from_elsewhere_is_answered_also_where_it_is_imported():
    with pytest.raises(ImportError, match=r"model\.build\(\(None, 28, 28, 1\)\)"):
        from chainrule.layers import Input  # noqa: F401
    with pytest.raises(ImportError, match="augment="):
        from chainrule.images import ImageDataGenerator  # noqa: F401
    with pytest.raises(ImportError, match="CSVLogger writes"):
        from chainrule.callbacks import TensorBoard  # noqa: F401
    with pytest.raises(ImportError, match=r"model\.save\(path\)"):
        from chainrule.models import save_model  # noqa: F401
    with pytest.raises(ImportError, match=r"from chainrule\.models import Sequential"):
        cr.Sequential  # noqa: B018
    with pytest.raises(ImportError, match=r"ExponentialDecay\(rate, steps, factor, staircase=True"):
        from chainrule.optim.schedules import StepLR  # noqa: F401
    with pytest.raises(ImportError, match="from_image_folder"):
        from chainrule.utils import image_dataset_from_directory  # noqa: F401
    with pytest.raises(ImportError, match="custom_objects="):
        cr.utils.custom_object_scope  # noqa: B018
    with pytest.raises(ImportError, match=r"chainrule\.seed\(n\)"):
        cr.random.manual_seed  # noqa: B018
    for name in ("layers", "models", "images", "callbacks", "text", "utils", "random"):
        assert not hasattr(getattr(cr, name), "nonsense")
    assert not hasattr(cr, "nonsense")


def test_no_remedy_is_for_something_that_is_there():
    """When a layer, an argument or a method is added, its remedy must go."""
    kinds = [each for each in vars(layers).values() if inspect.isclass(each)]
    kinds = [each for each in kinds if issubclass(each, Layer)]
    assert not set(habits.LAYERS_ELSEWHERE) & set(vars(layers))
    known = {name for kind in kinds for name in inspect.signature(kind).parameters}
    assert set(habits.ARGUMENTS) & known <= {"input_dim"}  # which Embedding has
    assert not [name for name in habits.ATTRIBUTES if hasattr(Layer, name)]


def test_methods_and_attributes_from_elsewhere_are_answered():
    class Torch(Model):
        def __init__(self):
            super().__init__()
            self.hidden = Dense(3)

        def forward(self, x):
            return self.hidden(x)

    model = Torch()
    with pytest.raises(NotImplementedError, match="the name here of forward"):
        model(np.ones((2, 3)))
    for name, remedy in (
        ("state_dict", "named_weights"),
        ("eval", "predict"),
        ("layers", "sublayers"),
        ("trainable_variables", "parameters"),
    ):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; .*{remedy}"):
            getattr(model, name)
    with pytest.raises(TypeError, match=r"x is the layer 'dense'; .*Sequential"):
        Dense(3)(Dense(4))
    with pytest.raises(cr.ShapeError, match="Sequential: it takes one input"):
        Sequential([Dense(3)])((np.ones((2, 3)), np.ones((2, 4))))
