"""What is done for operations whose code is not ours: it may return anything, and share memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import DtypeError, GradientError, describe
from .placing import on_device
from .tensor import is_array


def pair(name: str, result: tuple[Any, ...]) -> tuple[Any, Any]:
    """What a forward function returned, if it is (result, residuals).

    Raises DtypeError for a tuple of another length.
    """
    if len(result) != 2:
        raise DtypeError(
            f"{name}: forward must return the result, or a pair (result, residuals), got a tuple "
            f"of {len(result)}; several results are for cr.composition, several residuals for a "
            "tuple in second place"
        )
    return result


def widened(name: str, arrays: Sequence[Any]) -> list[Any]:
    """Arguments of booleans and bytes, of which NumPy makes float16, as float64.

    Raises DtypeError if there are others: then the operation itself made float16 of them.
    """
    kinds = [(each if is_array(each) else np.asarray(each)).dtype.kind for each in arrays]
    if all(kind == "f" for kind in kinds):
        raise DtypeError(
            f"{name}: the result is of float16, whose sums and squares overflow or vanish; let "
            "forward compute in the dtype of its arguments"
        )
    return [each * 1.0 for each in arrays]


def held(value: Any) -> bool:
    """Is it a raw array, of whichever device?"""
    return isinstance(value, np.ndarray) or on_device(value)


def unshared(result: Any, residuals: Any, arrays: Sequence[Any]) -> tuple[Any, Any]:
    """Result and residuals, copied where they share memory that somebody else may change."""

    def copied(value: Any, others: Sequence[Any]) -> Any:
        if isinstance(value, (tuple, list)):
            return type(value)([copied(each, others) for each in value])
        shared = held(value) and any(
            held(each) and np.may_share_memory(value, each)  # CuPy's own, for its arrays
            for each in others
        )
        return value.copy() if shared else value

    result = copied(result, arrays)
    return result, copied(residuals, [result, *arrays])


def kept(name: str, argument: str, value: Any) -> Any:
    """A static argument as it is now: what a caller later changes in it reaches no gradient.

    Raises GradientError for a Tensor that requires gradients: static arguments have none.
    """
    if isinstance(value, list):
        return [kept(name, argument, each) for each in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple([kept(name, argument, each) for each in value])
    if getattr(value, "requires_grad", False):
        raise GradientError(
            f"{name}: {argument} is a static argument, which has no gradient, and got a tensor "
            f"that requires one, with {describe(value)}; make it an array argument (before the * "
            "of forward), or give its .detach()"
        )
    return value.copy() if held(value) else value
