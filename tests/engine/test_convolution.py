"""Convolutions: a naive loop, PyTorch, the three forms as gradients, memory, errors."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.devices import get_device
from chainrule.engine.kernels import convolutions
from chainrule.engine.tracing import products
from chainrule.engine.windows import windows

quick = settings(deadline=None, max_examples=25)


@st.composite
def calls(draw, axes=None, paddings=("valid", "same", "pairs", "causal")):
    """Shapes of x and kernel, and options, that fit together."""
    axes = draw(st.integers(1, 2)) if axes is None else axes

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    window, dilation = per_axis(1, 3), per_axis(1, 2)
    spans = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    sizes = tuple(draw(st.integers(span, span + 3)) for span in spans)
    padding = draw(st.sampled_from([p for p in paddings if p != "causal" or axes == 1]))
    if padding == "pairs":
        padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(axes))
    groups, channels, filters = (draw(st.integers(1, 3)) for _ in range(3))
    options = {"strides": per_axis(1, 3), "padding": padding, "dilation": dilation}
    x_shape = (draw(st.integers(1, 2)), *sizes, channels * groups)
    return x_shape, (*window, channels, filters * groups), options | {"groups": groups}


def arrays(seed, *shapes, dtype="float64"):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def margins_of(size, window, stride, padding, dilation, axis):
    """From the definition of the paddings, without the code under test."""
    span = (window - 1) * dilation + 1
    if padding == "same":
        total = max((math.ceil(size / stride) - 1) * stride + span - size, 0)
        return total // 2, total - total // 2
    if padding == "causal":
        return span - 1, 0
    return (0, 0) if padding == "valid" else padding[axis]


def naive(x, kernel, strides, padding, dilation, groups):
    """Every product of the formula, one by one."""
    axes = x.ndim - 2
    margins = [
        margins_of(x.shape[1 + i], kernel.shape[i], strides[i], padding, dilation[i], i)
        for i in range(axes)
    ]
    x = np.pad(x, [(0, 0), *margins, (0, 0)])
    lengths = [
        (x.shape[1 + i] - (kernel.shape[i] - 1) * dilation[i] - 1) // strides[i] + 1
        for i in range(axes)
    ]
    channels, filters = kernel.shape[-2:]
    y = np.zeros((len(x), *lengths, filters))
    for where in itertools.product(*map(range, lengths)):
        for offset in itertools.product(*map(range, kernel.shape[:-2])):
            at = tuple(
                o * s + i * d for o, s, i, d in zip(where, strides, offset, dilation, strict=True)
            )
            for f in range(filters):
                first = f // (filters // groups) * channels
                for c in range(channels):
                    y[(slice(None), *where, f)] += (
                        kernel[(*offset, c, f)] * x[(slice(None), *at, first + c)]
                    )
    return y


def bound(x, kernel):
    """Of a sum of products of numbers of the order of 1: so many roundings, and a factor."""
    terms = math.prod(kernel.shape[:-1])
    peak = np.abs(x).max() * np.abs(kernel).max()
    return 4 * terms * terms * peak * np.finfo(np.float64).eps


@quick
@given(calls(), st.integers(0, 999))
def test_equals_a_naive_loop(call, seed):
    x_shape, kernel_shape, options = call
    x, kernel = arrays(seed, x_shape, kernel_shape)
    expected = naive(x, kernel, **options)
    for name in ("numba", "reference"):
        with cr.kernels(name):
            found = cr.conv(x, kernel, **options)
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=bound(x, kernel))


@quick
@given(calls(paddings=("valid", "pairs")), st.integers(0, 999), st.sampled_from([64, 32]))
def test_equals_pytorch_with_its_gradients(call, seed, bits):
    torch = pytest.importorskip("torch")
    x_shape, kernel_shape, options = call
    axes = len(x_shape) - 2
    x, kernel = arrays(seed, x_shape, kernel_shape, dtype=f"float{bits}")
    ours = [cr.tensor(each, requires_grad=True) for each in (x, kernel)]
    y = cr.conv(*ours, **options)
    (upstream,) = arrays(seed + 1, y.shape, dtype=f"float{bits}")
    y.backward(upstream)

    theirs = [torch.tensor(each, requires_grad=True) for each in (x, kernel)]
    image = theirs[0].movedim(-1, 1)
    if options["padding"] != "valid":  # PyTorch's own padding is the same on both sides
        flat = [each for pair in reversed(options["padding"]) for each in pair]
        image = torch.nn.functional.pad(image, flat)
    weight = theirs[1].permute(axes + 1, axes, *range(axes)).contiguous()
    function = getattr(torch.nn.functional, f"conv{axes}d")
    z = function(
        image,
        weight,
        stride=options["strides"],
        dilation=options["dilation"],
        groups=options["groups"],
    ).movedim(1, -1)
    z.backward(torch.tensor(upstream))
    tolerance = 1e-9 if bits == 64 else 1e-4
    pairs = [(y, z.detach()), *((a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))]
    for found, expected in pairs:
        assert found.dtype == np.dtype(f"float{bits}")
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=tolerance, rtol=tolerance)


@quick
@given(calls(), st.integers(0, 999))
def test_the_forms_are_adjoint(call, seed):
    """<conv(x, w), d> = <x, conv_transpose(d, w)> = <w, conv_kernel_gradient(x, d)>."""
    x_shape, kernel_shape, options = call
    x, kernel = arrays(seed, x_shape, kernel_shape)
    y = cr.conv(x, kernel, **options).numpy()
    (delta,) = arrays(seed + 1, y.shape)
    back = cr.conv_transpose(delta, kernel, size=x_shape[1:-1], **options).numpy()
    weights = cr.conv_kernel_gradient(x, delta, kernel_size=kernel_shape[:-2], **options).numpy()
    assert back.shape == x_shape and weights.shape == kernel_shape
    size = np.abs(y).ravel() @ np.abs(delta).ravel() + 1
    products = [np.vdot(y, delta), np.vdot(x, back), np.vdot(kernel, weights)]
    assert np.ptp(products) <= 1e-12 * size


@settings(deadline=None, max_examples=6)
@given(calls(), st.integers(0, 999))
def test_gradients_to_second_order(call, seed):
    x_shape, kernel_shape, options = call
    cr.assert_gradients(
        lambda x, kernel: cr.conv(x, kernel, **options),
        *arrays(seed, x_shape, kernel_shape),
        order=2,
        seed=seed,
    )


def test_gradients_of_third_order():
    """The forms are each other's gradients, so that there is no last order."""
    x, kernel, w = arrays(0, (1, 4, 2), (2, 2, 2), (1, 3, 2))

    def value(t):
        return (cr.conv(t * x, t * kernel) ** 2 * w).sum()

    third = cr.grad(cr.grad(cr.grad(value)))
    t, coefficient = 0.7, value(cr.tensor(1.0)).item()  # the value is that times t**4
    assert third(t).item() == pytest.approx(24 * coefficient * t, rel=1e-12)


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_parts_of_the_batch_give_the_same(monkeypatch, images, groups):
    x, kernel = arrays(0, (5, 5, 4, 2 * groups), (3, 2, 2, 3 * groups))
    options = {"padding": "same", "groups": groups}

    def run():
        a, b = cr.tensor(x, requires_grad=True), cr.tensor(kernel, requires_grad=True)
        y = cr.conv(a, b, **options)
        y.backward(*arrays(1, y.shape))
        return [y.numpy(), a.grad.numpy(), b.grad.numpy()]

    whole = run()
    monkeypatch.setattr(convolutions, "BLOCK", images * 5 * 4 * 6 * 2 * groups * 8)
    seen, original = [], convolutions._rows
    monkeypatch.setattr(
        convolutions, "_rows", lambda k, x, w: seen.append(x.shape[1]) or original(k, x, w)
    )
    parts = run()
    assert seen == 2 * ([1] * 5 if images == 1 else [2, 2, 1])  # forward, and for the kernel
    for found, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_an_image_larger_than_a_block_is_computed(monkeypatch):
    monkeypatch.setattr(convolutions, "BLOCK", 1)
    x, kernel = arrays(0, (2, 4, 3, 1), (2, 2, 1, 2))
    expected = naive(x, kernel, (1, 1), "valid", (1, 1), 1)
    np.testing.assert_allclose(cr.conv(x, kernel).numpy(), expected, atol=1e-13)


