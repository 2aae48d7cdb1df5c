"""Random programs: they pass every check, print as Python that runs, and find planted faults."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

import chainrule as cr
from chainrule.engine.record import RECORDS
from chainrule.engine.tensor import Tensor
from chainrule.testing import CheckError, Line, Program, check_program, programs
from chainrule.testing.__main__ import main, operations_of
from chainrule.testing.program_checks import derivatives
from chainrule.testing.random_programs import FAMILIES


@settings(max_examples=60)
@given(programs(max_operations=8))
def test_programs_pass_every_check(program):
    report = check_program(program)
    told = " ".join(report.compared + report.vacuous)
    for word in ("complex step", "backward()", "jvp", "hvp", "float32", "kernels 'numba'"):
        assert word in told


@settings(max_examples=30, phases=[Phase.generate])
@given(programs())
def test_what_is_printed_runs_and_computes_the_same(program):
    """Bit for bit: what is printed is what was checked."""
    space = {}
    exec(program.source, space)
    expected = derivatives(program, program.function, program.tensors())
    assert space["value"].item() == expected.value
    for name, arrays in (("gradients", expected.gradients), ("second", expected.second)):
        for one, other in zip(space[name], arrays, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one.numpy(), other, rtol=1e-9, atol=1e-12)


@settings(max_examples=60, phases=[Phase.generate])
@given(programs(max_operations=12))
def test_numbers_stay_small_and_everything_counts(program):
    assert 1 <= len(program.lines) <= 30
    with cr.no_grad():
        outputs = program(*program.tensors())
    for y in outputs:
        assert y.isfinite().all()
        assert y.size == 0 or abs(y).max().item() <= 4.0
    read = {name for line in program.lines for name in line.operands} | {*program.outputs}
    assert {*program.inputs} <= read


def test_no_kernel_is_compiled_within_an_example(monkeypatch):
    from chainrule.engine.kernels import numba_special

    def refuse(*args):
        raise AssertionError("compiles a kernel")

    monkeypatch.setattr(numba_special, "compiled", refuse)

    @settings(max_examples=20, phases=[Phase.generate])
    @given(programs())
    def run(program):
        with cr.kernels("numba"):
            program(*program.tensors())

    run()


def test_programs_pass_with_the_code_for_large_arrays(monkeypatch):
    """Programs are of few elements, which would never meet it."""
    from chainrule.engine.kernels import contractions, convolutions, special

    monkeypatch.setattr(contractions, "_FEW", 0)
    monkeypatch.setattr(convolutions, "BLOCK", 1)
    monkeypatch.setattr(special, "BLOCK", 3)
    contractions.contraction.cache_clear()

    @settings(max_examples=20, phases=[Phase.generate])
    @given(programs())
    def run(program):
        check_program(program)

    run()
    contractions.contraction.cache_clear()


def test_an_operation_that_fails_while_a_program_is_drawn_is_told_with_the_program(monkeypatch):
    def forward(k, x):
        raise ValueError("out of order")

    with pytest.raises(CheckError, match=r"(?s)out of order.*tanh\(x0\).*where\nx0 = np.array"):
        found(monkeypatch, "tanh", None, forward=forward, caught=False)


# Faults -------------------------------------------------------------------------------------


def found(monkeypatch, name, vjps, forward=None, shrink=True, caught=True):
    """What the checks say of the table with a fault planted in it: the shrunk program's error."""
    record = RECORDS[name]
    for field, value in (("vjps", vjps), ("forward", forward)):
        if value is not None:
            monkeypatch.setattr(record, field, value)
    monkeypatch.setattr(record, "plans", {})
    recipes = [r for family in FAMILIES for r in family]
    monkeypatch.setattr(
        "chainrule.testing.random_programs.FAMILIES",
        [*8 * [[r for r in recipes if _may_draw(r, name)] or recipes], *FAMILIES],
    )

    @seed(1)
    @settings(
        max_examples=400,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(max_operations=4, max_inputs=2))
    def run(program):
        check_program(program)

    if not caught:
        run()
    with pytest.raises(CheckError) as error:
        run()
    return str(error.value)


def _may_draw(recipe, name):
    cells = [cell.cell_contents for cell in recipe.__closure__ or ()]
    return name in cells or RECORDS[name] in cells


def body(text):
    """The lines of the program in an error."""
    inside = re.search(r"def program\(.*?\):\n(.*?)\n    return", text, re.DOTALL)
    return [line.strip() for line in inside[1].splitlines()]


def test_a_factor_2_is_found_in_one_operation(monkeypatch):
    text = found(monkeypatch, "tanh", {"x": lambda k, g, y: 2 * g * (1 - y * y)})
    assert "gradient: 1 of 1 entries are wrong; input 0" in text
    assert "a factor 2 too large" in text
    assert body(text) == ["v0 = cr.tanh(x0)"]
    space = {}
    exec(text[text.index("import numpy") :], space)  # comments and all, with the fault still there
    right = space["weights"][0] * (1 + np.tanh(0.36)) * (1 - np.tanh(0.36) ** 2)
    np.testing.assert_allclose(space["gradients"][0].numpy(), 2 * right)


