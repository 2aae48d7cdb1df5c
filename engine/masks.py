"""Masks: which steps of a padded sequence are real.

A mask travels with the Tensor from layer to layer, as in Keras. It is an array of booleans of shape
(batch, time), True where there is something. Operations know nothing of it: what they return has
none, and it is for layers to say what becomes of it.
"""

from __future__ import annotations

from typing import Any

from .tensor import Tensor, wrap


def mask_of(x: Any) -> Any:
    """The mask that a Tensor carries: an array of booleans, or None.

    >>> import chainrule as cr
    >>> mask_of(cr.tensor([[1.0, 0.0]])) is None
    True
    """
    return getattr(x, "_mask", None)


def with_mask(x: Tensor, mask: Any) -> Tensor:
    """The same Tensor under another handle, which carries the mask.

    >>> import chainrule as cr
    >>> x = cr.tensor([[1.0, 0.0]])
    >>> mask_of(with_mask(x, [[True, False]])), mask_of(x)
    ([[True, False]], None)
    """
    other = wrap(x._data, x._device, x._node, x._storage)
    if mask is not None:
        other._mask = mask
    return other