def test_an_empty_batch_has_gradients():
    x = cr.tensor(np.zeros((0, 5, 5, 2)), requires_grad=True)
    kernel = cr.tensor(np.ones((3, 3, 2, 4)), requires_grad=True)
    y = cr.conv(x, kernel, padding="same", strides=2)
    assert y.shape == (0, 3, 3, 4)
    y.backward(np.zeros(y.shape))
    assert x.grad.shape == x.shape
    np.testing.assert_array_equal(kernel.grad.numpy(), np.zeros(kernel.shape))


@pytest.mark.parametrize("window", [(3, 3), (1, 1)])
def test_only_x_and_the_kernel_are_kept(window):
    """The columns, many times as large as x, are made again for the backward pass."""
    x = cr.tensor(np.ones((2, 8, 8, 4)), requires_grad=True)
    kernel = cr.tensor(np.ones((*window, 4, 5)), requires_grad=True)
    y = cr.conv(x, kernel, padding="same")
    kept = [each for each in y._node.saved if isinstance(each, np.ndarray)]
    assert {id(each) for each in kept} == {id(x._data), id(kernel._data)}


@pytest.mark.parametrize("name", ["numba", "reference"])
def test_columns_are_dropped_and_never_all_there(monkeypatch, name):
    x = cr.tensor(np.ones((16, 16, 16, 4)), requires_grad=True)
    kernel = cr.tensor(np.ones((5, 5, 4, 2)), requires_grad=True)
    columns = 25 * x.numpy().nbytes
    monkeypatch.setattr(convolutions, "BLOCK", columns // 8)
    with cr.kernels(name):
        cr.conv(x, kernel, padding="same")  # what is compiled is compiled now
        tracemalloc.start()
        try:
            y = cr.conv(x, kernel, padding="same")
            after_forward = tracemalloc.get_traced_memory()[0]
            y.backward(np.ones(y.shape))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert after_forward < 2 * y.numpy().nbytes
    assert peak < columns / 2


def test_gradients_that_lie_otherwise_in_memory_are_the_same():
    x, kernel = arrays(0, (2, 5, 4, 2), (3, 2, 2, 3))
    y = cr.conv(x, kernel)
    upstreams = [np.broadcast_to(np.array(0.5), y.shape), np.full(y.shape, 0.5)]
    upstreams.append(np.full(y.shape[::-1], 0.5).T)
    found = []
    for upstream in upstreams:
        a, b = cr.tensor(x, requires_grad=True), cr.tensor(kernel, requires_grad=True)
        gradients = cr.grad([cr.conv(a, b)], [a, b], [upstream])
        found.append([each.numpy() for each in gradients])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-14)


