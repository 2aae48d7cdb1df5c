"""The kernels: computations worth writing more than once. Here are their references.

A reference is a function of `(xp, *arguments)` in plain array code, where `xp` is a namespace of
array functions; it runs on arrays of every device, and (unless it writes in place) on Tensors.
Modules named `numba_*` (compiled by Numba) and `strided_*` (views of NumPy's) hold faster versions
for the CPU, loaded when they are first used.
"""

from . import (
    activations,
    affine,
    arrays,
    attention,
    contractions,
    convolutions,
    division,
    elementwise,
    extremes,
    losses,
    matrices,
    normalizations,
    optimizers,
    philox,
    pooling,
    recurrent,
    special,
)

__all__ = [
    "activations",
    "affine",
    "arrays",
    "attention",
    "contractions",
    "convolutions",
    "division",
    "elementwise",
    "extremes",
    "losses",
    "matrices",
    "normalizations",
    "optimizers",
    "philox",
    "pooling",
    "recurrent",
    "special",
]
