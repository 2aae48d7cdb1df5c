"""The package as installed: every module imports from anywhere, and imports point upwards only."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tokenize
import types
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]

#: Which folders a folder's modules may import, besides their own.
MAY_IMPORT: dict[str, set[str]] = {
    "engine": set(),
    "layers": {"engine"},
    "optim": {"engine"},
    "gpu": {"engine"},
    "training": {"engine", "layers", "optim"},
    "api": {"engine", "layers", "optim", "gpu", "training"},
}

#: What should be readable in one sitting, and how many lines of code that may be.
CORE_FILES = ["engine/tensor.py", "engine/tape.py", "engine/record.py", "engine/backward.py"]
CORE_BUDGET = 800

#: Loaded where they are first used, never by `import chainrule`.
HEAVY = ("numba", "cupy", "sympy", "matplotlib", "scipy", "sklearn", "torch", "PIL")


def modules() -> dict[str, Path]:
    """The file of every module of the tree, by the name it is imported under."""
    found = {}
    for folder in MAY_IMPORT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts[1:] if folder == "api" else parts
            parts = parts[:-1] if parts and parts[-1] == "__init__" else parts
            found[".".join(("chainrule", *parts))] = path
    return found


def folder_of(name: str) -> str:
    """The top-level folder of a module: chainrule.engine.tape -> engine, chainrule.cli -> api."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "api"


