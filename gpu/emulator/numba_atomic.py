"""Atomic operations of emulated Numba kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Atomic:
    """Operations that read and write one element in one step, and give what it held before."""

    def __init__(self, language: Any) -> None:
        self._language = language

    def _update(self, array: Any, index: Any, new: Callable[[Any], Any]) -> Any:
        array, index = self._language.run.touch_atomically(array, index)
        old = array[index]
        array[index] = new(old)
        return old

    def add(self, array: Any, index: Any, value: Any) -> Any:
        """Adds."""
        return self._update(array, index, lambda old: old + value)

    def sub(self, array: Any, index: Any, value: Any) -> Any:
        """Subtracts."""
        return self._update(array, index, lambda old: old - value)

    def max(self, array: Any, index: Any, value: Any) -> Any:
        """Keeps the greater one; a NaN there stays, a NaN given is passed over."""
        return self._update(array, index, lambda old: value if value > old else old)

    def min(self, array: Any, index: Any, value: Any) -> Any:
        """Keeps the smaller one; a NaN there stays, a NaN given is passed over."""
        return self._update(array, index, lambda old: value if value < old else old)

    def exch(self, array: Any, index: Any, value: Any) -> Any:
        """Stores."""
        return self._update(array, index, lambda old: value)

    def cas(self, array: Any, index: Any, old: Any, value: Any) -> Any:
        """Stores the value where the element equals `old`."""
        return self._update(array, index, lambda held: value if held == old else held)

    def inc(self, array: Any, index: Any, value: Any) -> Any:
        """Counts up, and from `value` on to 0."""
        return self._update(array, index, lambda old: 0 if old >= value else old + 1)

    def and_(self, array: Any, index: Any, value: Any) -> Any:
        """Bitwise and."""
        return self._update(array, index, lambda old: old & value)

    def or_(self, array: Any, index: Any, value: Any) -> Any:
        """Bitwise or."""
        return self._update(array, index, lambda old: old | value)

    def xor(self, array: Any, index: Any, value: Any) -> Any:
        """Bitwise exclusive or."""
        return self._update(array, index, lambda old: old ^ value)
