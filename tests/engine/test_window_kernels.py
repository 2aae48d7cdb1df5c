"""The compiled convolutions and pools: how the work is cut, what they refuse, what they read."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.kernels import numba_convolutions, numba_pooling
from chainrule.engine.windows import windows

kernels, reference = (get_device("cpu").sets[name] for name in ("numba", "reference"))
OPTIONS = ((1, 1), "same", (1, 1), 1)


def arrays(seed, *shapes, dtype="float32"):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def forms(x, kernel, g):
    """The three forms' names and arguments, for windows that keep the sizes."""
    return {
        "conv": (x, kernel, *OPTIONS),
        "conv_transpose": (g, kernel, x.shape[1:3], *OPTIONS),
        "conv_kernel_gradient": (x, g, kernel.shape[:2], *OPTIONS),
    }


def pools(x, g, y):
    options = (2, None, "valid")
    return {
        "max_pool": (x, *options),
        "avg_pool": (x, *options),
        "max_pool_backward": (g, y, x, *options),
        "avg_pool_backward": (g, x.shape, *options),
    }


def close(found, expected):
    assert found.dtype == expected.dtype
    peak = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5 * peak)


@pytest.mark.parametrize(
    ("shape", "filters"),
    [
        ((3, 40, 45, 5), 7),  # several bands of an image
        ((1, 6, 300, 4), 20),  # rows wider than a band
        ((40, 5, 5, 16), 120),  # several panels of filters
        ((2, 4, 4, 700), 60),  # a kernel larger than a panel
        ((21, 4, 4, 30), 33),  # several images at once, and fewer in the end
    ],
)
def test_bands_panels_and_parts(shape, filters):
    x, kernel, g = arrays(0, shape, (3, 3, shape[-1], filters), (*shape[:3], filters))
    for name, arguments in forms(x, kernel, g).items():
        wide = [a.astype("float64") if isinstance(a, np.ndarray) else a for a in arguments]
        expected = getattr(reference, name)(*wide).astype("float32")
        close(getattr(kernels, name)(*arguments), expected)


def test_a_kernel_too_large_for_several_sums(monkeypatch):
    x, kernel, g = arrays(0, (6, 12, 12, 8), (3, 3, 8, 10), (6, 12, 12, 10))
    arguments = forms(x, kernel, g)["conv_kernel_gradient"]
    expected = reference.conv_kernel_gradient(*arguments)
    for held in (1, 2 * kernel.nbytes):
        monkeypatch.setattr(numba_convolutions, "HELD", held)
        numba_convolutions._plan.cache_clear()
        close(kernels.conv_kernel_gradient(*arguments), expected)
    monkeypatch.undo()
    numba_convolutions._plan.cache_clear()


