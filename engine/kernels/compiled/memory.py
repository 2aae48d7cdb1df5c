"""Copies and zeros of memory, as instructions of LLVM."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .intrinsics import WORD

_BYTE, _FLAG = ir.IntType(8), ir.IntType(1)


@intrinsic
def copy(typing: Any, to: Any, source: Any, size: Any) -> Any:
    """Copies bytes from one address to another; the two places do not overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, WORD, _FLAG])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memcpy.p0.p0.i64")
        places = [builder.inttoptr(each, pointer) for each in arguments[:2]]
        builder.call(function, [*places, arguments[2], ir.Constant(_FLAG, 0)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def clear(typing: Any, to: Any, size: Any) -> Any:
    """Writes zeros to so many bytes at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _BYTE, WORD, _FLAG])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.memset.p0.i64")
        place = builder.inttoptr(arguments[0], pointer)
        builder.call(function, [place, ir.Constant(_BYTE, 0), arguments[1], ir.Constant(_FLAG, 0)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate
