"""Layers: the parts that models are put together from, by Keras's names."""

from chainrule.engine.habits import names_elsewhere

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
from .bidirectional import Bidirectional
from .convolution import Conv1D, Conv2D
from .dense import Dense
from .dropout import Dropout
from .embedding import Embedding, Masking
from .flatten import Flatten
from .gated import GRU, LSTM
from .habits import LAYERS_ELSEWHERE
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
from .layer_normalization import LayerNormalization
from .merging import Add, Concatenate
from .normalization import Normalization
from .pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from .positions import LearnedPositions, SinusoidalPositions
from .recurrent import SimpleRNN
from .regularizers import L1, L1L2, L2, REGULARIZERS, Regularizer, get_regularizer
from .reshaping import Reshape, ZeroPadding2D
from .transformer import TransformerDecoderBlock, TransformerEncoderBlock

#: Shorter names of the same layers, as in Keras.
AvgPool1D, AvgPool2D = AveragePooling1D, AveragePooling2D
MaxPool1D, MaxPool2D = MaxPooling1D, MaxPooling2D

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
    "Add",
    "AveragePooling1D",
    "AveragePooling2D",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Constant",
    "Conv1D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
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
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MultiHeadAttention",
    "Normalization",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "ReLU",
    "Regularizer",
    "Reshape",
    "Sigmoid",
    "SimpleRNN",
    "SinusoidalPositions",
    "Softmax",
    "Tanh",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
    "TruncatedNormal",
    "ZeroPadding2D",
    "Zeros",
    "from_config",
    "get_activation",
    "get_initializer",
    "get_regularizer",
]

__getattr__ = names_elsewhere("chainrule.layers", LAYERS_ELSEWHERE)
