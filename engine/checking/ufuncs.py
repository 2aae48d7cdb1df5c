"""A ufunc, in each of its forms (called, reduced, accumulated, ...), on complex numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import branching
from .analytic import ANALYTIC, ASIS
from .branching import note_extreme, reduced, rows
from .notes import NOTES
from .refusals import Unsupported, lost

TRUTHS = (np.logical_and, np.logical_or, np.logical_xor)


def note(ufunc: Any, method: str, plain: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Tells the watch of the branches of a ufunc that is about to run."""
    seen: Any = branching.thread.branches
    if method == "__call__":
        if ufunc in NOTES:
            NOTES[ufunc](seen, *plain)
    elif ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        largest = ufunc in (np.maximum, np.fmax)
        if method == "reduce":
            note_extreme(seen, plain[0], kwargs.get("axis", 0), largest)
        elif method == "accumulate":
            x = np.moveaxis(plain[0], kwargs.get("axis", 0), 0)
            branching.note_pair(seen, ufunc.accumulate(x)[:-1], x[1:])
        elif method == "at":
            branching.note_pair(seen, plain[0][plain[1]], plain[2])
        elif method == "outer":
            branching.note_pair(seen, *apart(*plain))
    elif method == "reduce" and ufunc in TRUTHS:
        branching.note_zero(seen, plain[0], np.not_equal)
    elif method == "outer" and ufunc in NOTES:
        NOTES[ufunc](seen, *apart(*plain))


def apart(a: Any, b: Any) -> tuple[Any, Any]:
    """Two arrays, shaped so that each element of one meets each of the other."""
    a, b = np.asarray(a), np.asarray(b)
    return a.reshape(a.shape + (1,) * b.ndim), b


def complex_ufunc(
    ufunc: Any, method: str, plain: list[Any], out: Any, kwargs: dict[str, Any]
) -> Any:
    """A ufunc of complex numbers, acting as it does on real ones."""
    dtype = kwargs.pop("dtype", None)
    if dtype is not None and np.dtype(dtype).kind == "b" and ufunc in TRUTHS:
        kwargs["dtype"] = dtype
    elif dtype is not None and np.dtype(dtype).kind not in "fc":
        raise Unsupported(f"complex step: np.{ufunc.__name__} with dtype={np.dtype(dtype)}")
    if ufunc in ASIS:
        if method == "at" and plain[0].dtype.kind != "c":
            raise lost(f"np.{ufunc.__name__}.at on a real array")
        if out is not None:
            kwargs["out"] = out
            kwargs.pop("casting", None)
            if any(each.dtype.kind == "f" for each in out if each is not None):
                raise lost(f"out= of np.{ufunc.__name__}, a real array,")
        return getattr(ufunc, method)(*plain, **kwargs)
    function = ANALYTIC.get(ufunc)
    if function is None:
        raise Unsupported(f"complex step: np.{ufunc.__name__} is not known")
    kwargs.pop("casting", None)
    where = kwargs.pop("where", True)
    if method == "__call__" and not kwargs and where is True:
        result = function(*plain)
    elif method == "outer" and not kwargs and where is True:
        result = function(*apart(*plain))
    elif method == "reduce" and where is True and kwargs.get("initial") is None:
        result = folded(function, plain[0], kwargs.get("axis", 0), kwargs.get("keepdims", False))
    else:
        raise Unsupported(f"complex step: np.{ufunc.__name__}.{method} with {[*kwargs]}")
    if out is not None:
        for target, each in zip(out, result if len(out) > 1 else (result,), strict=True):
            if target.dtype.kind == "f" and each.dtype.kind == "c":
                raise lost(f"out= of np.{ufunc.__name__}, a real array,")
            target[...] = each
    return result


def folded(function: Callable[..., Any], x: Any, axis: Any, keepdims: bool) -> Any:
    """A function of two numbers, applied along axes from one element to the next."""
    lanes = rows(x, axis)
    if not lanes.shape[-1]:
        raise Unsupported("complex step: reducing no elements")
    total = lanes[..., 0]
    for i in range(1, lanes.shape[-1]):
        total = function(total, lanes[..., i])
    if not keepdims:
        return total
    kept = reduced(x.ndim, axis)
    return total.reshape([1 if i in kept else n for i, n in enumerate(x.shape)])
