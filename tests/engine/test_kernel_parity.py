"""Every kernel that replaces a reference computes what the reference does.

A kernel joins by an entry in CASES that says how to draw its arguments and how far results may be
apart; the kernels of every set of the CPU are then tested, and one without an entry fails.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import REFERENCE, get_device
from chainrule.engine.kernels import (
    numba_affine,
    numba_attention,
    numba_convolutions,
    numba_elementwise,
    numba_gelu,
    numba_indexing,
    numba_losses,
    numba_normalizations,
    numba_optimizers,
    numba_pooling,
    numba_products,
    numba_recurrent,
    numba_special,
)
from chainrule.engine.windows import windows

from .parity_of_attention import ATTENTION
from .parity_of_dense import DENSE, warm_dense
from .parity_of_elements import ELEMENTS
from .parity_of_gelu import GELU
from .parity_of_indexing import INDEXING
from .parity_of_products import PRODUCTS
from .parity_of_rows import ROWS
from .parity_of_sequences import SEQUENCES
from .parity_of_windows import WINDOWS

Array = np.ndarray[Any, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Case:
    """How a kernel is tested.

    `draw` gives its arguments for a dtype. `allowed`, given the arguments before the call, and an
    array after it by the reference, says how far the kernel's array may be from that; `changed`
    are the positions of the arguments that are compared, as what the kernel returns is too.
    """

    draw: Callable[[Draw, np.dtype[Any]], list[Any]]
    allowed: Callable[[list[Any], int | None, Array], Array]
    changed: tuple[int, ...] = ()


# Drawing ------------------------------------------------------------------------------------


def numbers(draw: Draw, dtype: np.dtype[Any], size: int, at_least: float | None = None) -> Array:
    """Random numbers among which special ones are strewn: zeros, denormal, huge, NaN, inf.

    Huge ones have finite sums and infinite squares. The quotient of a number by 1 - beta^t
    overflows for none: next to overflow, one of two right answers may be infinite.
    """
    about = np.finfo(dtype)
    huge = float(about.max) ** 0.75
    special = [0.0, -0.0, about.smallest_subnormal, 7 * about.smallest_subnormal, about.tiny / 2]
    special += [about.tiny, about.eps, 1.0, huge, np.inf, np.nan]
    special += [-number for number in special]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array = (random.standard_normal(size) * 10.0 ** random.integers(-6, 6, size)).astype(dtype)
    is_special = random.random(size) < draw(st.sampled_from([0.0, 0.1, 0.9]))
    array[is_special] = random.choice(np.array(special, dtype), is_special.sum())
    if at_least is not None:  # NaN stays
        array = np.where(array < at_least, np.abs(array), array)
    return array


lengths = st.sampled_from([0, 1, 3, 17, 1000])
rates = st.sampled_from([1e-3, 0.1, 1.0])


def size_of(array: Array) -> Array:
    """The absolute values; 0 for what is not finite: where that takes part, so is the result."""
    return np.where(np.isfinite(array), np.abs(array), 0)


def spacing(array: Array) -> Array:
    """The distance from each number to the next larger one: one ulp."""
    return np.spacing(array).astype(np.float64)


# Dropout ------------------------------------------------------------------------------------


def draw_dropout(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    x = numbers(draw, dtype, draw(lengths))
    rate = draw(st.sampled_from([0.0, 0.1, 0.5, 1 - 2**-20]))
    return [x, rate, draw(st.integers(0, 2**64 - 1)), 4 * draw(st.integers(0, 2**60))]


def dropout_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """The words are integers, and the product is one rounding: the bits are the same."""
    return np.zeros(1)


# The optimiser steps ------------------------------------------------------------------------


def draw_sgd_step(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    size = draw(lengths)
    w, g, velocity = (numbers(draw, dtype, size) for _ in range(3))
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    nesterov = bool(momentum) and draw(st.booleans())
    decay = draw(st.sampled_from([0.0, 1e-4, 0.3]))
    return [w, g, velocity if momentum else None, draw(rates), momentum, nesterov, decay]


def sgd_step_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """The roundings are the same ones, unless a compiler contracts a product and a sum.

    Then each of at most four products (decay * w, momentum * velocity, twice; learning_rate *
    the step) may keep what it would have lost: half an ulp of the product, multiplied by factors
    of at most 1 on its way. No product, and no sum on that way, is larger than the sum of the
    arguments' sizes and the result's.
    """
    w, g, velocity = arguments[:3]
    sizes = size_of(w) + size_of(g) + size_of(after)
    return 4 * spacing(sizes if velocity is None else sizes + size_of(velocity))


def draw_adam_step(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    size = draw(lengths)
    w, g, m = (numbers(draw, dtype, size) for _ in range(3))
    v = numbers(draw, dtype, size, at_least=0.0)
    beta_1, beta_2 = draw(st.sampled_from([0.0, 0.5, 0.9])), draw(st.sampled_from([0.5, 0.999]))
    epsilon, decay = draw(st.sampled_from([1e-8, 1e-3])), draw(st.sampled_from([0.0, 1e-4, 0.3]))
    t = draw(st.sampled_from([1, 2, 10, 100_000]))
    return [w, g, m, v, draw(rates), beta_1, beta_2, epsilon, decay, t]


def adam_step_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """m and v: each of their sums' roundings, as for SGD. w: derived below, with u = eps / 2.

    The step s is reached by seven roundings at most, on either side: of 1 - beta_1^t, of m_hat,
    of learning_rate * m_hat, of 1 - beta_2^t and v_hat (halved by the root), of the root, of the
    sum with epsilon, of the quotient. Contracted products in m and v are two more in each. So the
    two s differ by at most (2 * 7 + 4) u |s|. The new w are rounded once more: by u |w| each.
    With |s| <= |w before| + |w after|, at most twice the larger, the whole is at most
    (2 * 18 + 2) u times the larger, and one ulp is at least u times the number.
    Where m_hat (or its product with the rate) is denormal its rounding is absolute: one denormal
    unit, divided by no less than epsilon.
    """
    w, g, m, v, rate, *_, epsilon, _, _ = arguments
    if position == 0:
        smallest = float(np.finfo(w.dtype).smallest_subnormal)
        larger = np.maximum(size_of(w), size_of(after))
        return 38 * spacing(larger) + 4 * smallest * (1 + (1 + rate) / epsilon)
    slope = size_of(g) + size_of(w)
    if position == 2:
        return 3 * spacing(size_of(m) + slope)
    with np.errstate(over="ignore"):
        return 6 * spacing(size_of(size_of(v) + slope * slope))


def draw_sum_of_squares(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    return [numbers(draw, dtype, draw(st.sampled_from([0, 1, 17, 4096, 9_000])))]


def sum_of_squares_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """n squares and n sums, each rounded; no sum on the way is larger than the last."""
    return np.asarray((len(arguments[0]) + 1) * spacing(size_of(after)))


# The special functions ----------------------------------------------------------------------


def draw_numbers(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    return [numbers(draw, dtype, draw(lengths))]


def special_allows(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Contracted products and sums: each a part of the rounding of a term below the result.

    The exponential of erfc is another library's, and good to one unit.
    """
    return 4 * spacing(size_of(after))


