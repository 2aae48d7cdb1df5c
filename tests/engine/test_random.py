"""Random tensors: reproducible from a seed, and within their bounds in every dtype."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.random import apart, generator, moment, replaying, reserve, seed_sequence

DRAWS = {
    "normal": lambda **k: cr.random.normal((2, 3), **k),
    "uniform": lambda **k: cr.random.uniform((2, 3), **k),
    "truncated_normal": lambda **k: cr.random.truncated_normal((2, 3), **k),
    "randint": lambda **k: cr.random.randint(0, 1000, (2, 3)),
    "permutation": lambda **k: cr.random.permutation(20),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats_a_run(name):
    cr.seed(3)
    first, second = DRAWS[name]().numpy(), DRAWS[name]().numpy()
    assert not np.array_equal(first, second)
    cr.seed(3)
    np.testing.assert_array_equal(DRAWS[name]().numpy(), first)
    cr.seed(4)
    assert not np.array_equal(DRAWS[name]().numpy(), first)


def test_numpys_own_seed_is_another():
    cr.seed(1)
    np.random.default_rng(0).normal(size=3)
    first = cr.random.normal(2).tolist()
    cr.seed(1)
    assert cr.random.normal(2).tolist() == first


@pytest.mark.parametrize("name", ["normal", "uniform", "truncated_normal"])
def test_dtype_and_gradient(name):
    x = DRAWS[name](dtype="float32", requires_grad=True)
    assert x.dtype == np.float32
    assert x.requires_grad
    assert getattr(cr.random, name)().shape == ()
    with pytest.raises(cr.DtypeError, match="float16"):
        DRAWS[name](dtype="float16")


@pytest.mark.parametrize(("dtype", "gap"), [("float32", 2**-20), ("float64", 2**-49)])
def test_uniform_numbers_stay_below_the_upper_bound(dtype, gap):
    cr.seed(0)
    x = cr.random.uniform(1000, low=1.0, high=1.0 + gap, dtype=dtype).numpy()
    assert (x >= 1.0).all()
    assert (x < np.dtype(dtype).type(1.0 + gap)).all()


def test_the_moments_of_the_distributions():
    cr.seed(0)
    n = 20_000
    x = cr.random.normal(n, mean=2.0, stddev=3.0).numpy()
    assert abs(x.mean() - 2) < 5 * 3 / n**0.5
    assert abs(x.std() - 3) < 5 * 3 / (2 * n) ** 0.5
    u = cr.random.uniform(n, low=-1.0, high=3.0).numpy()
    assert abs(u.mean() - 1) < 5 * 4 / (12 * n) ** 0.5
    t = cr.random.truncated_normal(n, mean=1.0, stddev=0.5, dtype="float32").numpy()
    assert t.min() >= 0.0
    assert t.max() <= 2.0
    assert abs(t.std() - 0.5 * 0.8796) < 0.01
    counts = np.bincount(cr.random.randint(0, 4, n).numpy(), minlength=4)
    assert (abs(counts - n / 4) < 5 * (n * 3 / 16) ** 0.5).all()


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_seeds_that_are_none_are_refused(seed, error):
    with pytest.raises(error, match="seed: "):
        cr.seed(seed)


def test_integers_that_do_not_fit_their_dtype_are_refused():
    with pytest.raises((ValueError, TypeError), match="randint"):
        cr.random.randint(250, 300, 5, dtype="uint8")


def test_other_threads_do_not_notice_a_replay():
    """Words that one reserves meanwhile stay reserved, and are not those that are drawn again."""
    cr.seed(0)
    then, found = moment(), []
    reserve(8)
    with replaying(then):
        assert reserve(4)[1] == 0
        thread = threading.Thread(target=lambda: found.append(reserve(4)[1]))
        thread.start()
        thread.join()
        assert reserve(4)[1] == 4
    assert found == [8] and reserve(4)[1] == 12


words = st.lists(st.integers(0, 2**70), max_size=5).map(tuple)


@given(words, words)
def test_other_words_are_another_seed(one, other):
    states = [tuple(seed_sequence(*each).generate_state(4)) for each in (one, other)]
    assert (states[0] == states[1]) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), (1, 0)),
        ((2**32,), (0, 1)),
        ((), (0,)),
        ((1, 2 + 3 * 2**64), (1 + 2 * 2**64, 3)),  # as many limbs in all, but not in each
    ],
)
def test_words_are_told_apart_that_numpys_seeds_are_not(one, other):
    first, second = (seed_sequence(*each).generate_state(4).tolist() for each in (one, other))
    assert first != second


@pytest.mark.parametrize("name", DRAWS)
def test_numbers_drawn_apart_are_those_of_the_words_and_leave_the_source_alone(name):
    def drawn(*numbers):
        with apart(*numbers):
            return DRAWS[name]().numpy().tolist(), reserve(4)

    cr.seed(0)
    then = moment()
    first = drawn(1, 2)
    assert moment() == then
    cr.seed(5)
    assert drawn(1, 2) == first
    others = [drawn(2, 1), drawn(1), drawn(1, 2, 0)]
    assert all(a != first[0] and b[0] != first[1][0] for a, b in others)


def test_what_is_drawn_apart_nests_goes_on_when_entered_again_and_can_be_replayed():
    with apart(1):
        whole = generator().random(4).tolist()
    kept = apart(1)
    with kept:
        assert generator().random(2).tolist() == whole[:2]
        with apart(2), kept:
            assert generator().random() == whole[2]
        then = moment()
        last = generator().random()
        with replaying(then):
            assert generator().random() == last
        cr.seed(9)
        seeded = generator().random()
    cr.seed(9)
    assert last == whole[3] and generator().random() == seeded


def test_an_error_ends_what_is_drawn_apart_and_other_threads_do_not_notice():
    cr.seed(0)
    reserve(8)
    found = []
    with pytest.raises(KeyError), apart(1):
        assert reserve(4)[1] == 0
        thread = threading.Thread(target=lambda: found.append(reserve(4)[1]))
        thread.start()
        thread.join()
        raise KeyError
    assert found == [8] and reserve(4)[1] == 12


@pytest.mark.parametrize(("word", "error"), [(-1, ValueError), (1.5, TypeError), ("a", TypeError)])
def test_words_that_are_no_numbers_are_refused(word, error):
    with pytest.raises(error, match=r"random\.apart: words must"), apart(0, word):
        generator()
