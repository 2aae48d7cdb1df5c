"""Numbers in emulated Numba kernels behave as in compiled ones."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest

from chainrule.gpu.emulator.numba_language import cuda
from chainrule.gpu.emulator.numba_numbers import compiled, number

pytest.importorskip("greenlet")


def test_bits_and_rounding_are_those_of_the_gpu():
    @cuda.jit
    def bits(y: Any, z: Any) -> None:
        y[0], y[1], y[2] = cuda.popc(255), cuda.clz(1), cuda.ffs(8)
        y[3], y[4] = cuda.popc(-1), cuda.ffs(0)
        y[5] = cuda.brev(np.uint32(1))
        y[6] = cuda.selp(y[0] > 0, 1, 2)
        z[0] = cuda.fma(np.float32(1 + 2**-12), np.float32(1 + 2**-12), np.float32(-1))
        z[1] = cuda.cbrt(np.float32(27))

    y, z = np.empty(7, np.int64), np.empty(2, np.float32)
    bits[1, 1](y, z)
    assert y.tolist() == [8, 31, 4, 32, 0, 2**31, 1]
    assert z[0] == 2**-11 + 2**-24
    assert z[1] == pytest.approx(3, rel=1e-6)


@pytest.mark.parametrize("name", ["uint64", "uint32", "uint8", "int64", "int32"])
def test_integers_follow_the_rules_of_numba(name: str):
    def compute(a: Any, b: Any, i: Any) -> Any:
        first = (a + b, a * b, a - b, a + i, a * i, a - i, a & i, a | i, a ^ i, a >> 3, a << 5)
        second = (~a, -a, a // b, a % b, a // i, a % i, i // a, i % a, i - a, a / b, a > i)
        third = (np.uint32(a), np.int32(a), np.uint8(i), np.uint64(i), np.uint32(i), a == i)
        return (*first, *second, *third, min(a, b), max(i, 3), abs(i), i << 2, i >> 1)

    kind = np.dtype(name).type
    most = np.iinfo(kind).max if name != "int64" else 2**31 - 1
    by_numba, emulated = numba.njit(compute), compiled(compute)
    for a, b, i in [(250 % most, 7, -3), (most, most - 3, 5), (3, most, -(2**40)), (2, most, 1)]:
        arguments = (kind(a), kind(b), np.int64(i))
        assert by_numba(*arguments) == emulated(*map(number, arguments))


def test_warnings_of_numpy_do_not_escape():
    @cuda.jit
    def noisy(y: Any) -> None:
        y[0] = np.float32(3e38) * np.float32(10)
        y[1] = np.float32(np.inf) - np.float32(np.inf)
        cuda.syncthreads()
        y[2] = np.float64(1e300)

    y = np.empty(3, np.float32)
    noisy[1, 1](y)
    assert y[0] == np.inf and np.isnan(y[1]) and y[2] == np.inf


def test_mathematics_is_that_of_cuda():
    @cuda.jit
    def compute(y: Any) -> None:
        y[0] = math.exp(np.float32(1000))
        y[1] = max(np.float32(np.nan), np.float32(2))
        y[2] = np.float32(1) / np.float32(0)
        y[3] = math.log(np.float32(0))
        y[4] = np.uint32(np.uint32(0xFFFFFFFF) + np.uint32(2))

    y = np.empty(5, np.float32)
    compute[1, 1](y)
    assert y.tolist() == [math.inf, 2, math.inf, -math.inf, 1]
