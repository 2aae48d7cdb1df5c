"""What a call of a layer does with its arguments: masks, casts, results."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.engine.devices import Device
from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.hosted import brought, host_array
from chainrule.engine.masks import mask_of, with_mask
from chainrule.engine.tensor import Tensor, to_array


@functools.lru_cache(maxsize=1024)
def accepted(call: Callable[..., Any]) -> frozenset[str]:
    """Those of "mask" and "training" that are parameters of a function.

    >>> sorted(accepted(lambda self, x, mask=None: x))
    ['mask']
    """
    return frozenset(inspect.signature(call).parameters) & {"mask", "training"}


def cast(value: Any, dtype: np.dtype[Any], device: Device, integers: bool = False) -> Any:
    """A Tensor or floating array in a dtype, mask included; likewise in lists; the rest as it is.

    Arguments: `device`, where arrays go; `integers`: are integers and booleans cast too?
    """
    if isinstance(value, Tensor):
        if value.dtype == dtype or (value.dtype.kind != "f" and not integers):
            return value
        mask = mask_of(value)
        value = value.astype(dtype)
        return value if mask is None else with_mask(value, mask)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return brought(to_array(value, dtype), device)
    if isinstance(value, (list, tuple)) and any(
        isinstance(each, (Tensor, np.ndarray)) for each in value
    ):
        return [cast(each, dtype, device, integers) for each in value]
    return value


def checked_mask(mask: Any, x: Any, where: str) -> Any:
    """A mask that a caller gave, as an array of booleans whose shape is how that of x begins.

    Raises DtypeError for a mask that is not of booleans, ShapeError for another shape. For a list
    of inputs it is a list of masks, each of which may be None.
    """
    if isinstance(x, list):
        if not isinstance(mask, (list, tuple)) or len(mask) != len(x):
            raise ShapeError(
                f"{where}: mask must be a list of one mask, or None, for each of {len(x)} inputs"
            )
        pairs = zip(mask, x, strict=True)
        return [None if one is None else checked_mask(one, each, where) for one, each in pairs]
    mask = np.array(host_array(mask) if isinstance(mask, Tensor) else mask)  # a copy, which stays
    if mask.dtype != np.bool_:
        raise DtypeError(
            f"{where}: mask must be of booleans, True for steps that are real, got {describe(mask)}"
            "; write mask != 0"
        )
    if not mask.ndim or mask.shape != x.shape[: mask.ndim]:
        raise ShapeError(
            f"{where}: mask has {describe(mask)}, which does not fit x with {describe(x)}; it must "
            "be (batch, time)"
        )
    return mask


def checked_result(result: Any, where: str) -> list[Tensor]:
    """Several Tensors that a `call` returned, as a list.

    Raises TypeError for anything else.
    """
    if isinstance(result, (list, tuple)) and result:
        if all(isinstance(each, Tensor) for each in result):
            return list(result)
        odd = next(each for each in result if not isinstance(each, Tensor))
        raise TypeError(
            f"{where}: call(x) must return a Tensor, or several, got {describe(odd)} of type "
            f"{type(odd).__name__} among {len(result)} results"
        )
    raise TypeError(
        f"{where}: call(x) must return a Tensor, got {describe(result)} of type "
        f"{type(result).__name__}"
    )
