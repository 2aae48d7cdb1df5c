"""What the compiler makes of the kernels, found out without a GPU.

A kernel that is right may still be slow for reasons that only its machine code tells: values that
did not fit in registers and went to memory ("spills"), arithmetic in double precision that nobody
asked for, so many registers or so much shared memory that few blocks run at a time. NVIDIA's
compilers make the machine code of any GPU on any machine, and say what it uses; here they are
found (`compilers`), their words are read (`listings`), and what they tell is judged (`judgement`).
"""

from ..errors import CompileError
from .compilers import Compiled, Compiler, CompilerMissingError, Nvcc, Nvrtc, find_compiler
from .judgement import ARCHITECTURES, KernelReport, inspect_family, inspect_source
from .occupancy import Occupancy, occupancy

__all__ = [
    "ARCHITECTURES",
    "CompileError",
    "Compiled",
    "Compiler",
    "CompilerMissingError",
    "KernelReport",
    "Nvcc",
    "Nvrtc",
    "Occupancy",
    "find_compiler",
    "inspect_family",
    "inspect_source",
    "occupancy",
]
