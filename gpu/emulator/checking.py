"""Checked mode: which memory a launch may touch, and where in the source a fault is."""

from __future__ import annotations

import ctypes
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine.errors import describe

from .compiling import GENERATED, RUNTIME_NAME, SHARED_MARGIN
from .reports import Report

#: Room around the copy of each array: what falls there is told, and does no harm.
MARGIN = 4096
#: Larger arrays are not copied; the first access outside of one ends the launch.
MOST_COPIED = 2**28

_PLACE = re.compile(r"\{(\d+)\}")


class Watched(ctypes.Structure):
    """A piece of memory that the kernel may touch, as the runtime takes it."""

    _fields_ = [
        ("start", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("shift", ctypes.c_int32),
        ("counted_from", ctypes.c_int32),
        ("fresh", ctypes.c_int32),
        ("room_before", ctypes.c_int32),
        ("room_after", ctypes.c_int32),
    ]


# ------------------------------------------------------------------------------ variables


class Variable(NamedTuple):
    """A variable of a module: `__shared__` (thread-local in the library), or one for all blocks.

    Attributes: `function`, the mangled name of that in which it stands; `start`, in bytes from the
    variable `chainrule_anchor` if it is shared, else from the start of the library's image.
    """

    name: str
    function: str
    shared: bool
    start: int
    size: int

    def watched(self) -> Watched:
        """The variable for the runtime."""
        kind, base, room = ("shared", 1, SHARED_MARGIN) if self.shared else ("variable", 2, 0)
        name = f"{kind} '{self.name}'".encode()
        return Watched(self.start % 2**64, self.size, name, 0, base, 0, 0, room)


#: Symbols that are not the kernels' own: the runtime's, the compiler's.
_FOREIGN = re.compile(
    r"emulated|chainrule|^__|^_(DYNAMIC|GLOBAL)|^_Z(N?St|T|GV)|^completed\.|^DW\.|^\."
)
_TABLE, _OBJECT, _THREAD_LOCAL, _WRITABLE = 2, 1, 6, 1


def variables(library: Path) -> list[Variable]:
    """The variables of the kernels, from the library's table of symbols (of the format ELF)."""
    data = library.read_bytes()
    sections_at, size, count = struct.unpack_from("<Q10xHH", data, 40)[0], 64, 0
    count = struct.unpack_from("<H", data, 60)[0]
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", data, sections_at + i * size) for i in range(count)
    ]
    found, anchor = [], 0
    for section in sections:
        if section[1] != _TABLE:
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name_at, info, _, inside, value, length = struct.unpack_from("<IBBHQQ", data, at)
            kind = info & 15
            if kind not in (_OBJECT, _THREAD_LOCAL):
                continue
            end = data.index(b"\0", names + name_at)
            name = data[names + name_at : end].decode()
            if "chainrule_anchor" in name:
                anchor = value
            if _FOREIGN.search(name) or not length or inside >= count:
                continue
            if kind == _THREAD_LOCAL or sections[inside][2] & _WRITABLE:
                plain = _plain(name)
                function = name[: name.rindex(plain)]
                found.append(Variable(plain, function, kind == _THREAD_LOCAL, value, length))
    return [each._replace(start=each.start - anchor * each.shared) for each in found]


def shared_of(found: Sequence[Variable], kernel: str) -> int:
    """The bytes of the `__shared__` variables that stand in the kernel itself."""
    own = f"_ZZ{len(kernel)}{kernel}"
    return sum(each.size for each in found if each.shared and each.function.startswith(own))


def _plain(mangled: str) -> str:
    """The last name of a C++ symbol: _ZZ9block_sumIfET_S0_E5parts -> parts."""
    for match in reversed(list(re.finditer(r"(?<!\d)(\d+)(?=[A-Za-z_])", mangled))):
        name = mangled[match.end() : match.end() + int(match[1])]
        if len(name) == int(match[1]):
            return name
    return mangled


# ------------------------------------------------------------------------------ copies of arrays


class Given(NamedTuple):
    """An array among the arguments of a launch."""

    name: str
    array: np.ndarray
    written: bool  # its pointer is not const
    fresh: bool  # every element is written, and none read before


