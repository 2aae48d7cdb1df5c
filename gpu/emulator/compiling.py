"""CUDA C++ text to a shared library, with the host's C++ compiler; compiled once, then cached."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ..caches import cache_folder
from .remedies import GENERATED, explained, unfit
from .reports import EmulatorError

RUNTIME = Path(__file__).parent / "runtime"
#: What the folder of the runtime is called in what is compiled, wherever it lies: several
#: installations share the cache.
RUNTIME_NAME = "chainrule-runtime"
RUNTIME_SOURCES = ("scheduler.cpp", "warps.cpp", "faults.cpp")
CHECKED_SOURCES = ("checker.cpp", "memory.cpp", "callbacks.cpp")
FLAGS = (
    *("-std=c++17", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=off"),
    *("-fno-exceptions", "-fno-rtti"),
)
#: A frame larger than the page below the stack touches that page all the same.
STACK_CHECKS = ("-fstack-clash-protection",) if sys.platform == "linux" else ()
#: Each access calls __tsan_read or __tsan_write, each fault of arithmetic __ubsan_handle_...: ours.
SANITIZE = "thread,alignment,signed-integer-overflow,integer-divide-by-zero,shift"
#: Not the passes that read memory where the program would not: moved out of a loop, or of an `if`;
#: nor the one that takes a float4 apart, whose accesses are to be told as they are written.
GCC_PASSES = (
    *("-O1", "-fno-tree-loop-im", "-fno-ssa-phiopt", "-fno-if-conversion", "-fno-if-conversion2"),
    "-fno-tree-sra",
)
CLANG_PASSES = ("-O0",)
#: The last bytes of each file of the cache; of a library they are no part (on macOS, where it may
#: be signed, nothing is added).
END = b"\n# chainrule: whole\n" if sys.platform == "linux" else b""
#: A compiled kernel is kept for so many days after its last use.
DAYS_KEPT = 30
DAY = 24 * 3600
#: Bytes between one shared variable and the next, in checked mode.
SHARED_MARGIN = 64

#: `extern __shared__ float buffer[];` names the block's dynamic shared memory, by any name.
DYNAMIC = re.compile(r"\bextern\s+__shared__\b([^;\[\]]*?\b\w+\s*)\[\s*\]\s*;")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"[^\n]*$', re.MULTILINE)


class CompilerError(EmulatorError):
    """Text that the compiler does not take. `log` is what it said."""

    def __init__(self, compiler: str, log: str) -> None:
        super().__init__(f"{compiler} does not compile the kernel:\n{_shown(log)}")
        self.log = log


def find_compiler() -> list[str]:
    """The command of the host's C++ compiler: $CXX, g++ or clang++."""
    chosen = os.environ.get("CXX", "").split()
    for command in [chosen] if chosen else [["g++"], ["clang++"]]:
        path = shutil.which(command[0])
        if path:
            return [path, *command[1:]]
    where = f"$CXX is {' '.join(chosen)!r}, which is not there" if chosen else "no g++ or clang++"
    raise EmulatorError(
        f"the emulator needs a C++ compiler: {where}; install g++ (Debian and Ubuntu: apt-get "
        "install g++; macOS: xcode-select --install), or set CXX to one"
    )


@lru_cache
def _version(command: tuple[str, ...]) -> str:
    return subprocess.run([*command, "--version"], capture_output=True, text=True).stdout


@lru_cache
def _runtime_text() -> bytes:
    files = sorted(RUNTIME.rglob("*.h")) + sorted(RUNTIME.glob("*.cpp"))
    return b"\0".join(file.name.encode() + b"\0" + file.read_bytes() for file in files)


