"""Modules of CUDA C for the GPU at hand: compiled by CuPy's NVRTC, and kept on the disk.

They are not left to `cupy.RawModule(code=...)`, which compiles with `-ftz=true`: numbers below
1.2e-38 would become 0, unlike anywhere else here, and 0 times infinity NaN.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .caches import cache_folder, write_whole
from .errors import compile_error
from .sources import NVRTC_OPTIONS, source


def load(family: str) -> Any:
    """The module of a family, ready to launch on the current GPU.

    Raises CompileError, with the compiler's log and the lines that it means, for what NVRTC does
    not take.
    """
    import cupy

    text, architecture = source(family), cupy.cuda.Device().compute_capability
    version = cupy.cuda.nvrtc.getVersion()
    key = hashlib.sha256(
        repr((text, NVRTC_OPTIONS, architecture, version, cupy.__version__)).encode()
    )
    path = cache_folder("cuda") / f"{family}-{architecture}-{key.hexdigest()[:32]}"
    if not path.exists():
        write_whole(path, compiled(family, text, architecture))
    module = cupy.RawModule(path=str(path))
    module.compile()
    return module


def compiled(family: str, text: str, architecture: str) -> bytes:
    """Machine code, or PTX where NVRTC is older than the GPU; no GPU is needed for it.

    Arguments: `architecture`, the compute capability in two or three digits, such as "90".
    """
    from cupy.cuda import nvrtc

    known = max(map(int, nvrtc.getSupportedArchs()))
    exact = int(architecture) <= known
    target = f"sm_{architecture}" if exact else f"compute_{known}"
    program = nvrtc.createProgram(text, f"{family}.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (*NVRTC_OPTIONS, f"-arch={target}"))
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program) or str(error)
            raise compile_error(family, text, log) from error
        code: bytes | str = nvrtc.getCUBIN(program) if exact else nvrtc.getPTX(program)
    finally:
        nvrtc.destroyProgram(program)
    return code if isinstance(code, bytes) else code.encode()
