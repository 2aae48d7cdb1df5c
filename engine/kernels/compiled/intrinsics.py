"""Instructions that Numba's Python has no words for: addresses, atomic memory, calls by address.

A *task* is what a kernel hands to its threads: integers in a row in memory, made by `pack` and read
by `field`. The word before the first tells whether a chunk of it failed, for want of memory: a task
that runs on another thread has nobody to raise an error to. Addresses are integers too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit
from numba.core import cgutils, types
from numba.extending import intrinsic

WORD = ir.IntType(64)


def _address(builder: Any, base: Any, index: Any) -> Any:
    """A pointer to the word at position `index` after the address `base`."""
    offset = builder.mul(index, ir.Constant(WORD, 8))
    return builder.inttoptr(builder.add(base, offset), WORD.as_pointer())


def _function(builder: Any, kind: Any, name: str) -> Any:
    return cgutils.get_or_insert_function(builder.module, kind, name)


@intrinsic
def pack(typing: Any, words: Any) -> Any:
    """The address of a tuple of integers, written to the stack of the function that calls."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = cgutils.alloca_once(builder, ir.ArrayType(WORD, len(words) + 1))
        fine = ir.Constant(WORD, 0)
        for i, word in enumerate([fine, *cgutils.unpack_tuple(builder, arguments[0])]):
            builder.store(word, cgutils.gep_inbounds(builder, place, 0, i))
        return builder.ptrtoint(cgutils.gep_inbounds(builder, place, 0, 1), WORD)

    if any(word != types.intp for word in words):
        raise TypeError(f"pack: words must be a tuple of integers of 64 bits, got {words}")
    return types.intp(words), generate


@njit
def address(array: Any) -> Any:
    """Where an array begins in memory."""
    return np.intp(array.ctypes.data)


@njit
def keep(array: Any) -> None:
    """Call it after the last use of the address of an array that was made here.

    Numba frees an array after the last mention of it, whoever knows its address.
    """
    array.size  # noqa: B018


@intrinsic
def field(typing: Any, base: Any, index: Any) -> Any:
    """The integer at position `index` after the address `base`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(builder, *arguments))

    return types.intp(types.intp, types.intp), generate


@intrinsic
def load(typing: Any, base: Any, index: Any) -> Any:
    """As `field`, of memory that other threads write."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_address(builder, *arguments), "seq_cst", 8)

    return types.intp(types.intp, types.intp), generate


@intrinsic
def store(typing: Any, base: Any, index: Any, value: Any) -> Any:
    """Writes an integer that other threads read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(builder, *arguments[:2])
        builder.store_atomic(arguments[2], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def add(typing: Any, base: Any, index: Any, value: Any) -> Any:
    """Adds to an integer that other threads read and write; returns what it was before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _address(builder, *arguments[:2]), arguments[2], "seq_cst")

    return types.intp(types.intp, types.intp, types.intp), generate


@intrinsic
def take(typing: Any, base: Any, index: Any) -> Any:
    """Makes a 0 into a 1, for one of all threads that try: did this one?"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero, one = ir.Constant(WORD, 0), ir.Constant(WORD, 1)
        place = _address(builder, *arguments)
        return builder.extract_value(builder.cmpxchg(place, zero, one, "seq_cst", "seq_cst"), 1)

    return types.boolean(types.intp, types.intp), generate


@intrinsic
def pause(typing: Any) -> Any:
    """Tells the processor that this is a loop which waits for another core."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing, hint = ir.VoidType(), ir.IntType(32)
        if builder.module.triple.startswith("x86"):
            kind = ir.FunctionType(nothing, [])
            builder.call(_function(builder, kind, "llvm.x86.sse2.pause"), [])
        elif builder.module.triple.startswith(("aarch64", "arm64")):
            kind = ir.FunctionType(nothing, [hint])
            builder.call(_function(builder, kind, "llvm.aarch64.hint"), [ir.Constant(hint, 1)])
        return context.get_dummy_value()

    return types.void(), generate


@njit
def call(function: Any, task: Any, chunk: Any) -> None:
    """Calls the machine code at an address: what `address_of` gives.

    Raises MemoryError if there was none for what it needed.
    """
    start(function, task, chunk)
    check(task)


@njit
def check(task: Any) -> None:
    """Raises MemoryError if a chunk of the task failed."""
    if load(task, -1) != 0:
        raise MemoryError("a kernel has no memory for what it computes with")


