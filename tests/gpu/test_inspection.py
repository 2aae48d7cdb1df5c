"""What compilers tell of kernels is read as it is meant, and planted faults are found.

The sources here are small ones of the tests' own; `test_compiling.py` has the kernels.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from chainrule.gpu import inspection
from chainrule.gpu.inspection import compilers, listings
from chainrule.gpu.inspection.occupancy import occupancy

SOUND = """\
template <typename T> __device__ void scale(T* y, const T* x, T factor, int n) {
    __shared__ T tile[256];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i < n ? x[i] : T(0);
    __syncthreads();
    if (i < n) y[i] = exp(tile[255 - threadIdx.x]) * factor / T(3) + sqrt(x[i]);
}
extern "C" __global__ void __launch_bounds__(256)
scale_float(float* y, const float* x, float factor, int n) { scale<float>(y, x, factor, n); }
extern "C" __global__ void __launch_bounds__(256)
scale_double(double* y, const double* x, double factor, int n) { scale<double>(y, x, factor, n); }
"""
# The double stands in line 2, in a function that is called, not inlined.
DOUBLE = """\
template <typename T> __device__ __noinline__ T tenth(T x) {
    return 0.1 * x;
}
extern "C" __global__ void tenth_float(float* y, const float* x) { y[0] = tenth<float>(x[0]); }
extern "C" __global__ void tenth_double(double* y, const double* x) { y[0] = tenth<double>(x[0]); }
extern "C" __global__ void copy_float(float* y, const float* x) { y[0] = x[0]; }
"""
# 400 values, of which an index picks some at run time: they cannot be in registers.
LOCAL = """\
extern "C" __global__ void pick_float(float* y, const float* x, const int* index) {
    float values[400];
    for (int i = 0; i < 400; i++) values[i] = x[i] * x[i + 1];
    for (int i = 0; i < 50; i++) values[index[i]] += y[i];
    for (int i = 0; i < 400; i++) y[i] = values[index[i + 50]];
}
"""
# 64 sums at a time want more than 32 registers.
SUMS = """\
extern "C" __global__ void sums_float(float* y, const float* x, int n) {
    float sums[64];
    #pragma unroll
    for (int j = 0; j < 64; j++) sums[j] = 0.0f;
    for (int i = 0; i < n; i++) {
        #pragma unroll
        for (int j = 0; j < 64; j++) sums[j] += x[i] * x[i + j];
    }
    #pragma unroll
    for (int j = 0; j < 64; j++) y[j] = sums[j];
}
"""

ARCHITECTURES = (inspection.ARCHITECTURES[0], inspection.ARCHITECTURES[-1])


@pytest.fixture(scope="module", params=["nvrtc", "nvcc"])
def compiler(request: pytest.FixtureRequest) -> inspection.Compiler:
    try:
        return inspection.find_compiler(request.param)
    except inspection.CompilerMissingError as error:
        pytest.skip(str(error))


def inspect(compiler, source, architecture=80, options=(), blocks=None):
    found = inspection.inspect_source(source, "made.cu", architecture, compiler, blocks, options)
    return {each.kernel: each for each in found}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sound_kernel_has_no_faults(compiler, architecture: int) -> None:
    blocks = {"scale_float": 256, "scale_double": 256}
    found = inspect(compiler, SOUND, architecture, blocks=blocks)
    assert list(found) == ["scale_double", "scale_float"]
    for kernel, report in found.items():
        assert not report.faults
        assert not report.doubles
        assert report.usage.shared == 256 * (4 if kernel == "scale_float" else 8)
        assert 8 <= report.usage.registers <= 64
        assert report.usage.stack == report.usage.spill_stores == report.usage.spill_loads == 0
        used = report.usage
        assert report.occupancy == occupancy(architecture, 256, used.registers, used.shared)
        assert report.compiler == compiler.name
        assert report.architecture == architecture


def test_a_double_literal_in_a_float_kernel_is_found_with_its_line(compiler) -> None:
    found = inspect(compiler, DOUBLE)
    assert "made.cu:2 mul.f64" in found["tenth_float"].doubles
    assert any("made.cu:2" in each for each in found["tenth_float"].faults)
    assert not found["tenth_double"].faults  # where doubles belong
    assert not found["copy_float"].faults  # beside, not in, a kernel with doubles


def test_the_machine_code_tells_doubles_too(compiler) -> None:
    program = listings.nvdisasm()
    if program is None:
        pytest.skip("no nvdisasm: pip install nvidia-cuda-nvdisasm")
    assert "machine code DMUL" in inspect(compiler, DOUBLE)["tenth_float"].doubles
    apart = inspection.inspect_source(DOUBLE, "made.cu", 80, compiler, disassembled=False)
    assert not any("machine code" in told for each in apart for told in each.doubles)
    code = listings.disassemble(compiler.compile(SOUND, "made.cu", 80).cubin, program)
    found = listings.sass_doubles(code)
    assert not found["scale_float"]
    assert {"DMUL", "DFMA"} <= set(found["scale_double"])


def test_a_file_that_is_no_machine_code_is_refused() -> None:
    program = listings.nvdisasm()
    if program is None:
        pytest.skip("no nvdisasm: pip install nvidia-cuda-nvdisasm")
    with pytest.raises(RuntimeError, match="nvdisasm"):
        listings.disassemble(b"nonsense", program)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_array_in_local_memory_is_found(compiler, architecture: int) -> None:
    report = inspect(compiler, LOCAL, architecture)["pick_float"]
    assert report.usage.stack >= 1600
    assert any("in memory, not in registers" in each for each in report.faults)


def test_spills_are_found(compiler) -> None:
    assert not inspect(compiler, SUMS)["sums_float"].faults
    report = inspect(compiler, SUMS, options=["--maxrregcount=32"])["sums_float"]
    assert report.usage.registers <= 32
    assert report.usage.spill_stores >= 4 * 32  # at least half of the sums
    assert report.usage.spill_loads >= 4 * 32
    assert any(each.startswith("spills: ") for each in report.faults)


def test_spills_of_a_function_count_for_the_kernel_that_calls_it(compiler) -> None:
    source = SUMS.replace(
        'extern "C" __global__ void sums_float',
        "__device__ __noinline__ void sums",
    )
    source += (
        'extern "C" __global__ void caller_float(float* y, float* x, int n) { sums(y, x, n); }\n'
        'extern "C" __global__ void other_float(float* y) { y[0] = 0.0f; }\n'
    )
    found = inspect(compiler, source, options=["--maxrregcount=32"])
    assert found["caller_float"].usage.spill_stores >= 4 * 32
    assert not found["other_float"].faults


def test_an_error_shows_the_line_of_the_source(compiler) -> None:
    line = "__device__ int f() { return undeclared; }"
    source = f'int before;\n#line 41 "softmax.cu"\n{line}\n'
    with pytest.raises(inspection.CompileError, match=r"softmax\.cu\(41\).*undeclared") as caught:
        compiler.compile(source, "whole.cu", 80)
    assert str(caught.value).startswith(f"whole.cu, compiled for sm_80 by {compiler.name}, does")
    assert f"   41 | {line}" in str(caught.value)


def test_an_unknown_architecture_is_an_error(compiler) -> None:
    with pytest.raises(inspection.CompileError, match="sm_7"):
        compiler.compile(SOUND, "made.cu", 7)


def test_both_compilers_agree_on_what_is_wrong() -> None:
    try:
        both = [inspection.find_compiler(name) for name in ("nvrtc", "nvcc")]
    except inspection.CompilerMissingError as error:
        pytest.skip(str(error))
    one, two = (inspect(each, DOUBLE) for each in both)
    assert {k: bool(r.faults) for k, r in one.items()} == {
        k: bool(r.faults) for k, r in two.items()
    }
    assert set(one["tenth_float"].doubles) & set(two["tenth_float"].doubles)


def test_a_report_is_plain_values(compiler) -> None:
    plain = inspect(compiler, SOUND, blocks={"scale_float": 256})["scale_float"].to_dict()
    assert plain["usage"]["shared"] == 1024
    assert set(plain["occupancy"]) == {"blocks", "warps", "share", "limit"}
    assert inspect(compiler, SOUND)["scale_float"].to_dict()["occupancy"] is None


# ---- finding compilers


def test_without_compilers_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilers, "nvrtc_libraries", list)
    monkeypatch.setattr(compilers.shutil, "which", lambda name: None)
    for name in (None, "nvrtc", "nvcc"):
        with pytest.raises(inspection.CompilerMissingError, match=r"chainrule\[kernelcheck\]"):
            inspection.find_compiler(name)


def test_a_library_that_does_not_load_is_passed_over(monkeypatch, tmp_path: Path) -> None:
    damaged = tmp_path / "libnvrtc.so.13"
    damaged.write_bytes(b"no library")
    monkeypatch.setattr(compilers, "nvrtc_libraries", lambda: [damaged])
    monkeypatch.setattr(compilers.shutil, "which", lambda name: "/somewhere/nvcc")
    assert isinstance(inspection.find_compiler(), inspection.Nvcc)
    with pytest.raises(inspection.CompilerMissingError, match=r"libnvrtc\.so\.13 does not load"):
        inspection.find_compiler("nvrtc")


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("libnvrtc.so.12", True),
        ("libnvrtc.so.13", True),
        ("nvrtc64_130_0.dll", True),
        ("libnvrtc-builtins.so.13.0", False),
        ("libnvrtc.alt.so.12", False),
        ("nvrtc64_120_0.alt.dll", False),
        ("nvrtc-builtins64_130.dll", False),
    ],
)
def test_which_files_are_the_library(monkeypatch, tmp_path: Path, name: str, is_one: bool) -> None:
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64" / name).touch()
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    assert (tmp_path / "lib64" / name in compilers.nvrtc_libraries()) == is_one


# ---- reading PTX, on text alone

PTX = """\
.func  (.param .b32 result) _Z4halff(
	.param .b32 _Z4halff_param_0
)
{
	.reg .f64 	%fd<3>;
	.loc	1 7 12
	mul.f64 	%fd2, %fd1, 0d3FE0000000000000;
	ret;
}
	// .globl	one_float
