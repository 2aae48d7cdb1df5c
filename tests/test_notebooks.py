"""The notebooks run from top to bottom, and so do the solutions of their exercises."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDED = ("ipykernel", "matplotlib", "nbclient", "nbformat")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
MAY_IMPORT = {"chainrule", "matplotlib", "numpy"} | sys.stdlib_module_names
SECONDS_PER_CELL = 60


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def text(path: Path) -> str:
    """All prose of a notebook."""
    return "\n\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))


def solutions(path: Path) -> list[str]:
    """The code in the hidden solutions of the exercises."""
    hidden = re.findall(r"<details>(.*?)</details>", text(path), re.DOTALL)
    return [code for each in hidden for code in re.findall(r"```python\n(.*?)```", each, re.DOTALL)]


def test_the_notebooks_are_found() -> None:
    found = [path.stem for path in NOTEBOOKS]
    assert found[:3] == ["01-forward", "02-backward", "03-operations"]


def test_it_is_stored_without_results_and_in_a_form_that_diffs_well(path: Path) -> None:
    stored = path.read_text(encoding="utf-8")
    notebook = json.loads(stored)
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        assert cell["source"] == "".join(cell["source"]).splitlines(keepends=True)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert stored == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def test_it_needs_nothing_but_chainrule_numpy_and_matplotlib(path: Path) -> None:
    for source in ["".join(cell["source"]) for cell in cells(path, "code")] + solutions(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                assert str(node.module).split(".")[0] in MAY_IMPORT
            elif isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= MAY_IMPORT


def test_every_exercise_has_a_hidden_solution(path: Path) -> None:
    prose = text(path)
    exercises = re.findall(r"^\*\*(\d+)\. ", prose, re.MULTILINE)
    assert exercises == [str(number + 1) for number in range(len(exercises))]
    assert len(exercises) >= 3
    assert prose.count("<details>") == prose.count("</details>") == len(exercises)
    assert len(solutions(path)) == len(exercises)


def test_the_files_that_it_points_to_are_there(path: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", text(path))
    assert named
    assert [each for each in named if not (ROOT / each).is_file()] == []


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.slow
def test_it_runs_and_every_claim_in_it_holds(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    # Beside two busy processes on two cores, OpenBLAS's threads wait for each other: 50 s, not 9.
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # so that pictures are drawn as for a reader
    work = tmp_path / "work"
    work.mkdir()

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in solutions(path)]
    # Without folders to look for kernels in, there is one: the interpreter that runs this test.
    kernels = KernelSpecManager(kernel_dirs=[])
    assert kernels.get_kernel_spec("python3").argv[0] == sys.executable
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        timeout=SECONDS_PER_CELL,
        resources={"metadata": {"path": str(work)}},
    )
    client.execute(cleanup_kc=True)  # a kernel manager that it did not make it leaves running

    ran = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in ran] == list(range(1, len(ran) + 1))
    for cell in ran:
        assert [each.text for each in cell.outputs if each.get("name") == "stderr"] == []
        pictures = sum("image/png" in each.get("data", {}) for each in cell.outputs)
        assert pictures >= cell.source.count("plt.show()")
    assert list(work.iterdir()) == [], "it leaves files in the reader's folder"
