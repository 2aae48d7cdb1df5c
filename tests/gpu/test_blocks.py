"""How many blocks a launch has: enough for a GPU of a hundred multiprocessors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from chainrule.engine.devices import get_device
from chainrule.engine.windows import windows

from .parity import attributes
from .test_far_rows import far_array


def array(*shape: int) -> Any:
    """Zeros that take no memory."""
    return far_array("float32", math.prod(shape)).reshape(shape)


class Launch(NamedTuple):
    """A launch: its entry, its blocks, and the numbers of its largest array."""

    entry: str
    blocks: int
    size: int


@pytest.fixture
def launches() -> Iterator[list[Launch]]:
    """Every launch; nothing is run."""
    found: list[Launch] = []

    def launch(entry: Any, real: str, grid: Any, shared: int, arguments: Any) -> None:
        size = max(each.size for each in arguments if isinstance(each, np.ndarray))
        found.append(Launch(entry.name, math.prod(grid), size))

    with attributes(get_device("emulated").backend("raw"), launch=launch):
        yield found


def of_norm(k: Any, x: Any) -> None:
    scale = np.ones(x.shape[-1], x.dtype)
    k.batch_norm(x, scale, scale, 0.1)
    k.batch_norm_backward(x, x, scale, scale)


#: What is computed of large arrays.
LARGE = {
    "sum of a row": lambda k: k.sum(array(1, 1_000_000), 1),
    "sum of a column": lambda k: k.sum(array(1_000_000, 1), 0),
    "sum of three columns": lambda k: k.sum(array(1_000_000, 3), 0),
    "sum of many matrices": lambda k: k.sum(array(300, 1000, 7), 1),
    "sum of two rows": lambda k: k.sum(array(2, 1_000_000), 0),
    "place of the largest": lambda k: k.argmax(array(1_000_000), None),
    "largest of 40 rows": lambda k: k.max(array(40, 100_000), 1),
    "norm": lambda k: k.sum_of_squares(array(100_000_000)),
    "finite": lambda k: k.all_finite(array(100_000_000)),
    "batch norm": lambda k: of_norm(k, array(1_000_000, 3)),
    "bias": lambda k: k.bias_activation_backward(
        array(1_000_000, 10), array(1_000_000, 10), None, None, None, "relu"
    ),
    "softmax": lambda k: k.softmax(array(10_000, 10), -1),
    "layer norm": lambda k: k.layer_norm(
        array(4096, 512), np.ones(512, "float32"), np.ones(512, "float32"), (1,), 0.1
    ),
    "columns of a sequence": lambda k: k.im2col(array(1, 300_000, 1), windows((300_000,), 3)),
}
#: Reads the first row of x only, and what was found of pieces.
PUT_TOGETHER = "feature_statistics"
#: Numbers that a single block reads in about the time that a launch takes.
FEW = 2**15


@pytest.mark.parametrize("name", list(LARGE))
def test_large_arrays_keep_many_blocks_busy(name: str, launches: list[Launch]) -> None:
    LARGE[name](get_device("emulated").sets["raw"])
    for each in launches:
        assert each.blocks >= 100 or each.size <= FEW or each.entry == PUT_TOGETHER, each


@pytest.mark.parametrize("name", list(LARGE))
def test_most_threads_have_something_to_do(name: str, launches: list[Launch]) -> None:
    LARGE[name](get_device("emulated").sets["raw"])
    for each in launches:
        assert each.blocks * 256 <= 2 * each.size or each.size <= FEW, each


@pytest.mark.parametrize("name", list(LARGE))
def test_an_array_is_reduced_in_one_launch_or_two(name: str, launches: list[Launch]) -> None:
    LARGE[name](get_device("emulated").sets["raw"])
    assert 1 <= len(launches) <= (6 if name == "batch norm" else 2)
