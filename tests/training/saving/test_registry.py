"""The closed registry: what it holds, what a version stands for, and what it refuses."""

from __future__ import annotations

import builtins
import copy
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule import layers, losses, metrics, optim, preprocessing
from chainrule.engine.making import ConfigError
from chainrule.layers import L1L2, Bidirectional, Dense, GlorotUniform
from chainrule.models import Sequential
from chainrule.optim import schedules
from chainrule.text import CharTokenizer
from chainrule.training.saving import registry
from chainrule.training.saving.registry import (
    KINDS,
    REGISTRY_VERSION,
    from_config,
    signatures,
    to_config,
)
from tests.layers.test_every_layer import MADE

GOLDEN = Path(__file__).with_name("registry.json")

#: One of each kind, with arguments that are not the default ones.
EXAMPLES = {
    "layer": Dense(3, "relu", kernel_regularizer=L1L2(0.1), name="hidden"),
    "initializer": GlorotUniform(seed=3),
    "regularizer": L1L2(0.1, 0.2),
    "optimizer": optim.SGD(learning_rate=schedules.CosineDecay(0.1, 10), momentum=0.5),
    "schedule": schedules.PiecewiseConstantDecay([1, 2], [0.3, 0.2, 0.1]),
    "loss": losses.Huber(0.5, reduction="sum"),
    "metric": metrics.BinaryAccuracy(0.25, name="quarter"),
    "preprocessing": preprocessing.Preprocessing(
        preprocessing.Standardize([1.0, 2.0], [0.5, 0.1]), classes=["no", "yes"]
    ),
    "preprocessing step": preprocessing.Rescale(0.5),
    "tokenizer": CharTokenizer(),
}


def test_a_version_stands_for_names_arguments_and_defaults():
    """What was saved by an earlier chainrule must not mean something else to this one."""
    now = {"version": REGISTRY_VERSION, "kinds": signatures()}
    stored = json.loads(GOLDEN.read_text("utf-8"))
    if stored["version"] == now["version"]:
        for kind, classes in stored["kinds"].items():
            for name, arguments in classes.items():
                assert now["kinds"][kind].get(name) == arguments, (
                    f"{kind} {name}: its constructor's arguments or defaults have changed, and "
                    "files of this version mean the older ones. Raise REGISTRY_VERSION in "
                    "training/saving/registry.py, read older files there as they were meant, and "
                    "write the new signatures: python -m tests.training.saving.test_registry"
                )
    assert now == stored, (
        "classes were added, or the version was raised: write the new signatures, by "
        "python -m tests.training.saving.test_registry"
    )


def test_every_public_class_is_registered():
    for module, kind in (
        *((layers, "layer"), (layers, "initializer"), (layers, "regularizer")),
        *((losses, "loss"), (metrics, "metric"), (optim, "optimizer"), (schedules, "schedule")),
    ):
        base = KINDS[kind].base
        public = {
            each
            for each in vars(module).values()
            if isinstance(each, type) and issubclass(each, base) and each is not base
        }
        known = set(KINDS[kind].known.values())
        assert public <= known | {Sequential}, kind
    assert KINDS["layer"].known["Sequential"] is Sequential


@pytest.mark.parametrize("kind", EXAMPLES)
def test_one_of_each_kind_survives_json(kind):
    config = json.loads(json.dumps(to_config(EXAMPLES[kind])))
    again = from_config(kind, copy.deepcopy(config))
    assert type(again) is type(EXAMPLES[kind])
    assert to_config(again) == config
    for other in EXAMPLES:
        if other != kind:
            with pytest.raises(ValueError, match=rf"^from_config: {other}: class_name '\w+' is"):
                from_config(other, config)


def read_or_refused(kind, config):
    message = None
    try:
        made = from_config(kind, config)
    except ConfigError as error:
        message = str(error)
    if message is None:
        assert isinstance(made, KINDS[kind].base)
    else:
        assert message.startswith(f"from_config: {kind}")


def defaults():
    """Every registered class that can be made without arguments, or by `MADE`."""
    for kind in KINDS.values():
        for name, cls in kind.known.items():
            try:
                yield kind.name, cls()
            except TypeError:
                made = next((make for key, (make, _) in MADE.items() if key == name), None)
                if made is not None:
                    yield kind.name, made()


THINGS = [pytest.param(kind, each, id=f"{kind} {each!r}"[:60]) for kind, each in defaults()]


