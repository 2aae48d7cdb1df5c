"""Models: `Sequential`, a stack of layers, and `Model`, the base of any other."""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

__all__ = ["Model", "Sequential"]

#: What Keras has under these names, and what it is here.
_KERAS = {
    "Functional": "write a class with layers in __init__ and a call(self, x) that connects them",
    "load_model": "make the model as before, build it, and call model.load_weights(path)",
    "save_model": "call model.save_weights(path)",
    "clone_model": "use Sequential.from_config(model.get_config())",
}

__getattr__ = names_elsewhere("chainrule.models", _KERAS)
