"""Adding up and choosing among values that meet at one place, on devices without an order.

NumPy adds one value after the other. On a GPU threads would meet at a place in any order, and with
atomic additions the rounding would differ from run to run. Here the values are sorted by place
(stably), and values of one place are added up in a tree: step 1 adds neighbours, step 2 the sums
of two, and so on, as long as both are of the same place. In the end the last value of each place
holds the sum of all. The same numbers give the same bits, and nothing waits for the host.
"""

from __future__ import annotations

from typing import Any


def summed(xp: Any, values: Any, places: Any, count: int) -> Any:
    """The sums of the values at each of `count` places; 0 where there are none.

    Arguments: `values` and `places` (integers from 0 to count - 1), 1-d, of one length.

    >>> import numpy as np
    >>> summed(np, np.array([1.0, 2.0, 4.0]), np.array([2, 0, 2]), 3)
    array([2., 0., 5.])
    """
    sums, places, last = _sorted(xp, values, places, count)
    step = 1
    while step < sums.size:
        same = places[step:] == places[:-step]
        added = sums[step:] + xp.where(same, sums[:-step], 0)
        sums = xp.concatenate([sums[:step], added])
        step *= 2
    result = xp.zeros(count + 1, dtype=values.dtype)
    result[last] = sums
    return result[:count]


def placed(xp: Any, base: Any, values: Any, places: Any) -> Any:
    """`base`, 1-d, with values at places: of those that meet at one place the last.

    >>> import numpy as np
    >>> placed(np, np.zeros(3), np.array([1.0, 2.0, 4.0]), np.array([2, 0, 2]))
    array([2., 0., 4.])
    """
    values, _, last = _sorted(xp, values, places, base.size)
    result = xp.concatenate([base, xp.zeros(1, dtype=base.dtype)])
    result[last] = values
    return result[:-1]


def _sorted(xp: Any, values: Any, places: Any, count: int) -> tuple[Any, Any, Any]:
    """Values and places, sorted by place; and the place of the last value of each, or `count`.

    The place `count`, where all others go, is one that nobody reads.
    """
    order = xp.argsort(places, kind="stable")
    values, places = values[order], places[order]
    if not places.size:
        return values, places, places
    end = xp.ones(1, dtype=bool)
    last = xp.concatenate([places[1:] != places[:-1], end])
    return values, places, xp.where(last, places, count)
