"""What must hold of a program: its gradients, of first and second order, whichever way computed.

The bounds are measured. A program is run with random errors put in, of each number that it computes
and of each gradient that goes back; how far the results move says how far rounding can move them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine.checking.gradcheck import gradcheck
from chainrule.engine.checking.oracles import Oracles
from chainrule.engine.checking.recorded import GradientSubject, TensorSubject
from chainrule.engine.checking.report import Report
from chainrule.engine.checking.subjects import flat
from chainrule.engine.devices import get_device
from chainrule.engine.errors import CheckError

from .drawing import MARGIN
from .program import Array, Program

Function = Callable[..., list[cr.Tensor]]

#: How far results may be off, in units of what rounding at every step would move them by: the
#: measured movement is that of a few random errors, not the largest there is.
SAFETY = 100.0
#: The errors put in are of this size, relative to each number.
NOISE, SAMPLES = 1e-7, 2

#: A comparison whose bound is wider than this part of what is compared says nothing.
VACUOUS = 1e-3
#: Programs compute with numbers of the order of 1: a slope of 0 is confirmed to this.
ZERO = 1e-9


@dataclass
class ProgramReport:
    """What was compared, and what could not be: `vacuous` comparisons tell nothing."""

    compared: list[str] = field(default_factory=list)
    vacuous: list[str] = field(default_factory=list)


@dataclass
class Derivatives:
    """The loss of a program, its gradients, and the gradients of their slope in a direction."""

    value: float
    gradients: list[Array]
    slope: float
    second: list[Array]

    @property
    def arrays(self) -> dict[str, list[Array]]:
        """All of them, by what errors call them."""
        return {
            "value": [np.asarray(self.value)],
            "gradient": self.gradients,
            "slope": [np.asarray(self.slope)],
            "second": self.second,
        }


# Running ------------------------------------------------------------------------------------


def loss(function: Function, weights: Sequence[Array]) -> Callable[..., cr.Tensor]:
    """The number that is differentiated; what a program prints as `loss`."""

    def weighted(*inputs: cr.Tensor) -> cr.Tensor:
        total: Any = 0
        for w, y in zip(weights, function(*inputs), strict=True):
            total = total + (w * (y + y * y / 2)).sum()
        return total

    return weighted


def derivatives(
    program: Program,
    function: Function,
    inputs: Sequence[cr.Tensor],
    weights: Sequence[Array] | None = None,
) -> Derivatives:
    """First and second derivatives, both recorded; what a program's source computes."""
    total = loss(function, program.weights if weights is None else weights)(*inputs)
    inputs = list(inputs)
    gradients = cr.grad(total, inputs, create_graph=True, allow_unused=True)
    along: Any = 0
    for g, d in zip(gradients, program.directions, strict=True):
        along = along + (g * d.astype(g.dtype)).sum()
    if along.requires_grad:
        second = [each.cpu().numpy() for each in cr.grad(along, inputs, allow_unused=True)]
    else:
        second = [np.zeros(each.shape) for each in inputs]
    arrays = [g.cpu().numpy() for g in gradients]
    return Derivatives(total.item(), arrays, along.item(), second)


def backward(program: Program, function: Function, inputs: Sequence[cr.Tensor]) -> list[Array]:
    """The gradients that `.backward()` leaves, which arrays compute."""
    loss(function, program.weights)(*inputs).backward()
    return [np.zeros(x.shape, x.dtype) if x.grad is None else x.grad.numpy() for x in inputs]


def sensitivity(program: Program, base: Derivatives) -> dict[str, float]:
    """How far each result can move per relative error of every number that is read, anywhere.

    Of gradients it is at least that of what they are gradients of.
    """
    moved = dict.fromkeys(base.arrays, 0.0)
    rng = np.random.default_rng(3)

    def noisy(x: cr.Tensor) -> cr.Tensor:
        return x * (1 + NOISE * rng.uniform(-1.0, 1.0, x.shape))

    function = program.disturbed(noisy)
    for _ in range(SAMPLES):
        found = derivatives(program, function, program.tensors())
        for name, arrays in found.arrays.items():
            for one, other in zip(arrays, base.arrays[name], strict=True):
                moved[name] = max(moved[name], _largest(one - other) / NOISE + _largest(other))
    return dict(zip(moved, np.maximum.accumulate([*moved.values()]).tolist(), strict=True))


def _largest(x: Any) -> float:
    return float(np.max(np.abs(x), initial=0.0))


