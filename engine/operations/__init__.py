"""The operation table: importing it defines every operation and attaches the Tensor's methods."""

from . import (
    activations,
    arithmetic,
    choices,
    comparisons,
    cumulative,
    exponentials,
    indexing,
    linalg,
    losses,
    matrices,
    reductions,
    shapes,
    sorting,
    trigonometry,
)
from . import methods as methods  # last: it attaches what the others define

__all__ = [
    "activations",
    "arithmetic",
    "choices",
    "comparisons",
    "cumulative",
    "exponentials",
    "indexing",
    "linalg",
    "losses",
    "matrices",
    "methods",
    "reductions",
    "shapes",
    "sorting",
    "trigonometry",
]
