"""`gradcheck` and `assert_gradients`: is the gradient that runs the one that calculus gives?"""

from __future__ import annotations

import inspect
import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..devices import cpu, default_on_cpu, state
from ..errors import CheckError, DeviceError, DtypeError, ShapeError, describe
from ..tensor import Tensor
from .conduct import check_subject
from .recorded import TensorSubject
from .report import Report
from .subjects import NumpySubject, Subject, name_of


@default_on_cpu()
def gradcheck(
    function: Any,
    *inputs: Any,
    vjp: Callable[..., Any] | None = None,
    order: int = 1,
    argnums: int | Sequence[int] | None = None,
    seed: int | None = None,
    on_vacuous: str = "report",
    kernels: str | None = None,
    devices: Sequence[str] = (),
) -> Report:
    """Compares the gradients of a function with what calculus gives; says what it did and found.

    `function` is called with `inputs` and returns a Tensor, or a tuple of Tensors; or it is

    - a layer: its parameters are checked as well, as are those of anything that a function closes
      over;
    - a compiled model, with samples and targets as inputs: its loss is checked;
    - an operation, of the table or your own, without inputs: it is checked on all its cases;
    - with `vjp=`, a plain function of NumPy arrays: `vjp(upstream, *inputs)` returns the gradient
      of the input, or of each.

    Arguments: `order`, 2 for second derivatives too, mixed ones and those with respect to the
    upstream gradient included, 3 for third ones; `argnums`, the positions of the inputs that are
    checked, by default those that are floating (of integers alone: all); `seed` of all that is
    drawn, by default made from the inputs; `on_vacuous`, what to do about an input whose whole
    gradient is too small to be told from a wrong one: "report" it, "raise" CheckError, or
    "reject" the example of a hypothesis test; `kernels`, the kernel set that computes, if it is to
    be only one; `devices`, others whose gradients are compared with the CPU's.

    Everything is computed in float64, whatever the inputs and parameters are of; then gradients
    in float32, and by the other kernel sets of the device, are compared with that, to a bound from
    machine epsilon and from how much rounding at every step moves them. Upstream gradients are
    random and signed. What they are compared with is the complex step, for functions that are made
    of the table's operations, and finite differences; at kinks, the gradient must lie between the
    one-sided slopes. Also checked: linearity in the upstream gradient, repeatability, shapes and
    dtypes, that nothing is changed, and that no gradient shares memory with an input.

    Within a test of hypothesis the kernel set is "reference", by default: compiling another
    would exceed the deadline of an example.

    Returns a `Report`, which is true if nothing is wrong.

    Raises DtypeError if the function returns no floating Tensor, or an input is no real number;
    ValueError if the function is not finite at the point, or there is nothing to check.

    >>> import chainrule as cr
    >>> print(cr.gradcheck(cr.tanh, [0.5, -1.0], order=2))  # doctest: +ELLIPSIS
    tanh: passed, order 2: ...
    >>> wrong = cr.gradcheck(np.sin, np.array([0.5, 1.0]), vjp=lambda g, x: -g * np.cos(x))
    >>> bool(wrong), wrong.findings[0].meaning
    (False, 'the sign is wrong')
    """
    if on_vacuous not in ("report", "raise", "reject"):
        raise ValueError(
            f"gradcheck: on_vacuous must be 'report', 'raise' or 'reject', got {on_vacuous!r}"
        )
    if isinstance(order, bool) or order not in (1, 2, 3):
        raise ValueError(f"gradcheck: order must be 1, 2 or 3, got {order!r}")
    if vjp is not None and order > 1:
        raise ValueError(
            f"gradcheck: order={order} is for functions of Tensors: a VJP of NumPy arrays has no "
            "VJP of its own; check it as another function, with its own vjp="
        )
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__") or seed < 0):
        raise ValueError(f"gradcheck: seed must be an integer of at least 0, got {seed!r}")
    if kernels is not None and kernels not in cpu.sets:
        raise DeviceError(
            f"gradcheck: kernels={kernels!r} is unknown; known: {', '.join(map(repr, cpu.sets))}"
        )
    if vjp is not None and not callable(vjp):
        raise TypeError(f"gradcheck: vjp must be a function, got {describe(vjp)}")
    if not callable(function):
        raise TypeError(
            f"gradcheck: the first argument must be a function, a layer, a model or an operation, "
            f"got {describe(function)} of type {type(function).__name__}"
        )
    if len(inputs) == 1 and isinstance(inputs[0], tuple):  # as PyTorch has it
        inputs = inputs[0]
    if kernels is None and state.mode is not None:
        kernels = state.mode.kernel_set  # of a `with cr.kernels(...)` around
    quick = kernels is not None or in_hypothesis()
    kernel_set = "reference" if quick and kernels is None else kernels
    if not inputs and hasattr(function, "record"):
        from .table import check_cases

        report = check_cases(function.record, order, seed, kernel_set, quick)
    else:
        report = Report(name_of(function))
        with np.errstate(all="ignore"):  # what is not finite is reported
            subject = subject_of(function, inputs, vjp, argnums, kernel_set)
            report.name = subject.name
            report.seed = _seed(subject) if seed is None else int(seed)
            check_subject(subject, report, order, quick, devices)
    _settle_vacuous(report, on_vacuous)
    return report


