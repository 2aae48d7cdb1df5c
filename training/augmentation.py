"""Images a little changed at random: as many again to train with as one likes.

Each function takes a batch, shape (batch, height, width) or (batch, height, width, channels), of
uint8, float32 or float64, and returns a new one of the same shape, dtype and range. Each image is
changed by a draw of its own.

    model.fit(x, y, augment=lambda batch: random_rotation(random_shift(batch, 2), 10))
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine import random
from chainrule.engine.errors import DtypeError, ShapeError, describe

from .data import check_generator

MODES = {"horizontal": (2,), "vertical": (1,), "horizontal_and_vertical": (1, 2)}

# Of 16 K to 1 M pixels that are computed together, 32 K were the fastest: their coordinates, and
# what is made of them, stay in the second cache.
CHUNK = 1 << 15


def random_shift(
    images: Any,
    pixels: int | tuple[int, int],
    *,
    fill: float | str = 0,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """Images moved by whole pixels, up or down and left or right, all distances equally likely.

    Arguments:
        images: the batch (see above).
        pixels: the farthest that an image is moved, or that vertically and that horizontally.
        fill: the value of pixels that come in from outside; "nearest" for that of the border.
        generator: source of randomness; None for chainrule's own, which `cr.seed` seeds.

    Raises:
        ShapeError, DtypeError: `images` are no such batch.
        ValueError, TypeError: another argument is none of the above.

    >>> image = np.array([[[1, 2], [3, 4]]], np.uint8)
    >>> moved = random_shift(image, (0, 1), fill="nearest", generator=np.random.default_rng(0))
    >>> moved.tolist()
    [[[2, 2], [4, 4]]]
    """
    images = _batch(images, "random_shift")
    generator = _source(generator, "random_shift")
    down, right = _pair(pixels)
    around = _padded(images, (down, down), (right, right), fill, "random_shift")
    n, height, width = images.shape[:3]
    cut = np.lib.stride_tricks.sliding_window_view(around, (height, width), axis=(1, 2))
    top = generator.integers(0, 2 * down, n, endpoint=True)
    left = generator.integers(0, 2 * right, n, endpoint=True)
    chosen = cut[np.arange(n), top, left]  # (batch, [channels,] height, width)
    return chosen if images.ndim == 3 else np.ascontiguousarray(np.moveaxis(chosen, 1, -1))


def random_flip(
    images: Any, mode: str = "horizontal", *, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Images of which every other one, on average, is mirrored.

    Mind what the classes are: a mirrored digit is no digit.

    Arguments:
        images: the batch (see above).
        mode: "horizontal" (left becomes right), "vertical", or "horizontal_and_vertical", each
            of the two with a chance of its own.
        generator: source of randomness; None for chainrule's own, which `cr.seed` seeds.

    Raises:
        ShapeError, DtypeError: `images` are no such batch.
        ValueError, TypeError: another argument is none of the above.

    >>> image = np.array([[[1, 2], [3, 4]]], np.uint8)
    >>> random_flip(image, generator=np.random.default_rng(2)).tolist()
    [[[2, 1], [4, 3]]]
    """
    images = _batch(images, "random_flip")
    generator = _source(generator, "random_flip")
    if mode not in MODES:
        raise ValueError(f"random_flip: mode must be one of {', '.join(MODES)}, got {mode!r}")
    result = images.copy()
    for axis in MODES[mode]:
        turned = generator.random(len(images)) < 0.5
        result[turned] = np.flip(result[turned], axis)
    return result


