"""The kernels with windows equal their references: convolutions' columns, and pools."""

from __future__ import annotations

import math
import mmap
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.kernels import convolutions as reference
from chainrule.engine.windows import Windows, windows
from chainrule.gpu import emulator
from chainrule.gpu.backends import names
from chainrule.gpu.emulator import Module
from chainrule.gpu.families import convolutions, pooling
from chainrule.gpu.sources import source
from chainrule.gpu.windows import suits

from .parity import (
    DTYPES,
    Array,
    Case,
    Draw,
    attributes,
    check,
    compare,
    every,
    launches,
    numbers,
)

Lengths = st.SearchStrategy[int]
CPU = get_device("cpu").sets["reference"]


def images(draw: Draw, most: int = 9) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Sizes of one or two axes, a window that fits, and channels: packs, or none."""
    axes = draw(st.integers(1, 2))
    window = tuple(draw(st.integers(1, 4)) for _ in range(axes))
    sizes = tuple(draw(st.integers(size, most)) for size in window)
    return sizes, window, draw(st.sampled_from([1, 2, 3, 4, 8]))


def steps(draw: Draw, axes: int) -> Any:
    return draw(st.sampled_from([1, 2, (3,) * axes, (2, 1)[:axes]]))


def drawn_windows(draw: Draw) -> tuple[Windows, int]:
    sizes, window, channels = images(draw)
    margins = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 5)) for _ in sizes])
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), margins))
    dilation = draw(st.sampled_from([1, 1, 2]))
    if padding == "valid":
        dilation = 1  # so that it fits
    elif padding != "same":
        padding = tuple((before + 4, after) for before, after in padding)
    return windows(sizes, window, steps(draw, len(sizes)), padding, dilation), channels


def lead_of(draw: Draw) -> tuple[int, ...]:
    """The axes in front: groups and batch, or one of them."""
    return draw(st.sampled_from([(1,), (3,), (2, 2)]))


def draw_im2col(draw: Draw, dtype: np.dtype[Any], _: Lengths) -> list[Any]:
    seen, channels = drawn_windows(draw)
    x = numbers(draw, dtype, *lead_of(draw), *seen.sizes, channels)
    return [x, seen]


def draw_col2im(draw: Draw, dtype: np.dtype[Any], _: Lengths) -> list[Any]:
    seen, channels = drawn_windows(draw)
    return [numbers(draw, dtype, *seen.window, *lead_of(draw), *seen.lengths, channels), seen]


def pool_of(draw: Draw, dtype: np.dtype[Any]) -> tuple[Array, list[Any]]:
    sizes, window, channels = images(draw)
    strides = draw(st.one_of(st.none(), st.just(steps(draw, len(sizes)))))
    padding = draw(st.sampled_from(["valid", "same"]))
    x = numbers(draw, dtype, draw(st.integers(1, 3)), *sizes, channels)
    if draw(st.booleans()):
        x = np.round(x, -1)  # ties
    return x, [window, strides, padding]


def draw_pool(draw: Draw, dtype: np.dtype[Any], _: Lengths) -> list[Any]:
    x, options = pool_of(draw, dtype)
    return [x, *options]


def draw_max_backward(draw: Draw, dtype: np.dtype[Any], _: Lengths) -> list[Any]:
    x, options = pool_of(draw, dtype)
    with np.errstate(all="ignore"):
        y = CPU.max_pool(x, *options)
    return [numbers(draw, dtype, *y.shape), y, x, *options]


def draw_avg_backward(draw: Draw, dtype: np.dtype[Any], _: Lengths) -> list[Any]:
    x, options = pool_of(draw, dtype)
    shape = pooling.pools(x.shape, *options)
    return [numbers(draw, dtype, len(x), *shape.lengths, x.shape[-1]), x.shape, *options]


def equal(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """Nothing is computed, or in the same order with the same roundings."""
    return np.zeros(truth.shape)


def size_of(array: Array) -> Array:
    return np.abs(np.where(np.isfinite(array), array, 0)).astype(np.float64)


def avg_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """The same sum; one division by a count in place of two, so at most three roundings apart.

    Of denormal numbers each rounding is absolute.
    """
    about = np.finfo(truth.dtype)
    return 1.5 * float(about.eps) * size_of(truth) + 2 * float(about.smallest_subnormal)


def avg_backward_allows(arguments: list[Any], position: int | None, truth: Array) -> Array:
    """Each term as above, and the sum of as many as a window sees, in the same order.

    With n terms of sizes that sum to s: 1.5 eps s from the terms, and (n - 1) eps s from the
    roundings of different partial sums.
    """
    g, *options = arguments
    about, terms = np.finfo(truth.dtype), math.prod(pooling.pools(*options).window)
    sizes = CPU.avg_pool_backward(size_of(g), *options)
    return (terms + 1) * (float(about.eps) * sizes + 2 * float(about.smallest_subnormal))


#: A row of windows by one block, or by several.
SHARED_ROWS = (
    lambda: attributes(convolutions),
    lambda: attributes(convolutions, LEAST_OF_BLOCK=7),
)

CASES = {
    "im2col": Case(draw_im2col, equal, settings=SHARED_ROWS),
    "col2im": Case(draw_col2im, equal),
    "max_pool": Case(draw_pool, equal),
    "max_pool_backward": Case(draw_max_backward, equal),
    "avg_pool": Case(draw_pool, avg_allows),
    "avg_pool_backward": Case(draw_avg_backward, avg_backward_allows),
}


@every(CASES)
def test_equals_reference(device, kernel_set, dtype, name):
    check(device, kernel_set, dtype, name, CASES[name])


def test_every_kernel_is_tested():
    assert set(CASES) == {*convolutions.REPLACES, *pooling.REPLACES}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_kernel_races_or_reads_elsewhere(device, kernel_set, dtype):
    """In checked mode: packs and single numbers, with margins, overlapping windows and apart."""
    if device.name != "emulated":
        pytest.skip("only the emulator checks accesses")
    random = np.random.default_rng(0)
    for channels in (1, 4):
        x = random.standard_normal((2, 5, 4, channels)).astype(dtype)
        seen = windows((5, 4), (3, 2), 2, "same")
        columns = random.standard_normal((3, 2, 2, *seen.lengths, channels)).astype(dtype)
        calls: list[tuple[str, list[Any]]] = [("im2col", [x, seen]), ("col2im", [columns, seen])]
        for options in ([2, None, "same"], [(3, 2), 1, "same"]):
            y = CPU.max_pool(x, *options)
            calls += [("max_pool", [x, *options]), ("avg_pool", [x, *options])]
            calls += [("max_pool_backward", [y, y, x, *options])]
            calls += [("avg_pool_backward", [y, x.shape, *options])]
        long = random.standard_normal((1, 200, channels)).astype(dtype)  # a row for two blocks
        calls += [("im2col", [long, windows((200,), 3)])]
        with attributes(convolutions, LEAST_OF_BLOCK=300), emulator.checked():
            for name, arguments in calls:
                compare(device, kernel_set, name, CASES[name], arguments)


def test_channels_that_fill_packs_go_in_packs(device):
    """An array in the middle of another is not at a multiple of 16 bytes: single numbers then."""
    seen = windows((6,), 3, 1, "same")
    k = device.sets["raw"]
    memory = device.xp.arange(1 + 2 * 6 * 4, dtype="float32")
    for start in (0, 1):
        x = memory[start : start + 48].reshape(2, 6, 4)
        truth = CPU.im2col(device.to_host(x), seen)
        np.testing.assert_array_equal(device.to_host(k.im2col(x, seen)), truth)


@pytest.mark.parametrize(
    ("lead", "seen"),
    [
        ((1,), windows((1_000_000,), 3)),
        ((32,), windows((1000,), 64)),
        ((2,), windows((9, 90_000), (2, 3))),
    ],
)
def test_few_long_rows_of_windows_keep_many_blocks_busy(monkeypatch, lead, seen):
    """A sequence is one row of windows: it would have but one of a GPU's 100 multiprocessors."""
    grids = []
    monkeypatch.setattr(
        get_device("emulated").backend("raw"), "launch", lambda *given: grids.append(given[2])
    )
    get_device("emulated").sets["raw"].im2col(np.zeros((*lead, *seen.sizes, 1), "float32"), seen)
    ((across, down, _),) = grids
    assert across == math.prod(lead) * math.prod(seen.lengths[:-1])
    each = seen.lengths[-1] * math.prod(seen.window)  # numbers of a row
    assert across * down >= min(1000, across * (each // 2048))


@pytest.mark.parametrize("strides", [1, None])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_pools_of_nan_infinities_and_ties(device, kernel_set, strides, padding):
    """NaN first, last and in the middle of a window; and windows of one number alone."""
    x = np.arange(2 * 6 * 6.0).reshape(2, 6, 6, 1)
    x[0, 0, 0], x[0, 1, 3], x[0, 3, 2], x[0, 2, 5] = np.nan, np.nan, np.nan, np.inf
    x[1, :2, :2], x[1, 2:4, 2:4], x[1, 4:, :2], x[1, 4:, 4:] = -np.inf, np.nan, 3.0, -0.0
    options = [2, strides, padding]
    y = CPU.max_pool(x, *options)
    g = np.random.default_rng(0).standard_normal(y.shape)
    compare(device, kernel_set, "max_pool", CASES["max_pool"], [x, *options])
    compare(device, kernel_set, "avg_pool", CASES["avg_pool"], [x, *options])
    compare(
        device, kernel_set, "max_pool_backward", CASES["max_pool_backward"], [g, y, x, *options]
    )


def test_windows_apart_need_one_kernel_and_overlapping_two(device):
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 1))
    for strides, expected in (
        (None, ["max_pool_backward_apart"]),
        (3, ["max_pool_backward_apart"]),
        (1, ["max_pool_shares", "max_pool_gather"]),
        ((2, 1), ["max_pool_shares", "max_pool_gather"]),
    ):
        options = [2, strides, "valid"]
        y = CPU.max_pool(x, *options)
        found = compare(
            device, "raw", "max_pool_backward", CASES["max_pool_backward"], [y, y, x, *options]
        )
        assert found == expected


