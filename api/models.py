"""Models: `Sequential`, a stack of layers, and `Model`, the base of any other."""

from chainrule.engine.habits import names_elsewhere
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential
from chainrule.training.stored import load_model

__all__ = ["Model", "Sequential", "load_model"]

#: What Keras has under these names, and what it is here.
_KERAS = {
    "Functional": "write a class with layers in __init__ and a call(self, x) that connects them",
    "Module": "derive from Model, and call the method call(self, x)",
    "Input": "the first input builds a model, or model.build((None, 28, 28, 1))",
    "save_model": "call model.save(path)",
    "clone_model": "copy.deepcopy(model) has the same weights, cr.layers.from_config("
    "model.to_config()) none yet",
    "model_from_json": "write cr.layers.from_config(json.loads(text)), text being "
    "json.dumps(model.to_config())",
}

__getattr__ = names_elsewhere("chainrule.models", _KERAS)
