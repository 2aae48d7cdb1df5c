"""chainrule: a deep-learning engine in which every gradient that runs is the one on the page.

The public names, on one screen. The operations are those of the table (`engine/operations/`), each
under the name of its record; the modules of `_SUBMODULES` (layers, models, losses, ...) are loaded
when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chainrule import gpu  # makes its devices known
from chainrule.engine import random
from chainrule.engine.anomaly import detect_anomaly
from chainrule.engine.checkpointing import checkpoint
from chainrule.engine.creation import (
    arange,
    eye,
    full,
    full_like,
    linspace,
    one_hot,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from chainrule.engine.definitions import composition, elementwise, operation
from chainrule.engine.derivatives import hessian, hvp, jacobian, jvp, vjp
from chainrule.engine.devices import default_device, devices, kernels, set_default_device
from chainrule.engine.dtypes import default_dtype, set_default_dtype
from chainrule.engine.errors import (
    AnomalyError,
    CheckpointError,
    DeviceError,
    DtypeError,
    GradientError,
    MatrixError,
    OutOfMemoryError,
    ShapeError,
)
from chainrule.engine.habits import names_elsewhere
from chainrule.engine.moving import from_dlpack
from chainrule.engine.random import seed
from chainrule.engine.record import RECORDS
from chainrule.engine.tape import enable_grad, is_recording, no_grad
from chainrule.engine.tensor import Tensor
from chainrule.engine.threads import get_num_threads, set_num_threads
from chainrule.engine.transforms import grad, value_and_grad

if TYPE_CHECKING:
    from chainrule import (
        callbacks,
        data,
        datasets,
        images,
        layers,
        losses,
        metrics,
        models,
        optim,
        preprocessing,
        testing,
        text,
        utils,
    )
    from chainrule.engine.checking.gradcheck import assert_gradients, gradcheck
    from chainrule.engine.derivation import derivation
    from chainrule.engine.pictures import draw_graph
    from chainrule.training.stored import load_model

    __version__: str

_SUBMODULES = (
    *("callbacks", "data", "datasets", "images", "layers", "losses", "metrics", "models"),
    *("optim", "preprocessing", "testing", "text", "utils"),
)


#: Public functions that most programs do not use, by the modules that have them: imported late.
_LATER = {
    "assert_gradients": "chainrule.engine.checking.gradcheck",
    "derivation": "chainrule.engine.derivation",
    "draw_graph": "chainrule.engine.pictures",
    "gradcheck": "chainrule.engine.checking.gradcheck",
    "load_model": "chainrule.training.stored",
}

_elsewhere = names_elsewhere(
    "chainrule",
    {
        "Input": "the first input builds a model, or model.build((None, 28, 28, 1))",
        "Model": "from chainrule.models import Model",
        "Sequential": "from chainrule.models import Sequential",
        "keras": "layers, models, losses, ... are modules of chainrule itself",
        "cuda": "'cuda' in chainrule.devices() tells whether a GPU is usable, chainrule doctor why "
        "not; x.to('cuda') and model.to('cuda') move there",
        "device": "devices are named by strings, as in x.to('cuda') and device='cuda'",
        "from_numpy": "chainrule.tensor(array) copies, chainrule.from_dlpack(array) shares memory",
        "save": "a model has it: model.save(path)",
        "load": "chainrule.load_model(path) reads what model.save(path) wrote",
        "nn": "layers are in chainrule.layers, models in chainrule.models",
        "optimizers": "it is called chainrule.optim",
        "regularizers": "L1, L2 and L1L2 are in chainrule.layers",
        "initializers": "HeNormal, GlorotUniform, ... are in chainrule.layers",
        "activations": "they are functions, as chainrule.relu; Dense(10, activation='relu')",
        "manual_seed": "it is called chainrule.seed(n)",
        "get_rng_state": "it is called chainrule.random.moment()",
        "set_rng_state": "it is called chainrule.random.load(moment)",
        "DataLoader": "use chainrule.data.from_arrays(x, y).shuffle().batch(32)",
        "Dataset": "use chainrule.data.from_arrays(x, y), or from_generator(function)",
    },
)

#: Of every operation of the table, its function.
OPERATIONS = {name: record.function for name, record in RECORDS.items() if record.builtin}
globals().update(OPERATIONS)


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"chainrule.{name}")
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("chainrule")
    return _elsewhere(name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "AnomalyError",
    "CheckpointError",
    "DeviceError",
    "DtypeError",
    "GradientError",
    "MatrixError",
    "OutOfMemoryError",
    "ShapeError",
    "Tensor",
    "__version__",
    "arange",
    "assert_gradients",
    "callbacks",
    "checkpoint",
    "composition",
    "data",
    "datasets",
    "default_device",
    "default_dtype",
    "derivation",
    "detect_anomaly",
    "devices",
    "draw_graph",
    "elementwise",
    "enable_grad",
    "eye",
    "from_dlpack",
    "full",
    "full_like",
    "get_num_threads",
    "grad",
    "gpu",
    "gradcheck",
    "hessian",
    "hvp",
    "images",
    "is_recording",
    "jacobian",
    "jvp",
    "kernels",
    "layers",
    "linspace",
    "load_model",
    "losses",
    "metrics",
    "models",
    "no_grad",
    "one_hot",
    "ones",
    "ones_like",
    "operation",
    "optim",
    "preprocessing",
    "random",
    "seed",
    "set_default_device",
    "set_default_dtype",
    "set_num_threads",
    "tensor",
    "testing",
    "text",
    "utils",
    "value_and_grad",
    "vjp",
    "zeros",
    "zeros_like",
    *OPERATIONS,
]
