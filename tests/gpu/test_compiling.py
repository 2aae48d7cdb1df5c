"""Every kernel of the table becomes machine code without spills, or doubles that nobody asked for.

No GPU is needed: NVIDIA's compilers make the code of any GPU on any machine.
"""

from __future__ import annotations

import pytest

from chainrule.gpu import inspection
from chainrule.gpu.inspection.compilers import nvrtc_libraries
from chainrule.gpu.sources import source
from chainrule.gpu.table import FAMILIES, INSTANCES, entries

STATIC_SHARED = 48 * 1024  # what a block may declare, on any GPU


def nvrtc() -> inspection.Compiler:
    """The compiler of run time."""
    try:
        return inspection.find_compiler("nvrtc")
    except inspection.CompilerMissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("architecture", inspection.ARCHITECTURES)
@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_compile_without_spills_and_doubles(family: str, architecture: int) -> None:
    disassembled = architecture == 80  # elsewhere PTX alone tells of doubles
    reports = inspection.inspect_family(family, architecture, nvrtc(), disassembled)
    found = {each.kernel: each for each in reports}
    assert set(found) == {each.instance(real) for each in entries(family) for real in INSTANCES}
    for each in found.values():
        assert not each.faults, f"{each.kernel}, sm_{architecture}: {'; '.join(each.faults)}"
        assert each.usage.shared <= STATIC_SHARED
        assert each.occupancy is not None
        assert each.occupancy.blocks >= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_nvrtc_of_another_cuda_takes_the_same_text(family: str) -> None:
    others = nvrtc_libraries()[1:]
    if not others:
        pytest.skip("there is one NVRTC here; nvidia-cuda-nvrtc-cu12 brings that of CUDA 12")
    for path in others:
        inspection.Nvrtc(path).compile(source(family), f"{family}.cu", 90)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_nvcc_takes_the_same_text(family: str) -> None:
    try:
        nvcc = inspection.find_compiler("nvcc")
    except inspection.CompilerMissingError as error:
        pytest.skip(str(error))
    nvcc.compile(source(family), f"{family}.cu", 80)
