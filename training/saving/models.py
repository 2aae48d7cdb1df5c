"""Whole models in bundles: what they are, how they are trained, their weights, their optimiser.

digits/
    model.json                       configuration, how it is compiled, preprocessing
    weights-….safetensors
    optimizer-….safetensors          what the optimiser remembers, if it has taken a step
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.engine.errors import CheckpointError, describe
from chainrule.engine.making import making, refusal
from chainrule.engine.tensor import on_host
from chainrule.layers.at_hand import weights_at_hand

from ..best import INDEX, Written
from ..files import as_path
from ..weights import assign_weights
from .bundle import read_bundle, write_bundle
from .compiling import compile_from, optimizer_document, optimizer_from
from .descriptions import compile_document, expect_dict, freeze, model_document
from .registry import KINDS, REGISTRY_VERSION, from_config, to_config
from .shapes import shape_from_plain

#: What an interrupted first save leaves in a folder, beside which a bundle may be written.
_LEFT = re.compile(r"\..*\.tmp|\.lock|(?:weights|optimizer)-[0-9a-f]{12}\.safetensors")
_STEP = re.compile(r"step-([0-9]{1,18})")


def model_parts(
    model: Any, *, include_optimizer: bool = True
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """What of a model is saved: a document, and groups of arrays, copies, as bundles hold them.

    It does not fail for a model that is not plain: the document then says why it cannot be made
    again from it (see `model_document`).

    Returns:
        a dict of "model", "compile", "optimizer" and "preprocessing"; and the groups "weights"
        and, if the optimiser remembers something, "optimizer".
    """
    preprocessing = getattr(model, "preprocessing", None)
    document = {
        "model": model_document(model),
        "compile": compile_document(model),
        "optimizer": None,
        "preprocessing": None if preprocessing is None else to_config(preprocessing),
    }
    arrays = {"weights": {name: np.array(on_host(each)) for name, each in model.named_weights()}}
    if include_optimizer and model.compiled:
        document["optimizer"], remembered = optimizer_document(model)
        if remembered:
            arrays["optimizer"] = remembered
    return document, arrays


def save_model(
    model: Any, path: str | os.PathLike[str], *, include_optimizer: bool = True, where: str = "save"
) -> None:
    """Write a model to a folder; see `Model.save`."""
    if not model.built:
        raise RuntimeError(
            f"{where}: {model.name} has no weights yet: the first input makes them; call the model "
            "on some data, or build(input_shape), before"
        )
    folder = as_path(path, where)
    _require_own_folder(folder, where)
    document, arrays = model_parts(model, include_optimizer=include_optimizer)
    described = document["model"]
    if described["config"] is None:
        raise TypeError(
            f"{where}: {model.name} cannot be made again from its description: "
            f"{described['not_plain']}. save_weights(path) writes the weights alone"
        )
    _prove(model, document, arrays, where)
    write_bundle(folder, "model", document, arrays, where=where)


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Any = None,
    *,
    compile: bool = True,
    device: Any = None,
    where: str = "load_model",
) -> Any:
    """Read a model from a folder; see `chainrule.load_model`."""
    folder, kind = bundle_in(as_path(path, where))
    document, arrays = read_bundle(folder, kind, where=where)
    model = model_from_parts(
        document, arrays, custom_objects, compile=compile, device=device, where=where
    )
    if kind == "checkpoint":  # a callback may have frozen, or thawed, some of it by then
        with making(where, "state"):
            freeze(model, expect_dict(document.get("state"), "").get("frozen", {}))
    return model


def model_from_parts(
    document: Mapping[str, Any],
    arrays: Mapping[str, Mapping[str, np.ndarray]],
    custom_objects: Any = None,
    *,
    compile: bool = True,
    device: Any = None,
    where: str = "load_model",
) -> Any:
    """The model of which `model_parts` told.

    Arguments:
        document: a dict with the keys that `model_parts` gives, and perhaps others.
        arrays: the groups of arrays.
        custom_objects: classes and functions of your own, by name.
        compile: is the model compiled, and its optimiser given its state?
        device: where the model shall be.
        where: name of the public function, for messages.

    Raises:
        ValueError: something does not fit; the message names the place.
    """
    with making(where, "model", custom_objects):
        described = expect_dict(document.get("model"), "model")
        _check_version(described)
        config = described.get("config")
        if config is None:
            raise refusal(
                f"the model cannot be made again from its description: "
                f"{described.get('not_plain')}; make it as before, build it, and call "
                "model.load_weights(folder)"
            )
    weights = arrays.get("weights", {})
    model = _made_again(described, weights, custom_objects, where)
    _check_dtypes(model, weights, where)
    assign_weights(model.named_weights(), weights, where=where)
    with making(where, "model"):
        freeze(model, described)
    if device is not None:
        model.to(device)
    if document.get("preprocessing") is not None:
        model.preprocessing = from_config(
            "preprocessing",
            document["preprocessing"],
            custom_objects,
            where=where,
            path="preprocessing",
        )
    if compile and document.get("compile") is not None:
        with making(where, "compile", custom_objects):
            compile_from(model, expect_dict(document["compile"], "compile"))
        if document.get("optimizer") is not None:
            with making(where, "optimizer"):
                optimizer_from(model, document["optimizer"], arrays.get("optimizer", {}))
    return model


# Making it again ----------------------------------------------------------------------------------


def _made_again(
    described: Mapping[str, Any],
    weights: Mapping[str, np.ndarray],
    custom_objects: Any,
    where: str,
) -> Any:
    """The model, built, with zeros for weights."""
    config = {key: described.get(key) for key in ("class_name", "config")}
    model = from_config("layer", config, custom_objects, where=where, path="model")
    with making(where, "model"):
        if not hasattr(type(model), "compile"):
            raise refusal(f"it describes a {type(model).__name__}, which is a layer and no model")
        if isinstance(described.get("name"), str):
            model.name = described["name"]
        built = expect_dict(described.get("built"), "built")
        with weights_at_hand([each.shape for each in weights.values()]):
            _build(model, built)
    return model


def _build(model: Any, built: Mapping[str, Any]) -> None:
    """Build every layer for the shapes it was built for; a layer may make others, when built."""
    while True:
        waiting = [
            (prefix[:-1], layer)
            for prefix, layer in model._tree()
            if not layer.built and _shapes_of(built, prefix[:-1])
        ]
        if not waiting:
            return
        for name, layer in waiting:
            if layer.built:  # by one that holds it
                continue
            place = f"built.{name}" if name else "built"
            try:
                layer._build_once(*[shape_from_plain(each) for each in _shapes_of(built, name)])
            except Exception as error:  # whatever a `build` makes of a shape it does not expect
                raise refusal(f"{type(layer).__name__} cannot be built: {error}", place) from error


def _shapes_of(built: Mapping[str, Any], name: str) -> list[Any]:
    entry = built.get(name)
    shapes = entry.get("input_shapes") if isinstance(entry, dict) else None
    return shapes if isinstance(shapes, list) else []


def _check_dtypes(model: Any, weights: Mapping[str, np.ndarray], where: str) -> None:
    """Raise ValueError if weights would be rounded on their way into the model."""
    try:
        named = model.named_weights()
    except RuntimeError as error:
        raise CheckpointError(f"{where}: {error}") from error
    for name, weight in named:
        if name in weights and weights[name].dtype != weight.dtype:
            raise CheckpointError(
                f"{where}: the weight {name} is {weights[name].dtype} in the file, and the model "
                f"makes it {weight.dtype}; where its class leaves the dtype open, call "
                f"chainrule.set_default_dtype({weights[name].dtype.name!r}) before"
            )


def _check_version(described: Mapping[str, Any]) -> None:
    version = described.get("registry")
    if type(version) is not int or version < 1:
        raise refusal(f"expected a version, got {describe(version)}", "registry")
    if version > REGISTRY_VERSION:
        raise refusal(
            f"it is {version}, and this chainrule knows up to {REGISTRY_VERSION}: the model was "
            "saved by a newer chainrule (pip install -U chainrule)",
            "registry",
        )


def _prove(
    model: Any, document: dict[str, Any], arrays: dict[str, dict[str, np.ndarray]], where: str
) -> None:
    """Raise TypeError if the model would not be made again as it is.

    It is found out by making it, with zeros for weights, at once rather than when it is needed.
    """
    own: dict[str, type] = {}
    known = KINDS["layer"].known
    for _, layer in model._tree():
        cls = type(layer)
        if known.get(cls.__name__) is not cls and own.setdefault(cls.__name__, cls) is not cls:
            raise TypeError(
                f"{where}: two classes of layers are called {cls.__name__}, which a file cannot "
                "tell apart; rename one"
            )
    described = document["model"]
    try:
        twin = _made_again(described, arrays["weights"], own, where)
        with making(where, "model"):
            freeze(twin, described)
        found = model_document(twin)
    except (ValueError, RuntimeError) as error:
        raise TypeError(
            f"{where}: {model.name} cannot be made again from its configuration: {error}. "
            "save_weights(path) writes the weights alone"
        ) from error
    if list(found["weights"].items()) != list(described["weights"].items()):
        wrong = sorted(set(found["weights"]) ^ set(described["weights"])) or ["their order"]
        raise TypeError(
            f"{where}: made again from its configuration, {model.name} has other weights "
            f"({', '.join(wrong[:5])}): a layer was added, or is shared, after it was made. Make "
            "all layers in __init__; save_weights(path) writes the weights alone"
        )


# Folders ------------------------------------------------------------------------------------------


def _require_own_folder(folder: Path, where: str) -> None:
    """Raise FileExistsError if a bundle must not be written there; nothing is touched."""
    if folder.is_dir():
        there = sorted(each.name for each in folder.iterdir())
        foreign = [name for name in there if not _LEFT.fullmatch(name)]
        if foreign and "model.json" not in there:
            raise FileExistsError(
                f"{where}: the folder {str(folder)!r} holds something else ({foreign[0]!r}), and "
                "was left as it is; give a folder that is new, empty, or holds a saved model"
            )
    elif folder.exists() or folder.is_symlink():
        raise FileExistsError(
            f"{where}: {str(folder)!r} is a file, and a model is a folder; choose another path, or "
            "remove it (save_weights writes a single file)"
        )


def bundle_in(folder: Path) -> tuple[Path, str]:
    """The folder and the kind of the bundle that is meant.

    Of several checkpoints it is the latest, of the models that a `ModelCheckpoint` keeps the best.
    """
    if (folder / "model.json").is_file() or not folder.is_dir():
        return folder, "model"
    if (folder / "checkpoint.json").is_file():
        return folder, "checkpoint"
    steps = {
        int(match[1]): each
        for each in folder.iterdir()
        if (match := _STEP.fullmatch(each.name)) and (each / "checkpoint.json").is_file()
    }
    if steps:
        return steps[max(steps)], "checkpoint"
    return best_in(folder) or folder, "model"


def best_in(folder: Path) -> Path | None:
    """What a `ModelCheckpoint` keeps as the best in its folder: a model's folder, or a file of
    weights. None if it keeps nothing there.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        best = folder / Written.from_plain(index["models"][0]).name  # the best comes first
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    return best if best.exists() else None