@intrinsic
def start(typing: Any, function: Any, task: Any, chunk: Any) -> Any:
    """As `call`, but whoever started the task is to `check` it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [WORD, WORD])
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def address_of(typing: Any, function: Any, kind: Any) -> Any:
    """The address of the machine code of `function(kind, task, chunk)`, for `call`.

    `kind` is a number, whose type the function computes with; it is given a 0.
    """
    if not isinstance(function, types.Dispatcher):
        raise TypeError(f"address_of: expected a function compiled by Numba, got {function}")
    arguments = (kind, types.intp, types.intp)
    function.get_call_type(typing, arguments, {})

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        compiled = function.dispatcher.overloads[arguments]
        context.active_code_library.add_linking_library(compiled.library)
        target = context.declare_function(builder.module, compiled.fndesc)
        name = f"task_{compiled.fndesc.mangled_name}"
        plain = builder.module.globals.get(name)
        if plain is None:
            plain = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [WORD] * 2), name)
            plain.linkage = "internal"
            within = ir.IRBuilder(plain.append_basic_block())
            given = [ir.Constant(context.get_value_type(kind), 0), *plain.args]
            status, _ = context.call_conv.call_function(
                within, target, types.void, arguments, given
            )
            with within.if_then(status.is_error, likely=False):
                place = _address(within, plain.args[0], ir.Constant(WORD, -1))
                within.store_atomic(ir.Constant(WORD, 1), place, "seq_cst", 8)
            within.ret_void()
        return builder.ptrtoint(plain, WORD)

    return types.intp(function, kind), generate


@intrinsic
def read(typing: Any, kind: Any, address: Any) -> Any:
    """The number of the type of `kind` at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(kind).as_pointer()
        return builder.load(builder.inttoptr(arguments[1], pointer))

    return kind(kind, types.intp), generate


@intrinsic
def write(typing: Any, address: Any, number: Any) -> Any:
    """Writes a number to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(number).as_pointer()
        builder.store(arguments[1], builder.inttoptr(arguments[0], pointer))
        return context.get_dummy_value()

    return types.void(types.intp, number), generate


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once: what the product loses is found by a b - (a b)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real = context.get_value_type(a)
        name = f"llvm.fma.f{a.bitwidth}"
        function = _function(builder, ir.FunctionType(real, [real] * 3), name)
        return builder.call(function, arguments)

    return a(a, a, a), generate


@intrinsic
def _pointer(typing: Any, kind: Any, address: Any) -> Any:
    """An address as a pointer to numbers of the type of `kind`, for `numba.carray`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[1], context.get_data_type(kind).as_pointer())

    pointer: Any = vars(types)["CPointer"](kind)
    return pointer(kind, types.intp), generate


@njit
def vector(kind: Any, address: Any, count: Any) -> Any:
    """The numbers at an address as an array, in which a loop becomes vector instructions.

    It is no copy, and keeps nothing alive.
    """
    return carray(_pointer(kind, address), count)


@intrinsic
def cast(typing: Any, kind: Any, number: Any) -> Any:
    """A number in the type of `kind`; constants of Python's make all that they meet float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.cast(builder, arguments[1], number, kind)

    return kind(kind, number), generate


def _apart(builder: Any, instruction: Any, place: int) -> None:
    """Tells LLVM that what an instruction reads or writes is in none of the other places."""
    module = builder.module
    domain = module.add_metadata(["chainrule"])
    scopes = [module.add_metadata([f"place {i}", domain]) for i in range(PLACES)]
    others = [scope for i, scope in enumerate(scopes) if i != place]
    instruction.set_metadata("alias.scope", module.add_metadata([scopes[place]]))
    instruction.set_metadata("noalias", module.add_metadata(others))


#: How many memories `get` and `put` tell from each other.
PLACES = 16


@intrinsic(prefer_literal=True)
def get(typing: Any, kind: Any, base: Any, index: Any, place: Any) -> Any:
    """The number of the type of `kind` at position `index` after an address.

    `place`, a literal from 0 to PLACES - 1, names a memory, which never overlaps with those that
    other places name, in all of a kernel: else LLVM makes no vector instructions of a loop over
    many arrays, which it cannot compare with each other.
    """
    if not isinstance(place, types.IntegerLiteral):
        raise TypeError(f"get: place must be a literal, got {place}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = builder.inttoptr(arguments[1], context.get_value_type(kind).as_pointer())
        loaded = builder.load(builder.gep(start, [arguments[2]], inbounds=True))
        _apart(builder, loaded, place.literal_value)
        return loaded

    return kind(kind, types.intp, types.intp, place), generate


@intrinsic(prefer_literal=True)
def put(typing: Any, base: Any, index: Any, number: Any, place: Any) -> Any:
    """Writes a number to position `index` after an address; `place` as in `get`."""
    if not isinstance(place, types.IntegerLiteral):
        raise TypeError(f"put: place must be a literal, got {place}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = builder.inttoptr(arguments[0], context.get_value_type(number).as_pointer())
        stored = builder.store(arguments[2], builder.gep(start, [arguments[1]], inbounds=True))
        _apart(builder, stored, place.literal_value)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, number, place), generate