class Arena:
    """Copies of a launch's arrays in one piece of memory, each with room around it."""

    def __init__(self, arrays: Sequence[Given]) -> None:
        self.watched: list[Watched] = []
        self._moved: list[tuple[int, int, int]] = []  # start, end, by how much
        self._back: list[tuple[np.ndarray, np.ndarray]] = []
        pieces = _pieces(arrays)
        copied = [piece for piece in pieces if piece.end - piece.start <= MOST_COPIED]
        total = sum(piece.end - piece.start + 2 * MARGIN for piece in copied) + MARGIN
        self._memory = np.full(total, 0xFF, np.uint8)
        base = self._memory.__array_interface__["data"][0]
        place = base + MARGIN
        for piece in pieces:
            by = 0
            if piece in copied:
                place += (piece.start - place) % 256  # aligned as the original is
                by = place - piece.start
                place += piece.end - piece.start + MARGIN
            self._moved.append((piece.start, piece.end, by))
            self.watched.append(piece.watched(by))
            for given in piece.arrays if by else ():
                array = given.array
                at = array.__array_interface__["data"][0] + by - base
                copy = self._memory[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
                if not given.fresh:
                    copy[...] = array
                if given.written:
                    self._back.append((array, copy))

    def address(self, address: int) -> int:
        """Where the copy of what is at this address is."""
        return next(address + by for start, end, by in self._moved if start <= address < end)

    def copy_back(self) -> None:
        """What the kernel wrote, into the arrays themselves."""
        for array, copy in self._back:
            array[...] = copy


class _Piece:
    """Memory that is one array's, or several arrays' that overlap."""

    def __init__(self, given: Given) -> None:
        self.start = given.array.__array_interface__["data"][0]
        self.end = self.start + given.array.nbytes
        size = given.array.dtype.itemsize
        self.shift = size.bit_length() - 1 if size & (size - 1) == 0 and size <= 8 else 0
        self.arrays = [given]

    def join(self, other: _Piece) -> None:
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.shift = min(self.shift, other.shift)
        self.arrays = [each._replace(fresh=False) for each in self.arrays + other.arrays]

    def watched(self, by: int) -> Watched:
        """The piece for the runtime; it has been moved, or `by` is 0."""
        name = " and ".join(each.name for each in self.arrays)
        room = MARGIN if by else 0
        size, fresh = self.end - self.start, self.arrays[0].fresh
        return Watched(self.start + by, size, name.encode(), self.shift, 0, fresh, room, room)


def _pieces(arrays: Sequence[Given]) -> list[_Piece]:
    pieces: list[_Piece] = []
    for piece in sorted(map(_Piece, arrays), key=lambda p: (p.start, p.end)):
        if pieces and piece.start < pieces[-1].end:
            pieces[-1].join(piece)
        else:
            pieces.append(piece)
    return pieces


def named(position: int, array: np.ndarray) -> str:
    """How reports call an argument."""
    return f"argument {position} ({describe(array)})"


def watched_list(arena: Arena, found: Sequence[Variable]) -> ctypes.Array[Watched]:
    """All memory that a launch may touch, dynamic shared memory apart."""
    entries = [*arena.watched, *(each.watched() for each in found)]
    return (Watched * len(entries))(*entries)


# ------------------------------------------------------------------------------ places


def resolve(reports: Sequence[Report], library: Path) -> list[Report]:
    """The reports with file and line for each place in the program, by addr2line."""
    places = {int(p) for each in reports for p in _PLACE.findall(each.file + each.other)}
    known = _lines(sorted(places), library)

    def line_of(match: re.Match[str]) -> str:
        return ":".join(map(str, known[int(match[1])][0]))

    resolved = []
    for each in reports:
        text, own = _PLACE.sub(line_of, each.other), _PLACE.fullmatch(each.file)
        if own is None:
            resolved.append(each._replace(other=text))
            continue
        (file, line), *callers = known[int(own[1])]
        if callers:
            text += ", called from " + ", ".join(f"{name}:{number}" for name, number in callers[:2])
        resolved.append(each._replace(other=text, file=file, line=line))
    return list({(each.kind, each.file, each.line, each.other): each for each in resolved}.values())


def _lines(places: Sequence[int], library: Path) -> dict[int, list[tuple[str, int]]]:
    """For each place the line of the source, then those of the calls it was inlined through."""
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    found: dict[int, list[tuple[str, int]]] = {place: [] for place in places}
    if tool and places:
        command = [tool, "-a", "-i", "-e", str(library), *map(hex, places)]
        lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
        current: list[Any] = []
        for line in lines:
            if re.fullmatch(r"0x[0-9a-f]+", line):
                current = found[int(line, 16)]
                continue
            file, _, number = line.partition(" (discriminator")[0].rpartition(":")
            ours = f"{RUNTIME_NAME}/" in file or file.endswith(GENERATED)
            if number.isdecimal() and not ours:
                current.append((file.rpartition("/./")[2].removeprefix("./"), int(number)))
    return {place: lines or [("unknown line", 0)] for place, lines in found.items()}
