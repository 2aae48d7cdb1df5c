"""One block of a product of matrices, kept in vector registers while the sum runs.

A block of C = A B is `rows` numbers high and some vectors wide. For each k a row of B's vectors is
loaded once, and each number A[r, k] is spread over a vector and multiplied with all of them: with
8 rows of 3 vectors that is 24 multiplications and additions for 11 loads, and no number of C
leaves the registers before its sum is complete. Each element is summed over k from first to last,
wherever the block lies: what is computed does not depend on how the work is shared.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .host import tile as host_tile
from .intrinsics import WORD
from .vectors import first

_BIT, _INT = ir.IntType(1), ir.IntType(32)


def _constant(value: int) -> Any:
    return ir.Constant(WORD, value)


def _external(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """An intrinsic function of LLVM, which takes vectors."""
    kind = ir.FunctionType(result, arguments)
    return cgutils.get_or_insert_function(builder.module, kind, name)


class _Vectors:
    """Vectors of one element type: how to load, store and multiply them."""

    def __init__(self, builder: Any, itemsize: int) -> None:
        self.builder, self.itemsize = builder, itemsize
        block = host_tile()
        assert block is not None, "there are no tiles for this processor"
        self.lanes = block.lanes(itemsize)
        self.element = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.kind = ir.VectorType(self.element, self.lanes)
        self.suffix = f"v{self.lanes}f{8 * itemsize}"

    def constant(self, values: list[int], kind: Any) -> Any:
        return ir.Constant(ir.VectorType(kind, len(values)), [ir.Constant(kind, v) for v in values])

    @property
    def zero(self) -> Any:
        return ir.Constant(self.kind, [ir.Constant(self.element, 0.0)] * self.lanes)

    def spread(self, address: Any) -> Any:
        """A vector all of whose elements are the number at an address."""
        builder, nothing = self.builder, ir.Constant(self.kind, ir.Undefined)
        one = builder.load(builder.inttoptr(address, self.element.as_pointer()))
        first = builder.insert_element(nothing, one, ir.Constant(_INT, 0))
        return builder.shuffle_vector(first, nothing, self.constant([0] * self.lanes, _INT))

    def load(self, address: Any, mask: Any) -> Any:
        """The vector at an address; where there is a mask and it is false, zeros."""
        builder = self.builder
        place = builder.inttoptr(address, self.kind.as_pointer())
        if mask is None:
            vector = builder.load(place)
            vector.align = self.itemsize
            return vector
        arguments = [place.type, _INT, mask.type, self.kind]
        function = _external(builder, f"llvm.masked.load.{self.suffix}.p0", self.kind, arguments)
        return builder.call(function, [place, ir.Constant(_INT, self.itemsize), mask, self.zero])

    def store(self, vector: Any, address: Any, mask: Any) -> None:
        """Writes a vector to an address, where the mask, if there is one, is true."""
        builder = self.builder
        place = builder.inttoptr(address, self.kind.as_pointer())
        if mask is None:
            builder.store(vector, place).align = self.itemsize
            return
        arguments = [self.kind, place.type, _INT, mask.type]
        function = _external(
            builder, f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), arguments
        )
        builder.call(function, [vector, place, ir.Constant(_INT, self.itemsize), mask])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once."""
        function = _external(self.builder, f"llvm.fma.{self.suffix}", self.kind, [self.kind] * 3)
        return self.builder.call(function, [a, b, c])