def test_the_bits_do_not_depend_on_the_number_of_threads():
    threads = pytest.importorskip("chainrule.engine.kernels.compiled.threads")
    x, kernel, g = arrays(0, (9, 20, 20, 6), (3, 3, 6, 9), (9, 20, 20, 9))
    y = reference.max_pool(x, 2, None, "valid")
    (pooled,) = arrays(1, y.shape)
    calls = forms(x, kernel, g) | pools(x, pooled, y)
    before, found = cr.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            threads.limit(count)
            found.append([getattr(kernels, name)(*each) for name, each in calls.items()])
    finally:
        threads.limit(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_lies_otherwise_in_memory_or_may_not_be_written(monkeypatch):
    monkeypatch.setattr(numba_convolutions, "SMALL", 0)
    monkeypatch.setattr(numba_pooling, "SMALL", 0)
    x, kernel, g = arrays(0, (4, 6, 6, 2), (3, 3, 2, 3), (4, 6, 6, 3))
    y = reference.max_pool(x, 2, None, "valid")
    (pooled,) = arrays(1, y.shape)
    for name, arguments in (forms(x, kernel, g) | pools(x, pooled, y)).items():
        expected = getattr(kernels, name)(*arguments)
        strange = [a.T.copy().T if isinstance(a, np.ndarray) else a for a in arguments]
        for each in strange:
            if isinstance(each, np.ndarray):
                each.flags.writeable = False
        np.testing.assert_array_equal(getattr(kernels, name)(*strange), expected)
        other = [
            np.repeat(a, 2, axis=-1)[..., ::2] if isinstance(a, np.ndarray) else a
            for a in arguments
        ]
        np.testing.assert_array_equal(getattr(kernels, name)(*other), expected)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_in_a_kernel_meets_no_margins_on_the_way_back(bad):
    (g, kernel) = arrays(0, (8, 20, 20, 8), (3, 3, 8, 8))
    kernel[0, 0, 0, 0] = bad
    arguments = (g, kernel, (20, 20), *OPTIONS)
    expected = reference.conv_transpose(*arguments)
    found = kernels.conv_transpose(*arguments)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    assert np.isfinite(found[:, -1, :, 0]).all()  # that offset would see what is below the image


@pytest.mark.parametrize("strides", [1, 2, 4])
def test_margins_are_equal_to_elements_that_are_minus_infinity(monkeypatch, strides):
    """They have their share of the gradient then, as in the reference."""
    monkeypatch.setattr(numba_pooling, "SMALL", 0)
    x = np.full((2, 5, 6, 3), -np.inf, "float32")
    y = reference.max_pool(x, 3, strides, "same")
    (g,) = arrays(0, y.shape)
    expected = reference.max_pool_backward(g, y, x, 3, strides, "same")
    close(kernels.max_pool_backward(g, y, x, 3, strides, "same"), expected)


@pytest.mark.parametrize("strides", [(2, 2), (2, 1), (3, 4)])
@pytest.mark.parametrize("window", [(3, 3), (1, 2), (5, 4)])
def test_the_way_back_of_strided_windows(strides, window):
    """Offsets of each remainder meet by themselves; where no window sees anything are zeros."""
    sizes, padding = (25, 22), ((1, 0), (0, 1))
    if window == (5, 4):
        padding = ((4, 2), (1, 3))
    (kernel,) = arrays(0, (*window, 7, 20))
    lengths = windows(sizes, window, strides, padding).lengths
    (g,) = arrays(1, (30, *lengths, 20))
    arguments = (g, kernel, sizes, strides, padding, (1, 1), 1)
    expected = reference.conv_transpose(*arguments)
    close(kernels.conv_transpose(*arguments), expected)


@pytest.mark.parametrize("side", ["below", "at"])
def test_the_shape_decides_who_computes(monkeypatch, side):
    """With the reference's results to the bit where it computes."""
    called = []
    monkeypatch.setattr(
        numba_convolutions, "_kernel", lambda dtype: called.append(dtype) or _broken
    )
    filters = 16 if side == "below" else 17
    x, kernel = arrays(0, (1, 32, 32, 16), (1, 1, 16, filters))
    if side == "below":
        found = kernels.conv(x, kernel, *OPTIONS)
        np.testing.assert_array_equal(found, reference.conv(x, kernel, *OPTIONS))
        assert not called
    else:
        with pytest.raises(ZeroDivisionError):
            kernels.conv(x, kernel, *OPTIONS)


def _broken(*arguments):
    raise ZeroDivisionError


def test_on_an_unknown_processor_the_reference_computes(monkeypatch):
    monkeypatch.setattr(numba_convolutions, "_kernel", lambda dtype: None)
    monkeypatch.setattr(numba_pooling, "_kernels", lambda dtype: None)
    x, kernel, g = arrays(0, (9, 20, 20, 8), (3, 3, 8, 9), (9, 20, 20, 9))
    y = reference.max_pool(x, 2, None, "valid")
    (pooled,) = arrays(1, y.shape)
    for name, arguments in (forms(x, kernel, g) | pools(x, pooled, y)).items():
        close(getattr(kernels, name)(*arguments), getattr(reference, name)(*arguments))


def test_dilated_and_strided_sequences():
    for options in [(1, "causal", 4, 1), (2, "same", 1, 1), (3, ((2, 1),), 2, 1)]:
        x = cr.tensor(*arrays(0, (6, 500, 5)), requires_grad=True)
        kernel = cr.tensor(*arrays(1, (3, 5, 34)), requires_grad=True)
        found = []
        for name in ("numba", "reference"):
            with cr.kernels(name):
                y = cr.conv(x, kernel, **dict(zip(_NAMES, options, strict=True)))
                gradients = cr.grad([y], [x, kernel], arrays(2, y.shape))
                found.append([each.numpy() for each in (y, *gradients)])
        for one, two in zip(*found, strict=True):
            close(one, two)


_NAMES = ("strides", "padding", "dilation", "groups")