@pytest.mark.parametrize(
    ("dtype", "axes"), [("int64", 1), ("float16", 2), ("float64", 3)], ids=["int", "half", "3-d"]
)
def test_what_the_kernels_do_not_cover_goes_to_the_reference(device, kernel_set, dtype, axes):
    x = device.from_host(np.arange(2 * 4**axes).reshape(2, *[4] * axes, 1).astype(dtype))
    seen = windows((4,) * axes, 2, 2)
    k = device.sets[kernel_set]
    with launches() as launched:
        columns = k.im2col(x, seen)
        y = k.max_pool(x, 2, None, "valid")
        results = [columns, y, k.avg_pool(x, 2, None, "valid")]
        results.append(k.max_pool_backward(y, y, x, 2, None, "valid"))
    host = device.to_host(x)
    peak = CPU.max_pool(host, 2, None, "valid")
    truths = [CPU.im2col(host, seen), peak, CPU.avg_pool(host, 2, None, "valid")]
    truths.append(CPU.max_pool_backward(peak, peak, host, 2, None, "valid"))
    assert not launched
    for result, truth in zip(results, truths, strict=True):
        np.testing.assert_array_equal(device.to_host(result), truth)


def test_empty_arrays_launch_nothing(device, kernel_set):
    k = device.sets[kernel_set]
    for shape in ((0, 4, 4, 2), (2, 4, 4, 0)):
        x = device.xp.zeros(shape, dtype="float32")
        seen = windows((4, 4), 2, 2)
        with launches() as launched:
            y = k.max_pool(x, 2, None, "valid")
            assert k.im2col(x, seen).shape == (shape[0], 2, 2, 2, 2, shape[-1])
            assert k.col2im(device.xp.zeros((2, 2, *y.shape)), seen).shape == shape
            assert k.max_pool_backward(y, y, x, 2, None, "valid").shape == shape
            assert k.avg_pool_backward(y, shape, 2, None, "valid").shape == shape
        assert y.shape == (shape[0], 2, 2, shape[-1]) and not launched


