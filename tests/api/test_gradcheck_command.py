"""`chainrule gradcheck`: rows, exit codes, JSON, names of one's own and names that are wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from chainrule import gradcheck_command
from chainrule.cli import main
from chainrule.gradcheck_command import UsageError, expand, resolve, table

MODULE = """
import numpy as np
import chainrule as cr

print("imported")

good = cr.operation(
    "good", forward=lambda k, x: x * x, vjp=lambda k, g, x: 2 * g * x, cases=[cr.testing.case((3,))]
)
bad = cr.operation(
    "bad", forward=lambda k, x: x * x, vjp=lambda k, g, x: -2 * g * x, cases=[cr.testing.case((3,))]
)

def energy(x, scale=2.0):
    return (cr.sin(x) * scale).sum()

def pair(x, w):
    return x @ w

def text(x):
    return "not a tensor"

def infinite(x):
    with np.errstate(all="ignore"):
        return cr.sqrt(x - x)

def missing(x):
    print("called")
    return {}["a"]

NUMBER = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "own_operations.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_operations"


def test_a_row_for_each_operation(capsys):
    assert main(["gradcheck", "tanh", "relu"]) == 0
    head, *rows, tail = capsys.readouterr().out.splitlines()
    assert head.split() == ["operation", "cases", "worst", "kinks", "zeros", "oracle"]
    assert [row.split()[0] for row in rows] == ["tanh", "relu"] and tail == "2 checked, 0 wrong"
    assert all(row.endswith("ok") for row in rows)
    assert int(rows[1].split()[3]) >= 1  # relu has met its kink


def test_a_wrong_gradient_is_told_and_gives_exit_code_1(module, capsys):
    assert main(["gradcheck", f"{module}:bad"]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out and "the sign is wrong" in out and "1 checked, 1 wrong" in out


def test_a_module_stands_for_its_operations(module, capsys):
    assert main(["gradcheck", module, "--order", "1"]) == 1
    assert "2 checked, 1 wrong" in capsys.readouterr().out


def test_functions_of_ones_own(module, capsys):
    assert main(["gradcheck", f"{module}:energy", "--shape", "4"]) == 0
    assert main(["gradcheck", f"{module}:pair", "--shape", "2,3", "--shape", "(3, 2)"]) == 0
    assert main(["gradcheck", f"{module}:pair"]) == 1  # of shapes that do not fit
    assert "error: ShapeError" in capsys.readouterr().out
    assert main(["gradcheck", f"{module}:text"]) == 1


def test_json_is_json_whatever_functions_print_and_whatever_numbers_come(module, capsys):
    def refuse(constant):
        raise AssertionError(constant)

    with np.errstate(all="ignore"):
        code = main(["gradcheck", f"{module}:infinite", f"{module}:missing", "--json"])
    assert code == 1
    infinite, missing = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert infinite["findings"][0]["got"] == "nan"
    assert "KeyError: 'a'" in missing["findings"][0]["text"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("int('x')", "V")],
)
def test_a_module_that_cannot_be_imported(text, told, tmp_path, monkeypatch, capsys):
    (tmp_path / f"broken_{told.lower()}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["gradcheck", f"broken_{told.lower()}:f"]) == 2
    assert f"cannot be imported: {told}" in capsys.readouterr().err


def test_json(module, capsys):
    assert main(["gradcheck", "tanh", f"{module}:bad", "--json"]) == 1
    good, bad = json.loads(capsys.readouterr().out)
    assert (good["target"], good["ok"], good["findings"]) == ("tanh", True, [])
    assert bad["findings"][0]["meaning"] == "the sign is wrong" and bad["seed"] == 0


WRONG = {
    "tahn": "no operation and no module 'tahn'; did you mean",
    "no_such_module:f": "no operation and no module 'no_such_module'",
    "own_operations:god": "'own_operations' has no 'god'; did you mean 'good'",
    "own_operations:NUMBER": "is no function, but of type int",
    "argmax": "'argmax' has no gradient",
    "json": "module 'json' defines no operations",
    ":f": "is no name of a module",
}


@pytest.mark.parametrize("name", WRONG)
def test_names_that_do_not_exist(module, capsys, name):
    assert main(["gradcheck", name]) == 2
    assert WRONG[name] in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["gradcheck", "tanh", "--shape", "two"])


def test_a_module_that_needs_what_is_missing(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_package\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="needs 'no_such_package', which is not installed"):
        resolve("needs_more:f")


def test_a_reader_that_has_seen_enough(module):
    command = f"{sys.executable} -m chainrule gradcheck tanh sigmoid relu exp | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("operation") and done.stderr == ""


def test_the_table_is_the_default_and_processes_share_it(monkeypatch, capsys):
    assert len(table()) > 120 and expand("tanh") == ["tanh"]
    few = table()[:9]
    monkeypatch.setattr(gradcheck_command, "table", lambda: few)
    assert gradcheck_command.run([], order=1, jobs=2) == 0
    assert [row.split()[0] for row in capsys.readouterr().out.splitlines()[1:-1]] == few
