"""Callbacks: what is called at the start and the end of training, epochs and batches."""

from chainrule.training.callbacks import Callback, LambdaCallback
from chainrule.training.history import History

__all__ = ["Callback", "History", "LambdaCallback"]