def test_the_same_bits_in_every_schedule(device, kernel_set):
    """Sums of many terms: overlapping windows."""
    random = np.random.default_rng(0)
    k = device.sets[kernel_set]
    seen = windows((6, 6), 3, 1, "same")
    columns = device.from_host(random.standard_normal((3, 3, 2, 6, 6, 2)).astype("float32"))
    g = device.from_host(random.standard_normal((2, 6, 6, 2)).astype("float32"))
    results = []
    for schedule in ("forward", "reverse", "shuffle:3"):
        with emulator.schedule(schedule):
            pooled = k.avg_pool_backward(g, (2, 6, 6, 2), 3, 1, "same")
            results.append([device.to_host(k.col2im(columns, seen)), device.to_host(pooled)])
    for each in results[1:]:
        np.testing.assert_array_equal(each, results[0])


def test_sizes_beyond_32_bits_are_refused_by_suits():
    """The launcher would refuse them: the reference is taken instead."""
    assert suits("float32", windows((2**15, 2**15), 1), 1)
    assert not suits("float32", windows((2**16, 2**15), 1), 1)  # an image
    assert not suits("float32", windows((2**15,), 2**14, 1), 2**3)  # a row of columns
    assert not suits("float32", windows((2**31 - 2,), 1, 1, ((1, 1),)), 1)  # with its margins


