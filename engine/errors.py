"""The errors chainrule raises; each derives from the built-in class a caller would catch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ShapeError(ValueError):
    """Shapes that do not fit together."""


class DtypeError(TypeError):
    """A dtype that an operation cannot take."""


class GradientError(RuntimeError):
    """A gradient that cannot be had: freed graph, stale value, nothing that requires gradients."""


class DeviceError(ValueError):
    """An unknown device, an unknown kernel set, or tensors of two devices in one operation."""


class CheckError(AssertionError):
    """An operation that does not do what its record claims."""


def describe(value: Any) -> str:
    """A value as error messages show it: shape and dtype of arrays, the repr of anything else.

    >>> import numpy as np
    >>> describe(np.zeros((2, 3), np.float32)), describe(3.0)
    ('shape (2, 3), float32', '3.0')
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"shape {tuple(shape)}, {dtype}"


def explain(
    error: Exception, record: Any, inputs: Sequence[Any], static: dict[str, Any]
) -> Exception:
    """An error of the array library, retold with the operation and its arguments."""
    told = type(error) is IndexError and str(error).startswith(f"{record.name}: ")  # by us
    if told or isinstance(error, (ShapeError, DtypeError, GradientError, DeviceError)):
        return error
    names = [record.argument_name(i) for i in range(len(inputs))]
    told = [f"{name} has {describe(value)}" for name, value in zip(names, inputs, strict=True)]
    told += [f"{name}={describe(value)}" for name, value in static.items() if value is not None]
    text = f"{record.name}: {error}; {', '.join(told)}"
    if isinstance(error, IndexError) and not isinstance(error, ValueError):
        return IndexError(text)
    return ShapeError(text) if isinstance(error, ValueError) else DtypeError(text)


def _name(node: Any) -> str:
    return f"'{node.record.name}' (result shape {node.shape}, {node.dtype})" if node.record else ""


def freed(node: Any) -> GradientError:
    """The error of going back over a graph a second time."""
    return GradientError(
        f"backward: the graph behind {_name(node)} was freed by an earlier backward(); pass "
        "retain_graph=True to that call to go through it again"
    )


def stale(node: Any) -> GradientError:
    """The error of a saved value that was changed in place since."""
    return GradientError(
        f"backward: a value that {_name(node)} saved for its gradient was changed in place "
        "afterwards; make the change after backward(), or out of place (w = w - step)"
    )


def misshapen(record: Any, position: int, gradient: Any, shape: Any) -> GradientError:
    """The error of a VJP whose result has not the shape of its argument."""
    return GradientError(
        f"the VJP of '{record.name}' for '{record.argument_name(position)}' returned "
        f"{describe(gradient)}; the argument has shape {shape}"
    )
