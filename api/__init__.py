"""chainrule: a deep-learning engine in which every gradient that runs is the one on the page."""

from __future__ import annotations

from typing import Any

from chainrule import engine as _engine  # defines the operations
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