@pytest.mark.parametrize("kind", ["int64", "uint8", "bool"])
def test_integers_are_computed_with_as_float64(kind):
    x = np.array([[[1], [0], [1], [1]]], kind)
    y = cr.conv(cr.tensor(x), np.array([[[-1.0]], [[2.0]]]))
    assert y.dtype == np.float64
    assert y.flatten().tolist() == [-1.0, 2.0, 1.0]


def test_nan_reaches_the_windows_that_see_it_and_no_others():
    x = np.zeros((1, 6, 1))
    x[0, 2] = np.nan
    y = cr.conv(x, np.ones((2, 1, 1))).numpy().ravel()
    assert np.isnan(y).tolist() == [False, True, True, False, False]


def test_causal_sees_nothing_that_comes_later():
    x, kernel = arrays(0, (1, 6, 2), (3, 2, 2))
    before = cr.conv(x, kernel, padding="causal", dilation=2).numpy()
    x[0, 4:] += 1.0
    after = cr.conv(x, kernel, padding="causal", dilation=2).numpy()
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).all()
    assert before.shape == (1, 6, 2)


@pytest.mark.parametrize(("size", "stride"), [(5, 2), (6, 2), (7, 3), (1, 2)])
def test_same_has_a_window_for_each_stride_and_more_margin_at_the_end(size, stride):
    """As in Keras and TensorFlow."""
    seen = windows((size,), 4, stride, "same")
    (before, after) = seen.margins[0]
    assert seen.lengths == (math.ceil(size / stride),)
    assert 0 <= after - before <= 1


def test_the_products_are_counted():
    """Two operations for each filter, window and element it sees: of 2 of 4 channels, in groups."""
    x, kernel = arrays(0, (2, 6, 5, 4), (3, 2, 2, 6))
    y = cr.conv(x, kernel, groups=2).shape
    expected = 2 * (2 * 4 * 4) * 6 * (3 * 2 * 2)
    calls = [
        (cr.conv, y, [x.shape, kernel.shape]),
        (cr.conv_transpose, x.shape, [y, kernel.shape]),
        (cr.conv_kernel_gradient, kernel.shape, [x.shape, y]),
    ]
    for function, result, shapes in calls:
        found = products(function.record, result, shapes, {"groups": 2})
        assert set(found.values()) == {expected}


