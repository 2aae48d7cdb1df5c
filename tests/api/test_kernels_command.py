"""`chainrule kernels` prints what each kernel uses, and fails for what is wrong with one."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType

import pytest

from chainrule.cli import main
from chainrule.gpu import inspection, numba_compiling, sources, table
from chainrule.gpu.table import I32, REAL, entry, reads, scalar, writes

SOUND = """\
template <typename T> __device__ void made_scale(const T* x, T* y, T factor, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        y[i] = FACTOR * x[i];
}
"""


@pytest.fixture
def family(monkeypatch, request):
    """Makes a family "made" of one entry, with the text it is given."""
    try:
        inspection.find_compiler()
    except inspection.CompilerMissingError as error:
        pytest.skip(str(error))

    def make(text: str, dynamic: bool = False) -> None:
        made = entry(
            "made",
            "made_scale",
            reads("x", REAL, "n"),
            writes("y", REAL, "n"),
            scalar("factor", REAL),
            scalar("n", I32),
            dynamic=dynamic,
            enter=False,
        )
        name = "chainrule.gpu.families.made"
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setattr(table, "FAMILIES", ("made",))
        monkeypatch.setattr(table, "ENTRIES", {"made_scale": made})
        whole = sources.text("common.cuh")
        monkeypatch.setattr(sources, "text", {"common.cuh": whole, "made.cu": text}.__getitem__)
        sources.source.cache_clear()
        request.addfinalizer(sources.source.cache_clear)

    return make


def test_a_sound_family(family, capsys, tmp_path) -> None:
    family(SOUND.replace("FACTOR", "factor"))
    path = tmp_path / "kernels.json"
    assert main(["kernels", "--arch", "80", "--arch", "90", "--json", str(path)]) == 0
    text = capsys.readouterr().out
    assert re.match(r"Compiled by (NVRTC|nvcc) \d+\.\d+; ", text)
    row = r"^made_scale_float +80 +\d+ +0 +0 +0 +100%  warps$"
    assert re.search(row, text, re.M), text
    assert text.endswith("\n2 kernels for sm_80, sm_90: 0 of 4 at fault\n")
    written = json.loads(path.read_text())
    assert [(each["kernel"], each["architecture"]) for each in written["kernels"]] == [
        ("made_scale_double", 80),
        ("made_scale_float", 80),
        ("made_scale_double", 90),
        ("made_scale_float", 90),
    ]
    assert {each["block"] for each in written["kernels"]} == {256}
    assert written["compiler"] in text


def test_shared_memory_that_a_launch_asks_for_bounds_the_occupancy(family, capsys) -> None:
    family(SOUND.replace("FACTOR", "factor"), dynamic=True)
    assert main(["kernels", "--arch", "80"]) == 0
    assert re.search(r"^made_scale_float .* ≤100%  warps$", capsys.readouterr().out, re.M)


def test_a_double_in_a_float_kernel_fails(family, capsys) -> None:
    family(SOUND.replace("FACTOR", "0.1"))
    assert main(["kernels", "--family", "made", "--arch", "80"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^made_scale_float .* WRONG$\n    doubles .*made\.cu:3 mul\.f64", text, re.M)
    assert not re.search(r"^made_scale_double .* WRONG$", text, re.M)
    assert "1 of 2 at fault" in text


def test_a_family_that_does_not_compile_fails(family, capsys) -> None:
    family(SOUND)
    assert main(["kernels", "--arch", "80"]) == 1
    text = capsys.readouterr().out
    assert re.search(r'made\.cu\(3\): error: identifier "FACTOR" is undefined', text)
    assert "    3 |         y[i] = FACTOR * x[i];" in text
    assert "; 1 modules do not compile" in text


def numba_family(monkeypatch, factor: str) -> None:
    """The kernel in Numba's Python; `factor` is what it multiplies by."""
    lacking = numba_compiling.missing()
    if lacking is not None:
        pytest.skip(lacking)

    def kernels(cuda, real):
        @cuda.jit
        def made_scale(x, y, factor, n):
            i = cuda.grid(1)
            if i < n:
                y[i] = factor * x[i]

        @cuda.jit
        def doubled(x, y, factor, n):
            i = cuda.grid(1)
            if i < n:
                y[i] = 0.1 * x[i]

        @cuda.jit
        def refused(x, y, factor, n):
            y[0] = x.sum_of_all()

        return {"made_scale": {"factor": made_scale, "0.1": doubled, "sum": refused}[factor]}

    name = "chainrule.gpu.numba_kernels.made"
    module = ModuleType(name)
    module.kernels = kernels  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    numba_compiling._kernels.cache_clear()


def test_the_kernels_of_numba(family, monkeypatch, capsys) -> None:
    family(SOUND)
    numba_family(monkeypatch, "factor")
    assert main(["kernels", "--set", "numba", "--arch", "80"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Compiled by Numba; ")
    assert "\n2 kernels for sm_80: 0 of 2 at fault\n" in text
    numba_family(monkeypatch, "0.1")
    assert main(["kernels", "--set", "numba", "--arch", "80"]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^made_scale_float .* WRONG$\n    doubles in a float kernel: ", text, re.M)
    numba_family(monkeypatch, "sum")
    assert main(["kernels", "--set", "numba", "--arch", "80"]) == 1
    assert "made_scale_float, sm_80, by Numba: " in capsys.readouterr().out


def test_bad_input(family, capsys, tmp_path) -> None:
    family(SOUND.replace("FACTOR", "factor"))
    assert main(["kernels", "--family", "softmix"]) == 2
    assert "no family softmix; known: made" in capsys.readouterr().err
    missing = str(tmp_path / "missing" / "kernels.json")
    assert main(["kernels", "--arch", "80", "--json", missing]) == 2
    assert "--json: cannot write" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["kernels", "--arch", "eighty"])
    assert "compute capability" in capsys.readouterr().err


def test_without_a_compiler_it_says_what_to_install(monkeypatch, capsys) -> None:
    compilers = inspection.compilers
    monkeypatch.setattr(compilers, "nvrtc_libraries", list)
    monkeypatch.setattr(compilers.shutil, "which", lambda name: None)
    assert main(["kernels"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("chainrule kernels: error: neither NVRTC nor nvcc was found: pip inst")
