"""The package as a whole: what it installs, what it imports, and in which direction."""

from __future__ import annotations

import ast
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: What each folder may import of ours (and itself).
ALLOWED = {
    "engine": set(),
    "layers": {"engine"},
    "optim": {"engine"},
    "gpu": {"engine"},
    "training": {"engine", "layers", "optim"},
    "api": {"engine", "layers", "optim", "gpu", "training"},
}
CORE_FILES = ["engine/tensor.py", "engine/tape.py", "engine/record.py", "engine/backward.py"]
CORE_BUDGET = 800
IMPORT_ALL = """
import importlib, sys, chainrule
for name in sys.argv[1:]:
    importlib.import_module(name)
print(chainrule.__file__)
"""


def modules() -> list[str]:
    """The names of all our modules, by the rule: X/ is chainrule.X, and api/ is chainrule."""
    names = []
    for folder in ALLOWED:
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = list(file.relative_to(ROOT).with_suffix("").parts)
            parts = parts[1:] if folder == "api" else parts
            if parts[-1:] == ["__init__"]:
                parts.pop()
            if parts[-1:] != ["__main__"]:
                names.append(".".join(["chainrule", *parts]))
    return names


def imported(file: Path) -> set[str]:
    """The folders of ours from which a file imports, at its top or inside a function."""
    top = file.relative_to(ROOT).parts[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
            if node.module == "chainrule":
                names = [f"chainrule.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "chainrule":
                folder = parts[1] if len(parts) > 1 and parts[1] in ALLOWED else "api"
                found.add(folder)
    return found - {top}


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports_point_upwards_only(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        beyond = imported(file) - ALLOWED[folder]
        assert not beyond, f"{file.relative_to(ROOT)} imports from {beyond}"


def code_lines(file: Path) -> int:
    """The lines of a file, without docstrings, comments and blank lines."""
    text = file.read_text(encoding="utf-8")
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (
            *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
            *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
        ):
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def test_the_core_can_be_read_in_one_sitting() -> None:
    lines = {name: code_lines(ROOT / name) for name in CORE_FILES}
    assert sum(lines.values()) <= CORE_BUDGET, lines


def test_importing_chainrule_loads_nothing_heavy() -> None:
    heavy = "{'numba', 'cupy', 'sympy', 'matplotlib', 'scipy', 'torch'}"
    code = f"import sys, chainrule; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def copy_of_the_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tree") / "chainrule-source"
    ignored = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, target, ignore=ignored)
    return target


@pytest.mark.parametrize("editable", [False, True], ids=["ordinary", "editable"])
def test_every_module_imports_from_a_fresh_environment(
    editable: bool, tmp_path: Path, copy_of_the_tree: Path
) -> None:
    """Dependencies are borrowed from this environment by a .pth file; chainrule is installed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    scripts = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = str(scripts / "python")
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    borrowed = Path(sysconfig.get_path("purelib"))
    for each in borrowed.iterdir():  # everything but ourselves
        if "chainrule" not in each.name and each.suffix != ".pth":
            target = Path(site.stdout.strip()) / each.name
            if not target.exists():
                target.symlink_to(each)
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    source = ["-e", str(copy_of_the_tree)] if editable else [str(copy_of_the_tree)]
    installed = subprocess.run([*command, *source], capture_output=True, text=True)
    if installed.returncode and "setuptools" in installed.stderr:
        pytest.skip(f"the build's requirements cannot be had: {installed.stderr[-300:]}")
    assert installed.returncode == 0, installed.stderr
    for folder in (tmp_path, copy_of_the_tree):  # elsewhere, and in the repository's root
        found = subprocess.run(
            [python, "-c", IMPORT_ALL, *modules()],
            cwd=folder,
            env=clean,
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stderr
        assert ("api" in found.stdout) is editable, found.stdout
