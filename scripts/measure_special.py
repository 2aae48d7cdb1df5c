"""Measures the errors of erf and erfc against mpmath, in units in the last place.

Usage: python scripts/measure_special.py [points]; on both signs, among and between the points of
the tables, and for numbers of every size.
"""

from __future__ import annotations

import sys

import mpmath
import numpy as np

from chainrule.engine.devices import get_device
from chainrule.engine.kernels.special import DENSITY, ERFC_END


def samples(count: int, dtype: type) -> np.ndarray:
    """Numbers among which are denormal and huge ones, points of the tables and middles between."""
    rng, about = np.random.default_rng(0), np.finfo(dtype)
    table = np.arange(0, ERFC_END, 1 / (2 * DENSITY))
    sizes = np.exp(rng.uniform(np.log(about.tiny), np.log(100.0), count))
    tiny = [about.smallest_subnormal, 3 * about.smallest_subnormal, about.tiny, 1e30]
    parts = [rng.uniform(0, 1, count), rng.uniform(0, 6, count), rng.uniform(0, 28, count)]
    found = np.concatenate([*parts, sizes, table, np.nextafter(table, 9), tiny, [0.0]])
    return np.concatenate([found, -found]).astype(dtype)


def errors(function: str, x: np.ndarray) -> tuple[float, float]:
    """The largest error in units of the exact value's last place, and where."""
    got = getattr(get_device("cpu").sets["reference"], function)(x)
    worst, where = 0.0, 0.0
    for value, at in zip(got.tolist(), x.tolist(), strict=True):
        exact = getattr(mpmath, function)(mpmath.mpf(at))
        unit = float(np.spacing(np.abs(x.dtype.type(exact))))
        error = float(abs(mpmath.mpf(value) - exact) / unit)
        if error > worst:
            worst, where = error, at
    return worst, where


def main() -> None:
    """Prints a line for each function and dtype."""
    mpmath.mp.prec = 140
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for function in ("erf", "erfc"):
        for dtype in (np.float64, np.float32):
            worst, where = errors(function, samples(count, dtype))
            print(f"{function:5} {dtype.__name__}: {worst:.3f} at {where!r}", flush=True)


if __name__ == "__main__":
    main()
