"""The examples run, in the shortened form that their docstrings give, and reach what these say."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))

#: What `fit` and `evaluate` print, one line an epoch (section 5.4).
NUMBER = r"\d+\.\d{4}"
LINE = re.compile(
    r"(?P<steps>\d+)/(?P=steps) \[=+\] - (\d+:)*\d+s \d+(us|ms|s)/step"
    rf" - loss: {NUMBER}(?P<values>( - \w+: {NUMBER})*)"
)
#: What each of them prints of a result, and the names of the values in the epochs' lines.
EXPECTED = re.compile(rf"accuracy .*?({NUMBER}).* expected (?:at least )?(\d\.\d+)")


def commands(example: str) -> list[list[str]]:
    """The arguments of the command lines in the docstring of an example."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / example).read_text("utf-8")))
    lines = re.findall(rf"^    python examples/{example}(.*)$", text, re.MULTILINE)
    return [shlex.split(line) for line in lines if line.lstrip().startswith("--")]


def run(example: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / example), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_shortened_example_reaches_what_it_says(example):
    (shortened,) = commands(example)
    result = run(example, shortened)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    epochs = [i for i, line in enumerate(lines) if re.fullmatch(r"Epoch \d+/\d+", line)]
    assert epochs
    for i in epochs:
        assert LINE.fullmatch(lines[i + 1]), lines[i + 1]
    evaluations = [line for i, line in enumerate(lines) if LINE.match(line) and i - 1 not in epochs]
    assert evaluations
    for line in evaluations:
        found = LINE.fullmatch(line)
        assert found, line
        assert re.fullmatch(rf" - accuracy: {NUMBER}", found["values"])
    reached = EXPECTED.findall(result.stdout)
    wanted = shortened[shortened.index("--expect") + 1 :]
    assert [float(least) for _, least in reached] == [float(each) for each in wanted]
    assert all(float(value) >= float(least) for value, least in reached)


def test_an_example_that_does_not_reach_it_fails():
    result = run("digits_cnn.py", ["--seeds", "1", "--epochs", "1", "--expect", "0.999"])
    assert result.returncode == 1
    assert result.stderr == "the expected accuracy was not reached\n"


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_compares_what_it_reached(example):
    """Each ends in a comparison whose branch raises SystemExit with a message: exit code 1."""
    tree = ast.parse((ROOT / "examples" / example).read_text("utf-8"))
    main = next(each for each in tree.body if getattr(each, "name", "") == "main")
    last = main.body[-1]
    assert isinstance(last, ast.If)
    assert "expect" in ast.unparse(last.test)
    assert ast.unparse(last.body[0]).startswith("raise SystemExit('")
