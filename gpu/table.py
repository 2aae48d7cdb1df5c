"""The table of entry points: every kernel that a GPU may run, with its parameters and their sizes.

A *family* is a subject, such as "softmax": `families/softmax.py` declares its entries and launches
them, `kernels/softmax.cu` and `numba_kernels/softmax.py` hold the kernels in CUDA C and in Numba's
Python. An entry is written once and exists for two types, float and double. What stands here is
what the generated wrappers, the launcher's checks and the inspection of machine code go by.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from . import families

#: The modules in `families/`.
FAMILIES: tuple[str, ...] = tuple(
    sorted(each.name for each in pkgutil.iter_modules(families.__path__))
)


class Type(NamedTuple):
    """An element type: its name in CUDA C (None: the type of the instance), and NumPy's name."""

    c: str | None
    numpy: str | None


REAL = Type(None, None)
F64 = Type("double", "float64")
I32 = Type("int", "int32")
I64 = Type("long long", "int64")
U8 = Type("unsigned char", "uint8")
U32 = Type("unsigned int", "uint32")
U64 = Type("unsigned long long", "uint64")

#: The types for which every entry exists: the name in CUDA C, by NumPy's.
INSTANCES = {"float32": "float", "float64": "double"}


class Parameter(NamedTuple):
    """A parameter of an entry: an array, or a scalar (`access` is None then).

    `size` is the number of elements of an array, as an expression of the entry's scalars;
    `access` is "reads", "writes" or "updates"; an `optional` array may be None, a null pointer.
    """

    name: str
    type: Type
    size: str | None = None
    access: str | None = None
    optional: bool = False

    def dtype(self, real: str) -> np.dtype[Any]:
        """The NumPy dtype in the instance for `real`, "float32" or "float64"."""
        return np.dtype(self.type.numpy or real)

    def c_type(self) -> str:
        """The type in a template of T."""
        return self.type.c or "T"


class Slot(NamedTuple):
    """What the launcher compares an argument with, in the instance for one type.

    Of an array, `dtype`, and whether it is `optional` and `written`. Of a number, how to `make` it
    of one of Python's types `plain` that is from `least` to `most`; other numbers need more care.
    """

    name: str
    dtype: np.dtype[Any]
    optional: bool
    written: bool
    make: Any = None
    plain: tuple[type, ...] = ()
    least: Any = None
    most: Any = None


def slot(parameter: Parameter, real: str) -> Slot:
    """The slot of a parameter in the instance for `real`.

    >>> slot(scalar("n", I32), "float32").most
    2147483647
    """
    kind = parameter.dtype(real)
    made = Slot(parameter.name, kind, parameter.optional, parameter.access in ("writes", "updates"))
    if parameter.access is not None:
        return made
    limits: Any = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    plain = (float, int) if kind.kind == "f" else (int, bool)
    least, most = plain[0](limits.min), plain[0](limits.max)
    return made._replace(make=kind.type, plain=plain, least=least, most=most)


def reads(name: str, type: Type, size: str, optional: bool = False) -> Parameter:
    """An array that a kernel reads."""
    return Parameter(name, type, size, "reads", optional)


def writes(name: str, type: Type, size: str, optional: bool = False) -> Parameter:
    """An array of which a kernel writes every element, and reads none."""
    return Parameter(name, type, size, "writes", optional)


def updates(name: str, type: Type, size: str, optional: bool = False) -> Parameter:
    """An array that a kernel reads and writes."""
    return Parameter(name, type, size, "updates", optional)


def scalar(name: str, type: Type) -> Parameter:
    """A number that is passed by value."""
    return Parameter(name, type)


#: Every entry, by its name; filled by the modules of the families.
ENTRIES: dict[str, Entry] = {}


@dataclass(frozen=True, eq=False)
class Entry:
    """One kernel: `family` and `name`, the parameters in order, and the threads of a block.

    Calling it launches it: `entry(k, *arguments, grid=..., shared=0)`, where `k` is a kernel set
    of a GPU or of the emulator; see `launcher.launch`.
    """

    family: str
    name: str
    parameters: tuple[Parameter, ...]
    block: int
    dynamic: bool = False

    @cached_property
    def arrays(self) -> tuple[Parameter, ...]:
        """The parameters that are arrays."""
        return tuple(each for each in self.parameters if each.access is not None)

    @cached_property
    def scalars(self) -> tuple[Parameter, ...]:
        """The parameters that are numbers."""
        return tuple(each for each in self.parameters if each.access is None)

    @cached_property
    def slots(self) -> dict[str, tuple[Slot, ...]]:
        """For "float32" and "float64", what each argument must be."""
        return {real: tuple(slot(each, real) for each in self.parameters) for real in INSTANCES}

    @cached_property
    def sizes(self) -> Any:
        """A function of the scalars: how many elements each array has."""
        names = ", ".join(each.name for each in self.scalars)
        sizes = "".join(f"{each.size}, " for each in self.arrays)
        return eval(f"lambda {names}: ({sizes})", {"__builtins__": {}, "max": max, "min": min})

    def instance(self, real: str) -> str:
        """The name of the kernel for "float32" or "float64" numbers.

        >>> entry("examples", "nothing", block=32, enter=False).instance("float32")
        'nothing_float'
        """
        return f"{self.name}_{INSTANCES[real]}"

    def __call__(self, k: Any, *arguments: Any, grid: Any, shared: int = 0) -> None:
        """Launches the kernel; see `launcher.launch`."""
        from .launcher import launch

        launch(k, self, arguments, grid, shared)


def entry(
    family: str,
    name: str,
    *parameters: Parameter,
    block: int = 256,
    dynamic: bool = False,
    enter: bool = True,
) -> Entry:
    """Declares an entry, and enters it in the table.

    Arguments: `block`, threads of a block, a multiple of 32 up to 1,024; `dynamic`: does the
    launch say how much shared memory a block has?
    """
    if block % 32 or not 32 <= block <= 1024:
        raise ValueError(f"{name}: block must be a multiple of 32 from 32 to 1024, got {block}")
    made = Entry(family, name, parameters, block, dynamic)
    if enter:
        ENTRIES[name] = made
    return made


def family(name: str) -> Any:
    """The module of a family.

    Raises ValueError for a name that is not in `FAMILIES`.
    """
    if name not in FAMILIES:
        raise ValueError(f"family: {name!r} is unknown; known: {', '.join(FAMILIES)}")
    return importlib.import_module(f"{__package__}.families.{name}")


def entries(name: str | None = None) -> list[Entry]:
    """The entries of a family, or of all, in the order in which they are declared."""
    for each in FAMILIES if name is None else (name,):
        family(each)
    return [each for each in ENTRIES.values() if name is None or each.family == name]


def replacements() -> dict[str, str]:
    """The kernels of the engine that the families replace, each with the module that has it."""
    modules = map(family, FAMILIES)
    return {name: module.__name__ for module in modules for name in module.REPLACES}
