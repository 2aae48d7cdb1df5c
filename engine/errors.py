"""The errors chainrule raises; each derives from the built-in class a caller would catch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .remedies import remedy


class ShapeError(ValueError):
    """Shapes that do not fit together."""


class DtypeError(TypeError):
    """A dtype that an operation cannot take."""


class GradientError(RuntimeError):
    """A gradient that cannot be had: freed graph, stale value, nothing that requires gradients."""


class DeviceError(ValueError):
    """An unknown device, an unknown kernel set, or tensors of two devices in one operation."""


class OutOfMemoryError(MemoryError):
    """A device has no memory left; the message tells what takes it."""


class AnomalyError(FloatingPointError):
    """A NaN, or an infinity, that `cr.detect_anomaly` found."""


class MatrixError(np.linalg.LinAlgError):
    """A matrix on which an operation is not defined: singular, or not positive definite."""


class CheckpointError(ValueError):
    """A saved file or folder that is damaged, incomplete, foreign, or of a newer chainrule."""


class CheckError(AssertionError):
    """An operation that does not do what its record claims."""


class ProofError(CheckError):
    """A derivative that is stated or coded differently from what calculus gives."""


def describe(value: Any) -> str:
    """A value as error messages show it: shape and dtype of arrays, the repr of anything else.

    >>> import numpy as np
    >>> describe(np.zeros((2, 3), np.float32)), describe(3.0)
    ('shape (2, 3), float32', '3.0')
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None or isinstance(value, type):
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"shape {tuple(shape)}, {dtype}"


class Allocating:
    """A context in which memory that runs out is an error that tells what takes it.

    Arguments: `where`, the function's name; `device`, that of its arrays.
    """

    __slots__ = ("device", "where")

    def __init__(self, where: str, device: Any) -> None:
        self.where, self.device = where, device

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, MemoryError):
            raise exhausted(error, self.where, self.device) from error


def exhausted(error: MemoryError, where: str, device: Any, told: str = "") -> MemoryError:
    """The error of memory that ran out in a function, told once."""
    from .memory import out_of_memory

    known = isinstance(error, OutOfMemoryError)
    return error if known else out_of_memory(where, device, error, told)


def explain(
    error: Exception, record: Any, inputs: Sequence[Any], static: dict[str, Any], device: Any
) -> Exception:
    """An error of the array library, retold with the operation and its arguments."""
    retold = type(error) is IndexError and str(error).startswith(f"{record.name}: ")  # by us
    ours = (ShapeError, DtypeError, GradientError, DeviceError, MatrixError)
    if retold or isinstance(error, ours):
        return error
    names = [record.argument_name(i) for i in range(len(inputs))]
    told = [f"{name} has {describe(value)}" for name, value in zip(names, inputs, strict=True)]
    told += [f"{name}={describe(value)}" for name, value in static.items() if value is not None]
    if isinstance(error, MemoryError):
        return exhausted(error, record.name, device, ", ".join(told))
    text = f"{record.name}: {error}; {', '.join(told)}{remedy(error, record, inputs, static)}"
    if isinstance(error, IndexError) and not isinstance(error, ValueError):
        return IndexError(text)
    return ShapeError(text) if isinstance(error, ValueError) else DtypeError(text)


def unknown_device(device: Any, known: Sequence[str]) -> DeviceError:
    """The error for a device that is not known, with the one that may be meant."""
    text = f"device: {device!r} is unknown; known: {', '.join(map(repr, known))}"
    name = str(device).lower().partition(":")[0]
    meant = {"gpu": "cuda", "nvidia": "cuda"}.get(name, name)
    return DeviceError(f"{text}; write {meant!r}" if meant in known else text)


def unfitting(tensor: Any, gradient: Any) -> GradientError:
    """The error for what cannot be the gradient of a tensor."""
    return GradientError(
        f"grad: cannot set a gradient with {describe(gradient)}, on {gradient.device!r}, for "
        f"{describe(tensor)}, on {tensor.device!r}, requires_grad={tensor.requires_grad}"
    )


def unhooked(hook: Any, answer: Any, shape: tuple[int, ...], device: str) -> GradientError:
    """The error for what a hook returned that cannot be a gradient."""
    return GradientError(
        f"register_hook: {hook!r} must return None or a Tensor of shape {shape} on {device!r}, "
        f"got {answer!r}"
    )


