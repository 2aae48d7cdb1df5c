"""What Keras has in its `utils`, padding and one-hot targets; and PyTorch's layout of weights."""

from chainrule.training.sequences import pad_sequences, to_categorical
from chainrule.training.torch_layout import from_torch_weights, to_torch_weights

__all__ = ["from_torch_weights", "pad_sequences", "to_categorical", "to_torch_weights"]
