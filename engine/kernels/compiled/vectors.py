"""Vectors as values in compiled code, for loops that LLVM would not turn into vectors itself.

It takes the innermost loop, if that is long. Over the 16 channels of a pixel it is not, and one
instruction does what the loop would. A vector has `lanes` numbers; at the end of a row fewer are
loaded and stored, as `count` says, which may be larger too.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from .host import tile as host_tile
from .intrinsics import WORD

_INT = ir.IntType(32)
_TILE = host_tile()
#: Bytes of a vector.
WIDTH = _TILE.width if _TILE is not None else 8


class Vector(types.Type):
    """Numba's type of a vector of numbers of one type."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        super().__init__(name=f"Vector({kind})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """A vector is one value to LLVM."""

    def __init__(self, manager: Any, vector: Any) -> None:
        kind = manager.lookup(vector.kind).get_value_type()
        super().__init__(manager, vector, ir.VectorType(kind, WIDTH * 8 // vector.kind.bitwidth))


def _all(kind: Any, number: Any) -> Any:
    return ir.Constant(kind, [ir.Constant(kind.element, number)] * kind.count)


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, nothing, _all(ir.VectorType(_INT, kind.count), 0))


def first(builder: Any, count: Any, lanes: int) -> Any:
    """A mask that is true in the first `count` of so many lanes, 1 at least.

    It is made from an integer. The comparison of vectors that would make it is made again in each
    round of a loop by LLVM, and costs as much as what is computed there.
    """
    bits = ir.IntType(lanes)
    beyond = builder.trunc(builder.sub(ir.Constant(WORD, lanes), count), bits)
    ones = builder.lshr(ir.Constant(bits, -1), beyond)
    return builder.bitcast(ones, ir.VectorType(ir.IntType(1), lanes))


def _suffix(kind: Any) -> str:
    return f"v{kind.count}{'f32' if isinstance(kind.element, ir.FloatType) else 'f64'}.p0"


def _align(kind: Any) -> int:
    return 4 if isinstance(kind.element, ir.FloatType) else 8


@intrinsic
def load(typing: Any, kind: Any, address: Any, count: Any) -> Any:
    """The vector of numbers of the type of `kind` at an address; beyond `count`, zeros."""
    vector = Vector(kind)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, address, count = arguments
        form = context.get_value_type(vector)
        place = builder.inttoptr(address, form.as_pointer())
        whole = builder.icmp_signed(">=", count, ir.Constant(WORD, form.count))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                full = builder.load(place)
                full.align = _align(form)
                at_full = builder.block
            with otherwise:
                mask = first(builder, count, form.count)
                given = [place.type, _INT, mask.type, form]
                name = f"llvm.masked.load.{_suffix(form)}"
                function = cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(form, given), name
                )
                align = ir.Constant(_INT, _align(form))
                part = builder.call(function, [place, align, mask, _all(form, 0.0)])
                at_part = builder.block
        result = builder.phi(form)
        result.add_incoming(full, at_full)
        result.add_incoming(part, at_part)
        return result

    return vector(kind, types.intp, types.intp), generate


@intrinsic
def store(typing: Any, address: Any, vector: Any, count: Any) -> Any:
    """Writes the first `count` numbers of a vector, or all, to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, value, count = arguments
        form = value.type
        place = builder.inttoptr(address, form.as_pointer())
        whole = builder.icmp_signed(">=", count, ir.Constant(WORD, form.count))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                builder.store(value, place).align = _align(form)
            with otherwise:
                mask = first(builder, count, form.count)
                given = [form, place.type, _INT, mask.type]
                name = f"llvm.masked.store.{_suffix(form)}"
                function = cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(ir.VoidType(), given), name
                )
                builder.call(function, [value, place, ir.Constant(_INT, _align(form)), mask])
        return context.get_dummy_value()

    return types.void(types.intp, vector, types.intp), generate


@intrinsic
def full(typing: Any, number: Any) -> Any:
    """A vector all of whose elements are a number."""
    vector = Vector(number)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0], context.get_value_type(vector))

    return vector(number), generate


def _of_two(compute: Any, about: str) -> Any:
    """A function of two vectors, element by element."""

    @intrinsic
    def function(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return compute(builder, *arguments)

        return a(a, b), generate

    function.__doc__ = about
    return function


add = _of_two(lambda builder, a, b: builder.fadd(a, b), "a + b")
multiply = _of_two(lambda builder, a, b: builder.fmul(a, b), "a b")
divide = _of_two(lambda builder, a, b: builder.fdiv(a, b), "a / b")


def _larger(builder: Any, a: Any, b: Any) -> Any:
    stays = builder.or_(builder.fcmp_ordered(">", a, b), builder.fcmp_unordered("uno", a, a))
    return builder.select(stays, a, b)


def _alike(builder: Any, a: Any, b: Any) -> Any:
    both = builder.and_(builder.fcmp_unordered("uno", a, a), builder.fcmp_unordered("uno", b, b))
    found = builder.or_(builder.fcmp_ordered("==", a, b), both)
    return builder.select(found, _all(a.type, 1.0), _all(a.type, 0.0))


larger = _of_two(_larger, "The larger one; NaN if one is.")
alike = _of_two(_alike, "1 where a equals b or both are NaN, else 0.")
