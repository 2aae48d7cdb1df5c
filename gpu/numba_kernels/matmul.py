"""The product of two matrices, tile by tile, as in kernels/matmul.cu."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

TILE, PART = 32, 4
STEP = TILE // PART


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""

    @cuda.jit
    def tiled_matmul(a, b, c, rows, inner, columns):
        """A block has a tile of c, and each of its 256 threads four entries of one column."""
        left = cuda.shared.array((TILE, TILE), real)
        right = cuda.shared.array((TILE, TILE), real)
        sums = cuda.local.array(PART, real)
        lane, first = cuda.threadIdx.x % TILE, cuda.threadIdx.x // TILE
        across = (columns + TILE - 1) // TILE
        tiles = (rows + TILE - 1) // TILE * across
        for tile in range(cuda.blockIdx.x, tiles, cuda.gridDim.x):
            top, column = tile // across * TILE + first, tile % across * TILE + lane
            for part in range(PART):
                sums[part] = real(0)
            for start in range(0, inner, TILE):
                for part in range(PART):
                    place = first + part * STEP
                    row = top + part * STEP
                    left[place, lane] = real(0)
                    if row < rows and start + lane < inner:
                        left[place, lane] = a[row * inner + start + lane]
                    right[place, lane] = real(0)
                    if start + place < inner and column < columns:
                        right[place, lane] = b[(start + place) * columns + column]
                cuda.syncthreads()
                for l in range(TILE):  # noqa: E741 (as in the formula)
                    number = right[l, lane]
                    for part in range(PART):
                        sums[part] += left[first + part * STEP, l] * number
                cuda.syncthreads()
            for part in range(PART):
                row = top + part * STEP
                if row < rows and column < columns:
                    c[row * columns + column] = sums[part]

    return {"tiled_matmul": tiled_matmul}
