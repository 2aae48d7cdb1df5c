"""What an epoch of a pipeline yields: from any place on, with and without a thread."""

from __future__ import annotations

import copy
import gc
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.training.data import Batches


def arrays(n, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, 3)).astype("float32"), np.arange(n)


def noisy(x, y):
    return x + cr.random.normal(x.shape, dtype="float32").numpy(), y


def flat(items):
    """The items as bytes and dtypes, which compare bit by bit."""
    return [
        [(np.asarray(a).tobytes(), np.asarray(a).dtype.str, np.shape(a)) for a in each]
        for each in items
    ]


def stream(n, declared):
    """A pipeline of the same samples that cannot be indexed, and draws random numbers itself."""
    x, y = arrays(n)

    def samples():
        for each in zip(x, y, strict=True):
            yield noisy(*each)

    return cr.data.from_generator(samples, n if declared else None)


STEPS = {
    "shuffle": lambda p: p.shuffle(buffer_size=5) if "generator" in repr(p) else p.shuffle(),
    "map": lambda p: p.map(noisy),
    "batch": lambda p: p.batch(4),
    "drop": lambda p: p.batch(3, drop_last=True),
    "take": lambda p: p.take(7),
    "skip": lambda p: p.skip(1),
    "prefetch": lambda p: p.prefetch(3),
}


@st.composite
def chains(draw):
    names = draw(st.lists(st.sampled_from(sorted(STEPS)), max_size=6))
    kept, seen = [], set()
    for name in names:
        kind = "batch" if name == "drop" else name
        if kind in ("shuffle", "batch", "skip") and kind in seen:
            continue
        seen.add(kind)
        kept.append(name)
    return kept


SOURCES = {
    "arrays": lambda n: cr.data.from_arrays(*arrays(n)),
    "stream of known length": lambda n: stream(n, True),
    "stream": lambda n: stream(n, False),
}
sources = st.sampled_from(sorted(SOURCES))


def built(source, names, n, prefetch=True):
    pipeline = SOURCES[source](n)
    for name in names:
        if name != "prefetch" or prefetch:
            pipeline = STEPS[name](pipeline)
    return pipeline


@given(sources, chains(), st.integers(12, 30), st.integers(0, 2**70), st.integers(0, 5), st.data())
def test_an_epoch_from_any_place_on_is_the_rest_of_the_whole(source, names, n, seed, epoch, data):
    pipeline = built(source, names, n)
    whole = flat(pipeline.open(seed, epoch))
    assert pipeline.length == (None if source == "stream" else len(whole))
    start = data.draw(st.integers(0, len(whole)))
    assert flat(pipeline.open(seed, epoch, start)) == whole[start:]
    order = pipeline.order(seed, epoch)
    assert flat(pipeline.open(seed, epoch, start, order)) == whole[start:]
    assert (order is None) == (source != "arrays" or "shuffle" not in names)


@given(sources, chains(), st.integers(12, 30), st.integers(0, 9))
def test_a_thread_changes_nothing(source, names, n, seed):
    with_thread = built(source, [*names, "prefetch"], n)
    without = built(source, names, n, prefetch=False)
    assert flat(with_thread.open(seed)) == flat(without.open(seed))
    assert with_thread.fingerprint() == without.fingerprint()


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**40), st.integers(0, 9))
def test_every_sample_comes_once_an_epoch_with_its_own_target(n, size, seed, epoch):
    x, y = arrays(n)
    batches = list(cr.data.from_arrays(x, y).shuffle().batch(size).open(seed, epoch))
    assert [len(b) for _, b in batches] == [len(b) for _, b in Batches(x, y, size)]
    targets = np.concatenate([b for _, b in batches])
    assert sorted(targets) == list(range(n))
    assert np.array_equal(np.concatenate([a for a, _ in batches]), x[targets])


def in_lists(names, n, order):
    """The numbers of the samples that each item has, by the plainest means."""
    items = [[i] for i in range(n)]
    for name in names:
        if name == "shuffle":
            items = [items[i] for i in order]
        elif name == "take":
            items = items[:7]
        elif name == "skip":
            items = items[1:]
        elif name in ("batch", "drop"):
            size = 4 if name == "batch" else 3
            flat_items = [each for (each,) in items]
            items = [flat_items[i : i + size] for i in range(0, n, size) if flat_items[i:]]
            items = items[:-1] if name == "drop" and len(items[-1]) < size else items
    return items