def expand(text: str, file: str, folder: Path | None, seen: frozenset[Path] = frozenset()) -> str:
    """The text with the files that it includes by `#include "..."` put in their places."""

    def put(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 1
        path = None if folder is None else (folder / match[1]).resolve()
        if path is None or not path.is_file() or path in seen:
            return match[0]
        inner = path.read_text(encoding="utf-8")
        inner = expand(inner, match[1], path.parent, seen | {path})
        if "#pragma once" in inner:
            guard = "CHAINRULE_" + hashlib.sha256(str(path).encode()).hexdigest()[:16]
            inner = inner.replace("#pragma once", "")
            inner = f'#ifndef {guard}\n#define {guard}\n#line 1 "{match[1]}"\n{inner}\n#endif'
        return f'#line 1 "{match[1]}"\n{inner}\n#line {line + 1} "{file}"'

    return INCLUDE.sub(put, text)


def translate(text: str, kernels: Sequence[str]) -> str:
    """What the compiler gets: dynamic shared memory gets its name, each kernel a description."""
    label = '__asm__(CHAINRULE_LABEL("chainrule_dynamic_shared"))'
    text = DYNAMIC.sub(lambda match: f"extern {match[1]}[] {label};", text)
    return "\n".join(
        [
            '#line 1 "kernel.cu"',
            text,
            f'#line 1 "{GENERATED}"',
            *(f"CHAINRULE_KERNEL({name})" for name in kernels),
            "",
        ]
    )


def compile_module(source: str, kernels: Sequence[str], *, checked: bool = False) -> Path:
    """The shared library of a module, compiled unless the cache has it.

    Raises EmulatorError, with what the compiler said, for text that it does not take.
    """
    compiler = find_compiler()
    header = [
        f"-ffile-prefix-map={RUNTIME}={RUNTIME_NAME}",
        "-include",
        str(RUNTIME / "cuda_emulated.h"),
        *("-I", str(RUNTIME / "include"), "-Wno-unknown-pragmas", *STACK_CHECKS),
    ]
    faults = [fault for fault in (unfit(source, name) for name in kernels) if fault]
    if faults:
        raise EmulatorError("\n".join(faults))
    try:
        return _compile(compiler, header, source, kernels, checked)
    except CompilerError as error:
        told = _shown(explained(error.log, source, kernels) or error.log)
        raise EmulatorError(f"{compiler[0]} does not compile the kernel:\n{told}") from None


def _compile(
    compiler: list[str], header: list[str], source: str, kernels: Sequence[str], checked: bool
) -> Path:
    text = translate(source, kernels)
    if not checked:
        flags = [*FLAGS, "-O2", "-g1", "-gdwarf-4"]
        runtime = _runtime_object(compiler, RUNTIME_SOURCES, flags)
        command = [*compiler, *flags, *header, "-shared", "-x", "c++", "-", "-x", "none"]
        return _cached(compiler, [*command, str(runtime)], text, ".so")
    if sys.platform != "linux":
        raise EmulatorError("checked mode needs Linux: it reads the format of its libraries, ELF")
    runtime = _runtime_object(
        compiler, RUNTIME_SOURCES + CHECKED_SOURCES, [*FLAGS, "-O2", "-DCHAINRULE_CHECKED"]
    )
    clang = "clang" in _version(tuple(compiler))
    flags = [*FLAGS, *(CLANG_PASSES if clang else GCC_PASSES), "-gdwarf-4", "-DCHAINRULE_CHECKED"]
    flags += [f"-fsanitize={SANITIZE},{'array-bounds' if clang else 'bounds'}"]
    command = [*compiler, *flags, *header, "-S", "-x", "c++", "-"]
    assembly = spread(_cached(compiler, command, text + ANCHOR, ".s").read_text())
    command = [*compiler, "-shared", "-x", "assembler", "-", "-x", "none", str(runtime), "-lstdc++"]
    return _cached(compiler, command, assembly, ".so")


#: Where the shared variables of the running thread are: their offsets count from here.
ANCHOR = """
static __thread char chainrule_anchor __attribute__((aligned(64)));
extern "C" char* chainrule_shared_base() { return &chainrule_anchor; }
"""


#: A call of a function that touches memory behind the sanitizers' backs.
_COPIES = re.compile(r"^(\t(?:callq?|jmp|bl?)\t)(memcpy|memmove|memset)\b")


def spread(assembly: str) -> str:
    """The assembly with room after each thread-local variable, the shared ones of the kernels.

    Calls of memcpy and the like go to ours, which check.
    """
    lines, inside = [], False
    for line in assembly.splitlines():
        line = _COPIES.sub(r"\1chainrule_\2", line)
        if line.startswith("\t.section\t"):
            inside = line.startswith("\t.section\t.tbss")
        lines.append(line)
        if inside and line.startswith("\t.zero\t"):
            lines.append(f"\t.zero\t{SHARED_MARGIN}")
    return "\n".join([*lines, ""])


def _runtime_object(compiler: Sequence[str], names: Sequence[str], flags: Sequence[str]) -> Path:
    text = "".join(f'#include "{name}"\n' for name in names)  # one unit: context.h has assembly
    command = [*compiler, *flags, "-I", str(RUNTIME), "-c", "-x", "c++", "-"]
    return _cached(compiler, command, text, ".o")


def _cached(compiler: Sequence[str], command: Sequence[str], text: str, suffix: str) -> Path:
    """The file that the command makes of the text, from the cache if it is there.

    It is written under another name and renamed: processes may compile the same at once.
    """
    key = hashlib.sha256(_runtime_text())
    for part in (_version(tuple(compiler)), *command, text):
        key.update(b"\0" + part.replace(str(RUNTIME), "").encode())
    folder = cache_folder("emulator")
    target = folder / (key.hexdigest()[:40] + suffix)
    if _whole(target):
        if time.time() - target.stat().st_mtime > DAY:
            os.utime(target)
        return target
    _forget(folder)
    descriptor, temporary = tempfile.mkstemp(suffix=suffix, dir=folder)
    os.close(descriptor)
    try:
        done = subprocess.run(
            [*command, f"-fdebug-prefix-map={folder}=.", "-o", temporary],
            input=text,
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            raise CompilerError(command[0], done.stderr)
        with open(temporary, "ab") as file:
            file.write(END)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)
    return target


def _whole(file: Path) -> bool:
    """Is the file there, and was it not cut off? To load a part of a library ends the process."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - len(END)))
            return opened.read() == END
    except FileNotFoundError:
        return False


def _forget(folder: Path) -> None:
    """Removes from the cache what has not been used for long; what another process did is gone."""
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > DAYS_KEPT * DAY:
                file.unlink()


def _shown(log: str) -> str:
    """The compiler's log without its middle, if it is very long."""
    lines = log.splitlines()
    if len(lines) <= 60:
        return log
    return "\n".join([*lines[:50], f"... {len(lines) - 60} lines ...", *lines[-10:]])
