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
from .attention import MultiHeadAttention
from .batch_normalization import BatchNormalization
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
from .layer_normalization import LayerNormalization
from .normalization import Normalization
from .positions import LearnedPositions, SinusoidalPositions
from .regularizers import L1, L1L2, L2, REGULARIZERS, Regularizer, get_regularizer
from .transformer import TransformerDecoderBlock, TransformerEncoderBlock

__all__ = [
    "ACTIVATIONS",
    "INITIALIZERS",
    "L1",
    "L1L2",
    "L2",
    "LAYERS",
    "REGULARIZERS",
    "Activation",
    "BatchNormalization",
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
    "LayerNormalization",
    "LearnedPositions",
    "LecunNormal",
    "LecunUniform",
    "MultiHeadAttention",
    "Normalization",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "ReLU",
    "Regularizer",
    "Sigmoid",
    "SinusoidalPositions",
    "Softmax",
    "Tanh",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "TruncatedNormal",
    "Zeros",
    "from_config",
    "get_activation",
    "get_initializer",
    "get_regularizer",
]