@given(sources, chains(), st.integers(12, 30), st.booleans())
@example("arrays", ["skip", "shuffle", "batch"], 12, True)
@example("arrays", ["skip", "shuffle", "map", "batch"], 12, False)
def test_the_items_are_those_that_the_names_of_the_steps_say(source, names, n, by_rows):
    names = [each for each in names if source == "arrays" or each != "shuffle"]
    pipeline = built(source, [each for each in names if not by_rows or each != "map"], n)
    expected = in_lists(names, n, pipeline.order(5, 2))
    assert [np.ravel(y).tolist() for _, y in pipeline.open(5, 2)] == expected


def test_numbers_drawn_in_a_function_differ_between_elements_steps_epochs_and_seeds():
    pipeline = cr.data.from_arrays(np.zeros(2))

    def draw(x):
        return x + cr.random.uniform().item()

    first, second = pipeline.map(draw).open(0)
    found = {float(first), float(second)}
    for seed, epoch in ((1, 0), (0, 1)):
        found.add(float(next(pipeline.map(draw).open(seed, epoch))))
    twice = pipeline.map(draw).map(draw)
    found.add(float(next(twice.open(0))) - float(first))
    assert len(found) == 5


def test_orders_differ_between_epochs_and_between_seeds():
    pipeline = cr.data.from_arrays(np.arange(1000)).shuffle()
    orders = [pipeline.order(seed, epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0), (1, 1)]]
    assert len({order.tobytes() for order in orders}) == 4
    assert np.array_equal(orders[1], pipeline.order(0, 1))
    fixed = cr.data.from_arrays(np.arange(1000)).shuffle(seed=5)
    assert np.array_equal(fixed.order(0, 0), fixed.order(1, 0))
    assert not np.array_equal(fixed.order(0, 0), fixed.order(0, 1))


def test_a_saved_order_takes_the_place_of_the_drawn_one():
    pipeline = cr.data.from_arrays(np.arange(6)).shuffle().batch(4)
    order = np.array([5, 3, 1, 0, 2, 4])
    assert np.concatenate(list(pipeline.open(0, order=order))).tolist() == order.tolist()
    for wrong in (order[:5], [0, 0, 1, 2, 3, 4], [-1, 0, 1, 2, 3, 4], order * 1.0):
        with pytest.raises(ValueError, match="permutation of 0 to 5"):
            pipeline.open(0, order=wrong)
    with pytest.raises(ValueError, match="not shuffled"):
        cr.data.from_arrays(np.arange(6)).open(0, order=order)


def test_a_loop_that_is_run_again_is_another_epoch_and_follows_the_seed():
    pipeline = cr.data.from_arrays(np.arange(50)).shuffle().batch(50)
    cr.seed(3)
    first, second = (next(iter(pipeline)).tolist() for _ in range(2))
    cr.seed(3)
    again = next(iter(cr.data.from_arrays(np.arange(50)).shuffle().batch(50))).tolist()
    assert first == again != second
    own = cr.data.from_arrays(np.arange(50)).shuffle(seed=1).batch(50)
    before = cr.random.moment()
    first, second = (next(iter(own)).tolist() for _ in range(2))
    assert first != second
    assert cr.random.moment() == before


def test_several_inputs_keep_their_structure():
    a, b, y = np.arange(5), np.arange(5) * 2.0, np.arange(5) * 3
    for x in ((a, b), {"a": a, "b": b}):
        for pipeline in (
            cr.data.from_arrays(x, y).shuffle().batch(2),
            cr.data.from_arrays(x, y).map(lambda x, y: (x, y)).shuffle().batch(2),
        ):
            for xs, ys in pipeline:
                assert type(xs) is type(x)
                first, second = xs.values() if isinstance(x, dict) else xs
                assert np.array_equal(first * 3, ys) and np.array_equal(second * 1.5, ys)


