"""Models: `Sequential`, a stack of layers, and `Model`, the base of any other."""

from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

__all__ = ["Model", "Sequential"]
