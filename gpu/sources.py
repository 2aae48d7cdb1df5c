"""The source text of a family's module of CUDA C: what is shared, the templates, the entry points.

The same text goes to NVRTC, to nvcc and, for the emulator, to the host's C++ compiler. Each part is
preceded by a #line directive, so that errors name the file and line that a reader can open.
common.cuh comes first; what else several families share they include.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from importlib import resources

from .table import INSTANCES, Entry, Parameter, entries

#: How every compiler is told to read it.
STANDARD = "-std=c++17"
#: How NVRTC is told to compile it, at run time and for inspection: generic lambdas belong to the
#: device (NVRTC 12 and 13.0 do not take it for granted), and small numbers stay what they are.
NVRTC_OPTIONS = (STANDARD, "--device-as-default-execution-space", "-ftz=false")
_INCLUDE = re.compile(r'#include "(\w+\.cuh)"')


@functools.cache
def text(name: str) -> str:
    """The text of a file in `kernels/`."""
    return (resources.files(__package__) / "kernels" / name).read_text(encoding="utf-8")


@functools.cache
def source(family: str) -> str:
    """The whole text of a family's module."""
    wrappers = [wrapper(each, real) for each in entries(family) for real in INSTANCES]
    return assembled(family, wrappers, text)


def assembled(family: str, wrappers: Iterable[str], read: Callable[[str], str]) -> str:
    """A module's text, of files that `read` has by their names.

    The line `#include "rows.cuh"` becomes that file here, at its first time: NVRTC has no folders.
    """
    lines: list[str] = []
    seen: set[str] = set()

    def add(name: str) -> None:
        seen.add(name)
        lines.append(f'#line 1 "{name}"')
        for number, line in enumerate(read(name).rstrip("\n").split("\n"), 1):
            included = _INCLUDE.fullmatch(line)
            if included is None:
                lines.append(line)
                continue
            if included[1] not in seen:
                add(included[1])
            lines.append(f'#line {number + 1} "{name}"')

    add("common.cuh")
    add(f"{family}.cu")
    return "\n".join([*lines, f'#line 1 "{family} entry points"', *wrappers, ""])


def wrapper(entry: Entry, real: str) -> str:
    """The entry point for one type: an instance of the template, under a name without mangling.

    One block on a multiprocessor is enough (the second bound): otherwise the assembler spills a few
    registers to have one block more there.
    """
    declared = ", ".join(_declared(each, INSTANCES[real]) for each in entry.parameters)
    given = ", ".join(each.name for each in entry.parameters)
    return (
        f'extern "C" __global__ void __launch_bounds__({entry.block}, 1)\n'
        f"{entry.instance(real)}({declared})\n"
        f"{{ {entry.name}<{INSTANCES[real]}>({given}); }}"
    )


def _declared(parameter: Parameter, real: str) -> str:
    kind = parameter.type.c or real
    if parameter.access is None:
        return f"{kind} {parameter.name}"
    constant = "const " if parameter.access == "reads" else ""
    return f"{constant}{kind}* __restrict__ {parameter.name}"
