"""What a model is, and how it is trained, as plain data: to save it, and to compare runs by it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chainrule.engine.configured import Configured
from chainrule.engine.errors import describe
from chainrule.engine.making import refusal
from chainrule.layers import Layer

from ..objective import Objective
from .registry import REGISTRY_VERSION
from .shapes import shape_to_plain

#: A SHA-256, of which the beginning tells enough.
_HASH = re.compile(r"[0-9a-f]{64}")
LONGEST = 60  # characters of a value in a message


def model_document(model: Layer) -> dict[str, Any]:
    """What a model is: class, configuration, layers, and the weights that it has.

    It never fails: of a model that is not plain, whose constructor took a function for example,
    "config" is None, and "not_plain" says why.

    Returns:
        a dict of "registry", "class_name", "name", "config", "not_plain"; "built", of the
        model, by the name "", and of each layer with a `build` of its own, by its dotted name,
        class, input shapes and whether it is trainable; and "weights", of each weight, by its
        name, shape, dtype and whether it is trained.

    >>> from chainrule.layers import Dense
    >>> model = Dense(2)
    >>> model.build((None, 3))
    >>> model_document(model)["weights"]["kernel"]
    {'shape': [3, 2], 'dtype': 'float32', 'trainable': True}
    """
    config, reason = _config_of(model)
    built = {}
    for prefix, layer in model._tree():
        if prefix and type(layer).build is Layer.build:
            continue  # its first call builds it, which may not have been yet, and makes nothing
        built[prefix[:-1]] = {
            "class_name": type(layer).__name__,
            "input_shapes": _shapes(layer),
            "trainable": layer.trainable,
        }
    weights = {}
    try:
        for name, weight in model.named_weights():
            weights[name] = {
                "shape": list(weight.shape),
                "dtype": weight.dtype.name,
                "trainable": weight.requires_grad,
            }
    except RuntimeError:  # not built: there are none yet
        weights = {}
    return {
        "registry": REGISTRY_VERSION,
        "class_name": type(model).__name__,
        "name": model.name,
        "config": config,
        "not_plain": reason,
        "built": built,
        "weights": weights,
    }


def frozen(model: Layer) -> dict[str, Any]:
    """Which layers and weights are trained, as `freeze` takes it."""
    layers = {prefix[:-1]: {"trainable": layer.trainable} for prefix, layer in model._tree()}
    weights = {name: {"trainable": each.requires_grad} for name, each in model.named_parameters()}
    return {"built": layers, "weights": weights}


def freeze(model: Layer, described: Mapping[str, Any]) -> None:
    """Freeze what was frozen, and nothing else.

    Arguments: `described`, what `frozen`, or `model_document`, tells of the model.

    Raises ValueError if it is damaged.
    """
    built = expect_dict(described.get("built"), "built")
    for prefix, layer in model._tree():
        flag = expect_dict(built.get(prefix[:-1], {}), "built").get("trainable")
        if isinstance(flag, bool):
            layer._set_trainable(flag)
    told = expect_dict(described.get("weights"), "weights")
    for name, weight in model.named_parameters():
        flag = expect_dict(told.get(name, {}), f"weights.{name}").get("trainable")
        if isinstance(flag, bool):
            weight.requires_grad = flag


def expect_dict(value: Any, place: str) -> dict[str, Any]:
    """The value, if it is a dict; else ValueError, which names the place."""
    if not isinstance(value, dict):
        raise refusal(f"expected a dict, got {describe(value)}", place)
    return value


def compile_document(model: Any) -> dict[str, Any] | None:
    """How a model is trained: optimiser, loss and metrics; None if it is not compiled.

    It never fails: in the place of what is not plain, such as a function of your own, is its name,
    and "not_plain" says why. The learning rate is the one that the optimiser was made with: what
    it is now belongs to the optimiser's state.

    >>> from chainrule.layers import Dense
    >>> from chainrule.training import Sequential
    >>> model = Sequential([Dense(2)])
    >>> model.compile("sgd", "mse", metrics=["mae"])
    >>> compile_document(model)["loss"]["class_name"], compile_document(model)["metrics"]
    ('MeanSquaredError', ['mae'])
    """
    objective: Objective | None = model._objective
    if objective is None:
        return None
    metrics = [
        identifier if isinstance(identifier, str) else _part(metric)
        for identifier, metric in zip(objective.identifiers, objective.metrics, strict=True)
    ]
    optimizer = model.optimizer
    try:
        described = optimizer.made_with()
    except Exception as error:  # whatever a class of the user's own makes of it
        described = {"class_name": type(optimizer).__name__, "not_plain": _reason(error)}
    return {"optimizer": described, "loss": _part(objective.loss), "metrics": metrics}


def differences(saved: Any, now: Any, path: str = "model", there: str = "checkpoint") -> list[str]:
    """What differs between two documents, each as a line that names the field.

    Arguments:
        saved: a document that was stored.
        now: the one of today.
        path: what the documents describe.
        there: what the saved one is in.

    >>> one = {"layers": [{"class_name": "Dense", "config": {"units": 500}}]}
    >>> other = {"layers": [{"class_name": "Dense", "config": {"units": 300}}]}
    >>> differences({"config": one}, {"config": other})
    ['model.layers[0].units: 500 in the checkpoint, 300 now']
    """
    found: list[str] = []
    _compare(saved, now, path, there, found)
    follow = tuple(f"{path}.{part}" for part in ("built", "weights"))
    causes = [line for line in found if not line.startswith(follow)]
    return causes or found  # other layers have other weights, which need not be told besides


def _compare(saved: Any, now: Any, path: str, there: str, found: list[str]) -> None:
    if isinstance(saved, dict) and isinstance(now, dict):
        kinds = [each.get("class_name") for each in (saved, now)]
        if kinds[0] != kinds[1] and {"config", "not_plain"} & {*saved, *now}:
            found.append(f"{path}: {kinds[0]} in the {there}, {kinds[1]} now")
            return  # their arguments have nothing in common
        for key in [*saved, *(each for each in now if each not in saved)]:
            # A constructor's arguments are told as its own: model.layers[1].units.
            at = path if key == "config" else f"{path}.{key}"
            if key not in now or key not in saved:
                only, where = (saved, f"in the {there} only") if key in saved else (now, "only now")
                found.append(f"{at}: {_shown(only[key])}, {where}")
            else:
                _compare(saved[key], now[key], at, there, found)
    elif isinstance(saved, (list, tuple)) and isinstance(now, (list, tuple)):
        plain = not any(isinstance(each, (dict, list, tuple)) for each in (*saved, *now))
        if plain and len(saved) + len(now) <= 16 and list(saved) != list(now):
            found.append(f"{path}: {_shown(saved)} in the {there}, {_shown(now)} now")
            return
        if len(saved) != len(now):
            found.append(f"{path}: {len(saved)} of them in the {there}, {len(now)} now")
        for i, (one, other) in enumerate(zip(saved, now, strict=False)):
            _compare(one, other, f"{path}[{i}]", there, found)
    elif saved != now and not (saved != saved and now != now):  # NaN is the same as NaN
        found.append(f"{path}: {_shown(saved)} in the {there}, {_shown(now)} now")


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text = repr(value)
    if isinstance(value, str) and _HASH.fullmatch(value):
        text = f"'{value[:12]}…'"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _config_of(model: Layer) -> tuple[dict[str, Any] | None, str | None]:
    """The configuration, or why there is none."""
    try:
        return model.get_config(), None
    except Exception as error:  # whatever a class of the user's own makes of it
        return None, _reason(error)


def _shapes(layer: Layer) -> list[Any] | None:
    """What `build` was called with; None if it was not."""
    return [shape_to_plain(each) for each in layer.build_shapes] if layer.built else None


def _part(part: Configured) -> dict[str, Any]:
    """A loss or a metric: its configuration, or its name and why there is none."""
    try:
        return part.to_config()
    except Exception as error:
        name = getattr(part, "name", "")
        return {
            "class_name": type(part).__name__,
            "name": name if isinstance(name, str) else repr(name),
            "not_plain": _reason(error),
        }


def _reason(error: Exception) -> str:
    """Without addresses of memory, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{error}" or type(error).__name__)
