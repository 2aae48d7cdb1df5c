"""One block of a product with a matrix of windows that is nowhere written down.

What a window sees of a row of an image lies together in memory, and the next row of it a fixed
distance away. So a block of `tiles` multiplies windows where they lie, if its sum runs over
*segments*: places a fixed distance apart, each of numbers a fixed distance apart. Where the rows of
A begin is read from a table, so that a block may go on from one row of the image to the next.
"""

from __future__ import annotations

import functools
from typing import Any

from numba.core import types
from numba.extending import intrinsic

from .host import tile as host_tile
from .intrinsics import WORD
from .tiles import _constant, _pairs, _Vectors, as_it_is
from .vectors import first


@functools.cache
def window_block(vectors: int, masked: bool) -> Any:
    """The function, for use in kernels, that computes a block of that many vectors in a row.

        window_block(kind, rows, columns, segments, k, a, table, segment_step, k_step,
                     b, b_step, c, c_step, add)

    computes c[r, j] = Σ_s Σ_p a[r, s, p] b[s k + p, j], and adds it to what is in c if `add`. a[r,
    s, p] is at a + table[r] + s segment_step + p k_step, where `table` is the address of integers;
    the others are as in `tiles.block`. `segments` and `k` are at least 1.
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
        segments: Any,
        k: Any,
        a: Any,
        table: Any,
        segment_step: Any,
        k_step: Any,
        b: Any,
        b_step: Any,
        c: Any,
        c_step: Any,
        add: Any,
    ) -> Any:
        itemsize = kind.bitwidth // 8

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, rows, columns, segments, k, a, table, segment_step, k_step = arguments[:9]
            b, b_step, c, c_step, add = arguments[9:]
            unit = _Vectors(builder, itemsize)
            size = unit.lanes * itemsize
            masks: list[Any] = [None] * vectors
            if masked:  # the last vector is not whole
                masks[-1] = first(
                    builder, builder.sub(columns, _constant((vectors - 1) * unit.lanes)), unit.lanes
                )
            # Rows beyond the last are the last again, and are not stored.
            last = builder.sub(rows, _constant(1))
            starts, targets = [], []
            for r in range(height):
                inside = builder.icmp_signed("<", _constant(r), last)
                row = builder.select(inside, _constant(r), last)
                entry_of_row = builder.add(table, builder.mul(row, _constant(8)))
                starts.append(builder.load(builder.inttoptr(entry_of_row, WORD.as_pointer())))
                targets.append(builder.add(c, builder.mul(row, c_step)))
            length = builder.mul(k, k_step)
            entry = builder.block
            before = builder.append_basic_block("what_is_there")
            outer = builder.append_basic_block("segment")
            loop = builder.append_basic_block("sum")
            after = builder.append_basic_block("next_segment")
            end = builder.append_basic_block("sums")
            builder.cbranch(add, before, outer)
            builder.position_at_end(before)
            there = [
                [unit.load(builder.add(at, _constant(v * size)), masks[v]) for v in range(vectors)]
                for at in targets
            ]
            builder.branch(outer)

            builder.position_at_end(outer)
            at_segment, a_of_segment, b_of_segment = (builder.phi(WORD) for _ in range(3))
            begun = [[builder.phi(unit.kind) for _ in range(vectors)] for _ in range(height)]
            for source in (entry, before):
                at_segment.add_incoming(_constant(0), source)
                a_of_segment.add_incoming(a, source)
                b_of_segment.add_incoming(b, source)
            for r, v in _pairs(height, vectors):
                begun[r][v].add_incoming(unit.zero, entry)
                begun[r][v].add_incoming(there[r][v], before)
            a_end = builder.add(a_of_segment, length)
            builder.branch(loop)

            builder.position_at_end(loop)
            at_a, at_b = builder.phi(WORD), builder.phi(WORD)
            sums = [[builder.phi(unit.kind) for _ in range(vectors)] for _ in range(height)]
            at_a.add_incoming(a_of_segment, outer)
            at_b.add_incoming(b_of_segment, outer)
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
                sums[r][v].add_incoming(begun[r][v], outer)
                sums[r][v].add_incoming(more[r][v], loop)
            next_a, next_b = builder.add(at_a, k_step), builder.add(at_b, b_step)
            at_a.add_incoming(next_a, loop)
            at_b.add_incoming(next_b, loop)
            again = builder.cbranch(builder.icmp_signed("!=", next_a, a_end), loop, after)
            as_it_is(builder, again)

            builder.position_at_end(after)
            next_segment = builder.add(at_segment, _constant(1))
            at_segment.add_incoming(next_segment, after)
            a_of_segment.add_incoming(builder.add(a_of_segment, segment_step), after)
            b_of_segment.add_incoming(next_b, after)
            for r, v in _pairs(height, vectors):
                begun[r][v].add_incoming(more[r][v], after)
            again = builder.cbranch(builder.icmp_signed("<", next_segment, segments), outer, end)
            as_it_is(builder, again)

            builder.position_at_end(end)
            for r in range(height):
                with builder.if_then(builder.icmp_signed("<", _constant(r), rows)):
                    for v in range(vectors):
                        unit.store(
                            more[r][v], builder.add(targets[r], _constant(v * size)), masks[v]
                        )
            return context.get_dummy_value()

        whole = [types.intp] * 12
        return types.void(kind, *whole, types.boolean), generate

    return compute
