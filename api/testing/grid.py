"""Numbers to draw from: simple ones inside a domain, off its ends and off kinks."""

from __future__ import annotations

import functools
import math

import numpy as np

#: How far numbers stay from kinks and from the ends of a domain, where slopes may be infinite.
MARGIN = 0.125


@functools.lru_cache(1024)
def simple_numbers(low: float, high: float, kinks: tuple[float, ...], count: int) -> list[float]:
    """At least `count` numbers of a grid in an interval, the simplest first.

    They stay `MARGIN` (of a short interval, less) from its ends and from the kinks, and are
    multiples of 1/8, or of a smaller power of two if there are not enough of those.

    >>> simple_numbers(0.1, 5.0, (), 5)[:5]
    [1.0, 2.0, 3.0, 4.0, 0.5]
    """
    margin = min(MARGIN, (high - low) / 8)
    step = 0.125
    while True:
        grid = step * np.arange(math.ceil((low + margin) / step), (high - margin) / step + 1e-9)
        far = [x for x in grid.tolist() if all(abs(x - kink) >= margin for kink in kinks)]
        if len(far) >= count:
            break
        step /= 2
    return sorted(far, key=lambda x: (x.as_integer_ratio()[1], abs(x), x < 0))
