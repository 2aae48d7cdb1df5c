"""Errors of compiling kernels, told with the line of source that the compiler means."""

from __future__ import annotations

import re

#: How many errors of a log are told with their lines.
MOST = 5
_PLACE = re.compile(r'^"?(?P<file>[^\s:"(]+)"?[(:](?P<line>\d+)(?:\)|:\d+)?:? *(?P<text>error.*)$')


class CompileError(RuntimeError):
    """CUDA C that a compiler refuses. `log` is what it printed."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def compile_error(name: str, source: str, log: str) -> CompileError:
    r"""The error for source text with #line directives, from what a compiler printed.

    >>> print(compile_error("demo", '#line 1 "a.cu"\nint x', 'a.cu(1): error: expected a ";"'))
    demo does not compile
    a.cu(1): error: expected a ";"
        1 | int x
    <BLANKLINE>
    The compiler's log:
    a.cu(1): error: expected a ";"
    """
    lines = numbered(source)
    told = [f"{name} does not compile"]
    for line in log.splitlines():
        found = _PLACE.match(line.strip())
        if found and len(told) <= 2 * MOST:
            told.append(line.strip())
            place = found["file"].rsplit("/", 1)[-1], int(found["line"])
            if place in lines:
                told.append(f"{place[1]:>5} | {lines[place]}")
    return CompileError("\n".join([*told, "", "The compiler's log:", log.strip()]), log)


def numbered(source: str) -> dict[tuple[str, int], str]:
    """Every line of a source text by the file and number that #line directives give it."""
    file, number, lines = "", 1, {}
    for line in source.splitlines():
        directive = re.match(r'#line (\d+) "([^"]*)"', line)
        if directive:
            number, file = int(directive[1]), directive[2].rsplit("/", 1)[-1]
            continue
        lines[file, number] = line
        number += 1
    return lines
