"""What the processor of this machine has: vector registers."""

from __future__ import annotations

import functools
from typing import NamedTuple


class Tile(NamedTuple):
    """The block of a matrix product that is kept in registers.

    Attributes: `rows` of the block; `vectors` in a row; `width` of a vector in bytes. The block,
    a row of vectors and one number more must fit in the registers.
    """

    rows: int
    vectors: int
    width: int

    def lanes(self, itemsize: int) -> int:
        """How many numbers of that many bytes are in a vector."""
        return self.width // itemsize


@functools.cache
def tile() -> Tile | None:
    """The block that suits this machine; None if its products are better left to NumPy's BLAS.

    Measured in GFLOP/s on one core of a Zen 5 (float32, 32×480 times 500): 264 with 8 rows of 3
    vectors of 512 bits, 267 with 12 of 2, 266 with 6 of 4, 192 with 4 of 3. NumPy's OpenBLAS gives
    175 there, MKL, in PyTorch, 97.
    """
    import llvmlite.binding
    import numba

    config = numba.config
    if config.CPU_FEATURES is not None:  # somebody compiles for another processor
        features = {each[1:]: each[0] == "+" for each in config.CPU_FEATURES.split(",") if each}
    elif config.CPU_NAME is not None:
        return None
    else:
        features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("fma"):
        return Tile(rows=8, vectors=3, width=64)
    if features.get("avx2") and features.get("fma"):
        return Tile(rows=4, vectors=3, width=32)
    if features.get("neon") or features.get("fp-armv8"):
        return Tile(rows=8, vectors=3, width=16)
    return None
