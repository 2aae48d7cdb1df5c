"""NumPy's array functions (those that are not ufuncs) for BranchingArrays.

Three kinds are known: functions that only move elements, or are linear, or order them, run on the
ordinary complex arrays; some run in NumPy's own Python code, whose steps come back here; and some
have a version of their own. All others are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import BranchingArray, plainly, wrapped
from .matrix_functions import OWN
from .own_functions import moved
from .refusals import Unsupported

_MOVING = """
    reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis expand_dims
    squeeze broadcast_to broadcast_arrays concatenate concat stack vstack hstack dstack
    column_stack block split array_split hsplit vsplit dsplit unstack tile repeat roll flip fliplr
    flipud rot90 tril triu diag diagonal diagflat trace take take_along_axis compress extract
    choose insert delete append resize atleast_1d atleast_2d atleast_3d copy
    zeros_like ones_like empty_like full_like sum prod cumsum cumprod cumulative_sum
    cumulative_prod nansum nanprod nancumsum nancumprod mean nanmean dot inner outer tensordot kron
    cross einsum convolve diff ediff1d trapezoid meshgrid shape ndim size
    may_share_memory shares_memory linalg.inv linalg.solve linalg.det linalg.matrix_power
    linalg.multi_dot linalg.matmul linalg.outer linalg.tensordot linalg.trace linalg.diagonal
    linalg.matrix_transpose linalg.cross polyval polyder polyadd polysub polymul apply_over_axes
    tril_indices_from triu_indices_from diag_indices_from
"""
_IN_STEPS = """
    std var average clip max min amax amin nanmax nanmin ptp any all
    argmax argmin argsort sort partition argpartition nonzero flatnonzero
    argwhere searchsorted round around fix gradient piecewise
    count_nonzero sinc isposinf isneginf
"""


def _named(names: str) -> dict[Any, None]:
    found: dict[Any, None] = {}
    for name in names.split():
        place: Any = np
        for part in name.split("."):
            place = getattr(place, part, None)
        if place is not None:
            found[place] = None
    return found


MOVING, IN_STEPS = _named(_MOVING), _named(_IN_STEPS)


def apply(func: Any, args: Any, kwargs: Any) -> Any:
    """A function of NumPy, some of whose arguments are BranchingArrays.

    Raises Unsupported for one that is not known.
    """
    if not _moves((args, kwargs)) and func not in IN_STEPS and func not in OWN:
        return wrapped(func(*plainly(args), **{name: plainly(x) for name, x in kwargs.items()}))
    own = OWN.get(func)
    if own is not None:
        return own(*args, **kwargs)
    if func in MOVING:
        return moved(func, args, kwargs)
    if func in IN_STEPS:
        return func._implementation(*args, **kwargs)
    module = getattr(func, "__module__", "numpy")
    raise Unsupported(f"complex step: {module}.{func.__name__} is not known")


def _moves(given: Any) -> bool:
    """Is there a complex BranchingArray among the arguments?"""
    if isinstance(given, BranchingArray):
        return plainly(given).dtype.kind == "c"
    if isinstance(given, dict):
        given = given.values()
    elif not isinstance(given, (list, tuple)):
        return False
    return any(map(_moves, given))