def test_nobody_can_write_into_the_arrays_that_were_given():
    x, y = arrays(6)
    kept = x.copy()

    def negated(x, y):
        x *= -1
        return x, y

    for pipeline in (
        cr.data.from_arrays(x, y).map(negated).batch(2),
        cr.data.from_arrays(x, y).batch(2).map(negated),
    ):
        assert np.array_equal(np.concatenate([a for a, _ in pipeline]), -kept)
    with pytest.raises(ValueError, match="read-only"):
        next(iter(cr.data.from_arrays(x).batch(2)))[:] = 0
    assert np.array_equal(x, kept)


# -------------------------------------------------------------------------------- the thread


def threads():
    return [each for each in threading.enumerate() if each.name == "chainrule-data"]


def ended(seconds=10):
    """Waits until no thread of a pipeline is left."""
    until = time.monotonic() + seconds
    while threads() and time.monotonic() < until:
        time.sleep(0.001)
    return not threads()


def test_the_thread_ends_at_the_end_at_close_and_with_the_garbage():
    pipeline = cr.data.from_arrays(*arrays(64)).map(noisy).batch(2).prefetch(2)
    assert len(list(pipeline)) == 32
    assert not threads()
    items = pipeline.open(0)
    next(items)
    assert len(threads()) == 1
    items.close()
    assert not threads()
    assert list(items) == []
    items.close()
    items = pipeline.open(0)
    next(items)
    del items
    gc.collect()
    assert ended()
    for _ in pipeline:
        break
    assert ended()


def test_several_iterators_are_independent():
    pipeline = cr.data.from_arrays(*arrays(20)).shuffle().map(noisy).batch(3).prefetch()
    one, other = pipeline.open(1), pipeline.open(2)
    mixed = [(a, b) for a, b in zip(one, other, strict=True)]
    assert flat(a for a, _ in mixed) == flat(pipeline.open(1))
    assert flat(b for _, b in mixed) == flat(pipeline.open(2))


def test_no_more_is_computed_ahead_than_was_asked_for():
    seen, waiting = [], threading.Event()

    def note(x):
        seen.append(int(x))
        if len(seen) == 3:
            waiting.set()
        return x

    items = cr.data.from_arrays(np.arange(100)).map(note).prefetch(3).open(0)
    assert waiting.wait(10)
    time.sleep(0.05)
    assert seen == [0, 1, 2]
    assert int(next(items)) == 0
    items.close()
    assert len(seen) <= 4


@pytest.mark.parametrize("ahead", [0, 3])
def test_an_error_comes_at_its_place(ahead):
    def fails(x):
        if x == 5:
            raise KeyError("five")
        return x

    pipeline = cr.data.from_arrays(np.arange(9)).map(fails)
    items = (pipeline.prefetch(ahead) if ahead else pipeline).open(0)
    assert [int(next(items)) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="five") as caught:
        next(items)
    assert caught.value.__notes__ == ["raised in map(fails), sample 5 of the pipeline"]
    assert list(items) == []
    assert not threads()


def test_the_thread_computes_with_the_settings_of_the_caller():
    def seen(x):
        state = cr.engine.devices.state
        recording = cr.is_recording()
        with np.errstate():
            divide = np.geterr()["divide"]
        kernels = cr.engine.devices.active_kernels(cr.engine.devices.cpu).name
        return np.array([recording, state.training, divide == "raise", kernels == "reference"])

    pipeline = cr.data.from_arrays(np.arange(2)).map(seen).prefetch()
    assert next(iter(pipeline)).tolist() == [True, False, False, False]
    with cr.no_grad(), np.errstate(divide="raise"), cr.kernels("reference"):
        items = pipeline.open(0)
    assert next(items).tolist() == [False, False, True, True]


LEFT_OPEN = """
import itertools
import chainrule as cr

items = cr.data.from_generator(itertools.count).map(lambda x: x + 1).batch(8).prefetch(3).open(0)
assert next(items).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
print("done")
"""


def test_a_program_ends_though_data_are_open():
    command = [sys.executable, "-W", "error", "-c", LEFT_OPEN]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