@pytest.mark.skipif(sys.platform != "linux", reason="takes memory that is never touched")
def test_images_beyond_32_bits_are_found():
    """The last of 4,097 images of 2^20 numbers: only the blocks that have it are run."""
    count, width, window = 2**12 + 1, 2**20, 4
    module = Module(source("convolutions"), names("convolutions"))
    pools = Module(source("pooling"), names("pooling"))
    x, columns, y = (untouched(count * width) for _ in range(3))
    x[-width:] = np.arange(width)
    given = [count, 1, width, 1, 1, width // window, 1, window, 1, window, 1, 1, 0, 0]
    module.launch("im2col_float", count, 256, [x, columns, *given], blocks=[count - 1])
    np.testing.assert_array_equal(columns[-width:], x[-width:])
    module.launch(
        "col2im_float", (width // 256, count), 256, [x, y, *given[:2], width, *given[3:5], width, 1]
        + [1] * 5 + [0, 0], blocks=[count * (width // 256) - 1]
    )  # fmt: skip
    np.testing.assert_array_equal(y[-256:], x[-256:])
    blocks = width // window // 256
    pooled = untouched(count * (width // window))
    pools.launch(
        "max_pool_float", (blocks, count), 256, [x, pooled, *given], blocks=[count * blocks - 1]
    )
    np.testing.assert_array_equal(pooled[-256:], x[window - 1 :: window][-256:])
    assert pooled[-257] == 0


def untouched(size: int) -> Array:
    """Zeros, whose memory is taken as it is written to."""
    no_reserve = 0x4000  # of Linux; Python has a name for it from 3.13 on
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    return np.frombuffer(mmap.mmap(-1, 4 * size, flags=flags), np.float32)


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}, {"strides": 2}])
def test_a_convolution_of_tensors_follows_the_cpu(device, kernel_set, options):
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 7, 6, 4))
    kernel = random.standard_normal((3, 2, 4 // options.get("groups", 1), 4))
    results = []
    with cr.kernels(kernel_set):
        for where in ("cpu", device.name):
            a, b = (cr.tensor(each, device=where, requires_grad=True) for each in (x, kernel))
            y = cr.conv(a, b, padding="same", **options)
            z = cr.avg_pool(cr.max_pool(y, pool_size=2), pool_size=2, padding="same")
            (z * z).sum().backward()
            results.append([each.cpu().numpy() for each in (z, a.grad, b.grad)])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_gpu_makes_more_columns_at_once(device, monkeypatch):
    """As many images as have DEVICE_BLOCK bytes of columns; the results are those of one batch."""
    random = np.random.default_rng(0)
    x, kernel = random.standard_normal((6, 5, 4, 2)), random.standard_normal((3, 2, 2, 3))
    k = device.sets["raw"]
    given = [device.from_host(each) for each in (x, kernel)]
    options = [1, "valid", 1, 1]
    monkeypatch.setattr(reference, "BLOCK", 1)
    results = []
    for block, parts in ((reference.DEVICE_BLOCK, 1), (2 * 8 * 3 * 3 * 12, 3)):
        monkeypatch.setattr(reference, "DEVICE_BLOCK", block)
        with launches() as launched:
            results.append(device.to_host(k.conv(*given, *options)))
        assert launched == ["im2col"] * parts
    np.testing.assert_allclose(results[0], results[1], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(results[0], CPU.conv(x, kernel, *options), rtol=1e-13, atol=1e-13)
