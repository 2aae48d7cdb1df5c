"""Callbacks: what is called at the start and the end of training, epochs and batches."""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.best import ModelCheckpoint
from chainrule.training.callbacks import Callback, LambdaCallback
from chainrule.training.csv_log import CSVLogger
from chainrule.training.history import History
from chainrule.training.rates import LearningRateScheduler, ReduceLROnPlateau
from chainrule.training.stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "CSVLogger",
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
    "BackupAndRestore": "give fit checkpoint=folder, and resume=True to take a run up again",
    "RemoteMonitor": "LambdaCallback(on_epoch_end=function) calls a function of yours",
    "LearningRateMonitor": "the history has the learning rate, where a callback sets it",
    "ProgbarLogger": "fit shows a progress line by itself: verbose=1",
    "TensorBoard": "CSVLogger writes each epoch's values to a file, and fit returns a History",
}

__getattr__ = names_elsewhere("chainrule.callbacks", _KERAS)
