"""Dropout, four words of Philox a thread; see `kernels/dropout.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    zero = real(0)

    @cuda.jit(device=True)
    def kept(x: Any, word: Any, scale: Any, threshold: Any) -> Any:
        return x * scale if word >= threshold else zero

    @cuda.jit
    def dropout_forward(
        x: Any, y: Any, size: Any, scale: Any, threshold: Any, key: Any, first: Any
    ) -> None:
        low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
        for i in range(cuda.grid(1), (size + 3) // 4, cuda.gridsize(1)):
            number = first + np.uint64(i)
            a, b, c, d = number & low, number >> high, np.uint64(0), np.uint64(0)
            k0, k1 = key & low, key >> high
            for _ in range(10):
                left, right = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
                a, c = (right >> high) ^ b ^ k0, (left >> high) ^ d ^ k1
                b, d = right & low, left & low
                k0 = (k0 + np.uint64(0x9E3779B9)) & low
                k1 = (k1 + np.uint64(0xBB67AE85)) & low
            j = 4 * i
            y[j] = kept(x[j], a, scale, threshold)
            if j + 1 < size:
                y[j + 1] = kept(x[j + 1], b, scale, threshold)
            if j + 2 < size:
                y[j + 2] = kept(x[j + 2], c, scale, threshold)
            if j + 3 < size:
                y[j + 3] = kept(x[j + 3], d, scale, threshold)

    return {"dropout_forward": dropout_forward}