# ------------------------------------------------------------------------------ who imports whom


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """All nodes below `node`; with `at_import`, only those that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if at_import and (
            isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            or is_type_checking(child)
        ):
            continue
        yield child
        yield from statements(child, at_import=at_import)


def imports(
    name: str, source: str, known: Iterable[str], *, package: bool, at_import: bool
) -> set[str]:
    """Our own modules that the module `name` with this source imports."""
    known = set(known)
    found = set()
    for node in statements(ast.parse(source), at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".") if package else name.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join((*parts, base)) if base else ".".join(parts)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in known else base)
    return {each for each in found if each.split(".")[0] == "chainrule"} - {name}


def all_imports(*, at_import: bool) -> dict[str, set[str]]:
    known = modules()
    return {
        name: imports(
            name,
            path.read_text(encoding="utf-8"),
            known,
            package=path.name == "__init__.py",
            at_import=at_import,
        )
        for name, path in known.items()
    }


def downward(arrows: dict[str, set[str]]) -> list[str]:
    """The imports that the table does not allow."""
    return [
        f"{name} imports {target}"
        for name, targets in sorted(arrows.items())
        for target in sorted(targets)
        if folder_of(target) not in MAY_IMPORT[folder_of(name)] | {folder_of(name)}
    ]


def test_imports_point_upwards_only():
    assert downward(all_imports(at_import=False)) == []


def test_no_module_imports_itself_through_others():
    order = TopologicalSorter(all_imports(at_import=True))
    try:
        order.prepare()
    except CycleError as error:
        pytest.fail(f"imported in a circle: {' -> '.join(reversed(error.args[1]))}")


def test_the_table_of_folders_has_no_circle():
    assert set(TopologicalSorter(MAY_IMPORT).static_order()) == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from chainrule.training import fit", {"chainrule.training"}),
        ("from chainrule import training", {"chainrule.training"}),
        ("import chainrule.training", {"chainrule.training"}),
        ("def f():\n    from ..training import fit", {"chainrule.training"}),
        ("from ..training.loop import fit", {"chainrule.training.loop"}),
        ("from . import tape", {"chainrule.engine.tape"}),
        ("from .tape import Node", {"chainrule.engine.tape"}),
        ("import numpy\nfrom os import path", set()),
    ],
)
def test_every_form_of_import_is_seen(source, expected):
    known = ["chainrule.training", "chainrule.training.loop", "chainrule.engine.tape"]
    found = imports("chainrule.engine.tensor", source, known, package=False, at_import=False)
    assert found == expected
    wrong = [each for each in expected if "training" in each]
    assert len(downward({"chainrule.engine.tensor": found})) == len(wrong)


def test_imports_inside_functions_and_for_types_do_not_run_at_import():
    source = (
        "import chainrule.a\nif TYPE_CHECKING:\n    import chainrule.b\n"
        "def f():\n    import chainrule.c\nclass C:\n    import chainrule.d\n"
    )
    found = imports("chainrule.x", source, (), package=False, at_import=True)
    assert found == {"chainrule.a", "chainrule.d"}


# ------------------------------------------------------------------------------ the core's budget


def code_lines(source: str) -> int:
    """The number of lines with code on them: not blank, no comment, no docstring."""
    lines = set()
    ignored = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in ignored:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                lines -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def test_code_lines_leaves_out_docstrings_comments_and_blank_lines():
    head = '"""Doc.\n\nMore."""\n# why\n'
    text = 'x = """a\n\nb"""\n\n'
    body = 'def f():\n    """Doc."""\n    return (\n        1  # one\n    )\n'
    assert code_lines(head + text + body) == 3 + 1 + 3


def test_the_core_can_be_read_in_one_sitting():
    counts = {name: code_lines((ROOT / name).read_text(encoding="utf-8")) for name in CORE_FILES}
    assert sum(counts.values()) <= CORE_BUDGET, counts


# ------------------------------------------------------------------------------ as imported here


def test_import_chainrule_loads_no_heavy_package():
    code = f"import sys, chainrule; print(sorted(set({HEAVY!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_folder_is_imported_under_its_own_name():
    stray = {
        name: module.__file__
        for name in MAY_IMPORT
        if (module := sys.modules.get(name)) is not None
        and str(getattr(module, "__file__", "")).startswith(str(ROOT))
    }
    assert stray == {}


def test_every_module_has_a_docstring_and_no_folder_is_called_chainrule():
    assert not (ROOT / "chainrule").exists()
    without = [
        name
        for name, path in modules().items()
        if (source := path.read_text(encoding="utf-8")).strip()
        and not ast.get_docstring(ast.parse(source))
    ]
    assert without == []


# ------------------------------------------------------------------------------ as installed anew


def copy_of_the_tree(target: Path) -> Path:
    """What an installation needs of the repository: the folders of code, the files at its top."""
    target.mkdir()
    for path in ROOT.iterdir():
        if path.name in MAY_IMPORT:
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.is_file() and not path.name.startswith("."):
            shutil.copy(path, target / path.name)
    return target


def dependencies(name: str) -> dict[str, metadata.Distribution]:
    """The distributions that a plain installation of `name` brings along, itself included."""
    found: dict[str, metadata.Distribution] = {}
    todo = [name]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name not in found:
            found[name] = metadata.distribution(name)
            for line in found[name].requires or ():
                each = Requirement(line)
                if each.marker is None or each.marker.evaluate({"extra": ""}):
                    todo.append(each.name)
    return found


def fresh_environment(folder: Path) -> Path:
    """A virtual environment with chainrule's declared dependencies alone; returns its Python.

    The dependencies are not downloaded, but linked from the running environment.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    links = folder / "dependencies"
    links.mkdir()
    for name, distribution in dependencies("chainrule").items():
        if name == "chainrule":
            continue
        for top in {Path(file).parts[0] for file in distribution.files or ()} - {".."}:
            place = Path(str(distribution.locate_file(top)))
            if place.exists() and top != "__pycache__" and not (links / top).exists():
                (links / top).symlink_to(place, target_is_directory=place.is_dir())
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    where = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    path = Path(where.stdout.strip()) / "dependencies.pth"
    path.write_text(f"{links}\n", encoding="utf-8")
    return python


UNREACHABLE = re.compile(
    r"No matching distribution found for setuptools|NewConnectionError|NameResolutionError"
    r"|ConnectTimeoutError|ProxyError"
)

