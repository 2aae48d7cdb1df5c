"""The threads that share a kernel: every chunk once, whoever calls, forks or ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.kernels.compiled import threads
from chainrule.engine.kernels.compiled.building import build
from chainrule.engine.kernels.compiled.intrinsics import (
    address,
    address_of,
    field,
    pack,
    read,
    write,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="there all kernels are serial")


@numba.njit
def _count(kind: Any, task: int, chunk: int) -> None:
    """Adds 1 to the number at the chunk's place, after some work."""
    place = field(task, 0) + 8 * chunk
    total = 0.0
    for i in range(field(task, 1)):
        total += 1.0 / (i + 1)
    write(place, read(kind, place) + 1.0 + 0.0 * total)


def _run(pool: int, counts: Any, chunks: int, work: int) -> None:
    threads.fork_join(pool, address_of(_count, 0.0), pack((address(counts), work)), chunks)


@pytest.fixture(scope="module")
def run() -> Any:
    whole = numba.types.Array(numba.float64, 1, "C")
    return build(_run, (numba.intp, whole, numba.intp, numba.intp))


@pytest.fixture(autouse=True)
def _threads_before() -> Iterator[None]:
    before = cr.get_num_threads()
    yield
    cr.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_chunk_is_computed_once(run: Any, count: int) -> None:
    cr.set_num_threads(count)
    pool = threads.pool()
    for chunks in (0, 1, 2, 3, 17):
        counts = np.zeros(20)
        for _ in range(200):
            run(pool, counts, chunks, 3)
        np.testing.assert_array_equal(counts, 200.0 * (np.arange(20) < chunks))


@posix
def test_helpers_do_work(run: Any) -> None:
    """Which thread computes is left open, but not all of 2,000 long kernels are one thread's."""
    cr.set_num_threads(2)
    used = os.times()
    counts = np.zeros(8)
    for _ in range(300):
        run(threads.pool(), counts, 8, 20_000)
    now = os.times()
    busy = now.user - used.user + now.system - used.system
    np.testing.assert_array_equal(counts, 300)
    if len(os.sched_getaffinity(0)) > 1:
        # Time of the processors beyond that of the clock; a loaded machine gives less.
        assert busy > 0.9 * (now.elapsed - used.elapsed) or os.getloadavg()[0] > 1.5


@numba.njit
def _fail(kind: Any, task: int, chunk: int) -> None:
    if chunk == field(task, 0):
        raise MemoryError


def _run_failing(pool: int, failing: int, chunks: int) -> None:
    threads.fork_join(pool, address_of(_fail, 0.0), pack((failing, 0)), chunks)


@pytest.mark.parametrize("count", [1, 3])
def test_a_chunk_that_fails_is_told_to_who_called(count: int, run: Any) -> None:
    failing = build(_run_failing, (numba.intp,) * 3)
    cr.set_num_threads(count)
    for chunk in range(4):
        with pytest.raises(MemoryError):
            failing(threads.pool(), chunk, 4)
    failing(threads.pool(), 7, 4)
    counts = np.zeros(5)
    run(threads.pool(), counts, 5, 3)
    np.testing.assert_array_equal(counts, 1)


def test_threads_of_python_compute_at_once(run: Any) -> None:
    cr.set_num_threads(3)
    arrays = [np.zeros(5) for _ in range(4)]

    def use(counts: Any) -> None:
        for _ in range(500):
            run(threads.pool(), counts, 5, 50)

    users = [threading.Thread(target=use, args=(each,)) for each in arrays]
    for each in users:
        each.start()
    for each in users:
        each.join()
    for counts in arrays:
        np.testing.assert_array_equal(counts, 500)


def test_the_number_changes_while_another_thread_computes(run: Any) -> None:
    counts, ends = np.zeros(7), threading.Event()
    rounds = 0

    def use() -> None:
        nonlocal rounds
        while not ends.is_set():
            run(threads.pool(), counts, 7, 100)
            rounds += 1

    user = threading.Thread(target=use)
    user.start()
    for count in (1, 3, 2, 4, 1, 2) * 3:
        cr.set_num_threads(count)
        run(threads.pool(), np.zeros(7), 7, 100)
    ends.set()
    user.join()
    np.testing.assert_array_equal(counts, rounds)


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


PRODUCT = """
    import os, signal, threading, time
    import numpy as np
    import chainrule as cr
    from chainrule.engine.kernels import numba_products
    a = np.random.default_rng(0).standard_normal((300, 300))
    def right():
        return np.allclose(numba_products.matmul(a, a), np.einsum("ij,jk->ik", a, a))
    def threads():
        return len(os.listdir("/proc/self/task"))
"""


@posix
def test_a_forked_process_has_threads_of_its_own() -> None:
    done = python(
        PRODUCT
        + """
    cr.set_num_threads(3)
    assert right()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        alone = threads() == 1
        ok = all(right() for _ in range(20))
        os._exit(0 if alone and ok and threads() == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert all(right() for _ in range(20))
    """
    )
    assert done.returncode == 0, done.stderr


@posix
def test_a_fork_in_the_middle_of_a_kernel() -> None:
    done = python(
        PRODUCT
        + """
    cr.set_num_threads(2)
    assert right()
    ends = threading.Event()
    def use():
        while not ends.is_set():
            numba_products.matmul(a, a)
    user = threading.Thread(target=use)
    user.start()
    for _ in range(10):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os._exit(0 if right() else 1)
        assert os.waitpid(child, 0)[1] == 0
    ends.set()
    user.join()
    """.replace("import os", "import warnings, os")
    )
    # Python 3.12 and newer warn of a fork beside other threads: here that is the point.
    assert done.returncode == 0 or "DeprecationWarning" in done.stderr, done.stderr


@posix
def test_the_interpreter_ends_right_after_a_kernel() -> None:
    for _ in range(3):
        done = python(PRODUCT + "    cr.set_num_threads(4)\n    assert right()\n")
        assert (done.returncode, done.stderr) == (0, "")


@posix
def test_signals_reach_python_at_once() -> None:
    """Ctrl-C ends a sleep of the main thread: no helper takes the signal for itself."""
    done = python(
        PRODUCT
        + """
    cr.set_num_threads(4)
    assert right()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    try:
        time.sleep(50)
    except KeyboardInterrupt:
        assert time.monotonic() - start < 20
    else:
        raise AssertionError("slept on")
    """
    )
    assert done.returncode == 0, done.stderr


@posix
def test_idle_helpers_sleep() -> None:
    done = python(
        PRODUCT
        + """
    cr.set_num_threads(4)
    assert right()
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1
    """
    )
    assert done.returncode == 0, done.stderr


def test_the_environment_limits_the_threads() -> None:
    count = "import chainrule as cr; print(cr.get_num_threads())"
    assert python(count, CHAINRULE_NUM_THREADS="3").stdout == "3\n"
    assert python(count, CHAINRULE_NUM_THREADS="", OMP_NUM_THREADS="5,2").stdout == "5\n"
    assert python(count, CHAINRULE_NUM_THREADS="2", OMP_NUM_THREADS="5").stdout == "2\n"
    assert "must be a positive integer" in python(count, CHAINRULE_NUM_THREADS="many").stderr


@pytest.mark.parametrize(
    ("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)]
)
def test_a_number_that_makes_no_sense_changes_nothing(threads: Any, error: Any) -> None:
    before = cr.get_num_threads()
    with pytest.raises(error, match="set_num_threads: threads must be"):
        cr.set_num_threads(threads)
    assert cr.get_num_threads() == before
