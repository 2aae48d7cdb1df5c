"""Callbacks: what is called at the start and the end of training, epochs and batches."""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.best import ModelCheckpoint
from chainrule.training.callbacks import Callback, LambdaCallback
from chainrule.training.history import History
from chainrule.training.rates import LearningRateScheduler, ReduceLROnPlateau
from chainrule.training.stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

#: What Keras has under these names, and what it is here.
_KERAS = {
    "CSVLogger": "fit returns a History, whose history is a dict of lists",
    "TensorBoard": "fit returns a History, whose history is a dict of lists",
}

__getattr__ = names_elsewhere("chainrule.callbacks", _KERAS)
