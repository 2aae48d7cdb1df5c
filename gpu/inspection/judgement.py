"""Puts together what a compiler told of each kernel, and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..sources import source
from ..table import INSTANCES, entries
from .compilers import Compiler
from .listings import (
    Usage,
    called,
    disassemble,
    nvdisasm,
    ptx_doubles,
    read_usage,
    sass_doubles,
)
from .occupancy import LIMITS, Occupancy, occupancy

#: What is compiled for here: Turing, Ampere, Hopper and Blackwell, each in its first version; at
#: run time it is the very GPU.
ARCHITECTURES = (75, 80, 90, 100)


@dataclass(frozen=True)
class KernelReport:
    """What one kernel is, compiled for one architecture.

    Attributes:
        kernel: its name, as in "softmax_forward_float".
        architecture: 80 for compute capability 8.0.
        compiler: name and version.
        usage: registers, memory and spills.
        block: threads of a block; 0 where it is not known.
        occupancy: warps at a time; None where the block is not known.
        dynamic: may a launch ask for more shared memory, and lower the occupancy?
        doubles: instructions that work on doubles in a kernel that should have none.
        faults: what is wrong, in words; empty if nothing is.
    """

    kernel: str
    architecture: int
    compiler: str
    usage: Usage
    block: int = 0
    occupancy: Occupancy | None = None
    doubles: Sequence[str] = ()
    faults: Sequence[str] = field(default=())
    dynamic: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        plain = asdict(self)
        plain["occupancy"] = None if self.occupancy is None else self.occupancy._asdict()
        return plain


def inspect_family(
    family: str, architecture: int, compiler: Compiler, disassembled: bool = True
) -> list[KernelReport]:
    """Compiles the kernels of a family of the table, and reports on each; see `inspect_source`.

    Raises CompileError for a source that does not compile, ValueError for an unknown family.
    """
    blocks = {each.instance(real): each.block for each in entries(family) for real in INSTANCES}
    reports = inspect_source(
        source(family), f"{family}.cu", architecture, compiler, blocks, disassembled=disassembled
    )
    dynamic = {
        each.instance(real) for each in entries(family) if each.dynamic for real in INSTANCES
    }
    return [
        replace(each, dynamic=each.kernel in dynamic) for each in reports if each.kernel in blocks
    ]


def inspect_source(
    source: str,
    name: str,
    architecture: int,
    compiler: Compiler,
    blocks: Mapping[str, int] | None = None,
    options: Sequence[str] = (),
    disassembled: bool = True,
) -> list[KernelReport]:
    """Compiles one source, and reports on each of its kernels, in the order of their names.

    Arguments: `name` of the source's file; `blocks`, the threads of a block of each kernel, by its
    name; `options` for the compiler, after the usual ones; `disassembled`, are doubles looked for
    in the machine code too, where nvdisasm is at hand? It takes as long as compiling.

    A kernel whose name ends in `_float` should have no arithmetic on doubles.

    Raises CompileError for a source that does not compile.
    """
    compiled = compiler.compile(source, name, architecture, options)
    used, calls, doubles = read_usage(compiled.log), called(compiled.ptx), ptx_doubles(compiled.ptx)
    program = nvdisasm() if disassembled else None
    sass = {} if program is None else sass_doubles(disassemble(compiled.cubin, program))
    reports = []
    for kernel in sorted(each for each in used if used[each].registers):
        reached = sorted(calls.get(kernel, {kernel}), key=lambda each: each != kernel)
        usage = _together([used[each] for each in reached if each in used])
        told: list[str] = []
        if kernel.endswith("_float"):
            told = [each for function in reached for each in doubles.get(function, ())]
            told += [f"machine code {each}" for each in sass.get(kernel, ())]
        block = (blocks or {}).get(kernel, 0)
        known = block and architecture in LIMITS
        held = occupancy(architecture, block, usage.registers, usage.shared) if known else None
        wrong = faults(usage, held, told)
        reports.append(
            KernelReport(kernel, architecture, compiled.compiler, usage, block, held, told, wrong)
        )
    return reports


def _together(usages: Sequence[Usage]) -> Usage:
    """What a kernel (the first) uses together with the functions that it calls."""
    first = usages[0]
    return Usage(
        first.registers,
        first.shared,
        first.stack,
        sum(each.spill_stores for each in usages),
        sum(each.spill_loads for each in usages),
        first.constant,
    )


def faults(usage: Usage, held: Occupancy | None, doubles: Sequence[str]) -> list[str]:
    """What is wrong with a kernel, in words, from what is known of it."""
    wrong = []
    if usage.spill_stores or usage.spill_loads:
        wrong.append(f"spills: {usage.spill_stores} bytes out, {usage.spill_loads} bytes in")
    elif usage.stack:
        wrong.append(f"{usage.stack} bytes of each thread are in memory, not in registers")
    if doubles:
        more = f" and {len(doubles) - 3} more" if doubles[3:] else ""
        wrong.append(f"doubles in a float kernel: {', '.join(doubles[:3])}{more}")
    if held is not None and not held.blocks:
        wrong.append(f"cannot run: not even one block fits ({held.limit})")
    return wrong
