"""The operation table: importing it defines every operation and attaches the Tensor's methods."""

from . import (
    activations,
    arithmetic,
    choices,
    comparisons,
    cumulative,
    exponentials,
    indexing,
    joining,
    linalg,
    losses,
    margins,
    matrices,
    norms,
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
    "joining",
    "linalg",
    "losses",
    "margins",
    "matrices",
    "methods",
    "norms",
    "reductions",
    "shapes",
    "sorting",
    "trigonometry",
]
