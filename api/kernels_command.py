"""`chainrule kernels`: what the compiler makes of the GPU's kernels, for each architecture."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from chainrule.gpu import table
from chainrule.gpu.inspection import (
    ARCHITECTURES,
    CompileError,
    CompilerMissingError,
    KernelReport,
    find_compiler,
    inspect_family,
)
from chainrule.gpu.inspection.listings import nvdisasm
from chainrule.training.json_files import write_json

COLUMNS = "{:<40} {:>4} {:>9} {:>6} {:>5} {:>6} {:>9}  {:<13} {}"
HEADINGS = ("kernel", "arch", "registers", "shared", "stack", "spills", "occupancy", "limit", "")


class UsageError(Exception):
    """An unknown family, no compiler, or a file that cannot be written."""


def run(
    families: Sequence[str] = (),
    architectures: Sequence[int] = (),
    compiler: str | None = None,
    json_file: str | os.PathLike[str] | None = None,
    kernel_set: str = "raw",
) -> int:
    """Compiles the kernels of families, by default of all, and prints a row for each.

    Arguments: `architectures`, compute capabilities such as 80 for 8.0, by default 75, 80, 90 and
    100; `compiler`, "nvrtc" or "nvcc", by default the first there is; `json_file`, where the
    reports are written as JSON, too; `kernel_set`, "raw" for CUDA C or "numba", which has a
    compiler of its own.

    Returns the exit code: 1 if a kernel spills, keeps values in memory that should be in registers,
    has arithmetic on doubles though it is for floats, or does not compile.

    Raises UsageError for an unknown family, a compiler that is not there, a file that cannot be
    written.
    """
    unknown = [each for each in families if each not in table.FAMILIES]
    if unknown:
        known = ", ".join(table.FAMILIES) or "none"
        raise UsageError(f"no family {', '.join(unknown)}; known: {known}")
    name, inspect = _inspector(kernel_set, compiler)
    chosen = list(dict.fromkeys(architectures)) or list(ARCHITECTURES)
    where = "PTX"
    if kernel_set == "raw":
        where += " and machine code" if nvdisasm() else " (with nvdisasm, in machine code too)"
    print(f"Compiled by {name}; memory in bytes; doubles are looked for in {where}.\n")
    print(COLUMNS.format(*HEADINGS).rstrip())
    reports: list[KernelReport] = []
    failed = 0
    for family in families or table.FAMILIES:
        for architecture in chosen:
            try:
                new = inspect(family, architecture)
            except CompileError as error:
                failed += 1
                print(f"{error}\n")
                continue
            reports += new
            for each in new:
                print(_row(each))
    wrong = [each for each in reports if each.faults]
    kernels = len({each.kernel for each in reports})
    told = ", ".join(f"sm_{each}" for each in chosen)
    print(f"\n{kernels} kernels for {told}: {len(wrong)} of {len(reports)} at fault", end="")
    print(f"; {failed} modules do not compile" if failed else "")
    if json_file is not None:
        whole = {"compiler": name, "kernels": [each.to_dict() for each in reports]}
        try:
            write_json(whole, json_file, where="--json")
        except OSError as error:
            raise UsageError(str(error)) from error
    return 1 if wrong or failed else 0


Inspector = Callable[[str, int], list[KernelReport]]


def _inspector(kernel_set: str, compiler: str | None) -> tuple[str, Inspector]:
    """The compiler's name, and what it makes of a family's kernels for an architecture."""
    if kernel_set == "numba":
        from chainrule.gpu import numba_compiling

        lacking = numba_compiling.missing()
        if lacking is not None:
            raise UsageError(lacking)
        return "Numba", _inspect_numba
    try:
        found = find_compiler(compiler)
    except CompilerMissingError as error:
        raise UsageError(str(error)) from error
    return found.name, lambda family, architecture: inspect_family(family, architecture, found)


def _inspect_numba(family: str, architecture: int) -> list[KernelReport]:
    from chainrule.gpu.numba_compiling import inspect_entry

    reports = []
    for each in table.entries(family):
        for real in table.INSTANCES:
            try:
                reports.append(inspect_entry(each, real, architecture))
            except Exception as error:  # Numba, NVVM and nvJitLink each have their own
                told = f"{each.instance(real)}, sm_{architecture}, by Numba: {error}"
                raise CompileError(told, str(error)) from error
    return reports


def _row(report: KernelReport) -> str:
    """A row of the table, and below it what is wrong with the kernel."""
    usage, held = report.usage, report.occupancy
    most = "≤" if report.dynamic else ""  # with no more shared memory than is declared
    row = COLUMNS.format(
        report.kernel,
        report.architecture,
        usage.registers,
        usage.shared,
        usage.stack,
        usage.spill_stores + usage.spill_loads,
        "-" if held is None else f"{most}{held.share:.0%}",
        "" if held is None else held.limit,
        "WRONG" if report.faults else "",
    ).rstrip()
    return "\n".join([row, *(f"    {each}" for each in report.faults)])