.visible .entry one_float(
	.param .u64 one_float_param_0
)
{
	ld.global.f32 	%f64, [%rd3+240];
	call.uni (retval0),
	_Z4halff,
	(param0);
	ret;
}
	// .globl	two_float
.visible .entry two_float()
{
	@%p1 add.rn.f64 	%fd1, %fd1, %fd1;
	add.f32 	%f64, %f64, %f1;
	ret;
}
	.file	1 "/somewhere/softmax.cu"
"""


def test_ptx_is_split_into_functions_and_their_doubles() -> None:
    assert list(listings.functions(PTX)) == ["_Z4halff", "one_float", "two_float"]
    assert listings.ptx_doubles(PTX) == {
        "_Z4halff": ["softmax.cu:7 mul.f64"],
        "one_float": [],
        "two_float": ["add.rn.f64"],
    }
    assert listings.called(PTX) == {
        "_Z4halff": {"_Z4halff"},
        "one_float": {"one_float", "_Z4halff"},
        "two_float": {"two_float"},
    }


@pytest.mark.parametrize(
    ("instruction", "found"),
    [
        ("DADD R2, R4, -R6 ;", "DADD"),
        ("@!P0 DSETP.GEU.AND P1, PT, R2, R4, PT ;", "DSETP.GEU.AND"),
        ("F2F.F64.F32 R2, R0 ;", "F2F.F64.F32"),
        ("I2F.F64.S64 R2, R4 ;", "I2F.F64.S64"),
        ("F2I.F64.TRUNC R2, R4 ;", "F2I.F64.TRUNC"),
        ("MUFU.RCP64H R3, R5 ;", "MUFU.RCP64H"),
        ("FADD R2, R4, R6 ;", None),
        ("DEPBAR.LE SB0, 0x0 ;", None),
        ("I2F.U64.RP R4, R4 ;", None),
        ("LDG.E.64 R2, [R4.64] ;", None),
        ("MUFU.RCP R3, R5 ;", None),
    ],
)
def test_machine_instructions_on_doubles(instruction: str, found: str | None) -> None:
    code = f".text.k_float:\n        /*0090*/                   {instruction}\n"
    assert listings.sass_doubles(code) == {"k_float": [found] if found else []}