IMPORT_ALL = """
import importlib, json, pkgutil, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
import chainrule
from importlib.resources import files
print(json.dumps({
    "walked": sorted(each.name for each in pkgutil.walk_packages(chainrule.__path__, "chainrule.")),
    "stray": sorted({"engine", "layers", "optim", "training", "gpu", "api"} & sys.modules.keys()),
    "heavy": sorted({"matplotlib", "sympy", "cupy", "sklearn"} & sys.modules.keys()),
    "file": chainrule.__file__,
    "version": chainrule.__version__,
    "typed": files("chainrule").joinpath("py.typed").is_file(),
    "card": files("chainrule").joinpath("data/README.md").is_file(),
    "digits": chainrule.datasets.digits().x_train.shape,
    "text": len(chainrule.datasets.python_docs().text),
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ordinary", "editable", "strict editable"])
@pytest.mark.skipif(os.name == "nt", reason="links to dependencies need a privilege on Windows")
def test_every_module_imports_after_a_fresh_installation(how, tmp_path):
    pytest.importorskip("pip")
    tree = copy_of_the_tree(tmp_path / "tree")
    python = fresh_environment(tmp_path / "venv")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    install += ["--quiet", "--disable-pip-version-check", "--no-input"]
    if how == "strict editable":
        install += ["--config-settings", "editable_mode=strict"]
    install += [str(tree)] if how == "ordinary" else ["--editable", str(tree)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(install, capture_output=True, text=True, cwd=tmp_path, env=environment)
    if done.returncode and UNREACHABLE.search(done.stderr):
        pytest.skip("setuptools cannot be fetched: no network")
    assert done.returncode == 0, done.stderr

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = [name for name in modules() if not name.endswith(".__main__")]
    for folder in (elsewhere, tree):
        seen = subprocess.run(
            [python, "-W", "error", "-c", IMPORT_ALL, json.dumps(names)],
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment,
        )
        assert seen.returncode == 0, seen.stderr
        found = json.loads(seen.stdout)
        assert found["stray"] == found["heavy"] == []
        assert found["version"] == metadata.version("chainrule")
        assert found["typed"]
        assert found["card"]
        assert found["digits"] == [1257, 8, 8]
        assert found["text"] == 464_970
        home = python.parents[1] if how == "ordinary" else tree
        assert Path(found["file"]).absolute().is_relative_to(home)
        if how != "editable":  # there, chainrule's own folder is api/, and lacks the others
            assert set(found["walked"]) | {"chainrule"} == set(modules())
    shown = subprocess.run(
        [python.with_name("chainrule"), "--version"],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env=environment,
        check=True,
    )
    assert shown.stdout.strip() == f"chainrule {metadata.version('chainrule')}"
    if how == "ordinary":  # nothing is left that a later installation would copy
        assert not (tree / "build").exists()


def test_setup_finds_subpackages_and_refuses_two_folders_for_one(tmp_path, monkeypatch):
    stand_in = types.ModuleType("setuptools")  # the real one would replace distutils
    stand_in.setup = lambda **options: None
    monkeypatch.setitem(sys.modules, "setuptools", stand_in)
    spec = importlib.util.spec_from_file_location("setup_of_chainrule", ROOT / "setup.py")
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    for package in ("engine", "engine/kernels", "engine/kernels/deep", "api", "api/data", "gpu"):
        (tmp_path / package).mkdir()
        if package != "api/data":
            (tmp_path / package / "__init__.py").touch()
    assert setup.package_map(tmp_path) == {
        "chainrule": "api",
        "chainrule.engine": "engine",
        "chainrule.engine.kernels": "engine/kernels",
        "chainrule.engine.kernels.deep": "engine/kernels/deep",
        "chainrule.gpu": "gpu",
    }
    (tmp_path / "api" / "engine").mkdir()
    (tmp_path / "api" / "engine" / "__init__.py").touch()
    with pytest.raises(ValueError, match=r"engine/ and api/engine/ are both chainrule\.engine"):
        setup.package_map(tmp_path)