def test_a_fault_of_second_order_only_is_found(monkeypatch):
    def vjp(k, g, x):
        return g * k.cos(x.detach() if isinstance(x, Tensor) else x)

    text = found(monkeypatch, "sin", {"x": vjp})
    assert "order 2: gradient: " in text
    assert len(body(text)) == 1
    assert "sin(x0)" in body(text)[0]


def test_a_sum_over_the_wrong_axis_is_found(monkeypatch):
    def vjp(k, g, y, axis):
        axis = axis % y.ndim
        return y * (g - k.sum(g * y, axis=(axis + 1) % y.ndim, keepdims=True))

    text = found(monkeypatch, "softmax", {"x": vjp})
    assert len(body(text)) == 1
    assert "softmax" in text


def test_an_unbroadcast_that_takes_a_mean_is_found(monkeypatch):
    def vjp(k, g, predictions, targets):
        size = getattr(targets, "size", 1)
        return g * (2 * (targets - predictions)) * (size / max(1, g.size))  # summed later

    right = RECORDS["squared_error"].vjps
    text = found(monkeypatch, "squared_error", {**right, "targets": vjp}, shrink=False)
    assert "squared_error" in text


def test_an_operation_that_writes_into_its_argument_is_found(monkeypatch):
    def forward(k, x):
        y = k.exp(x)
        if isinstance(x, np.ndarray) and x.flags.writeable:
            x += 1e-3
        return y

    text = found(monkeypatch, "exp", None, forward=forward)
    assert len(body(text)) <= 2


def test_an_error_on_the_way_back_is_told_with_the_program(monkeypatch):
    def vjp(k, g, x):
        return g[..., :0]

    text = found(monkeypatch, "sin", {"x": vjp})
    assert text.startswith("IndexError: getitem: x has shape ()")
    assert "# Found wrong:\n" in text
    assert len(body(text)) == 1


def test_a_kernel_set_that_computes_otherwise_is_found(monkeypatch):
    from chainrule.engine.kernels import numba_special

    monkeypatch.setattr(numba_special.math, "erf", math.tanh)
    program = Program({"x0": np.array([0.5])}, [Line(("v0",), "cr.erf(x0)")], ["v0"])
    with pytest.raises(CheckError, match="kernels 'numba' of 'cpu', value 0: off by"):
        check_program(program)


# Programs by hand ----------------------------------------------------------------------------


def test_what_is_constant_for_derivatives_is_held():
    """The oracle differentiates what the gradient does: not what comes through detach()."""
    lines = [
        Line(("v0",), "x0.detach()", constant=True),
        Line(("v1",), "cr.tanh(x0)", no_grad=True),
        Line(("v2",), "v0 * x0 + v1 * x0"),
    ]
    program = Program({"x0": np.array([0.5, -1.0])}, lines, ["v2"], part=(1, 3))
    assert "    with cr.no_grad():\n        v1 = cr.tanh(x0)\n" in program.source
    assert not check_program(program).vacuous
    program = Program(program.inputs, [Line(("v0",), "x0.detach() * x0")], ["v0"])
    with pytest.raises(CheckError, match="entries are wrong"):  # it is not said to be constant
        check_program(program)


def test_several_values_of_a_line():
    lines = [
        Line(("v0",), "cr.unstack(x0)", many=True),
        Line(("v1", "v2"), "cr.split(v0, 2)", many=True),
    ]
    program = Program({"x0": np.array([[0.5, -1.0]])}, lines, ["v1", "v2"], part=(0, 2))
    assert "    [v0] = cr.unstack(x0)\n    [v1, v2] = cr.split(v0, 2)\n" in program.source
    assert not check_program(program).vacuous


def test_operations_that_stand_in_a_program():
    lines = [Line(("v0",), "cr.where((x0 > 0.3), np.exp(x0), x0.T @ x0)")]
    program = Program({"x0": np.ones(2)}, lines, ["v0"])
    assert operations_of(program) == {"where", "greater", "exp", "matmul"}


def test_the_command_line_says_what_was_compared_and_fails_on_a_fault(monkeypatch, capsys):
    assert main(["--examples", "5", "--seed", "3", "--operations", "4"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"compared +5  programs", printed)
    assert "operations drawn: " in printed

    def fail(program, devices):
        raise CheckError("wrong")

    monkeypatch.setattr("chainrule.testing.__main__.check_program", fail)
    assert main(["--examples", "2", "--operations", "1"]) == 1
    assert "FAILED\nwrong" in capsys.readouterr().out


def test_python_dash_m_runs():
    done = subprocess.run(
        [sys.executable, "-m", "chainrule.testing", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--examples" in done.stdout