@pytest.mark.parametrize(("kind", "thing"), THINGS)
def test_a_wrong_argument_is_a_value_error_that_names_it(kind, thing):
    """Whatever is put in the place of an argument: it works, or says where it does not fit."""
    config = to_config(thing)
    with pytest.raises(ConfigError, match=rf"{kind}\.config(\.strange)?: .*strange"):
        from_config(kind, {**config, "config": {**config["config"], "strange": 1}})
    wrong = [None, "x", [], {}, -1, 1e999, float("nan"), True, [[1]], {"class_name": "x"}, 10**40]
    for name in config["config"]:
        for value in wrong:
            changed = {**config, "config": {**config["config"], name: value}}
            read_or_refused(kind, changed)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["class_name", "config"]), inner)
        | st.fixed_dictionaries(
            {"class_name": st.sampled_from(["Dense", "Sequential", "LSTM", "SGD"]), "config": inner}
        )
    ),
    max_leaves=12,
)


@given(config=plain, kind=st.sampled_from(sorted(EXAMPLES)))
def test_any_plain_data_is_read_or_refused(config, kind):
    read_or_refused(kind, config)


def test_custom_objects_reach_layers_within_layers():
    class Wide(Dense):
        pass

    class Steps(layers.LSTM):
        pass

    inner = Sequential([Wide(2, activation=layers.Activation("tanh")), Bidirectional(Steps(2))])
    config = to_config(Sequential([Sequential([inner])]))
    own = {"Wide": Wide, "Steps": Steps}
    made = from_config("layer", config, own)
    found = made.layers[0].layers[0].layers
    assert type(found[0]) is Wide and type(found[1].forward_layer) is Steps
    assert type(found[1].backward_layer) is Steps
    with pytest.raises(
        ValueError, match=r"layer.layers\[0\].layers\[0\].layers\[1\].layer: class_name 'Steps'"
    ):
        from_config("layer", config, {"Wide": Wide})
    # What was given for one call is forgotten after it.
    with pytest.raises(ValueError, match="'Wide' is unknown"):
        from_config("layer", config)
    assert layers.from_config(config, custom_objects=own).get_config() == made.get_config()


def test_own_initialisers_and_regularisers_are_given_too():
    class Halves(layers.Initializer):
        def __call__(self, shape, dtype=np.float32):
            return np.full(shape, 0.5, dtype)

    class Square(layers.Regularizer):
        def __call__(self, weight):
            return (weight * weight).sum()

    config = to_config(Dense(2, kernel_initializer=Halves(), bias_regularizer=Square()))
    made = from_config("layer", config, {"Halves": Halves, "Square": Square})
    assert type(made.kernel_initializer) is Halves and type(made.bias_regularizer) is Square


def test_an_own_class_may_take_the_place_of_a_known_one_and_must_be_of_the_kind():
    class Mine(Dense):
        pass

    config = to_config(Dense(2))
    assert type(from_config("layer", config, {"Dense": Mine})) is Mine
    for wrong in (GlorotUniform, Mine(2), len, "Mine"):
        with pytest.raises(ValueError, match=r"custom_objects\['Dense'\] must be a class derived"):
            from_config("layer", config, {"Dense": wrong})
    for wrong in ([Mine], {3: Mine}, "Mine"):
        with pytest.raises(TypeError, match="custom_objects must be a dict of classes by name"):
            from_config("layer", config, wrong)


def test_a_constructor_that_fails_in_its_own_way_is_told():
    class Broken(Dense):
        def __init__(self, units, **options):
            super().__init__(units, **options)
            raise ZeroDivisionError("by design")

    config = {"class_name": "Broken", "config": {"units": 2}}
    with pytest.raises(ValueError, match=r"layer\.config: by design") as caught:
        from_config("layer", config, {"Broken": Broken})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_is_not_configured_is_refused():
    with pytest.raises(TypeError, match="has no configuration; give a layer, "):
        to_config(3)


def test_nothing_is_imported_by_a_name_in_a_configuration(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError(arguments)

    monkeypatch.setattr(builtins, "eval", refuse)
    monkeypatch.setattr(importlib, "import_module", refuse)
    for name in ("os.system", "tests.layers.test_layer.Identity", "__import__", "Dense.__init__"):
        with pytest.raises(ValueError, match="is unknown; known: "):
            from_config("layer", {"class_name": name, "config": {}})


if __name__ == "__main__":
    content = {"version": registry.REGISTRY_VERSION, "kinds": signatures()}
    GOLDEN.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
