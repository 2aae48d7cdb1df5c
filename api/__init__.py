"""chainrule: a deep-learning engine in which every gradient that runs is the one on the page.

The public names, on one screen. Tensors and their functions are defined here; the modules of
`_SUBMODULES` (layers, models, losses, ...) are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from chainrule.engine import random
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
from chainrule.engine.devices import devices, kernels
from chainrule.engine.dtypes import default_dtype, set_default_dtype
from chainrule.engine.errors import DeviceError, DtypeError, GradientError, ShapeError
from chainrule.engine.operations.elementwise import (
    absolute as abs,
)
from chainrule.engine.operations.elementwise import (
    add,
    astype,
    clip,
    cos,
    divide,
    equal,
    exp,
    expm1,
    greater,
    greater_equal,
    isfinite,
    less,
    less_equal,
    log,
    log1p,
    logical_not,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    power,
    relu,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from chainrule.engine.operations.linalg import matmul
from chainrule.engine.operations.losses import (
    cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    sparse_softmax_cross_entropy,
)
from chainrule.engine.operations.reductions import (
    argmax,
    argmin,
    log_softmax,
    max,
    mean,
    min,
    softmax,
    sum,
)
from chainrule.engine.operations.shapes import (
    broadcast_to,
    concat,
    expand_dims,
    matrix_transpose,
    permute_dims,
    reshape,
    squeeze,
    stack,
    take_along_axis,
)
from chainrule.engine.random import seed
from chainrule.engine.record import elementwise, operation
from chainrule.engine.tape import enable_grad, is_recording, no_grad
from chainrule.engine.tensor import Tensor
from chainrule.engine.transforms import grad, value_and_grad

if TYPE_CHECKING:
    from chainrule import callbacks, datasets, layers, losses, metrics, models, optim

    __version__: str

_SUBMODULES = ("callbacks", "datasets", "layers", "losses", "metrics", "models", "optim")


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"chainrule.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("chainrule")
    raise AttributeError(f"module 'chainrule' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "DeviceError",
    "DtypeError",
    "GradientError",
    "ShapeError",
    "Tensor",
    "__version__",
    "abs",
    "add",
    "arange",
    "argmax",
    "argmin",
    "astype",
    "broadcast_to",
    "callbacks",
    "clip",
    "concat",
    "cos",
    "cross_entropy",
    "datasets",
    "default_dtype",
    "devices",
    "divide",
    "elementwise",
    "enable_grad",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "full",
    "full_like",
    "grad",
    "greater",
    "greater_equal",
    "is_recording",
    "isfinite",
    "kernels",
    "layers",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "log_softmax",
    "logical_not",
    "losses",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "metrics",
    "min",
    "minimum",
    "models",
    "multiply",
    "negative",
    "no_grad",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "operation",
    "optim",
    "permute_dims",
    "positive",
    "power",
    "random",
    "relu",
    "reshape",
    "seed",
    "set_default_dtype",
    "sigmoid",
    "sigmoid_cross_entropy",
    "sign",
    "sin",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "sparse_softmax_cross_entropy",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "take_along_axis",
    "tanh",
    "tensor",
    "value_and_grad",
    "where",
    "zeros",
    "zeros_like",
]
