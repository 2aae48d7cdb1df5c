"""`gradcheck` and `assert_gradients`: is the gradient that runs the one that calculus gives?"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..devices import get_device
from ..errors import CheckError, describe
from ..tensor import Tensor
from .differences import Array, signed, taylor_order
from .examine import Examination
from .oracles import NOISE, RELATIVE, scales
from .precision import compare_precisions
from .report import Report
from .subjects import (
    GradientSubject,
    NumpySubject,
    Subject,
    TensorSubject,
    answers_to_rounding,
    filled,
    flat,
    name_of,
)

#: A Jacobian with at most so many results is compared row by row, too.
MANY_ROWS, MANY_PAIRS = 16, 1024


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
    "reject" the example of a hypothesis test; `kernels`, the kernel set that computes; `devices`,
    others whose gradients are compared with the CPU's.

    Everything is computed in float64, whatever the inputs and parameters are of; then gradients
    in float32, and by the other kernel sets of the device, are compared with that, to a bound from
    machine epsilon and from how much rounding the inputs moves them. Upstream gradients are random
    and signed. What they are compared with is the complex step, for functions that are made of
    the table's operations, and finite differences; at kinks, the gradient must lie between the
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
    if not callable(function):
        raise TypeError(
            f"gradcheck: the first argument must be a function, a layer, a model or an operation, "
            f"got {describe(function)} of type {type(function).__name__}"
        )
    if len(inputs) == 1 and isinstance(inputs[0], tuple):  # as PyTorch has it
        inputs = inputs[0]
    quick = in_hypothesis() and kernels is None
    kernel_set = "reference" if quick else kernels
    if not inputs and hasattr(function, "record"):
        from .table import check_cases

        report = check_cases(function.record, order=min(order, 2), seed=seed, kernels=kernel_set)
    else:
        report = Report(name_of(function))
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
    if hasattr(function, "as_checked") and vjp is None:
        name = name_of(function)
        function, inputs, named = function.as_checked(*inputs)
    if not inputs and named is None:
        raise ValueError(f"gradcheck: give {name_of(function)} the inputs to check it at")
    for i, each in enumerate(inputs):
        array = each._data if isinstance(each, Tensor) else each
        array = array if hasattr(array, "dtype") else np.asarray(array)
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


def in_hypothesis() -> bool:
    """Is this an example of a test of hypothesis?"""
    module = sys.modules.get("hypothesis")
    return module is not None and bool(module.currently_in_test_context())


def _seed(subject: Subject) -> int:
    """A number made from the inputs: other examples of a test get other upstream gradients."""
    total = 0
    for each in subject.arrays:
        total = zlib.crc32(np.ascontiguousarray(each), total)
    return total


def _settle_vacuous(report: Report, on_vacuous: str) -> None:
    if not report.vacuous or on_vacuous == "report":
        return
    if on_vacuous == "reject":
        from hypothesis import reject

        reject()
    raise CheckError(f"the check is vacuous\n{report}")


def check_subject(
    subject: Subject,
    report: Report,
    order: int = 1,
    quick: bool = False,
    devices: Sequence[str] = (),
) -> None:
    """Every check, up to derivatives of some order; what is found goes into the report."""
    rng = np.random.default_rng(report.seed)
    for each in subject.notes:
        report.note(each)
    upstreams = _first_order(subject, report, rng)
    if upstreams is None:
        return
    if isinstance(subject, TensorSubject):
        names = [get_device(each).name for each in devices]
        compare_precisions(subject, upstreams[0], report, rng, quick, names)
    if order == 1 or not report.ok:
        return
    if not isinstance(subject, TensorSubject):
        raise ValueError("gradcheck: order 2 is for functions of Tensors: vjp= has no second VJP")
    above: TensorSubject | GradientSubject = subject
    for level in range(2, order + 1):
        further = Report(report.name, report.seed, level)
        noise = flat(_noise(above, upstreams[0]))
        above = GradientSubject(above, upstreams[0])
        above.noise = noise
        base = above.value(above.arrays)
        recorded = above.recorded_value()
        off = np.abs(recorded - base)
        allowed = RELATIVE * np.max(np.abs(base), initial=0.0) + noise
        if not np.all(off <= allowed):
            allowed = allowed + 16 * answers_to_rounding(above, None, rng)[0]
        if not np.all(off <= allowed):
            worst = int(np.argmax(np.where(np.isfinite(off), off, np.inf)))
            further.fail(
                "second order",
                f"a gradient that is recorded (create_graph=True) is not that of backward(): "
                f"{recorded[worst]:.10g} instead of {base[worst]:.10g}; a definition= that is not "
                "the operation's, or a VJP that does not compute with k",
            )
        else:
            found = _first_order(above, further, rng)
            further.findings = [
                type(each)(**{**vars(each), "kind": f"order {level}: {each.kind}"})
                for each in further.findings
            ]
            upstreams = found or upstreams
        report.include(further)
        if not report.ok:
            return


def _first_order(subject: Subject, report: Report, rng: np.random.Generator) -> list[Array] | None:
    """Checks the gradients of a subject; returns the upstream gradients, or None if hopeless."""
    copies = [each.copy() for each in subject.arrays]
    base = subject.value(subject.arrays)
    if not _unchanged(subject, copies, "the function", report):
        return None
    if any(each.size for each in copies) and not np.all(np.isfinite(base)):
        place = int(np.flatnonzero(~np.isfinite(base))[0])
        raise ValueError(
            f"gradcheck: {subject.name} gives {base[place]} at the point (result entry {place} of "
            f"{base.size}); check at a point inside of the domain"
        )
    if not np.array_equal(subject.value(subject.arrays), base):
        report.fail(
            "repeatability",
            "the function is not deterministic: two calls with the same inputs differ; draw its "
            "random numbers from cr.random, or outside of it",
        )
        return None
    subject.noise = NOISE * np.abs(base) + subject.noise
    upstreams = [signed(rng, base.shape) for _ in range(2)]
    rows = min(base.size, MANY_ROWS) if base.size <= MANY_ROWS else 0
    if rows > 1 and rows * sum(each.size for each in subject.arrays) <= MANY_PAIRS:
        upstreams += [*(np.diag(signed(rng, base.shape)))]
    kept = [each.copy() for each in upstreams]
    found = subject.gradients(upstreams)
    claimed = [filled(each, subject.arrays) for each in found]
    if not (
        _unchanged(subject, copies, "the gradient", report)
        and _upstream_unchanged(upstreams, kept, report)
        and _well_formed(subject, found, upstreams, report)
        and _steady(subject, upstreams, claimed, report, rng)
    ):
        return None
    if not np.all(np.isfinite(base)):  # of nothing, as the logarithm of an empty sum
        report.vacuous += [
            f"{label} is empty: there is nothing to compare" for label in subject.labels
        ]
        return upstreams
    Examination(subject, base, upstreams, claimed, report, rng).run()
    _taylor(subject, base, upstreams[0], claimed[0], report, rng)
    return upstreams


def _unchanged(subject: Subject, copies: Sequence[Array], who: str, report: Report) -> bool:
    for label, now, before in zip(subject.labels, subject.arrays, copies, strict=True):
        if not np.array_equal(now, before, equal_nan=True):
            now[...] = before
            report.fail("mutation", f"{who} changes {label} in place", input=label)
            return False
    return True


def _upstream_unchanged(upstreams: Sequence[Array], kept: Sequence[Array], report: Report) -> bool:
    for now, before in zip(upstreams, kept, strict=True):
        if not np.array_equal(now, before):
            report.fail("mutation", "the gradient changes the upstream gradient in place")
            return False
    return True


def _well_formed(
    subject: Subject, found: Sequence[Sequence[Any]], upstreams: Sequence[Array], report: Report
) -> bool:
    """Shapes and dtypes of gradients; and that they share no memory with inputs or each other."""
    for gradients in found:
        for i, (label, each) in enumerate(zip(subject.labels, gradients, strict=True)):
            array = subject.arrays[i]
            if each is None:
                continue
            if not hasattr(each, "shape") or each.shape != array.shape:
                told = describe(each)
                report.fail(
                    "shape", f"the gradient has {told}, {label} has {describe(array)}", input=label
                )
                return False
            if each.dtype != array.dtype:
                report.fail("dtype", f"the gradient of {label} is {each.dtype}", input=label)
                return False
            for other_label, other in zip(subject.labels, subject.arrays, strict=True):
                if each.size and np.shares_memory(each, other):
                    report.fail(
                        "aliasing",
                        f"the gradient of {label} shares the memory of {other_label}; copy it",
                        input=label,
                    )
                    return False
            if any(each.size and np.shares_memory(each, other) for other in upstreams):
                report.note(f"the gradient of {label} shares the memory of the upstream gradient")
    return True


def _noise(subject: Subject, upstream: Array) -> list[Array]:
    """How large entries of gradients are that come from rounding the result alone."""
    return [np.abs(upstream) @ subject.noise / each for each in scales(subject.arrays)]


def _steady(
    subject: Subject,
    upstreams: Sequence[Array],
    claimed: Sequence[Sequence[Array]],
    report: Report,
    rng: np.random.Generator,
) -> bool:
    """Are gradients the same again, bit for bit; linear in the upstream; and whatever it lies like?

    Near zero they are the same, here, if they differ by no more than rounding would move them.
    """
    (first, second), (a, b) = upstreams[:2], (-0.75, 0.5)
    mixed = a * first + b * second
    again, combined = (filled(g, subject.arrays) for g in subject.gradients([first, mixed]))
    spaced = filled(subject.gradients([first], spaced=True)[0], subject.arrays)
    noise = _noise(subject, np.abs(first) + np.abs(second))

    def close(which: int, got: Array, expected: Array, parts: Array) -> bool:
        allowed = RELATIVE * (parts + np.max(parts, initial=0.0)) + noise[which]
        off = np.abs(got - expected)
        if np.any(off > allowed):
            allowed = allowed + 16 * np.max(answers_to_rounding(subject, first, rng)[which])
        return bool(np.all((off <= allowed) | ~np.isfinite(expected)))

    for which, label in enumerate(subject.labels):
        one, two = claimed[0][which], claimed[1][which]
        if not np.array_equal(again[which], one, equal_nan=True):
            text = f"the gradient of {label} is not the same the second time"
            report.fail("repeatability", text, input=label)
            return False
        if not close(which, spaced[which], one, np.abs(one)):
            text = f"the gradient of {label} is another for an upstream that is spaced in memory"
            report.fail("repeatability", text, input=label)
            return False
        parts = np.abs(a * one) + np.abs(b * two)
        if not close(which, combined[which], a * one + b * two, parts):
            report.fail(
                "linearity",
                f"the gradient of {label} is not linear in the upstream gradient: that of "
                f"{a} g + {b} h is not {a} times that of g plus {b} times that of h",
                input=label,
            )
            return False
    return True


def _taylor(
    subject: Subject,
    base: Array,
    upstream: Array,
    gradients: Sequence[Array],
    report: Report,
    rng: np.random.Generator,
) -> None:
    """The order of the remainder, along one direction through all variables."""
    count = sum(each.size for each in subject.arrays)
    if not count or not base.size:
        return
    spread = 1.0 / max(1.0, count**0.5 / 8)
    ways = [
        spread * signed(rng, each.shape) * scale
        for each, scale in zip(gradients, scales(subject.arrays), strict=True)
    ]
    claim = sum(float(np.sum(g * w)) for g, w in zip(gradients, ways, strict=True))
    report.taylor = taylor_order(
        lambda arrays: np.atleast_1d(upstream @ subject.value(arrays)),
        subject.arrays,
        ways,
        np.atleast_1d(upstream @ base),
        np.atleast_1d(claim),
    )
