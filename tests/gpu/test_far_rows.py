"""Rows that lie beyond 2**32 numbers are found: indices of elements have 64 bits.

Arrays of that size are mapped, and take memory only where they are touched: the last rows. Of the
blocks of a launch only the last are run; they are to do what a launch for these rows alone does.
"""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple

import numpy as np
import pytest

from chainrule.engine.devices import get_device
from chainrule.engine.errors import ShapeError
from chainrule.gpu.backends import names
from chainrule.gpu.emulator import Module
from chainrule.gpu.families import reductions
from chainrule.gpu.families.reductions import LONGEST
from chainrule.gpu.sources import source
from chainrule.gpu.table import ENTRIES, Entry, entries

#: Elements of the largest array: more than an unsigned index of 32 bits can count.
FAR = 2**32
RESERVES_NOTHING = getattr(mmap, "MAP_NORESERVE", 0x4000)


def far_array(dtype: Any, size: int) -> Any:
    """Zeros, of which only those take memory that are written."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | RESERVES_NOTHING
    try:
        memory = mmap.mmap(-1, size * np.dtype(dtype).itemsize, flags=flags)
    except OSError as error:
        pytest.skip(f"no address space for an array of {size} numbers here: {error}")
    return np.frombuffer(memory, dtype)


class Far(NamedTuple):
    """Scalars of a launch for a few rows, and what is larger in the launch for all."""

    near: dict[str, Any]
    far: dict[str, int]
    blocks: int = 1


def rows_of(columns: int, **numbers: Any) -> Far:
    """Eight rows, a block's, each of a warp."""
    near = {"rows": 8, "columns": columns, "team": 32, **numbers}
    return Far(near, {"rows": (FAR // columns // 8 + 2) * 8})


def matrices_of(rows: int, columns: int) -> Far:
    near = {"matrices": 1, "rows": rows, "columns": columns, "pieces": 1, "length": rows}
    return Far({**near, "width": 32}, {"matrices": FAR // rows // columns + 1}, columns // 32)


def pieces_of(rows: int, columns: int) -> Far:
    near = {"rows": rows, "columns": columns, "pieces": 1, "length": rows, "width": 32}
    pieces = FAR // rows // columns + 1
    return Far(near, {"rows": pieces * rows, "pieces": pieces}, columns // 32)


#: Rows and elements of which a block of 256 threads takes 1,024 numbers, once.
BLOCKS = FAR // 1024 + 1
ELEMENTS = {"size": BLOCKS * 1024}


def elements(**numbers: Any) -> Far:
    """A block's elements, in packs of four, or so many words of a generator further on."""
    far = {"size": FAR + 1024}
    if "first" in numbers:
        far["first"] = numbers["first"] - FAR // 4
    return Far({"size": 1024, **numbers}, far)


def samples_of(units: int, **numbers: Any) -> Far:
    """A block's samples, with a thread for each of their units."""
    batch = 256 // units
    return Far({"batch": batch, "units": units, **numbers}, {"batch": FAR // units + batch})


def chunks_of(rows: int, columns: int, activation: int) -> Far:
    near = {"rows": rows, "columns": columns, "chunks": 1, "activation": activation}
    chunks = FAR // rows // columns + 1
    return Far(near, {"rows": rows * chunks, "chunks": chunks})


MOMENTUM = {"rate": 0.1, "momentum": 0.9, "nesterov": 1, "decay": 0.1}
ADAM = dict.fromkeys(
    ("rate", "keep_m", "keep_v", "renew_m", "renew_v", "correct_m", "correct_v"), 0.5
) | {"epsilon": 0.1, "decay": 0.1, "as_printed": 1}
ONE_PIECE = {"pieces": 1, "length": 192}
UNMASKED = {"repeats": 1, "inner": 1}
CASES = {
    "softmax_forward": rows_of(192, kept=1),
    "log_softmax_forward": rows_of(192, kept=0),
    "masked_softmax_forward": rows_of(192, kept=1, **UNMASKED),
    "softmax_backward": rows_of(64, kept=1),
    "masked_softmax_backward": rows_of(64, kept=0, **UNMASKED),
    "sparse_cross_entropy": rows_of(192, kept=1),
    "dense_cross_entropy": rows_of(192, kept=1),
    "dense_cross_entropy_backward": rows_of(192, kept=0),
    "layer_norm_forward": rows_of(192, kept=1, epsilon=0.1),
    "layer_norm_backward": rows_of(64, kept=0),
    "row_sum": rows_of(192, **ONE_PIECE),
    "row_max": rows_of(192, **ONE_PIECE),
    "row_argmax": rows_of(192, **ONE_PIECE),
    "column_sum": matrices_of(16, 64),
    "column_max": matrices_of(16, 64),
    "column_argmax": matrices_of(16, 64),
    "feature_sums": pieces_of(16, 64),
    "bias_activation_forward": elements(columns=64, activation=2),
    "bias_activation_backward": chunks_of(16, 64, activation=3),
    "dropout_forward": elements(scale=2.0, threshold=2**31, key=7, first=FAR),
    "sgd_step": elements(**MOMENTUM),
    "adam_step": elements(**ADAM),
    "clip_to_norm": elements(limit=1e-3),
    "lstm_cell_forward": samples_of(64),
    "lstm_cell_backward": samples_of(64),
    "gru_cell_forward": samples_of(64),
    "gru_cell_backward": samples_of(64),
    "tiled_matmul": Far({"rows": 32, "inner": 32, "columns": 32}, {"rows": FAR // 32 + 32}),
    "square_sums": Far({"size": 1024, "parts": 1}, ELEMENTS | {"parts": BLOCKS}),
    "odd_parts": Far({"size": 1024, "parts": 1}, ELEMENTS | {"parts": BLOCKS}),
    "gather_rows": Far({"rows": 2, "count": 16, "length": 64}, {"count": BLOCKS * 16}),
    "segment_sums": Far(
        {"rows": 16, "count": 4, "length": 64, "chunk": 512}, {"rows": BLOCKS * 16}
    ),
}


def arrays_of(entry: Entry, case: Far) -> tuple[list[Any], list[Any]]:
    """The arrays of both launches; the far ones end with the same numbers."""
    near_sizes, far_sizes = (
        entry.sizes(*(numbers[each.name] for each in entry.scalars))
        for numbers in (case.near, case.near | case.far)
    )
    random, near, far = np.random.default_rng(0), [], []
    for parameter, few, many in zip(entry.arrays, near_sizes, far_sizes, strict=True):
        dtype = parameter.dtype("float32")
        integers = random.integers(0, 2, few)
        near.append((random.standard_normal(few) if dtype.kind == "f" else integers).astype(dtype))
        far.append(far_array(dtype, many) if many > few else near[-1].copy())
        far[-1][-few:] = near[-1]
    return near, far


@pytest.mark.parametrize("name", list(CASES))
def test_the_last_rows_are_found(name: str) -> None:
    entries()
    entry, case = ENTRIES[name], CASES[name]
    module = Module(source(entry.family), names(entry.family))
    near, far = arrays_of(entry, case)
    shared = 48 * 1024 - 1024 if entry.dynamic else 0

    def run(arrays: list[Any], numbers: dict[str, Any], grid: int) -> None:
        left = iter(arrays)
        given = [numbers[p.name] if p.access is None else next(left) for p in entry.parameters]
        blocks = range(grid - case.blocks, grid)
        module.launch(
            entry.instance("float32"), grid, entry.block, given, shared=shared, blocks=blocks
        )

    run(near, case.near, case.blocks)
    times = max(many // case.near[key] for key, many in case.far.items())
    run(far, case.near | case.far, case.blocks * times)
    for parameter, one, other in zip(entry.arrays, near, far, strict=True):
        np.testing.assert_array_equal(other[-one.size :], one, err_msg=parameter.name)


#: As many columns as an int can count, but for a few, and not in packs.
MOST_COLUMNS = 2**31 - 3


def test_threads_that_go_round_a_row_of_2_31_columns_find_theirs() -> None:
    """The last block of 2**30 threads, each of which has two places in a row, or three."""
    size, blocks = 3 * MOST_COLUMNS, 2**22
    x, bias, y = (
        far_array("float32", size),
        far_array("float32", MOST_COLUMNS),
        far_array("float32", size),
    )
    threads = np.arange((blocks - 1) * 256, blocks * 256)
    places = [threads + n * 2**30 for n in range(6) if threads[-1] + n * 2**30 < size]
    assert len(places) == 5  # of which one is at a column that, with a step, is beyond an int
    for n, each in enumerate(places):
        x[each] = n
        bias[each % MOST_COLUMNS] = each % 1000
    module = Module(source("activations"), names("activations"))
    given = [x, bias, y, None, size, MOST_COLUMNS, 0]
    module.launch("bias_activation_forward_float", blocks, 256, given, blocks=[blocks - 1])
    for each in places:
        np.testing.assert_array_equal(y[each], x[each] + bias[each % MOST_COLUMNS])


def test_the_last_columns_of_2_31_are_found_on_the_way_back() -> None:
    g, y, slope, sums = (far_array("float32", MOST_COLUMNS) for _ in range(4))
    g[-29:], y[-29:] = np.arange(29), 1.0
    blocks = -(-MOST_COLUMNS // 32)
    module = Module(source("activations"), names("activations"))
    given = [g, y, None, None, slope, sums, 1, MOST_COLUMNS, 1, 0]
    module.launch("bias_activation_backward_float", blocks, 256, given, blocks=[blocks - 1])
    for each in (slope, sums):
        np.testing.assert_array_equal(each[-29:], np.arange(29))


def test_an_axis_that_is_too_long_is_refused() -> None:
    """One array may be longer than 2**31 - 1, along all its axes together; an axis may not."""
    device = get_device("emulated")
    entries()
    small = np.ones(1, np.float32)
    numbers = (1, LONGEST + 1, 1, LONGEST + 1, 256)
    with pytest.raises(ShapeError, match=r"row_sum: columns is 2147483648; it must be from"):
        ENTRIES["row_sum"](device.sets["raw"], small, small, *numbers, grid=1)
    x = far_array(np.uint8, 4 * (LONGEST + 1)).view(np.float32)
    assert reductions.stacked(device.sets["raw"], x, None, False) is None
    assert reductions.stacked(device.sets["raw"], x.reshape(2, -1), 1, False) is not None
