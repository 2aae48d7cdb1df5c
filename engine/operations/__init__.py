"""The operation table: importing it defines every operation and attaches the Tensor's methods."""

from . import elementwise, linalg, losses, methods, reductions, shapes

__all__ = ["elementwise", "linalg", "losses", "methods", "reductions", "shapes"]