# Errors -------------------------------------------------------------------------------------


X, KERNEL = np.zeros((2, 6, 6, 4), np.float32), np.zeros((3, 3, 4, 8), np.float32)


@pytest.mark.parametrize(
    ("x", "kernel", "options", "text"),
    [
        (X[..., 0], KERNEL[:, :, :1], {}, r"same number of axes; give x\[..., None\]"),
        (X[0, 0], KERNEL, {}, r"x must have axes \(batch, \[height,\] width, channels\)"),
        (X, KERNEL[0, 0], {}, r"kernel must have axes"),
        (X, KERNEL[:, :, :3], {}, r"x of 4 channels needs a kernel of 4 .*not 3"),
        (X, KERNEL[:, :, :2], {"groups": 3}, r"groups=3 does not divide the 4 channels"),
        (X[..., :3], KERNEL[:, :, :1], {"groups": 3}, r"groups=3 does not divide the 8 filters"),
        (X, KERNEL, {"groups": 0}, r"groups must be at least 1"),
        (X, KERNEL[..., :0], {}, "at least one of the filters"),
        (X[..., :0], KERNEL[:, :, :0], {}, "at least one of the channels"),
        (X, KERNEL[:0], {}, r"kernel_size must be at least 1, got \(0, 3\)"),
        (X[:, :2], KERNEL, {}, r"kernel_size \(3, 3\) does not fit: along spatial axis 0 .* x 2;"),
        (X, KERNEL, {"dilation": (1, 3)}, r"axis 1 it is 3 long \(spread over 7 by dilation 3\)"),
        (X[:, :0], KERNEL, {"padding": "same"}, r"does not fit.*x 0"),
        (X, KERNEL, {"padding": "full"}, r"padding must be one of 'valid', 'same', 'causal'"),
        (X, KERNEL, {"padding": "causal"}, "'causal' is for one spatial axis, and there are 2"),
        (X, KERNEL, {"padding": (1, 1)}, r"such as \(\(1, 1\), \(1, 1\)\)"),
        (X, KERNEL, {"padding": [[1, 1], [0, -1]]}, "padding must be at least 0"),
        (X, KERNEL, {"strides": (1, 2, 3)}, "strides must be an integer, or one for each of 2"),
        (X, KERNEL, {"strides": 0}, "strides must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_told_with_everything(x, kernel, options, text):
    with pytest.raises(cr.ShapeError, match=text) as error:
        cr.conv(x, kernel, **options)
    told = str(error.value)
    assert told.startswith("conv: ")
    assert f"x has shape {x.shape}, float32" in told
    assert f"kernel has shape {kernel.shape}, float32" in told


@pytest.mark.parametrize("name", ["strides", "dilation", "groups"])
@pytest.mark.parametrize("value", [1.0, True, "2", cr.tensor(1)])
def test_options_that_are_no_integers(name, value):
    with pytest.raises(cr.DtypeError, match=f"conv: {name} must be an integer"):
        cr.conv(X, KERNEL, **{name: value})


def test_what_does_not_fit_the_other_forms():
    y = np.zeros((2, 4, 4, 8))
    with pytest.raises(cr.ShapeError, match=r"x must have spatial lengths \(5, 5\), .*not \(4, 4"):
        cr.conv_transpose(y, KERNEL, size=7)
    with pytest.raises(cr.ShapeError, match="as many channels as the kernel has filters, 8, not 7"):
        cr.conv_transpose(y[..., :7], KERNEL, size=6)
    with pytest.raises(cr.ShapeError, match="x and delta must have the same batch"):
        cr.conv_kernel_gradient(X[:1], y, kernel_size=3)
    with pytest.raises(cr.ShapeError, match=r"delta must have spatial lengths \(5, 5\)"):
        cr.conv_kernel_gradient(X, y, kernel_size=2)


@pytest.mark.parametrize("size", [(9,), (9, 8)])
def test_columns_of_one_channel_that_was_added_as_an_axis(size):
    """Its stride is 0 in memory that counts as contiguous."""
    x = np.random.default_rng(0).normal(size=(1, 2, *size))[..., None]
    assert x.flags.c_contiguous and x.strides[-1] == 0
    seen = windows(size, (6,) * len(size))
    fast, right = (get_device("cpu").sets[name].im2col(x, seen) for name in ("numba", "reference"))
    np.testing.assert_array_equal(fast, right)
