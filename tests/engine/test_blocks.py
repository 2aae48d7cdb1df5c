"""Memory that is used again: never while anybody looks at it, and never more than was needed."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from chainrule.engine.kernels import blocks

FLOAT = np.dtype(np.float64)
COUNT = blocks.LEAST // 8


def address(array: Any) -> int:
    found: int = array.__array_interface__["data"][0]
    return found


@pytest.fixture(autouse=True)
def _nothing_waits() -> Iterator[None]:
    gc.collect()
    blocks._pool.clear()
    yield
    blocks._pool.clear()


def test_small_arrays_are_numpys() -> None:
    assert blocks.empty((COUNT - 1,), FLOAT).base is None
    assert blocks.empty((0, 5), FLOAT).shape == (0, 5)


def test_what_it_makes() -> None:
    x = blocks.empty((3, COUNT), FLOAT)
    assert (x.shape, x.dtype) == ((3, COUNT), FLOAT)
    assert x.flags.c_contiguous
    assert x.flags.writeable
    assert x.flags.aligned
    assert address(x) % blocks.ALIGNMENT == 0
    x[...] = 1.5
    assert (pickle.loads(pickle.dumps(x)) == 1.5).all()
    assert copy.deepcopy(x).base is None


def test_memory_is_used_again() -> None:
    x = blocks.empty((COUNT,), FLOAT)
    first = address(x)
    del x
    assert address(blocks.empty((COUNT,), FLOAT)) == first
    assert address(blocks.empty((2, COUNT), np.dtype(np.float32))) == first


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x,
        lambda x: x[5:7],
        lambda x: x.reshape(2, -1).T,
        lambda x: x[1:2][0:1].view(np.uint8),
        lambda x: memoryview(x)[3:4],
        lambda x: x.base,
        lambda x: memoryview(x.base),
        lambda x: np.frombuffer(x.data),
        lambda x: np.broadcast_to(x[:1], (9,)),
        lambda x: np.asarray(np.lib.stride_tricks.as_strided(x, (3,), (8,))),
        lambda x: np.from_dlpack(x),
        lambda x: x.view(np.matrix)[0, 4:5],
        lambda x: iter(x),
        lambda x: x.flat,
    ],
)
def test_it_is_not_while_anything_looks_at_it(look: Any) -> None:
    x = blocks.empty((COUNT,), FLOAT)
    x[...] = 7.0
    first, seen = address(x), look(x)
    del x
    others = [blocks.empty((COUNT,), FLOAT) for _ in range(3)]
    assert first not in [address(each) for each in others]
    del seen
    gc.collect()
    assert address(blocks.empty((COUNT,), FLOAT)) == first


def test_two_arrays_never_share_a_block() -> None:
    arrays = [blocks.empty((COUNT,), FLOAT) for _ in range(5)]
    arrays = [blocks.empty((COUNT,), FLOAT) for _ in range(5)] + arrays[:2]
    for i, each in enumerate(arrays):
        each[...] = i
    assert all((each == i).all() for i, each in enumerate(arrays))


def test_torch_keeps_it() -> None:
    torch = pytest.importorskip("torch")
    x = blocks.empty((COUNT,), FLOAT)
    first, seen = address(x), torch.from_numpy(x)
    del x
    assert address(blocks.empty((COUNT,), FLOAT)) != first
    del seen
    assert address(blocks.empty((COUNT,), FLOAT)) == first


def test_no_more_is_kept_than_was_in_use_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of many sizes, one at a time: what waits is never more than the largest."""
    monkeypatch.setattr(blocks, "SLACK", 0)
    random = np.random.default_rng(0)
    largest = 0
    for count in random.integers(COUNT, 9 * COUNT, 200):
        x = blocks.empty((int(count),), FLOAT)
        largest = max(largest, blocks._rounded(x.nbytes))
        del x
        assert blocks._pool.waiting() <= largest
    held = [blocks.empty((COUNT,), FLOAT) for _ in range(40)]
    del held
    assert blocks._pool.waiting() <= 40 * blocks.LEAST


