"""Each image is changed by its own draw; shape, dtype, range and the images given stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.errors import DtypeError, ShapeError
from chainrule.images import random_flip, random_noise, random_rotation, random_shift
from chainrule.training import augmentation

FUNCTIONS = {
    "shift": lambda images, **o: random_shift(images, 2, **o),
    "flip": lambda images, **o: random_flip(images, "horizontal_and_vertical", **o),
    "rotation": lambda images, **o: random_rotation(images, 30, **o),
    "noise": lambda images, **o: random_noise(images, 40 if images.dtype == np.uint8 else 0.2, **o),
}
DTYPES = ["uint8", "float32", "float64"]
SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.sampled_from([shape, (*shape, 1), (*shape, 3)])
)


def drawn(shape, dtype="float32", seed=0):
    draw = np.random.default_rng(seed)
    if dtype == "uint8":
        return draw.integers(0, 256, shape, np.uint8)
    images = draw.random(shape, dtype)
    images[images > 0.8] = 1  # the ends of the range come
    return images


@pytest.mark.parametrize("name", FUNCTIONS)
@given(shape=SHAPES, dtype=st.sampled_from(DTYPES), seed=st.integers(0, 99))
def test_shape_dtype_range_and_the_images_given_stay(name, shape, dtype, seed):
    images = drawn(shape, dtype, seed)
    before = images.copy()
    images.flags.writeable = False
    result = FUNCTIONS[name](images, generator=np.random.default_rng(seed))
    assert (result.shape, result.dtype) == (shape, dtype)
    np.testing.assert_array_equal(images, before)
    assert result.flags.writeable and not np.shares_memory(result, images)
    assert result.size == 0 or 0 <= result.min() <= result.max() <= (255 if dtype == "uint8" else 1)


@pytest.mark.parametrize("name", ["shift", "flip", "rotation"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_channels_are_changed_alike(name, dtype):
    images = drawn((9, 6, 5), dtype)
    grey = FUNCTIONS[name](images, generator=np.random.default_rng(1))
    other = drawn((9, 6, 5), dtype, seed=1)
    colours = np.stack([images, other], axis=-1)
    found = FUNCTIONS[name](colours, generator=np.random.default_rng(1))
    np.testing.assert_array_equal(found[..., 0], grey)
    again = FUNCTIONS[name](other, generator=np.random.default_rng(1))
    np.testing.assert_array_equal(found[..., 1], again)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_images_are_drawn_for_one_by_one_and_by_the_seed(name):
    images = np.repeat(drawn((1, 6, 6)), 64, axis=0)
    cr.seed(3)
    first = FUNCTIONS[name](images)
    second = FUNCTIONS[name](images)
    cr.seed(3)
    np.testing.assert_array_equal(FUNCTIONS[name](images), first)
    assert not np.array_equal(first, second)
    different = len(np.unique(first.reshape(64, -1), axis=0))
    assert different == 4 if name == "flip" else different > 10


@pytest.mark.parametrize("fill", [0, 7, "nearest"])
def test_a_shift_is_a_slice_of_the_padded_image(fill):
    images = drawn((200, 5, 4), "uint8")
    moved = random_shift(images, (2, 1), fill=fill, generator=np.random.default_rng(0))
    how = {"mode": "edge"} if fill == "nearest" else {"constant_values": fill}
    seen = set()
    for image, found in zip(images, moved, strict=True):
        around = np.pad(image, ((2, 2), (1, 1)), **how)
        fits = [
            (i, j)
            for i in range(5)
            for j in range(3)
            if np.array_equal(around[i : i + 5, j : j + 4], found)
        ]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 15  # every one of the fifteen shifts


@pytest.mark.parametrize(
    ("mode", "axes"),
    [("horizontal", (1,)), ("vertical", (0,)), ("horizontal_and_vertical", (0, 1))],
)
def test_about_half_of_the_images_are_mirrored(mode, axes):
    images = drawn((400, 3, 4))
    found = random_flip(images, mode, generator=np.random.default_rng(0))
    both = np.flip(images, 2) if axes == (1,) else np.flip(images, 1)
    turned = np.array([np.array_equal(a, b) for a, b in zip(found, images, strict=True)])
    share = 1 / 2 ** len(axes)
    assert abs(turned.mean() - share) < 5 * np.sqrt(share * (1 - share) / 400)
    if len(axes) == 1:
        expected = np.where(turned[:, None, None], images, both)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fill", [0, "nearest"])
@pytest.mark.parametrize("turns", [-1, 0, 1, 2])
@pytest.mark.parametrize("side", [4, 5])
def test_a_quarter_turn_is_that_of_numpy(dtype, fill, turns, side):
    images = drawn((3, side, side), dtype)
    found = random_rotation(images, (90 * turns, 90 * turns), fill=fill)
    expected = np.rot90(images, turns, axes=(1, 2))
    # Coordinates up to 3 are rounded a few times, and values change by at most 1 a pixel.
    error = 0 if dtype == "uint8" else 32 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, expected, rtol=0, atol=error)
    if turns == 0:
        np.testing.assert_array_equal(found, images)


def turned_by_hand(image, degrees, fill):
    """The formula, pixel by pixel; what is beyond the image is `fill`, or its nearest pixel."""
    rows, columns = image.shape

    def value(y, x):
        if fill == "nearest":
            return image[min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)]
        return image[y, x] if 0 <= y < rows and 0 <= x < columns else fill

    result = np.empty_like(image)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    for row in range(rows):
        for column in range(columns):
            i, j = row - (rows - 1) / 2, column - (columns - 1) / 2
            y, x = i * cos + j * sin + (rows - 1) / 2, j * cos - i * sin + (columns - 1) / 2
            top, left = int(np.floor(y)), int(np.floor(x))
            y, x = y - top, x - left
            result[row, column] = (1 - y) * (
                (1 - x) * value(top, left) + x * value(top, left + 1)
            ) + y * ((1 - x) * value(top + 1, left) + x * value(top + 1, left + 1))
    return result


@pytest.mark.parametrize("fill", [0.0, 0.3, "nearest"])
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), degrees=st.floats(-400, 400))
def test_a_rotation_is_the_bilinear_formula(fill, rows, columns, degrees):
    image = drawn((1, rows, columns), "float64")
    found = random_rotation(image, (degrees, degrees), fill=fill)
    np.testing.assert_allclose(found[0], turned_by_hand(image[0], degrees, fill), atol=1e-13)


@pytest.mark.parametrize(("given", "low", "high"), [((10, 50), 10, 50), (30, -30, 30)])
def test_angles_fill_the_range_given(given, low, high):
    bar = np.zeros((300, 1, 101), np.float32)
    bar[:, :, 50:] = 1
    bar = np.pad(bar, ((0, 0), (50, 50), (0, 0)))  # a clock's hand that points to the right
    found = random_rotation(bar, given, generator=np.random.default_rng(0))
    rows, columns = np.arange(101) - 50.0, np.arange(101) - 50.0
    up = -(found * rows[:, None]).sum((1, 2))
    right = (found * columns).sum((1, 2))
    angles = np.rad2deg(np.arctan2(up, right))
    assert low - 1 < angles.min() < low + 2 and high - 2 < angles.max() < high + 1


@pytest.mark.parametrize("name", ["rotation", "noise"])
def test_it_is_no_matter_how_many_are_computed_together(name, monkeypatch):
    images = drawn((7, 5, 4), "uint8")
    whole = FUNCTIONS[name](images, generator=np.random.default_rng(0))
    monkeypatch.setattr(augmentation, "CHUNK", 45)
    np.testing.assert_array_equal(
        FUNCTIONS[name](images, generator=np.random.default_rng(0)), whole
    )


@pytest.mark.parametrize(("dtype", "stddev"), [("uint8", 10), ("float32", 0.05)])
def test_noise_has_mean_zero_and_the_deviation_asked_for(dtype, stddev):
    images = np.full((50, 20, 20), 128 if dtype == "uint8" else 0.5, dtype)
    noise = random_noise(images, stddev, generator=np.random.default_rng(0)) - images.astype(float)
    n = noise.size
    assert abs(noise.mean()) < 5 * stddev / np.sqrt(n)
    # Rounding to whole grey levels adds a variance of 1/12.
    expected = np.sqrt(stddev**2 + (1 / 12 if dtype == "uint8" else 0))
    assert abs(noise.std() - expected) < 5 * expected / np.sqrt(2 * n)


def test_noise_stays_in_the_range_given():
    images = np.linspace(-1, 1, 300, dtype=np.float32).reshape(3, 10, 10)
    found = random_noise(images, 3, value_range=(-1, 1))
    assert found.min() == -1 and found.max() == 1


IMAGES = drawn((2, 3, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random_shift(IMAGES[0], 1), ShapeError, r"random_shift: .*images\[None\]"),
        (lambda: random_flip(IMAGES[None, None]), ShapeError, r"got shape \(1, 1, 2, 3, 3\)"),
        (lambda: random_flip(IMAGES[:, :0]), ShapeError, "no pixels"),
        (lambda: random_noise(IMAGES.astype(int), 1), DtypeError, "int64; convert"),
        (lambda: random_shift(IMAGES, 1.5), TypeError, r"pixels must be an integer.*1\.5"),
        (lambda: random_shift(IMAGES, (1, 2, 3)), TypeError, "or two"),
        (lambda: random_shift(IMAGES, -1), ValueError, "must not be negative"),
        (lambda: random_shift(IMAGES, 1, fill="reflect"), ValueError, 'or "nearest"'),
        (lambda: random_shift(drawn((1, 2, 2), "uint8"), 1, fill=0.5), ValueError, "whole number"),
        (lambda: random_shift(IMAGES, 1, fill=None), TypeError, "fill must be a number"),
        (lambda: random_flip(IMAGES, "both"), ValueError, "mode must be one of horizontal, "),
        (lambda: random_rotation(IMAGES, -5), ValueError, "at least 0"),
        (lambda: random_rotation(IMAGES, (5, 1)), ValueError, "lower and the higher"),
        (lambda: random_rotation(IMAGES, (1, 2, 3)), TypeError, "one number or two"),
        (lambda: random_rotation(IMAGES, float("inf")), ValueError, "must be finite"),
        (lambda: random_noise(IMAGES, -1), ValueError, "stddev must not be negative"),
        (lambda: random_noise(IMAGES * 255, 1), ValueError, r"outside value_range=\(0, 1\)"),
        (lambda: random_noise(IMAGES, "1"), TypeError, "stddev must be a number"),
        (lambda: random_flip(IMAGES, generator=3), TypeError, r"numpy\.random\.Generator"),
    ],
)
def test_what_cannot_be_done_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
