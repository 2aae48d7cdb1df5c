"""Recurrent sequences in compiled code: on any number of threads, of any layout, NaN as NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import REFERENCE, get_device
from chainrule.engine.kernels import numba_recurrent
from chainrule.engine.kernels.compiled import host

pytestmark = pytest.mark.skipif(host.tile() is None, reason="this processor has no tiles")

Array = np.ndarray[Any, Any]
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
NAMES = sorted(GATES)


@pytest.fixture(autouse=True)
def _small_ones_too() -> Iterator[None]:
    before = cr.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for each in numba_recurrent.THRESHOLDS:
            patch.setitem(numba_recurrent.THRESHOLDS, each, 0)
        yield
    cr.set_num_threads(before)


def drawn(name: str, batch: int, steps: int, features: int, units: int, seed: int = 0) -> list[Any]:
    """x, the initial states, kernel, recurrent kernel, bias."""
    random, columns = np.random.default_rng(seed), GATES[name] * units
    shapes = [(batch, steps, features), *[(batch, units)] * (2 if name == "lstm" else 1)]
    shapes += [(features, columns), (units, columns), (2, columns) if name == "gru" else (columns,)]
    arrays = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    arrays[-2] /= np.float32(2 * np.sqrt(units))
    return arrays


def both_ways(name: str, given: list[Any], mask: Any, kernels: str = "numba") -> list[Array]:
    """All that is returned, forward and back, for an upstream gradient that is always the same."""
    k = get_device("cpu").sets[kernels]
    x, *_, kernel, recurrent, _ = given
    with np.errstate(all="ignore"):
        y, *kept = getattr(k, f"{name}_sequence")(*given, mask)
        g = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
        needed = (True,) * len(given)
        back = getattr(k, f"{name}_sequence_backward")
        return [y, *kept, *back(needed, g, *kept, x, kernel, recurrent, mask)]


def a_mask(batch: int, steps: int) -> Array:
    return np.random.default_rng(2).integers(0, 2, (batch, steps)).astype(bool)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_whatever_the_number_of_threads(name: str) -> None:
    given, mask = drawn(name, 21, 12, 40, 50), a_mask(21, 12)
    found = []
    for threads in (1, 2, 3):
        cr.set_num_threads(threads)
        found.append([each.tobytes() for each in both_ways(name, given, mask)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_has_the_same_bits_in_a_batch_and_alone(name: str) -> None:
    x, *states, kernel, recurrent, bias = drawn(name, 19, 5, 7, 20)
    whole = both_ways(name, [x, *states, kernel, recurrent, bias], None)[0]
    alone = [each[17:18] for each in (x, *states)]
    np.testing.assert_array_equal(
        both_ways(name, [*alone, kernel, recurrent, bias], None)[0], whole[17:18]
    )


@pytest.mark.parametrize("name", NAMES)
def test_any_layout_and_read_only(name: str) -> None:
    given, mask = drawn(name, 9, 6, 5, 18), a_mask(9, 6)
    expected = both_ways(name, given, mask)
    x = given[0]
    apart = np.full((9, 6, 10), np.nan, np.float32)
    apart[..., ::2] = x
    turned = [np.asfortranarray(each) for each in given]
    backwards = x[::-1, ::-1].copy()[::-1, ::-1]
    by_time = x.swapaxes(0, 1).copy().swapaxes(0, 1)
    for other in (apart[..., ::2], turned[0], backwards, by_time):
        arrays = [other, *turned[1:]]
        for each in arrays:
            each.flags.writeable = False
        found = both_ways(name, arrays, np.asfortranarray(mask))
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_reference_beyond_a_block(name: str, masked: bool) -> None:
    """Sums of at most 19 * 7 products, each of factors off by some roundings of 7 steps."""
    given, mask = drawn(name, 19, 7, 37, 50), a_mask(19, 7) if masked else None
    found, expected = (both_ways(name, given, mask, each) for each in ("numba", "reference"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * (1 + abs(b).max()))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_nan_and_infinity_are_where_the_reference_has_them(name: str, masked: bool) -> None:
    given = drawn(name, 9, 5, 3, 17)
    given[0][2, 1, 0], given[0][3, 2, 1], given[0][4, 3, 2] = np.nan, np.inf, -np.inf
    given[1][5, 0] = np.inf
    mask = a_mask(9, 5) if masked else None
    found, expected = (both_ways(name, given, mask, each) for each in ("numba", "reference"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)
    assert any(np.isnan(each).any() for each in expected)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_gradients_that_are_needed(name: str) -> None:
    given = drawn(name, 3, 4, 2, 5)
    k, (x, *_, kernel, recurrent, _) = get_device("cpu").kernels, given
    y, *kept = getattr(k, f"{name}_sequence")(*given, None)
    back = getattr(k, f"{name}_sequence_backward")
    every = back((True,) * len(given), y, *kept, x, kernel, recurrent, None)
    for i, expected in enumerate(every):
        needed = tuple(j == i for j in range(len(given)))
        found = back(needed, y, *kept, x, kernel, recurrent, None)
        np.testing.assert_array_equal(found[i], expected)
        assert all(each is None for j, each in enumerate(found) if j != i)


@pytest.mark.parametrize("name", NAMES)
def test_no_features_no_units(name: str) -> None:
    for sizes in ((3, 2, 0, 4), (3, 2, 4, 0)):
        given = drawn(name, *sizes)
        found, expected = (both_ways(name, given, None, each) for each in ("numba", "reference"))
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_mixed_dtypes_are_the_references() -> None:
    given = drawn("lstm", 3, 4, 2, 5)
    given[1] = given[1].astype(np.float64)
    reference = get_device("cpu").sets["reference"]
    expected = REFERENCE["lstm_sequence"](reference, *given, None)
    for a, b in zip(numba_recurrent.lstm_sequence(*given, None), expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, atol=1e-6)
