"""Modules for the GPU at hand: compiled by CuPy's NVRTC, without a GPU; kept on the disk."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from chainrule.gpu import cuda_modules
from chainrule.gpu.errors import CompileError

SMALL = """#line 1 "small.cu"
extern "C" __global__ void small_float(float* x)
{
    x[threadIdx.x] *= 0.5f;
}
"""


@pytest.fixture
def nvrtc():
    cupy = pytest.importorskip("cupy")
    try:
        cupy.cuda.nvrtc.getVersion()
    except RuntimeError as error:
        pytest.skip(f"CuPy finds no NVRTC: {error}")


@pytest.mark.usefixtures("nvrtc")
def test_small_numbers_are_not_flushed_to_zero(monkeypatch):
    newer = "999"  # than NVRTC knows: PTX, which can be read
    assert b".ftz" not in cuda_modules.compiled("small", SMALL, newer)
    monkeypatch.setattr(cuda_modules, "NVRTC_OPTIONS", ("-ftz=true",))
    assert b"mul.ftz.f32" in cuda_modules.compiled("small", SMALL, newer)


@pytest.mark.usefixtures("nvrtc")
def test_machine_code_is_for_the_architecture():
    assert cuda_modules.compiled("small", SMALL, "80")[:4] == b"\x7fELF"
    assert cuda_modules.compiled("small", SMALL, "80") != cuda_modules.compiled(
        "small", SMALL, "90"
    )


@pytest.mark.usefixtures("nvrtc")
def test_an_error_shows_the_line():
    with pytest.raises(CompileError, match=r"(?s)small.cu\(3\): error.* 3 \|     x\[\] \*= 0.5f;"):
        cuda_modules.compiled("small", SMALL.replace("threadIdx.x", ""), "80")


def test_a_module_is_compiled_once_for_text_options_compiler_and_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    made, loaded = [], []

    def compiled(family, text, architecture):
        made.append((text, architecture))
        return b"code of " + text.encode()

    class RawModule:
        def __init__(self, path):
            self.path = path

        def compile(self):
            with open(self.path, "rb") as file:
                loaded.append(file.read())

    gpu = SimpleNamespace(compute_capability="90")
    cupy = SimpleNamespace(
        RawModule=RawModule,
        __version__="14.0",
        cuda=SimpleNamespace(Device=lambda: gpu, nvrtc=SimpleNamespace(getVersion=lambda: (13, 0))),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(cuda_modules, "compiled", compiled)
    monkeypatch.setattr(cuda_modules, "source", lambda family: f"text of {family}")
    for _ in range(2):
        cuda_modules.load("softmax")
    assert made == [("text of softmax", "90")]
    assert loaded == [b"code of text of softmax"] * 2
    gpu.compute_capability = "80"
    cuda_modules.load("softmax")
    monkeypatch.setattr(cuda_modules, "source", lambda family: "another text")
    cuda_modules.load("softmax")
    assert made[1:] == [("text of softmax", "80"), ("another text", "80")]
    assert len(list(tmp_path.rglob("softmax-*"))) == 3
