"""What optimisers are given: numbers within ranges, parameters, and how gradients are clipped."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

from chainrule.engine.errors import DtypeError, GradientError, describe
from chainrule.engine.tensor import Tensor

from .clipping import Clipping


def number(value: Any, what: str, rule: str, is_right: Callable[[float], bool]) -> float:
    """`value` as a Python float.

    Raises TypeError if it is no real number, ValueError if it is not right, telling the `rule`.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{what} must be {rule}; got {describe(value)}")
    if not is_right(float(value)):
        raise ValueError(f"{what} must be {rule}; got {describe(value)}")
    return float(value)


def checked(parameters: Any, where: str) -> list[Tensor]:
    """The Tensors of an iterable of Tensors, or of pairs of a name and a Tensor, each once.

    Raises ValueError, TypeError, DtypeError or GradientError, as `Optimizer` says.
    """
    if isinstance(parameters, Tensor):
        raise TypeError(f"{where}: parameters must be a list of Tensors; put the one in brackets")
    if callable(parameters):
        raise TypeError(
            f"{where}: parameters must be Tensors, got the function {describe(parameters)}; call "
            "it: parameters()"
        )
    if not isinstance(parameters, Iterable):
        raise TypeError(
            f"{where}: parameters must be an iterable of Tensors, got {describe(parameters)}; "
            f"write {where}(parameters, learning_rate=...)"
        )
    found: dict[int, Tensor] = {}
    for i, item in enumerate(parameters):
        is_pair = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
        name, tensor = (repr(item[0]), item[1]) if is_pair else (f"parameters[{i}]", item)
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{where}: {name} must be a Tensor, got {describe(tensor)} of type "
                f"{type(tensor).__name__}; make it by cr.tensor(value, requires_grad=True)"
            )
        if tensor.dtype.kind != "f":
            raise DtypeError(
                f"{where}: {name} has {describe(tensor)}; only floating tensors have gradients, "
                "use .astype('float32')"
            )
        if not tensor.is_leaf:
            assert tensor._node is not None
            assert tensor._node.record is not None
            raise GradientError(
                f"{where}: {name} was computed by '{tensor._node.record.name}', a step would not "
                "reach what it was computed from; give that, or a leaf made by .detach()"
            )
        found[id(tensor)] = tensor
    if not found:
        raise ValueError(
            f"{where}: parameters is empty: an iterator is used up by its first use; layers have "
            "no weights before they are built, by their first input or by build(input_shape)"
        )
    return list(found.values())


def clipping(where: str, clipnorm: Any, clipvalue: Any, global_clipnorm: Any) -> Clipping | None:
    """How gradients are clipped, if one of these is given.

    Raises ValueError if two are, or if it is not positive; TypeError if it is no number.
    """
    options = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
    given = {name: limit for name, limit in options.items() if limit is not None}
    if len(given) > 1:
        raise ValueError(
            f"{where}: {' and '.join(given)} are given, and gradients are clipped in one way; "
            "leave out all but one"
        )
    for name, limit in given.items():
        rule = "positive, such as 1.0; leave it out, or give None, to clip nothing"
        return Clipping(
            name, number(limit, f"{where}: {name}", rule, lambda value: 0 < value < math.inf)
        )
    return None
