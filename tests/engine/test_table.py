"""One place per operation: a record that is added is found everywhere, without another edit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.engine.record import RECORDS
from chainrule.engine.table import latex, page

pytest.importorskip("sympy")

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("engine", "layers", "optim", "training", "gpu")


def test_every_operation_has_a_row():
    rows = page()
    for name, record in RECORDS.items():
        if record.builtin:
            assert f"**`{name}(" in rows


def test_a_users_operation_has_a_row_too():
    cubed = cr.elementwise(
        "cubed",
        summary="The cube | of a number.",
        formula="x**3",
        derivative="3 * x**2",
        forward=lambda k, x: x * x * x,
        vjp=lambda k, g, x: g * (3 * x * x),
        kinks=(),
    )
    row = page([cubed.record]).splitlines()[-1]
    for text in ("`cubed(x)`", r"The cube \| of a number.", "$x^{3}$", "3 x^{2}", "proved"):
        assert text in row


def test_bars_do_not_break_a_row():
    assert "|" not in latex("Abs(x)")


ADDED = """

cubed = elementwise(
    "cubed",
    summary="A number times itself, twice.",
    formula="x**3",
    derivative="3 * x**2",
    forward=lambda k, x: x * x * x,
    vjp=lambda k, g, x: g * ({factor} * x * x),
    methods=("cubed",),
)

paired = operation(
    "paired",
    summary="Sums of neighbours.",
    formula="y[i] = x[i] + x[i + 1]",
    derivative="g[i] + g[i - 1]",
    forward=lambda k, x: x[1:] + x[:-1],
    vjp=lambda k, g, x_shape: k.scatter_index(g, slice(1, None), x_shape)
    + k.scatter_index(g, slice(0, -1), x_shape),
    cases=[case((3,))],
)
"""

FIND = """
import chainrule as cr
from chainrule.engine.table import page
x = cr.tensor([1.0, 2.0], requires_grad=True)
assert cr.cubed(x).tolist() == x.cubed().tolist() == [1.0, 8.0]
assert "cubed" in dir(cr) and "paired" in cr.__all__
assert "d/dx = 3 * x**2" in cr.cubed.__doc__ and "Sums of neighbours" in cr.paired.__doc__
assert "**`cubed(x)`**" in page() and "**`paired(x)`**" in page()
"""


def tree_with(added: str, folder: Path) -> dict[str, str]:
    """A copy of the package, with text added to one file; the environment that imports it."""
    ignore = shutil.ignore_patterns("__pycache__", "data")
    package = folder / "site" / "chainrule"
    shutil.copytree(ROOT / "api", package, ignore=ignore)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, package / name, ignore=ignore)
    for name in ("engine", "parity"):
        shutil.copytree(ROOT / "tests" / name, folder / "tests" / name, ignore=ignore)
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
    (folder / "tests" / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", folder)
    with open(package / "engine" / "operations" / "arithmetic.py", "a") as file:
        file.write(added)
    # Options for pytest, of whoever runs these tests, are not meant for the run within.
    around = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    return {**around, "PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}


def run(folder: Path, environment: dict[str, str], *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_adding_an_operation_touches_one_place(tmp_path):
    """Function, method, documentation, row in the table, proof and numeric checks follow."""
    environment = tree_with(ADDED.format(factor=3), tmp_path)
    found = run(tmp_path, environment, "-c", FIND)
    assert found.returncode == 0, found.stderr
    checks = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cubed or paired"]
    checks += ["tests/engine/test_records.py", "tests/engine/test_proof.py"]
    done = run(tmp_path, environment, *checks, "-vv")
    assert done.returncode == 0, done.stdout
    whole = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/parity",
        "-k",
        "said or missing",
    ]
    told = run(tmp_path, environment, *whole)
    assert told.returncode == 0, told.stdout
    for name in ("cubed", "paired"):
        assert f"test_formula_derivative_and_code_agree[{name}] PASSED" in done.stdout
        assert f"test_every_function_tells_what_it_does[{name}] PASSED" in done.stdout
    assert "gradients_of_first_and_second_order[cubed] PASSED" in done.stdout
    assert "test_gradients_of_array_operations[paired((3,))] PASSED" in done.stdout
    # And the checks that it got can fail.
    path = tmp_path / "site" / "chainrule" / "engine" / "operations" / "arithmetic.py"
    path.write_text(path.read_text().replace(ADDED.format(factor=3), ADDED.format(factor=6)))
    done = run(tmp_path, environment, *checks)
    assert "test_formula_derivative_and_code_agree[cubed]" in done.stdout
    assert "gradients_of_first_and_second_order[cubed]" in done.stdout
    assert "failed" in done.stdout.splitlines()[-1]