def assert_gradients(function: Any, *inputs: Any, **options: Any) -> Report:
    """`gradcheck`, for tests: raises unless all is right. Arguments and result are the same.

    Raises CheckError, an AssertionError, with the report's text: what is wrong, where, what was
    expected, and the seed that repeats it.

    >>> import chainrule as cr
    >>> assert_gradients(lambda x: cr.softmax(x), [0.1, 0.2, 0.4]).ok
    True
    """
    return gradcheck(function, *inputs, **options).require()


def subject_of(
    function: Any,
    inputs: Sequence[Any],
    vjp: Callable[..., Any] | None,
    argnums: int | Sequence[int] | None,
    kernel_set: str | None,
) -> Subject:
    """What is to be checked, of one of the kinds that `gradcheck` takes."""
    name = None
    named = None
    placed = {f"input {i}": each for i, each in enumerate(inputs) if isinstance(each, Tensor)}
    if hasattr(function, "as_checked"):
        placed["the layer"] = function
    for what, there in placed.items():
        if there.device != "cpu":
            raise DeviceError(
                f"gradcheck: {what} is on {there.device!r}, and gradients are checked on the CPU; "
                "give x.cpu(), move a layer by layer.cpu()"
            )
    if hasattr(function, "as_checked") and vjp is None:
        name = name_of(function)
        function, inputs, named = function.as_checked(*inputs)
    if not inputs and _needs_inputs(function):
        raise ValueError(f"gradcheck: give {name_of(function)} the inputs to check it at")
    for i, each in enumerate(inputs):
        array: Any = each._data if isinstance(each, Tensor) else each
        try:
            array = array if hasattr(array, "dtype") else np.asarray(array)
        except ValueError as error:
            raise ShapeError(
                f"gradcheck: input {i} is a list whose rows differ in length: {error}"
            ) from error
        if array.dtype.kind == "c":
            raise DtypeError(
                f"gradcheck: input {i} has {describe(array)}; complex numbers are not supported: "
                "give real and imaginary parts"
            )
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            raise ValueError(
                f"gradcheck: input {i}, with {describe(array)}, is not finite; check at a point "
                "inside of the domain"
            )
    if vjp is not None:
        return NumpySubject(function, vjp, inputs)
    chosen = None
    if argnums is not None:
        chosen = [argnums] if isinstance(argnums, int) else [*argnums]
        unknown = [i for i in chosen if not 0 <= i < len(inputs)]
        if unknown:
            raise ValueError(
                f"gradcheck: argnums {unknown} of {len(inputs)} inputs; they count from 0"
            )
    return TensorSubject(function, inputs, chosen, named, kernel_set, name)


def _needs_inputs(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # of some functions in C it is not known
        return False
    return False


def in_hypothesis() -> bool:
    """Is this an example of a test of hypothesis?"""
    module = sys.modules.get("hypothesis")
    return module is not None and bool(module.currently_in_test_context())


def _seed(subject: Subject) -> int:
    """A number made from the inputs: other examples of a test get other upstream gradients."""
    total = 0
    for each in subject.arrays:
        total = zlib.crc32(each.tobytes(), total)
    return total


def _settle_vacuous(report: Report, on_vacuous: str) -> None:
    if not report.vacuous or on_vacuous == "report":
        return
    if on_vacuous == "reject":
        from hypothesis import reject

        reject()
    raise CheckError(f"the check is vacuous\n{report}")