def wrong(program: Program, what: str) -> CheckError:
    """An error that says what is wrong, with the program as Python that can be pasted."""
    comment = "\n".join(f"# {each}".rstrip() for each in what.splitlines())
    try:
        source = program.source
    except Exception:  # it does not even compute its outputs
        source = repr(program)
    return CheckError(f"{what}\n\n{source}\n\n# Found wrong:\n{comment}\n")


# Checks -------------------------------------------------------------------------------------


class _Checks:
    """The checks of one program; each raises CheckError."""

    def __init__(self, program: Program) -> None:
        self.program, self.report = program, ProgramReport()
        self.inputs = program.tensors()
        self.base = derivatives(program, program.function, self.inputs)
        self.sensitivity = sensitivity(program, self.base)
        self.given = [x.copy() for x in (*program.inputs.values(), *program.weights)]

    def fail(self, what: str) -> None:
        """Raises the error."""
        raise wrong(self.program, what)

    def equal(self, what: str, got: Sequence[Any], expected: Sequence[Any]) -> None:
        """The same bits."""
        for i, (a, b) in enumerate(zip(got, expected, strict=True)):
            a, b = np.asarray(a), np.asarray(b)
            if a.dtype != b.dtype or a.shape != b.shape or not np.array_equal(a, b):
                self.fail(f"{what}, number {i}: got\n{a!r}\nexpected, bit for bit,\n{b!r}")
        self.report.compared.append(what)

    def close(self, what: str, name: str, got: Sequence[Any], eps: float = 2.0**-52) -> None:
        """Equal to what rounding explains."""
        bound = SAFETY * eps * self.sensitivity[name]
        for i, (a, b) in enumerate(zip(got, self.base.arrays[name], strict=True)):
            if np.shape(a) != b.shape:
                self.fail(f"{what}, {name} {i}: shape {np.shape(a)}, expected {b.shape}")
            if not _largest(a - b) <= bound:
                self.fail(
                    f"{what}, {name} {i}: off by {_largest(a - b):.1e}, where rounding explains "
                    f"{bound:.1e}: got\n{a!r}\nexpected\n{b!r}"
                )
        self.report.compared.append(f"{what}, {name}")

    def plain(self) -> None:
        """Forward and backward again: without recording, in a checkpoint, under observation."""
        program = self.program
        recorded = [y.numpy() for y in program(*self.inputs)]
        with cr.no_grad():
            again = [y.numpy() for y in program(*program.tensors())]
        self.equal("outputs without recording", again, recorded)
        first = backward(program, program.function, program.tensors())
        self.close("backward(), on arrays", "gradient", first)
        inputs = program.tensors()
        total = loss(program.function, program.weights)(*inputs)
        total.backward(retain_graph=True)
        total.backward()
        pairs = zip(inputs, first, strict=True)
        halves = [g if x.grad is None else x.grad.numpy() / 2 for x, g in pairs]
        self.equal("half the sum of two gradients of one graph", halves, first)
        if program.part[0] < program.part[1]:
            inside = backward(program, program.checkpointed, program.tensors())
            self.equal("gradients in a checkpoint", inside, first)
            with cr.detect_anomaly():
                twice = derivatives(program, program.checkpointed, program.tensors())
            self.close("in a checkpoint, under detect_anomaly", "second", twice.second)
        with cr.detect_anomaly():
            watched = backward(program, program.function, program.tensors())
        self.equal("gradients under detect_anomaly", watched, first)

    def oracle(self) -> None:
        """Slopes of the value and of the gradients, in one direction, as `gradcheck` has them."""
        program, rng = self.program, np.random.default_rng(5)
        held = loss(program.held, program.weights)
        points = list(program.inputs.values())
        subject = TensorSubject(held, points, range(len(points)), kernel_set="reference")
        again = GradientSubject(subject, np.ones(1))
        pairs = zip(self.base.gradients, program.directions, strict=True)
        claims = {
            "gradient": [np.asarray(sum(float((g * d).sum()) for g, d in pairs))],
            "second": self.base.second,
        }
        for order, of, ways in (
            ("gradient", subject, program.directions),
            ("second", again, [*program.directions, None]),
        ):
            notes = Report(order)
            expected = Oracles(of, of.value(of.arrays), notes, rng)(ways)
            claimed = flat(claims[order])
            size = sum(float(np.abs(d).sum()) for d in program.directions)
            rounding = SAFETY * 2.0**-52 * self.sensitivity[order] * (1 + size)
            if not np.all(np.abs(claimed - expected.value) <= expected.error + rounding):
                told = gradcheck(held, *points, order=2, kernels="reference")
                self.fail(
                    f"{order} along a direction: {claimed.tolist()}, by {notes.oracle} "
                    f"{expected.value.tolist()}\n{told}"
                )
            known = expected.error + rounding <= np.maximum(VACUOUS * np.abs(claimed), ZERO)
            (self.report.compared if np.all(known) else self.report.vacuous).append(
                f"{order} and {notes.oracle}"
            )

    def kernel_sets(self, devices: Sequence[str]) -> None:
        """The same on each kernel set of the CPU and of these devices."""
        for device in dict.fromkeys(("cpu", *devices)):
            for name in get_device(device).sets:
                if (device, name) == ("cpu", "reference"):
                    continue
                with cr.kernels(name), _by_default(device):
                    inputs = self.program.tensors(device=device)
                    found = derivatives(self.program, self.program.function, inputs)
                for order in ("value", "gradient", "second"):
                    self.close(f"kernels {name!r} of {device!r}", order, found.arrays[order])

    def transforms(self) -> None:
        """cr.jvp and cr.hvp, through a checkpoint, beside gradients of first and second order."""
        program = self.program
        function = loss(program.checkpointed, program.weights)
        points, directions = tuple(program.inputs.values()), tuple(program.directions)
        _, tangent = cr.jvp(function, points, directions)
        self.close("cr.jvp", "slope", [tangent.numpy()])
        _, products = cr.hvp(function, points, directions)
        self.close("cr.hvp", "second", [each.numpy() for each in products])

    def single(self) -> None:
        """In float32, and in both precisions mixed; gradients have their input's dtype."""
        eps = 2.0**-23
        if SAFETY * eps * self.sensitivity["value"] > MARGIN:
            self.report.vacuous.append("float32")  # it may be on the other side of a kink
            return
        weights = [w.astype(np.float32) for w in self.program.weights]
        inputs = self.program.tensors("float32")
        found = derivatives(self.program, self.program.function, inputs, weights)
        self.typed("float32", found.gradients, inputs)
        for order in ("value", "gradient", "second"):
            self.close("float32", order, found.arrays[order], eps)
        if len(inputs) > 1:
            kinds = ("float32", "float64", "float32")
            arrays = zip(self.program.inputs.values(), itertools.cycle(kinds), strict=False)
            inputs = [cr.tensor(x, kind, requires_grad=True) for x, kind in arrays]
            gradients = backward(self.program, self.program.function, inputs)
            self.typed("float32 beside float64", gradients, inputs)
            self.close("float32 beside float64", "gradient", gradients, eps)

    def typed(self, what: str, gradients: Sequence[Array], inputs: Sequence[cr.Tensor]) -> None:
        """Each gradient has its input's dtype."""
        for i, (g, x) in enumerate(zip(gradients, inputs, strict=True)):
            if g.dtype != x.dtype:
                self.fail(f"{what}: gradient {i} is {g.dtype}, its input {x.dtype}")

    def unchanged(self) -> None:
        """Nothing was written into."""
        now = [*(x.numpy() for x in self.inputs), *self.program.weights]
        self.equal("inputs and upstream gradients afterwards", now, self.given)