FORKED = """
import os
import numpy as np
import chainrule as cr

pipeline = cr.data.from_arrays(np.arange(6)).batch(2).prefetch()
items = pipeline.open(0)
next(items)
child = os.fork()
if child == 0:
    try:
        next(items)
    except RuntimeError as error:
        items.close()
        os._exit(7 if "forked" in str(error) and len(list(pipeline.open(0))) == 3 else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert len(list(items)) == 2
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_process_open_data_are_refused_and_can_be_opened_again():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60)


# ---------------------------------------------------------------------------------- errors


def test_what_a_function_returns_is_checked():
    x, y = arrays(6)

    def run(function, before=None):
        pipeline = cr.data.from_arrays(x, y)
        pipeline = pipeline.batch(2) if before == "batch" else pipeline
        list(pipeline.map(function).open(0))

    with pytest.raises(TypeError, match=r"map\(<lambda>\), sample 0: .*returned None"):
        run(lambda x, y: None)
    with pytest.raises(TypeError, match=r"pair \(x, y\), since it is given x and y, got ndarray"):
        run(lambda x, y: x)
    with pytest.raises(ValueError, match=r"batch 2: x has NaN or infinite"):
        run(lambda x, y: (np.where(y[:, None] == 4, np.nan, x), y), "batch")
    with pytest.raises(ValueError, match=r"batch 0: y has shape \(1,\), int64, but x has shape"):
        run(lambda x, y: (x, y[:1]), "batch")
    with pytest.raises(ValueError, match=r"batch 1: x has .*float64, but in batch 0 .*float32"):
        run(lambda x, y: (x.astype("float64") if y[0] == 2 else x, y), "batch")
    with pytest.raises(TypeError, match="float16"):
        run(lambda x, y: (x.astype("float16"), y))
    with pytest.raises(TypeError, match="object"):
        run(lambda x, y: (object(), y))

    def other(x, y):
        return (x[:2] if y == 3 else x), y

    with pytest.raises(ValueError, match=r"x of sample 3 has shape \(2,\).*sample 0 has .*\(3,\)"):
        list(cr.data.from_arrays(x, y).map(other).batch(2).open(0))
    with pytest.raises(TypeError, match="x of sample 0 is text"):
        list(cr.data.from_arrays(x, y).map(lambda x, y: ("a", y)).batch(2).open(0))


def test_wrong_arguments_are_refused_at_once():
    pipeline = cr.data.from_arrays(np.arange(6))
    for call, error, text in [
        (lambda: pipeline.shuffle(1000), TypeError, "by name"),
        (lambda: pipeline.shuffle(buffer_size=9), ValueError, "leave buffer_size out"),
        (lambda: pipeline.shuffle(seed=-1), ValueError, "seed must be at least 0"),
        (lambda: pipeline.shuffle(seed=1.5), TypeError, "seed must be an integer"),
        (lambda: pipeline.shuffle().shuffle(), ValueError, "shuffled already"),
        (lambda: pipeline.batch(0), ValueError, "at least 1"),
        (lambda: pipeline.batch(2).batch(2), ValueError, "batches of 2 already"),
        (lambda: pipeline.batch(7, drop_last=True), ValueError, "no whole batch of 7"),
        (lambda: pipeline.batch(2, drop_remainder=True), TypeError, "it is called drop_last"),
        (lambda: pipeline.batch(2, foo=1), TypeError, "no argument 'foo'$"),
        (lambda: pipeline.map(abs, num_parallel_calls=4), TypeError, r"prefetch\(2\)"),
        (lambda: pipeline.shuffle(reshuffle_each_iteration=True), TypeError, "each epoch has"),
        (lambda: cr.data.from_arrays([1], num_workers=4), TypeError, r"prefetch\(2\)"),
        (lambda: cr.data.from_npy("x.npy", mmap_mode="c"), TypeError, "always"),
        (lambda: cr.data.from_text_file("x", encoding="latin1"), TypeError, "must be UTF-8"),
        (lambda: cr.data.from_generator(list, output_types=1), TypeError, "first sample"),
        (lambda: pipeline.map(None), TypeError, "must be a function"),
        (lambda: pipeline.prefetch(0), ValueError, "at least 1"),
        (lambda: pipeline.prefetch(buffer_size=2), TypeError, "it is called count"),
        (lambda: pipeline.take(0), ValueError, "at least 1"),
        (lambda: pipeline.skip(6), ValueError, "leaves none of 6"),
        (lambda: pipeline.open(0, start=7), ValueError, "past the end"),
        (lambda: pipeline.open(None), TypeError, "seed must be an integer"),
        (lambda: pipeline.repeat(), AttributeError, "epochs=n"),
        (lambda: cr.data.DataLoader, ImportError, r"from_arrays\(x, y\)"),
        (lambda: cr.data.from_arrays([]), ValueError, "from_arrays: x is empty"),
        (lambda: cr.data.from_arrays([[1], [1, 2]]), ValueError, "every row must have the same"),
        (lambda: cr.data.from_arrays([1.0, np.nan]), ValueError, "NaN"),
        (lambda: cr.data.from_arrays([1.0], [1, 2]), ValueError, "needs one target"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_the_fingerprint_changes_with_the_data_and_the_steps():
    x, y = arrays(8)
    other = x.copy()
    other[3, 1] += 1
    made = [
        cr.data.from_arrays(x, y),
        cr.data.from_arrays(x),
        cr.data.from_arrays(other, y),
        cr.data.from_arrays(x.astype("float64"), y),
        cr.data.from_arrays(x, y).batch(2),
        cr.data.from_arrays(x, y).batch(3),
        cr.data.from_arrays(x, y).shuffle(),
        cr.data.from_arrays(x, y).shuffle(seed=1),
        cr.data.from_arrays(x, y).map(noisy),
        cr.data.from_arrays(x, y).take(7),
    ]
    found = [pipeline.fingerprint() for pipeline in made]
    assert json.loads(json.dumps(found)) == found
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
    assert found[0] == cr.data.from_arrays(x.copy(), y).fingerprint()


def test_a_function_can_add_targets():
    def labelled(x):
        return x, x * 10

    plain = cr.data.from_arrays(np.arange(4))
    for pipeline in (plain.map(labelled).batch(4), plain.batch(4).map(labelled).prefetch()):
        assert pipeline.has_targets and not plain.has_targets
        ((x, y),) = pipeline
        assert np.array_equal(x * 10, y)
        again = pipeline.map(lambda x, y: (x, y + 1)) if pipeline is not plain else pipeline
        assert next(iter(again))[1][1] == 11
    two = cr.data.from_arrays((np.arange(4), np.arange(4)))  # both are inputs, and stay so
    two = two.map(lambda x: (x[0] + 1, x[1])).batch(4)
    assert not two.has_targets
    (found,) = two
    assert [each.tolist() for each in found] == [[1, 2, 3, 4], [0, 1, 2, 3]]


def test_a_pipeline_is_true_and_can_be_copied():
    pipeline = stream(4, declared=False)
    assert pipeline
    assert flat(copy.deepcopy(pipeline).open(1)) == flat(pipeline.open(1))


def test_what_is_shown_and_known():
    pipeline = cr.data.from_arrays(np.zeros((40, 8, 8), "float32"), np.zeros(40, "int64"))
    batched = pipeline.shuffle().batch(32).prefetch()
    assert repr(batched) == (
        "<Pipeline of 2 batches of 32: x (32, 8, 8) float32, y (32,) int64; "
        "arrays -> shuffle -> batch(32) -> prefetch(2)>"
    )
    assert batched.has_targets and batched.batch_size == 32
    assert pipeline.batch_size is None and not cr.data.from_arrays([1]).has_targets
    mapped = pipeline.map(lambda x, y: (x[0], y))
    assert "float32" not in repr(mapped)
    assert mapped.element == "x (8,) float32, y () int64"
    assert "x (8,) float32" in repr(mapped)


@pytest.mark.parametrize("ahead", [0, 3])
@pytest.mark.parametrize("batched", [False, True])
def test_a_function_may_use_the_array_that_it_returns_again(batched, ahead):
    data = cr.data.from_arrays(np.arange(6.0).reshape(6, 1))
    same = np.empty((2, 1) if batched else 1)

    def doubled(x):
        return np.multiply(x, 2, out=same)

    pipeline = data.batch(2).map(doubled) if batched else data.map(doubled).batch(2)
    items = list(pipeline.prefetch(ahead) if ahead else pipeline)
    assert np.concatenate(items).ravel().tolist() == [0, 2, 4, 6, 8, 10]


def test_what_a_function_was_given_and_returns_is_not_copied():
    given = []

    def kept(x, y):
        given.append(x)
        return x, y

    [(x, _)] = cr.data.from_arrays(np.zeros((4, 2)), np.zeros(4)).shuffle().batch(4).map(kept)
    assert x is given[0]
