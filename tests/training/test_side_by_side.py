"""Training in two threads at once, in a forked process, and with any number of threads."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import LSTM, Conv2D, Dense, Embedding, Flatten, MaxPooling2D
from chainrule.models import Sequential

Array = np.ndarray[Any, Any]

# Large enough for the compiled kernels of the CPU, which share their work between threads.


def perceptron() -> tuple[Sequential, Array, Array]:
    hidden = [Dense(300, activation="relu"), Dense(300, activation="sigmoid")]
    x = np.random.default_rng(0).standard_normal((64, 200)).astype("float32")
    return Sequential([*hidden, Dense(10, activation="softmax")]), x, np.arange(64) % 10


def convolutions() -> tuple[Sequential, Array, Array]:
    first = [Conv2D(16, 3, padding="same", activation="relu"), MaxPooling2D()]
    second = [Conv2D(32, 3, activation="relu"), Flatten(), Dense(10, activation="softmax")]
    x = np.random.default_rng(1).standard_normal((32, 28, 28, 1)).astype("float32")
    return Sequential([*first, *second]), x, np.arange(32) % 10


def sequences() -> tuple[Sequential, Array, Array]:
    layers = [Embedding(500, 32), LSTM(64, return_sequences=True), LSTM(64)]
    x = np.random.default_rng(2).integers(0, 500, (32, 20))
    return Sequential([*layers, Dense(10, activation="softmax")]), x, np.arange(32) % 10


MODELS = [perceptron, convolutions, sequences]


def made(make: Callable[[], tuple[Sequential, Array, Array]]) -> tuple[Sequential, Array, Array]:
    """The model with the same weights each time: only this draws random numbers."""
    cr.seed(0)
    model, x, y = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    model(x[:1])
    return model, x, y


def trained(model: Sequential, x: Array, y: Array) -> bytes:
    """All weights after three steps."""
    for _ in range(3):
        model.train_on_batch(x, y)
    return b"".join(each.tobytes() for each in model.get_weights())


@pytest.fixture(autouse=True)
def _threads_before() -> Iterator[None]:
    before = cr.get_num_threads()
    yield
    cr.set_num_threads(before)


@pytest.mark.parametrize("make", MODELS)
def test_the_number_of_threads_does_not_change_a_bit(make: Any) -> None:
    found = []
    for count in (1, 2, 3):
        cr.set_num_threads(count)
        found.append(trained(*made(make)))
    assert found[0] == found[1] == found[2]


def test_two_threads_train_at_once() -> None:
    cr.set_num_threads(2)
    alone = [trained(*made(make)) for make in MODELS]
    models = [made(make) for make in MODELS]
    found: list[bytes] = [b""] * len(MODELS)

    def train(i: int) -> None:
        found[i] = trained(*models[i])

    users = [threading.Thread(target=train, args=(i,)) for i in range(len(MODELS))]
    for each in users:
        each.start()
    for each in users:
        each.join()
    assert found == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside other threads
@pytest.mark.parametrize("make", MODELS)
def test_a_forked_process_trains_on(make: Any) -> None:
    cr.set_num_threads(2)
    expected = trained(*made(make))  # the helpers are there now
    model, x, y = made(make)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest's may run here
        try:
            signal.alarm(100)
            os.write(writable, b"1" if trained(model, x, y) == expected else b"0")
        finally:
            os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as answer:
        assert answer.read() == b"1"
    os.waitpid(child, 0)
    assert trained(model, x, y) == expected


def test_nothing_of_the_process_stays_changed() -> None:
    """Environment, floating-point mode, error state, signal mask, and the pools of others."""
    pools = pytest.importorskip("threadpoolctl").threadpool_info
    before = dict(os.environ), np.geterr(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    theirs = pools()
    for make in MODELS:
        trained(*made(make))
    assert (dict(os.environ), np.geterr(), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before
    assert pools() == theirs
    small = np.full(100, 1e-40, np.float32)
    assert (small * np.float32(0.5)).all()  # numbers below the normal ones are no zeros
    assert np.float32(1) / np.float32(3) == np.float32(0.33333334)
