"""A product of matrices by our own kernel, to learn from: the engine's go to cuBLAS or the BLAS."""

from __future__ import annotations

from typing import Any

from chainrule.engine.errors import DtypeError, ShapeError, describe

from ..table import I32, INSTANCES, REAL, entry, reads, scalar, writes
from ..windows import LARGEST

#: Rows and columns of the part of the product that a block computes at once.
TILE = 32

tiled_matmul_entry = entry(
    "matmul",
    "tiled_matmul",
    reads("a", REAL, "rows * inner"),
    reads("b", REAL, "inner * columns"),
    writes("c", REAL, "rows * columns"),
    scalar("rows", I32),
    scalar("inner", I32),
    scalar("columns", I32),
    block=256,
)


def tiled_matmul(k: Any, a: Any, b: Any) -> Any:
    """The product of two matrices, c[i, j] = Σ_l a[i, l] b[l, j], summed along l in order.

    Arguments: `k`, a kernel set of a GPU or of the emulator; `a`, (rows, inner), and `b`,
    (inner, columns), arrays of its device, both float32 or both float64.

    Raises ShapeError, DtypeError for arrays that do not fit.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ShapeError(
            "tiled_matmul: a must be (rows, inner) and b (inner, columns), got a with "
            f"{describe(a)}, b with {describe(b)}"
        )
    if a.dtype != b.dtype or str(a.dtype) not in INSTANCES:
        raise DtypeError(
            "tiled_matmul: a and b must both be float32, or float64, got a with "
            f"{describe(a)}, b with {describe(b)}; convert with .astype('float32')"
        )
    (rows, inner), columns = a.shape, b.shape[1]
    if 0 in (rows, inner, columns):
        return k.xp.zeros((rows, columns), dtype=a.dtype)
    c = k.xp.empty((rows, columns), dtype=a.dtype)
    a, b = k.xp.ascontiguousarray(a), k.xp.ascontiguousarray(b)
    tiles = -(-rows // TILE) * -(-columns // TILE)
    tiled_matmul_entry(k, a, b, c, rows, inner, columns, grid=min(tiles, LARGEST))
    return c


REPLACES: tuple[str, ...] = ()