@contextmanager
def _by_default(device: str) -> Iterator[None]:
    """Makes the constants of a program on a device, for the length of a `with` block."""
    before = cr.default_device()
    cr.set_default_device(device)
    try:
        yield
    finally:
        cr.set_default_device(before)


def check_program(program: Program, devices: Sequence[str] = ()) -> ProgramReport:
    """Puts a program to every check, and says what was compared.

    Forward, the gradients, and the gradients of a signed combination of them: as `cr.gradcheck`
    does, on the reference kernels; beside every other kernel set of the CPU and of `devices`, names
    such as "emulated"; in float32; without recording, in a checkpoint, under `cr.detect_anomaly`,
    and by `cr.jvp` and `cr.hvp`. Bounds are machine epsilon times the conditioning that is
    measured.

    Raises CheckError, with the program as Python text that runs, and what was found wrong.

    >>> from chainrule.testing import Line, Program
    >>> line = Line(("v0",), "cr.tanh(x0)")
    >>> check_program(Program({"x0": np.array([0.5, -1.0])}, [line], ["v0"])).vacuous
    []
    """
    try:
        with cr.kernels("reference"):
            checks = _Checks(program)
            checks.oracle()
            checks.plain()
            checks.transforms()
            checks.single()
        checks.kernel_sets(devices)
        checks.unchanged()
    except CheckError:
        raise
    except Exception as error:
        raise wrong(program, f"{type(error).__name__}: {error}") from error
    return checks.report
