"""Reads what compilers print: what each kernel uses, and which instructions work on doubles."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .compilers import package_files

_NVDISASM_PACKAGES = ("nvidia-cuda-nvdisasm", "nvidia-cuda-nvcc-cu12", "nvidia-cuda-nvdisasm-cu12")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_CONSTANT = re.compile(r"(\d+) bytes cmem\[(\d+)\]")

_PTX_FUNCTION = re.compile(r"^(?:\.\w+\s+)*\.(?:entry|func)\s+(?:\([^)]*\)\s*)?([\w$]+)", re.M)
_PTX_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', re.M)
_PTX_LINE = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)")
_PTX_DOUBLE = re.compile(r"^\s*(?:@!?%\w+\s+)?([a-z][\w.:]*\.f64[\w.]*)\s")
_SASS_FUNCTION = re.compile(r"^\.text\.(\S+):", re.M)
# DADD, DFMA and their like; conversions from and to doubles; the approximations that start a
# division or a square root of doubles.
_SASS_DOUBLE = re.compile(
    r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?"
    r"(D(?:ADD|MUL|FMA|SETP|MNMX|MMA)\b[\w.]*|\w+(?:\.\w+)*\.F64\b[\w.]*|MUFU\.\w+64H\b)",
    re.M,
)


@dataclass
class Usage:
    """What a kernel uses: `registers` of a thread, the rest in bytes.

    `shared` memory of a block, declared in the kernel; `stack`, memory of a thread for what is not
    in registers; `spill_stores` and `spill_loads`, code that moves values there and back for want
    of registers; `constant` memory apart from the arguments.
    """

    registers: int = 0
    shared: int = 0
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    constant: int = 0


def read_usage(log: str) -> dict[str, Usage]:
    """What each function uses, by its name, from the words of `ptxas -v`."""
    found: dict[str, Usage] = {}
    current = Usage()
    for line in log.splitlines():
        if match := _PROPERTIES.search(line):
            current = found.setdefault(match[1], Usage())
        elif match := _STACK.search(line):
            current.stack, current.spill_stores, current.spill_loads = map(int, match.groups())
        elif match := _USED.search(line):
            current.registers = int(match[1])
            if match := _SHARED.search(line):
                current.shared = int(match[1])
            # Bank 0 holds the launch's numbers and the arguments.
            current.constant = sum(int(n) for n, bank in _CONSTANT.findall(line) if bank != "0")
    return found


def _parts(text: str, start: re.Pattern[str]) -> dict[str, str]:
    """The text of each function, from one match of `start` to the next, by the name it captures."""
    matches = list(start.finditer(text))
    ends = [each.start() for each in matches[1:]] + [len(text)]
    return {each[1]: text[each.start() : end] for each, end in zip(matches, ends, strict=True)}


def functions(ptx: str) -> dict[str, str]:
    """The text of each function in PTX, by its name; that of a declaration is not kept."""
    found = _parts(ptx, _PTX_FUNCTION)
    return {name: text.partition("\n}")[0] for name, text in found.items() if "\n{" in text}


def called(ptx: str) -> dict[str, set[str]]:
    """For each function in PTX, those it calls, directly or not, and itself."""
    bodies = functions(ptx)
    named = {
        name: {each for each in bodies if re.search(rf"(?<![\w$]){re.escape(each)}(?![\w$])", text)}
        for name, text in bodies.items()
    }
    closed: dict[str, set[str]] = {}
    for name in bodies:
        reached, waiting = {name}, [name]
        while waiting:
            new = named[waiting.pop()] - reached
            reached |= new
            waiting += new
        closed[name] = reached
    return closed


def ptx_doubles(ptx: str) -> dict[str, list[str]]:
    """The instructions that work on doubles, by function, each with the line that it comes from.

    They are in words such as "softmax.cu:12 mul.f64"; the line is there where the compiler was
    asked for it.
    """
    files = {number: Path(name).name for number, name in _PTX_FILE.findall(ptx)}
    found: dict[str, list[str]] = {}
    for name, text in functions(ptx).items():
        place = ""
        told: dict[str, None] = {}  # each once, in order
        for line in text.splitlines():
            if match := _PTX_LINE.match(line):
                place = f"{files.get(match[1], 'file ' + match[1])}:{match[2]} "
            elif match := _PTX_DOUBLE.match(line):
                told[place + match[1]] = None
        found[name] = list(told)
    return found


def nvdisasm() -> str | None:
    """NVIDIA's disassembler, from the path or the package index; None where there is none."""
    program = shutil.which("nvdisasm")
    if program is not None:
        return program
    found = next(package_files(_NVDISASM_PACKAGES, re.compile(r"nvdisasm(\.exe)?")), None)
    return None if found is None else str(found)


def disassemble(cubin: bytes, program: str) -> str:
    """The machine code as text, by NVIDIA's disassembler at `program`."""
    with tempfile.TemporaryDirectory(prefix="chainrule-sass-") as folder:
        path = Path(folder, "kernels.cubin")
        path.write_bytes(cubin)
        done = subprocess.run(
            [program, "--print-code", str(path)], capture_output=True, text=True, errors="replace"
        )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.strip()}")
    return done.stdout


def sass_doubles(sass: str) -> dict[str, list[str]]:
    """The machine instructions that work on doubles, each once, by kernel."""
    return {
        name: list(dict.fromkeys(_SASS_DOUBLE.findall(text)))
        for name, text in _parts(sass, _SASS_FUNCTION).items()
    }
