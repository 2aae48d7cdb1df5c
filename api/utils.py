"""What Keras has in its `utils`, for arrays: padding and one-hot targets."""

from chainrule.training.sequences import pad_sequences, to_categorical

__all__ = ["pad_sequences", "to_categorical"]