@functools.cache
def block(vectors: int, masked: bool) -> Any:
    """The function, for use in kernels, that computes a block of that many vectors in a row.

        block(kind, rows, columns, k, a, row_step, k_step, b, b_step, c, c_step, add)

    computes c[r, j] = Σ_p a[r, p] b[p, j], and adds it to what is in c if `add`, for r < rows and
    j < columns. `kind` is a number of the elements' type; a, b and c are addresses; `row_step` and
    `k_step` are the bytes from a[r, p] to a[r + 1, p] and to a[r, p + 1], `b_step` and `c_step`
    those from row to row of b and c, in which elements are neighbours. `rows` is at least 1 and at
    most that of a tile; without a mask, `columns` is all, and with one the last vector has a part.
    """
    shape = host_tile()
    assert shape is not None
    height = shape.rows

    @intrinsic
    def compute(
        typing: Any,
        kind: Any,
        rows: Any,
        columns: Any,
        k: Any,
        a: Any,
        row_step: Any,
        k_step: Any,
        b: Any,
        b_step: Any,
        c: Any,
        c_step: Any,
        add: Any,
    ) -> Any:
        itemsize = kind.bitwidth // 8

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, rows, columns, k, a, row_step, k_step, b, b_step, c, c_step, add = arguments
            unit = _Vectors(builder, itemsize)
            size = unit.lanes * itemsize
            masks: list[Any] = [None] * vectors
            if masked:  # the last vector is not whole
                before_last = _constant((vectors - 1) * unit.lanes)
                masks[-1] = first(builder, builder.sub(columns, before_last), unit.lanes)
            # Rows beyond the last are the last again, and are not stored.
            last = builder.sub(rows, _constant(1))
            starts, targets = [], []
            for r in range(height):
                inside = builder.icmp_signed("<", _constant(r), last)
                row = builder.select(inside, _constant(r), last)
                starts.append(builder.mul(row, row_step))
                targets.append(builder.add(c, builder.mul(row, c_step)))
            entry = builder.block
            before = builder.append_basic_block("what_is_there")
            loop = builder.append_basic_block("sum")
            end = builder.append_basic_block("sums")
            builder.cbranch(add, before, loop)
            builder.position_at_end(before)
            there = [
                [unit.load(builder.add(at, _constant(v * size)), masks[v]) for v in range(vectors)]
                for at in targets
            ]
            builder.branch(loop)
            builder.position_at_end(loop)
            at_k, at_a, at_b = (builder.phi(WORD) for _ in range(3))
            sums = [[builder.phi(unit.kind) for _ in range(vectors)] for _ in range(height)]
            for source in (entry, before):
                at_k.add_incoming(_constant(0), source)
                at_a.add_incoming(a, source)
                at_b.add_incoming(b, source)
            for r, v in _pairs(height, vectors):
                sums[r][v].add_incoming(unit.zero, entry)
                sums[r][v].add_incoming(there[r][v], before)
            row_of_b = [
                unit.load(builder.add(at_b, _constant(v * size)), masks[v]) for v in range(vectors)
            ]
            more = []
            for r in range(height):
                number = unit.spread(builder.add(at_a, starts[r]))
                more.append(
                    [unit.multiply_add(number, row_of_b[v], sums[r][v]) for v in range(vectors)]
                )
            for r, v in _pairs(height, vectors):
                sums[r][v].add_incoming(more[r][v], loop)
            next_k = builder.add(at_k, _constant(1))
            at_k.add_incoming(next_k, loop)
            at_a.add_incoming(builder.add(at_a, k_step), loop)
            at_b.add_incoming(builder.add(at_b, b_step), loop)
            as_it_is(builder, builder.cbranch(builder.icmp_signed("<", next_k, k), loop, end))
            builder.position_at_end(end)
            for r in range(height):
                with builder.if_then(builder.icmp_signed("<", _constant(r), rows)):
                    for v in range(vectors):
                        unit.store(
                            more[r][v], builder.add(targets[r], _constant(v * size)), masks[v]
                        )
            return context.get_dummy_value()

        whole = [types.intp] * 10
        return types.void(kind, *whole, types.boolean), generate

    return compute


def _pairs(rows: int, vectors: int) -> list[tuple[int, int]]:
    return [(r, v) for r in range(rows) for v in range(vectors)]


def as_it_is(builder: Any, branch: Any) -> None:
    """Keeps LLVM from unrolling the loop that a branch closes: there are no registers for that."""
    module = builder.module
    disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = module.add_metadata([ir.MetaDataString(module, f"loop {len(module.metadata)}"), disable])
    loop.operands = (loop, disable)
    branch.set_metadata("llvm.loop", loop)