def random_rotation(
    images: Any,
    degrees: float | tuple[float, float],
    *,
    fill: float | str = 0,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """Images turned about their centre, all angles within the range equally likely.

    A pixel at row i and column j from the centre has the value at

        (i cos φ + j sin φ, j cos φ − i sin φ)

    of the image as it was, interpolated between the four pixels around (bilinear).

    Arguments:
        images: the batch (see above).
        degrees: the largest angle either way, or the lowest and the highest; positive angles
            turn counter-clockwise.
        fill: the value around the image; "nearest" for that of the border.
        generator: source of randomness; None for chainrule's own, which `cr.seed` seeds.

    Raises:
        ShapeError, DtypeError: `images` are no such batch.
        ValueError, TypeError: another argument is none of the above.

    >>> image = np.array([[[1, 2], [3, 4]]], np.uint8)
    >>> random_rotation(image, (90, 90)).tolist()
    [[[2, 4], [1, 3]]]
    """
    images = _batch(images, "random_rotation")
    generator = _source(generator, "random_rotation")
    low, high = _range(degrees)
    around = _padded(images, (1, 2), (1, 2), fill, "random_rotation")
    angles = np.deg2rad(generator.uniform(low, high, len(images)))
    kind = np.dtype(np.float64 if images.dtype == np.float64 else np.float32)
    result = np.empty_like(images)
    together = _together(images)
    for start in range(0, len(images), together):
        part = slice(start, start + together)
        turned = _turned(around[part], angles[part].astype(kind), images.shape[1:3])
        result[part] = np.rint(turned) if images.dtype == np.uint8 else turned
    return result


def random_noise(
    images: Any,
    stddev: float,
    *,
    value_range: tuple[float, float] | None = None,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """Images with normally distributed noise on every pixel, cut off at the ends of their range.

    Arguments:
        images: the batch (see above).
        stddev: the noise's standard deviation, in the unit of the pixels.
        value_range: the lowest and the highest value that a pixel can have; None for (0, 255) of
            uint8 and (0, 1) of floats.
        generator: source of randomness; None for chainrule's own, which `cr.seed` seeds.

    Raises:
        ShapeError, DtypeError: `images` are no such batch.
        ValueError, TypeError: another argument is none of the above, or a pixel is outside the
            range.

    >>> noisy = random_noise(np.full((4, 8, 8), 0.5, np.float32), 0.1)
    >>> noisy.dtype.name, bool(((noisy >= 0) & (noisy <= 1)).all())
    ('float32', True)
    """
    images = _batch(images, "random_noise")
    generator = _source(generator, "random_noise")
    spread = _number(stddev, "random_noise", "stddev")
    if spread < 0:
        raise ValueError(f"random_noise: stddev must not be negative, got {stddev}")
    low, high = _limits(images, value_range)
    result = np.empty_like(images)
    kind: Any = np.float64 if images.dtype == np.float64 else np.float32
    together = _together(images)
    for start in range(0, len(images), together):
        part = slice(start, start + together)
        noise = generator.standard_normal(images[part].shape, kind)
        noise *= kind(spread)
        noise += images[part]
        noisy = noise.clip(low, high, out=noise)
        result[part] = np.rint(noisy, out=noisy) if images.dtype == np.uint8 else noisy
    return result


def _turned(around: np.ndarray, angles: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The images of this size, of which `around` has a pixel more before and two after, turned."""
    rows, columns = size
    i = np.arange(rows, dtype=angles.dtype) - angles.dtype.type((rows - 1) / 2)
    j = np.arange(columns, dtype=angles.dtype) - angles.dtype.type((columns - 1) / 2)
    cos, sin = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    # Where each pixel comes from, counted from the corner of `around`.
    y = i[:, None] * cos + j * sin
    y += angles.dtype.type((rows - 1) / 2 + 1)
    x = j * cos - i[:, None] * sin
    x += angles.dtype.type((columns - 1) / 2 + 1)
    np.clip(y, 0, rows + 1, out=y)
    np.clip(x, 0, columns + 1, out=x)
    top, left = y.astype(np.intp), x.astype(np.intp)
    y -= top
    x -= left
    n, height, width = around.shape[:3]
    corner = (np.arange(n)[:, None, None] * height + top) * width + left
    pixels = around.reshape(n * height * width, *around.shape[3:])
    if around.ndim == 4:
        y, x = y[..., None], x[..., None]
    upper = _between(pixels, corner, x)
    lower = _between(pixels, corner + width, x)
    lower -= upper
    lower *= y
    lower += upper
    return lower


def _between(pixels: np.ndarray, left: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Values between the pixels `left` and their neighbours to the right."""
    first = pixels.take(left, axis=0).astype(share.dtype)
    second = pixels.take(left + 1, axis=0).astype(share.dtype)
    second -= first
    second *= share
    second += first
    return second


def _padded(
    images: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], fill: Any, where: str
) -> np.ndarray:
    widths = ((0, 0), rows, columns, (0, 0))[: images.ndim]
    if isinstance(fill, str):
        if fill != "nearest":
            raise ValueError(f'{where}: fill must be a number or "nearest", got {fill!r}')
        return np.pad(images, widths, mode="edge")
    value = _number(fill, where, "fill")
    if images.dtype == np.uint8 and (value != int(value) or not 0 <= value <= 255):
        raise ValueError(f"{where}: fill must be a whole number of 0 to 255, as uint8, got {fill}")
    return np.pad(images, widths, constant_values=images.dtype.type(value))


def _together(images: np.ndarray) -> int:
    """How many of the images are computed together."""
    return max(1, CHUNK // int(np.prod(images.shape[1:])))


def _batch(images: Any, where: str) -> np.ndarray:
    batch = np.asarray(images)
    if batch.dtype.name not in ("uint8", "float32", "float64"):
        raise DtypeError(
            f"{where}: images must be of uint8, float32 or float64, got {describe(batch)}; "
            'convert them, as by .astype("float32")'
        )
    if batch.ndim not in (3, 4):
        raise ShapeError(
            f"{where}: images must have shape (batch, height, width) or (batch, height, width, "
            f"channels), got {describe(batch)}; a single image is images[None]"
        )
    if 0 in batch.shape[1:]:
        raise ShapeError(f"{where}: images have no pixels ({describe(batch)})")
    return batch


def _source(generator: Any, where: str) -> np.random.Generator:
    if generator is None:
        return random.generator()
    check_generator(generator, where)
    source: np.random.Generator = generator
    return source


def _number(value: Any, where: str, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{where}: {name} must be a number, got {value!r}")
    if not np.isfinite(value):
        raise ValueError(f"{where}: {name} must be finite, got {value}")
    return float(value)


def _pair(pixels: Any) -> tuple[int, int]:
    both = pixels if isinstance(pixels, (tuple, list)) else (pixels, pixels)
    whole = [isinstance(each, (int, np.integer)) and not isinstance(each, bool) for each in both]
    if len(both) != 2 or not all(whole):
        raise TypeError(
            "random_shift: pixels must be an integer, or two (vertically, horizontally), got "
            f"{pixels!r}"
        )
    if min(both) < 0:
        raise ValueError(f"random_shift: pixels must not be negative, got {pixels!r}")
    return int(both[0]), int(both[1])


def _range(degrees: Any) -> tuple[float, float]:
    if isinstance(degrees, (tuple, list)):
        if len(degrees) != 2:
            raise TypeError(f"random_rotation: degrees must be one number or two, got {degrees!r}")
        low, high = (_number(each, "random_rotation", "degrees") for each in degrees)
    else:
        high = _number(degrees, "random_rotation", "degrees")
        low = -high
    if low > high:
        raise ValueError(
            "random_rotation: degrees must be an angle of at least 0, or the lower and the higher "
            f"end of a range, got {degrees!r}"
        )
    return low, high


def _limits(images: np.ndarray, value_range: Any) -> tuple[float, float]:
    if value_range is None:
        low, high = (0.0, 255.0) if images.dtype == np.uint8 else (0.0, 1.0)
    else:
        low, high = (_number(each, "random_noise", "value_range") for each in value_range)
    if images.size and not (low <= images.min() and images.max() <= high):
        raise ValueError(
            f"random_noise: images hold values from {images.min()} to {images.max()}, outside "
            f"value_range=({low:g}, {high:g}); give the range that they have"
        )
    return low, high
