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
from .bidirectional import Bidirectional
from .dense import Dense
from .dropout import Dropout
from .embedding import Embedding, Masking
from .flatten import Flatten
from .gated import GRU, LSTM
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
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Zeros,
    get_initializer,
)
from .layer import LAYERS, Layer, from_config
from .normalization import Normalization
from .recurrent import SimpleRNN
from .regularizers import L1, L1L2, L2, REGULARIZERS, Regularizer, get_regularizer

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "INITIALIZERS",
    "L1",
    "L1L2",
    "L2",
    "LAYERS",
    "LSTM",
    "REGULARIZERS",
    "Activation",
    "Bidirectional",
    "Constant",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Layer",
    "LecunNormal",
    "LecunUniform",
    "Masking",
    "Normalization",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "ReLU",
    "Regularizer",
    "Sigmoid",
    "SimpleRNN",
    "Softmax",
    "Tanh",
    "TruncatedNormal",
    "Zeros",
    "from_config",
    "get_activation",
    "get_initializer",
    "get_regularizer",
]
