"""What records compute with on large arrays: equal to what they compute with on small ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import LARGE, get_device
from chainrule.engine.kernels import blocks, numba_elementwise
from chainrule.engine.proof import prove, run
from chainrule.engine.record import RECORDS, Record
from chainrule.engine.threads import get_num_threads

Array = np.ndarray[Any, Any]

K = get_device("cpu").sets["numba"]
NAMES = [name for name, record in RECORDS.items() if record.builtin and "large" in vars(record)]
UFUNCS = {"plus": np.add, "minus": np.subtract, "times": np.multiply, "over": np.divide}


def large(name: str) -> Record:
    record: Record = vars(RECORDS[name])["large"]
    return record


@pytest.fixture
def _every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code and blocks for arrays of every size."""
    monkeypatch.setitem(numba_elementwise.THRESHOLDS, "elementwise", 0)
    monkeypatch.setattr(blocks, "LEAST", 1)


def test_some_records_have_another_way_for_large_arrays() -> None:
    assert {"add", "subtract", "multiply", "divide", "relu", "sum"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_is_proved(name: str) -> None:
    pytest.importorskip("sympy")
    assert prove(large(name))


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("shapes", [((3, 700), (3, 700)), ((3, 700), (700,)), ((5,), (4, 5))])
@pytest.mark.parametrize("name", NAMES)
def test_results_and_gradients_are_the_records_own(
    name: str, shapes: tuple[tuple[int, ...], ...]
) -> None:
    random, record = np.random.default_rng(3), RECORDS[name]
    arguments = [random.standard_normal(each) for each in shapes[: len(record.arguments)]]
    static = {each: record.defaults[each] for each in record.statics}

    def upstream(y: Array) -> Array:
        return np.random.default_rng(4).standard_normal(y.shape)

    expected, gradients = run(record, K, arguments, static, upstream)
    found, others = run(large(name), K, arguments, static, upstream)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert others.keys() == gradients.keys()
    for position, gradient in gradients.items():
        np.testing.assert_allclose(others[position], gradient, rtol=1e-14)


def layouts(x: Array) -> dict[str, Array]:
    """The same numbers in every kind of memory."""
    odd = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    odd[...] = x
    fixed = x.copy()
    fixed.flags.writeable = False
    return {
        "plain": x,
        "read-only": fixed,
        "misaligned": odd,
        "apart": np.stack([x, x], axis=-1)[..., 0],
        "columns": np.asfortranarray(x),
        "backwards": x[::-1].copy()[::-1],
        "big-endian": x.astype(x.dtype.newbyteorder()),
        "halves": x.astype(np.float16),
        "integers": (100 * x).astype(np.int32),
        "spread": np.broadcast_to(x[:1, :1].reshape(()), x.shape),
        "row": x[0],
        "short row": x[:1, :1].reshape(1),
        "column": x[:, :1],
        "number": np.asarray(x[0, 0]),
    }


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("name", UFUNCS)
def test_operands_in_any_memory(name: str) -> None:
    """Bits, dtype and shape are NumPy's; no operand is written."""
    x = np.random.default_rng(5).standard_normal((5, 230)).astype(np.float32)
    kernel = getattr(K, name)
    for first in layouts(x).values():
        for second in [*layouts(x + 1).values(), 0.5, 3, -0.0]:
            before = [np.array(first), np.array(second)]
            for pair in ((first, second), (second, first)):
                with np.errstate(all="ignore"):
                    expected, found = UFUNCS[name](*pair), kernel(*pair)
                assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
                np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(first, before[0])
            np.testing.assert_array_equal(second, before[1])


@pytest.mark.usefixtures("_every_size")
def test_one_memory_as_both_operands() -> None:
    x = np.random.default_rng(6).standard_normal(3_000)
    np.testing.assert_array_equal(K.times(x, x), x * x)
    np.testing.assert_array_equal(K.plus(x[:-1], x[1:]), x[:-1] + x[1:])


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("name", UFUNCS)
def test_shapes_that_do_not_fit_are_numpys_error(name: str) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        getattr(K, name)(np.ones((3, 100)), np.ones((100, 3)))
    with pytest.raises(ValueError, match="broadcast"):
        getattr(K, name)(np.ones((3, 100)), np.ones(101))


HUGE, TINY = 1e200, 1e-200
FAULTS: list[tuple[str, Callable[[Array], Any], str]] = [
    ("over", lambda x: K.times(x * 0 + HUGE, HUGE), "overflow"),
    ("over", lambda x: K.plus(x * 0 + 1.7e308, 1.7e308), "overflow"),
    ("under", lambda x: K.times(x * 0 + TINY, TINY), "underflow"),
    ("divide", lambda x: K.over(x, x * 0), "divide by zero"),
    ("invalid", lambda x: K.over(x * 0, x * 0), "invalid"),
    ("invalid", lambda x: K.minus(x * 0 + np.inf, np.inf), "invalid"),
    ("invalid", lambda x: K.relu_backward(x * 0 - np.inf, x * 0), "invalid"),
    ("over", lambda x: K.total(x * 0 + 1.7e308), "overflow"),
    ("invalid", lambda x: K.total(np.where(x > 1.5, np.inf, -np.inf)), "invalid"),
]


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize(("kind", "call", "text"), FAULTS)
def test_numpy_is_asked_to_warn(kind: str, call: Callable[[Array], Any], text: str) -> None:
    x = np.linspace(1, 2, 5_000)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        call(x)
    settings: dict[str, Any] = {kind: "raise"}
    others: dict[str, Any] = dict.fromkeys(np.geterr(), "ignore")
    with (
        np.errstate(**{**others, **settings}),
        pytest.raises(FloatingPointError, match=text),
    ):
        call(x)
    others = dict.fromkeys(np.geterr(), "raise")
    with np.errstate(**{**others, kind: "ignore"}):
        call(x)


@pytest.mark.usefixtures("_every_size")
def test_nan_alone_is_no_fault() -> None:
    x = np.full(3_000, np.nan)
    with np.errstate(all="raise"):
        for found in (K.plus(x, 1.0), K.times(x, x), K.relu(x), K.total(x)):
            assert np.isnan(found).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_nothing(dtype: Any) -> None:
    from chainrule.engine.kernels.compiled import threads

    random = np.random.default_rng(7)
    x, y = (random.standard_normal(200_001).astype(dtype) for _ in range(2))
    found = []
    try:
        for count in (1, 2, 3):
            threads.limit(count)
            found.append([K.times(x, y), K.over(x, y), K.relu_backward(y, x), K.total(x)])
    finally:
        threads.limit(get_num_threads())
    for others in found[1:]:
        for first, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(other, first)


def test_the_sum_is_as_exact_as_pairs_make_it() -> None:
    """The same number 2^20 times: one sum after the other would be off by 1e-3."""
    x = np.full(2**20, 0.1, np.float32)
    assert abs(float(K.total(x)) / (2**20 * float(x[0])) - 1) < 40 * 2**-24


def test_a_program_gives_large_arrays_what_it_gives_their_parts() -> None:
    """Elementwise, with gradients that add up, kept and of the second order: to the bit."""
    random = np.random.default_rng(8)
    values = random.standard_normal((3, LARGE + 1_001))

    def program(part: slice) -> list[Array]:
        a, b = (cr.tensor(each[part], requires_grad=True) for each in values[:2])
        kept = a * b + a
        kept.retain_grad()
        y = (kept.relu() * b - a / (b * b + 1.5)) * 2.0
        y.backward(values[2, part], retain_graph=True)
        y.backward(values[2, part])
        slope = cr.grad(lambda a: ((a * b + a).relu() * b * a * a).sum())
        second = cr.grad(lambda a: (slope(a) * y.detach()).sum())(a)
        return [each.numpy() for each in (y, a.grad, b.grad, kept.grad, second)]  # type: ignore

    whole = program(slice(None))
    parts = [program(slice(start, start + 9_000)) for start in range(0, values.shape[1], 9_000)]
    for found, *expected in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(found, np.concatenate(expected))
