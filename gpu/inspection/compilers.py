"""NVIDIA's compilers: NVRTC, which is a library, and nvcc, which is a program.

NVRTC is what CuPy compiles with when a kernel is first launched; from the package index it needs
neither a CUDA installation nor a driver. It is taken before nvcc, which calls the host's compiler
besides and is slower.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, Protocol

from ..errors import compile_error
from ..sources import NVRTC_OPTIONS, STANDARD

#: Besides what they are told at run time: where instructions come from, what each kernel uses.
OPTIONS = ("--generate-line-info", "--ptxas-options=-v")

INSTALL = "pip install 'chainrule[kernelcheck]', which brings NVRTC; no GPU or driver is needed"

_NVRTC = re.compile(r"libnvrtc\.so\.\d+|nvrtc64_\d+_0\.dll")
_NVRTC_PACKAGES = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")


class CompilerMissingError(RuntimeError):
    """None of NVIDIA's compilers is on this machine, or not the one asked for."""


class Compiled(NamedTuple):
    """What a compiler made of one source for one architecture.

    `log`: its words, with what each kernel uses; `ptx`: the intermediate assembly, in which all
    types are written out; `cubin`: the machine code.
    """

    compiler: str
    architecture: int
    log: str
    ptx: str
    cubin: bytes


class Compiler(Protocol):
    """What both compilers have: a `name` with the version, and `compile`."""

    @property
    def name(self) -> str:
        """The compiler's name and version, as in "NVRTC 13.0"."""

    def compile(
        self, source: str, name: str, architecture: int, options: Sequence[str] = ()
    ) -> Compiled:
        """Compiles a source, whose file would be called `name`, for `sm_<architecture>`.

        Raises CompileError, with the compiler's messages.
        """


class Nvrtc:
    """NVIDIA's run-time compiler, as the shared library at `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._library = ctypes.CDLL(self.path)
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.name = f"NVRTC {major.value}.{minor.value}"

    def compile(
        self, source: str, name: str, architecture: int, options: Sequence[str] = ()
    ) -> Compiled:
        """Compiles a source for one architecture; see `Compiler.compile`."""
        program = ctypes.c_void_p()
        error = self._library.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), name.encode(), 0, None, None
        )
        if error:
            raise compile_error(_told(name, self.name, architecture), source, self._message(error))
        try:
            words = [f"--gpu-architecture=sm_{architecture}", *NVRTC_OPTIONS, *OPTIONS, *options]
            array = (ctypes.c_char_p * len(words))(*(each.encode() for each in words))
            error = self._library.nvrtcCompileProgram(program, len(words), array)
            log = self._read(program, "ProgramLog").decode("utf-8", "replace")
            if error:
                told = log.strip() or self._message(error)
                raise compile_error(_told(name, self.name, architecture), source, told)
            ptx = self._read(program, "PTX").decode("utf-8", "replace")
            return Compiled(self.name, architecture, log, ptx, self._read(program, "CUBIN"))
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _message(self, error: int) -> str:
        return str(self._library.nvrtcGetErrorString(error).decode())

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        """One of the results, by the name in NVRTC's functions; texts lose their final zero."""
        size = ctypes.c_size_t()
        getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self._library, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw if what == "CUBIN" else buffer.raw.rstrip(b"\0")


class Nvcc:
    """NVIDIA's compiler driver, the program at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path

    @functools.cached_property
    def name(self) -> str:
        """The name and version, as the program tells it."""
        told = subprocess.run([self.path, "--version"], capture_output=True, text=True).stdout
        found = re.search(r"release (\d+\.\d+)", told)
        return f"nvcc {found[1] if found else 'of unknown version'}"

    def compile(
        self, source: str, name: str, architecture: int, options: Sequence[str] = ()
    ) -> Compiled:
        """Compiles a source for one architecture; see `Compiler.compile`."""
        stem = Path(name).stem
        with tempfile.TemporaryDirectory(prefix="chainrule-nvcc-") as folder:
            Path(folder, f"{stem}.cu").write_text(source, encoding="utf-8")
            target = [f"--gpu-architecture=sm_{architecture}", "--cubin", "--keep"]
            done = subprocess.run(
                [self.path, *target, STANDARD, *OPTIONS, *options, f"{stem}.cu"],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            if done.returncode:
                raise compile_error(_told(name, self.name, architecture), source, done.stdout)
            ptx = Path(folder, f"{stem}.ptx").read_text(encoding="utf-8", errors="replace")
            cubin = Path(folder, f"{stem}.cubin").read_bytes()
        return Compiled(self.name, architecture, done.stdout, ptx, cubin)


def _told(name: str, compiler: str, architecture: int) -> str:
    return f"{name}, compiled for sm_{architecture} by {compiler},"


def package_files(packages: Sequence[str], pattern: re.Pattern[str]) -> Iterator[Path]:
    """The files of installed packages whose name matches `pattern` wholly."""
    for package in packages:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        for each in files:
            path = Path(str(each.locate()))
            if pattern.fullmatch(each.name) and path.is_file():
                yield path


def nvrtc_libraries() -> list[Path]:
    """NVRTC's libraries: those from the package index, then those of CUDA installations."""
    found = list(package_files(_NVRTC_PACKAGES, _NVRTC))
    roots = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME")]
    if sys.platform == "linux":
        roots.append("/usr/local/cuda")
    for root in filter(None, roots):
        for folder in ("lib64", "bin", "bin/x64"):
            found += sorted(
                path for path in Path(root, folder).glob("*nvrtc*") if _NVRTC.fullmatch(path.name)
            )
    return list(dict.fromkeys(found))


def find_compiler(name: str | None = None) -> Compiler:
    """The compiler of that name, "nvrtc" or "nvcc"; by default the first there is, in that order.

    Raises CompilerMissingError, which tells what to install.
    """
    problems = []
    if name in (None, "nvrtc"):
        for path in nvrtc_libraries():
            try:
                return Nvrtc(path)
            except (OSError, AttributeError) as error:
                problems.append(f"{path.name} does not load ({error})")
    if name in (None, "nvcc"):
        program = shutil.which("nvcc")
        if program is not None:
            return Nvcc(program)
    looked = {"nvrtc": "NVRTC", "nvcc": "nvcc"}.get(name or "", "NVRTC nor nvcc")
    reason = f"no {looked} was found" if name else f"neither {looked} was found"
    raise CompilerMissingError("; ".join([reason, *problems]) + f": {INSTALL}")
