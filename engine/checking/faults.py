"""What a wrong gradient looks like: a sign, a factor, a transposition, another input's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .differences import Array

#: Two numbers are taken for equal, when a fault is named, if they agree in five digits.
ALIKE = 1e-5


def alike(a: Array, b: Array) -> bool:
    """Are they equal, to what is needed to recognise a fault?

    >>> alike(np.array([1.0, 2.0]), np.array([1.0, 2.000001]))
    True
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not np.all(np.isfinite(a)):
        return False
    scale = float(np.max(np.abs(b), initial=0.0))
    return bool(np.all(np.abs(a - b) <= ALIKE * scale))


def meaning(
    got: Array,
    expected: Mapping[tuple[int, ...], float],
    wrong: int | None,
    upstream: Array | None,
    others: Mapping[str, Array],
    counts: Sequence[int],
) -> str | None:
    """In words, what the fault is; None if it looks like nothing that is known.

    Arguments: `got`, the gradient of one input; `expected`, some of its entries by their index;
    `wrong`, how many entries are wrong, if that is known; `upstream`, of the result; `others`, the
    gradients that other inputs got; `counts`, lengths that may come in as a factor.

    >>> x = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> right = {(0, 1): 2.0, (1, 0): 3.0, (1, 1): 5.0}
    >>> meaning(-x, right, None, None, {}, []), meaning(x.T, right, None, None, {}, [])
    ('the sign is wrong', 'it is transposed')
    >>> meaning(2 * x, right, None, None, {}, [])
    'a factor 2 too large'
    """
    places = [*expected]
    right = np.array([expected[each] for each in places])
    here = np.array([got[each] for each in places])
    if not np.all(np.isfinite(here)):
        return "it is not finite"
    if not np.any(got) and np.any(right):
        return "the whole gradient is zero: a VJP that gives zeros, or a branch that is detached"
    if wrong == 1 and got.size > 1:
        return "only this entry is wrong"
    if len(places) > 1 and got.ndim == 2 and got.shape[0] == got.shape[1]:
        turned = np.array([got[each[::-1]] for each in places])
        if alike(turned, right):
            return "it is transposed"
    for label, other in others.items():
        if other.shape == got.shape and alike(np.array([other[each] for each in places]), right):
            return f"it is what {label} got: the two are swapped"
    if upstream is not None and upstream.shape == got.shape and alike(got, upstream):
        return "it is the upstream gradient itself: the local derivative is missing"
    clear = np.abs(right) > ALIKE * np.max(np.abs(right), initial=0.0)
    if not np.any(clear):
        return None
    ratios = here[clear] / right[clear]
    ratio = float(np.median(ratios))
    if not np.all(np.abs(ratios - ratio) <= ALIKE * max(1.0, abs(ratio))):
        return None
    if len(ratios) < 2 and got.size > 1:
        return None
    return _factor(ratio, counts)


def _factor(ratio: float, counts: Sequence[int]) -> str | None:
    """What a constant ratio of got to expected says."""
    if abs(ratio + 1) <= ALIKE:
        return "the sign is wrong"
    sign = " and the sign is wrong" if ratio < 0 else ""
    size = abs(ratio)
    for count in counts:
        if count > 2 and abs(size - count) <= ALIKE * count:
            return f"a factor {count}, the length of an axis, too large: a mean taken for a sum?"
        if count > 2 and abs(size * count - 1) <= ALIKE:
            return f"a factor {count}, the length of an axis, too small: a sum taken for a mean?"
    if size < ALIKE or abs(size - 1) <= ALIKE:
        return None
    if size > 1:
        return f"a factor {size:.6g} too large{sign}"
    return f"a factor {1 / size:.6g} too small{sign}"
