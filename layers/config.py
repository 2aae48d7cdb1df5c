"""What a layer or an initialiser was made with: its constructor arguments, as plain data."""

from __future__ import annotations

from chainrule.engine import configured
from chainrule.engine.configured import plain

from .habits import ARGUMENTS

__all__ = ["Configured", "plain"]


class Configured(configured.Configured):
    """Something that keeps each constructor argument in an attribute of the same name.

    An argument that Keras or PyTorch has and that is not here is told what stands for it.
    """

    elsewhere = ARGUMENTS