def unpickled() -> TypeError:
    """The error for pickling what has a device: Tensors, layers, optimisers."""
    return TypeError(
        "pickle: Tensors, and what holds them, are not pickled, since reading a pickle may run any "
        "program; a model has save_weights(path), an optimiser state(), and a Tensor "
        "x.cpu().numpy() for another process"
    )


def apart(where: str, one: str, other: str) -> DeviceError:
    """The error for tensors of two devices in one operation."""
    return DeviceError(
        f"{where}: tensors on two devices, {one!r} and {other!r}; move one of them, as by "
        f"x.to({one!r})"
    )


def elsewhere(where: str, device: str) -> DeviceError:
    """The error for a tensor that the host cannot read without a copy."""
    return DeviceError(
        f"{where}: this tensor is on {device!r}, where NumPy cannot read it; copy it to the host "
        "first, with x.cpu()"
    )


def _name(node: Any) -> str:
    return f"'{node.record.name}' (result shape {node.shape}, {node.dtype})" if node.record else ""


def freed(node: Any) -> GradientError:
    """The error of going back over a graph a second time."""
    return GradientError(
        f"backward: the graph behind {_name(node)} was freed by an earlier backward(); pass "
        "retain_graph=True to that call to go through it again"
    )


def stale(node: Any, storage: Any) -> GradientError:
    """The error of a saved value that was changed in place since; with lines, if they are known."""
    text = (
        f"backward: a value that {_name(node)} saved for its gradient was changed in place "
        "afterwards; make the change after backward(), or out of place (w = w - step)"
    )
    place = getattr(node.static, "place", None)
    if place is not None:
        text += f"\n  saved at:   {place}"
    moment, place = getattr(storage, "place", (0, None))
    if place is not None and moment == storage.changed:
        text += f"\n  changed at: {place}"
    return GradientError(text)


def misshapen(record: Any, position: int, gradient: Any, shape: Any) -> GradientError:
    """The error of a VJP whose result has not the shape of its argument."""
    return GradientError(
        f"the VJP of '{record.name}' for '{record.argument_name(position)}' returned "
        f"{describe(gradient)}; the argument has shape {shape}"
    )


def undefined(record: Any) -> GradientError:
    """The error of differentiating again a gradient that was computed from residuals."""
    return GradientError(
        f"create_graph: the VJP of '{record.name}' reads residuals, which are constants to a "
        "second derivative; give the operation a definition=, a composition of other operations "
        "that computes the same"
    )


def dropped(where: str, tensors: Sequence[Any], listed: bool) -> GradientError:
    """The error of making new data of tensors that require gradients."""
    if listed:
        return GradientError(
            f"{where}: a list of tensors that require gradients would lose them; use "
            "cr.stack(list), or cr.concat(list)"
        )
    name = f", made by {_name(tensors[0]._node)}," if tensors[0]._node.record else ""
    return GradientError(
        f"{where}: the given tensor{name} requires gradients, and new data made of it would lose "
        "them; if that is meant, give x.detach(), or do it in no_grad(); if not, +x is a copy in "
        "the graph, and cr.broadcast_to(x, shape) repeats it"
    )


def untracked(where: str) -> GradientError:
    """The error of asking for the gradient of a tensor that has none."""
    return GradientError(
        f"{where}: the tensor requires no gradient: nothing it was computed from has "
        "requires_grad=True, or it was computed in no_grad() or detached; make the inputs with "
        "requires_grad=True, and compute it again"
    )


def unseeded(where: str, output: Any, gradient: Any) -> ValueError:
    """The error of an upstream gradient that is missing or does not fit."""
    made = f", made by '{output._node.record.name}'," if output._node.record else ""
    argument = "grad_outputs" if where == "grad" else "gradient"
    remedies = (
        f"reduce it to one (as by .sum() or .mean()), or give {argument}=, the upstream gradient, "
        f"of shape {output.shape}"
    )
    if gradient is None:
        return ShapeError(
            f"{where}: the tensor{made} has {describe(output)}, not one element; {remedies}"
        )
    if gradient.shape == output.shape:
        return DeviceError(
            f"{where}: the upstream gradient is on {gradient.device!r}, the tensor{made} on "
            f"{output.device!r}; give {argument}.to({output.device!r})"
        )
    return ShapeError(
        f"{where}: the upstream gradient has {describe(gradient)}, the tensor{made} "
        f"{describe(output)}; {argument} must have the tensor's shape, {output.shape}"
    )
