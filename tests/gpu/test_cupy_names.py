"""What the engine asks of CuPy is there: names and arguments, read from the sources."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from chainrule.engine.devices import REFERENCE

from .strict.names import NAMES, signature

ROOT = Path(__file__).parents[2]
#: What stands for the array module, or for a kernel set, which passes on what is no kernel.
SPACE = re.compile(r"^(?:k|xp|(?:.*\.)?xp)\.((?:linalg\.)?[a-z_0-9]+)(\.[a-z_]+)?$")
#: What only looks so: compositions, whose `k` are the Tensor functions, and NumPy's own arguments.
ELSEWHERE = {
    ("engine/operations/sorting.py", "argsort"),
    ("engine/operations/reductions.py", "count_nonzero"),
}
#: NumPy alone: kernels of the CPU.
CPU_ONLY = ("numba_", "strided_")


def dotted(node):
    """`a.b.c` as text; None for anything else."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def calls():
    """Of each call of an array function: file, line, name, method of a ufunc, arguments."""
    for folder in ("engine", "layers", "optim", "training", "gpu"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.name.startswith(CPU_ONLY) or {"emulator", "checking"} & set(path.parts):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                found = SPACE.match(dotted(node.func) or "")
                if found and found[1] != "xp" and found[1] not in OURS:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", found[1], found[2], node


#: Names of `k` that are no functions of an array module: kernels, and what a Kernels has itself.
OURS = {*REFERENCE, "device", "name", "replaced"}


def check(where, name, method, node):
    if name in NAMES["ufuncs"]:
        if method is not None:
            known = {"reduce": 5, "accumulate": 4, "at": 3, "outer": 2, "reduceat": 5}
            assert method[1:] in known, f"{where}: cupy.{name}{method} does not exist"
            assert len(node.args) <= known[method[1:]], f"{where}: cupy.{name}{method}"
        keywords = {each.arg for each in node.keywords}
        assert keywords <= {"out", "dtype", "casting"} or method, f"{where}: cupy.{name}"
        return
    if name in NAMES["other"]:  # a dtype, say
        return
    assert name in NAMES["functions"], f"{where}: cupy.{name} does not exist"
    if any(isinstance(each, ast.Starred) for each in node.args):
        return
    if (where.partition(":")[0], name) in ELSEWHERE:
        return
    keywords = {each.arg: None for each in node.keywords if each.arg}
    try:
        signature("functions", name).bind_partial(*node.args, **keywords)
    except TypeError as error:
        pytest.fail(f"{where}: cupy.{name}({NAMES['functions'][name]}): {error}")


def test_every_array_function_that_is_called_is_cupys_too():
    found = list(calls())
    assert len(found) > 300
    for each in found:
        check(*each)


def test_the_check_sees_what_is_not_there():
    for text in (
        "k.vecdot(a, b)",
        "xp.add.at_once(a, 1, b)",
        "k.xp.sort(a, kind=None, stable=True)",
    ):
        node = ast.parse(text, mode="eval").body
        found = SPACE.match(dotted(node.func))
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check("here", found[1], found[2], node)


def test_the_file_is_what_the_installed_cupy_says():
    cupy = pytest.importorskip("cupy")
    if cupy.__version__ != NAMES["cupy"]:
        pytest.skip(f"CuPy {cupy.__version__} is installed, the file is of {NAMES['cupy']}")
    space: dict = {"__name__": "cupy_signatures", "__file__": str(ROOT / "scripts" / "_")}
    exec((ROOT / "scripts" / "cupy_signatures.py").read_text(encoding="utf-8"), space)
    assert space["survey"](cupy) == NAMES


def test_signatures_are_read():
    assert list(signature("functions", "sum").parameters) == [
        *("a", "axis", "dtype", "out", "keepdims"),
    ]
    assert signature("methods", "astype").parameters["copy"].default is True
    assert inspect.signature(signature).parameters