def test_some_megabytes_may_wait_for_other_sizes() -> None:
    sizes = [COUNT * i for i in range(1, 9)]
    for _ in range(3):  # by turns, as in a step: after the first all are there
        found = {address(blocks.empty((each,), FLOAT)) for each in sizes}
    assert {address(blocks.empty((each,), FLOAT)) for each in sizes} == found
    for count in range(COUNT, 60 * COUNT, COUNT):
        blocks.empty((count,), FLOAT)
        assert blocks._pool.waiting() <= blocks.SLACK + count * FLOAT.itemsize * 9 // 8


def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks._pool, "most", 8 * blocks.LEAST)
    held = [blocks.empty((COUNT,), FLOAT) for _ in range(40)]
    del held
    assert blocks._pool.waiting() <= 10 * blocks.LEAST


def test_what_nobody_needs_is_given_back() -> None:
    held = [blocks.empty((COUNT,), FLOAT) for _ in range(10)]
    del held
    for _ in range(2 * blocks.ROUND):
        x = blocks.empty((COUNT,), FLOAT)
        y = blocks.empty((COUNT,), FLOAT)
        del x, y
    assert blocks._pool.waiting() == 2 * blocks.LEAST


def test_blocks_that_wait_give_way_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [blocks.empty((COUNT,), FLOAT) for _ in range(10)]
    del held
    real, waiting = blocks.Block, []

    def scarce(size: int) -> Any:
        waiting.append(blocks._pool.waiting())
        if waiting[-1] or size > 2**30:
            raise MemoryError
        return real(size)

    monkeypatch.setattr(blocks, "Block", scarce)
    assert blocks.empty((2 * COUNT,), FLOAT).shape == (2 * COUNT,)
    assert waiting[-1] == 0
    with pytest.raises(MemoryError):
        blocks.empty((2**40,), FLOAT)
    assert blocks.empty((2 * COUNT,), FLOAT).shape == (2 * COUNT,)


def test_threads_have_blocks_of_their_own() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        random = np.random.default_rng(number)
        held: list[Any] = []
        for _ in range(300):
            x = blocks.empty((int(random.integers(1, 3)) * COUNT,), FLOAT)
            x[::512] = number
            held.append(x)
            if len(held) > 4:
                each = held.pop(int(random.integers(5)))
                if not (each[::512] == number).all():
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not wrong


def test_cycles_are_collected() -> None:
    x = blocks.empty((COUNT,), FLOAT)
    first, cycle = address(x), [x]
    cycle.append(cycle)  # type: ignore[arg-type]
    del x, cycle
    gc.collect()
    assert address(blocks.empty((COUNT,), FLOAT)) == first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_forked_process_goes_on() -> None:
    x = blocks.empty((COUNT,), FLOAT)
    x[...] = 3.0
    child = os.fork()
    if child == 0:
        y = blocks.empty((COUNT,), FLOAT)
        y[...] = 4.0
        os._exit(int(not (x == 3.0).all()))
    assert os.waitpid(child, 0)[1] == 0
    assert (x == 3.0).all()


def test_whole_arrays_and_views() -> None:
    x = blocks.empty((COUNT,), FLOAT)
    assert blocks.whole(x)
    assert blocks.whole(np.ones(3))
    assert not blocks.whole(x[1:])
    assert not blocks.whole(x.reshape(2, -1))
    assert not blocks.whole(np.ones(3)[:])


def test_a_sum_is_written_into_a_block() -> None:
    """Into that of the second, if it is all of a block: never into another's memory."""
    first, second = (blocks.empty((COUNT,), FLOAT) for _ in range(2))
    first[...], second[...] = 1.0, 2.0
    assert blocks.joined(first, second, False) is not second
    found = blocks.joined(first, second, True)
    assert found is second
    assert (found == 3.0).all()
    assert (first == 1.0).all()
    for view in (first[:], np.ones(COUNT), np.broadcast_to(np.float64(1.0), (COUNT,))):
        found = blocks.joined(second, view, True)
        assert (found == 4.0).all()
        assert (view == 1.0).all()
