"""Philox 4x32-10 (Salmon et al. 2011), random words by number, and dropout, which is made of them.

Word n of a key is a function of n and the key alone: four words at a time, by ten rounds over a
counter of four words, of which the first two hold n // 4 and the others are 0. So any part of a
mask can be made anywhere, in any order, on every device, and made again for the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import reference

#: The multipliers, and what is added to the two words of the key from round to round.
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_LOW = 0xFFFFFFFF


def words(xp: Any, key: int, first: int, count: int) -> Any:
    """The words number first, first + 1, ... of a key: `count` of uint32; `first` is 4 n.

    >>> [hex(each) for each in words(np, 0, 0, 4)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    block = xp.arange(first // 4, first // 4 + -(-count // 4), dtype=np.uint64)
    low = np.uint64(_LOW)
    half = np.uint64(32)
    a, b = block & low, block >> half
    c, d = xp.zeros_like(block), xp.zeros_like(block)
    k0, k1 = key & _LOW, key >> 32
    for _ in range(ROUNDS):
        left, right = a * np.uint64(MULTIPLIERS[0]), c * np.uint64(MULTIPLIERS[1])
        a, c = (right >> half) ^ b ^ np.uint64(k0), (left >> half) ^ d ^ np.uint64(k1)
        b, d = right & low, left & low
        k0, k1 = (k0 + STEPS[0]) & _LOW, (k1 + STEPS[1]) & _LOW
    return xp.stack([a, b, c, d], axis=-1).reshape(-1)[:count].astype(np.uint32)


def threshold(rate: float) -> int:
    """Words below this are dropped: a share `rate` of them, to 1 in 4,294,967,296."""
    return min(round(rate * 2**32), 2**32 - 1)


@reference
def dropout(xp: Any, x: Any, rate: float, key: int, first: int) -> Any:
    """x / (1 - rate), but 0 where the word that belongs to the element is below the threshold."""
    kept = words(xp.xp, key, first, x.size).reshape(x.shape) >= np.uint32(threshold(rate))
    return xp.where(kept, x * (1 / (1 - rate)), 0)
