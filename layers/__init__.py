"""Layers: the parts that models are put together from, by Keras's names."""

from .activations import (
    ACTIVATIONS,
    Activation,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    get_activation,
)
from .dense import Dense
from .dropout import Dropout
from .flatten import Flatten
from .initializers import (
    INITIALIZERS,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Zeros,
    get_initializer,
)
from .layer import LAYERS, Layer, from_config
from .normalization import Normalization
from .regularizers import L1, L1L2, L2, REGULARIZERS, Regularizer, get_regularizer

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "L1",
    "L1L2",
    "L2",
    "LAYERS",
    "REGULARIZERS",
    "Activation",
    "Constant",
    "Dense",
    "Dropout",
    "Flatten",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Layer",
    "LecunNormal",
    "LecunUniform",
    "Normalization",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "ReLU",
    "Regularizer",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TruncatedNormal",
    "Zeros",
    "from_config",
    "get_activation",
    "get_initializer",
    "get_regularizer",
]