# Windows ------------------------------------------------------------------------------------


def draw_im2col(draw: Draw, dtype: np.dtype[Any]) -> list[Any]:
    axes = draw(st.integers(1, 2))

    def per_axis(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    sizes, window = per_axis(7, 9), per_axis(1, 4)
    padding = draw(st.sampled_from(["valid", "same", ((1, 2),) * axes]))
    seen = windows(sizes, window, per_axis(1, 3), padding, draw(st.sampled_from([1, 1, 2])))
    lead = (draw(st.integers(1, 2)), draw(st.integers(0, 2)))
    shape = (*lead, *sizes, draw(st.integers(1, 3)))
    x = numbers(draw, dtype, math.prod(shape)).reshape(shape)
    if draw(st.booleans()):  # as groups are: channels of each lie apart in memory
        x = np.moveaxis(np.moveaxis(x, 0, -2).copy(), -2, 0)
    return [x, seen]


def moves_only(arguments: list[Any], position: int | None, after: Array) -> Array:
    """Nothing is computed."""
    return np.zeros(after.shape)


#: Those that are drawn in files of their own.
TABLES = ATTENTION | DENSE | ELEMENTS | GELU | INDEXING | PRODUCTS | ROWS | SEQUENCES | WINDOWS
CASES = {
    "dropout": Case(draw_dropout, dropout_allows),
    "im2col": Case(draw_im2col, moves_only),
    "erf": Case(draw_numbers, special_allows),
    "erfc": Case(draw_numbers, special_allows),
    "sgd_step": Case(draw_sgd_step, sgd_step_allows, changed=(0, 2)),
    "adam_step": Case(draw_adam_step, adam_step_allows, changed=(0, 2, 3)),
    "sum_of_squares": Case(draw_sum_of_squares, sum_of_squares_allows),
    **{name: Case(*each) for name, each in TABLES.items()},
}

# The test -----------------------------------------------------------------------------------

#: The kernels of GPUs, and of their emulator, have tests of their own, in tests/gpu/.
REPLACED = [
    (device, name, kernel)
    for device in cr.devices()
    if get_device(device).on_host
    for name, kernels in get_device(device).sets.items()
    for kernel in kernels.replaced
]


def host(array: Any) -> Array:
    """The array in NumPy's memory, from wherever it was."""
    return array.get() if hasattr(array, "get") else np.asarray(array)


def fresh(arguments: list[Any], xp: Any) -> list[Any]:
    return [xp.array(each) if isinstance(each, np.ndarray) else each for each in arguments]


def results(case: Case, arguments: list[Any], returned: Any) -> list[tuple[int | None, Array]]:
    """What to compare: the changed arguments, with their positions, and what was returned."""
    changed = [(i, host(arguments[i])) for i in case.changed if arguments[i] is not None]
    if returned is None:
        return [*changed]
    several = returned if isinstance(returned, (tuple, list)) else (returned,)
    return [*changed, *((None, host(each)) for each in several if each is not None)]


def compare(device: str, name: str, kernel: str, arguments: list[Any]) -> None:
    case, target = CASES[kernel], get_device(device)
    expected, actual = fresh(arguments, np), fresh(arguments, target.xp)
    with np.errstate(all="ignore"):
        expected_returned = REFERENCE[kernel](get_device("cpu").sets["reference"], *expected)
        actual_returned = getattr(target.sets[name], kernel)(*actual)
    right = results(case, expected, expected_returned)
    found = results(case, actual, actual_returned)
    assert len(right) == len(found)
    for (position, by_reference), (_, by_kernel) in zip(right, found, strict=True):
        assert by_kernel.dtype == by_reference.dtype
        assert by_kernel.shape == by_reference.shape
        allowed = case.allowed(arguments, position, by_reference)
        finite = np.isfinite(by_reference)
        np.testing.assert_array_equal(by_kernel[~finite], by_reference[~finite])
        assert np.isfinite(by_kernel[finite]).all(), f"argument {position}: not finite"
        distance = np.abs(np.subtract(by_kernel[finite], by_reference[finite], dtype=np.float64))
        excess = distance - np.broadcast_to(allowed, finite.shape)[finite]
        assert not (excess > 0).any(), f"argument {position}: off by {excess.max()} too much"
    for i, before in enumerate(arguments):
        if isinstance(before, np.ndarray) and i not in case.changed:
            np.testing.assert_array_equal(host(actual[i]), before, err_msg=f"argument {i} changed")


@pytest.fixture
def _all_compiled() -> Iterator[None]:
    """Compiles outside of drawn examples, and has compiled code run arrays of every length."""
    with pytest.MonkeyPatch.context() as patch:
        modules: tuple[Any, ...] = (numba_optimizers, numba_special, numba_gelu, numba_affine)
        modules += (numba_normalizations, numba_attention, numba_losses, numba_recurrent)
        modules += (numba_indexing, numba_elementwise)
        for module in modules:
            for kernel in module.THRESHOLDS:
                patch.setitem(module.THRESHOLDS, kernel, 0)
        patch.setattr(numba_convolutions, "SMALL", 0)
        patch.setattr(numba_pooling, "SMALL", 0)
        for limit in ("SMALL", "SMALL_VECTOR", "SMALL_IN_STACK"):
            patch.setattr(numba_products, limit, 0)
        for dtype in DTYPES:
            array = np.ones(3, dtype)
            kernels = get_device("cpu").sets["numba"]
            kernels.erf(array), kernels.erfc(array)
            kernels.times(array, array), kernels.total(array)
            kernels.gelu_backward(array, array, kernels.gelu(array, False)[1], False)
            kernels.sgd_step(array, array, None, 0.1, 0.0, False, 0.0)
            kernels.sgd_step(array, array, array.copy(), 0.1, 0.9, False, 0.0)
            kernels.adam_step(array, array, array.copy(), array.copy(), 0.1, 0.9, 0.9, 1.0, 0.0, 1)
            kernels.sum_of_squares(array)
            _compile_rows(kernels, array)
            numba_convolutions._kernel(dtype), numba_pooling._kernels(dtype)
            warm_dense(kernels, dtype)
            _compile_sequences(dtype), numba_indexing._compiled(dtype)
        yield


def _compile_rows(kernels: Any, array: Array) -> None:
    x = np.stack([array, array])
    kernels.matmul(x, x.T), kernels.matmul(x[None], x.T[None])
    _, weights = kernels.attention(x, x, x, True, 1.0)
    kernels.attention_backward(x, weights, x, x, x, True, 1.0)
    y = kernels.masked_softmax(x, True, 1)
    kernels.masked_softmax_backward(x, y, True, 1), kernels.softmax(x, 1)
    _, z, weight = kernels.layer_norm(x, array, array, (1,), 1.0)
    kernels.layer_norm_backward(x, z, weight, array, array, (1,))
    _, z, weight, *_ = kernels.batch_norm(x, array, array, 1.0)
    kernels.batch_norm_backward(x, z, weight, array)


def _compile_sequences(dtype: np.dtype[Any]) -> None:
    for cell in ("lstm", "gru", "simple_rnn"):
        for back in (False, True):
            numba_recurrent.compiled(cell, dtype, back)


@pytest.mark.parametrize(("device", "name", "kernel"), REPLACED)
def test_every_kernel_has_a_case(device: str, name: str, kernel: str) -> None:
    assert kernel in REFERENCE, f"{kernel} of set {name!r} on {device!r} replaces no reference"
    assert kernel in CASES, f"say in CASES how to draw the arguments of {kernel}"


@pytest.mark.usefixtures("_all_compiled")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("device", "name", "kernel"), REPLACED)
def test_kernel_equals_its_reference(
    device: str, name: str, kernel: str, dtype: np.dtype[Any]
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        compare(device, name, kernel, CASES[kernel].draw(data.draw, dtype))

    check()


@given(st.data(), st.sampled_from(DTYPES))
def test_short_runs_of_adam(data: st.DataObject, dtype: np.dtype[Any]) -> None:
    """Calls of NumPy step them: w as closely as the loop, and m and v to the bit."""
    arguments = draw_adam_step(data.draw, dtype)
    compare("cpu", "numba", "adam_step", arguments)
    expected, actual = fresh(arguments, np), fresh(arguments, np)
    with np.errstate(all="ignore"):
        REFERENCE["adam_step"](get_device("cpu").sets["reference"], *expected)
        get_device("cpu").sets["numba"].adam_step(*actual)
    for i in (2, 3):
        np.testing.assert_array_equal(actual[i], expected[i], strict=True)


def test_a_short_run_of_adam_divides_by_no_epsilon_that_vanished() -> None:
    """The corrected epsilon is 1e-38 * 1e-8, which float32 does not have; a gradient may be 0."""
    w, g, m, v = (np.zeros(3, np.float32) for _ in range(4))
    w += 1
    kernels = get_device("cpu").sets["numba"]
    kernels.adam_step(w, g, m, v, 0.1, 0.9, 1 - 1e-16, 2e-38, 0.0, 1)
    np.testing.assert_array_equal(w, np.ones(3, np.float32))


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_small_runs_do_not_load_numba() -> None:
    run_python(
        """
        import sys
        import chainrule as cr
        w = cr.ones(100, dtype="float32")
        w.requires_grad = True
        for optimizer in (cr.optim.SGD([w]), cr.optim.Adam([w])):
            (w * w).sum().backward()
            optimizer.step()
        x = cr.ones((8, 8, 8, 1), dtype="float32")
        kernel = cr.ones((3, 3, 1, 4), dtype="float32")
        kernel.requires_grad = True
        cr.max_pool(cr.conv(x, kernel), pool_size=2).sum().backward()
        assert "numba" not in sys.modules
        """
    )


@pytest.mark.parametrize("trouble", ["no folder", "damaged file"])
def test_works_without_a_usable_cache(trouble: str, tmp_path: Any) -> None:
    """In a process of its own: the loops there are compiled anew, and give the same numbers."""
    code = f"""
        import numpy as np, pickle
        from numba.core import caching
        from chainrule.engine.devices import cpu
        if {trouble!r} == "no folder":
            caching.CacheImpl._locator_classes = []
        else:
            def damaged(self):
                raise pickle.UnpicklingError("pickle data was truncated")
            caching.IndexDataCacheFile._load_index = damaged
        w, g = np.ones(2**20, np.float32), np.ones(2**20, np.float32)
        cpu.sets["numba"].sgd_step(w, g, None, 0.25, 0.0, False, 0.0)
        assert (w == 0.75).all()
        """
    run_python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert not list(tmp_path.rglob("*.nbc"))
