"""The maximum or the mean of each window, channel by channel, and their gradients.

The same threads and blocks as in kernels/pooling.cu, one number at a time.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any

from .windows import on_axis


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    seer, count = on_axis(cuda)

    @cuda.jit(device=True)
    def hits(element, best):
        """Is an element the largest of its window, `best`? Of NaN, NaN is."""
        return element == best or (math.isnan(element) and math.isnan(best))

    @cuda.jit(device=True)
    def element(x, image, row, column, channel, height, width, channels):
        """An element of x, or -inf in the margins."""
        if 0 <= row < height and 0 <= column < width:
            return x[((image * height + row) * width + column) * channels + channel]
        return real(-math.inf)

    @cuda.jit
    def max_pool(
        x,
        y,
        images,
        height,
        width,
        channels,
        out_height,
        out_width,
        window_height,
        window_width,
        stride_down,
        stride_across,
        dilation_down,
        dilation_across,
        top,
        left,
    ):
        """A thread has one window."""
        windows = out_height * out_width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for number in range(cuda.grid(2)[0], windows, cuda.gridsize(2)[0]):
                channel, rest = number % channels, number // channels
                p, o = rest % out_width, rest // out_width
                at = image * windows + number
                best = real(-math.inf)
                for i in range(window_height):
                    for j in range(window_width):
                        row, column = o * stride_down - top + i, p * stride_across - left + j
                        each = element(x, image, row, column, channel, height, width, channels)
                        if each > best or math.isnan(each):
                            best = each
                y[at] = best

    @cuda.jit
    def max_pool_shares(
        g,
        y,
        x,
        shares,
        images,
        height,
        width,
        channels,
        out_height,
        out_width,
        window_height,
        window_width,
        stride_down,
        stride_across,
        dilation_down,
        dilation_across,
        top,
        left,
    ):
        """Of one window, the part of its gradient for each of its largest elements."""
        windows = out_height * out_width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for number in range(cuda.grid(2)[0], windows, cuda.gridsize(2)[0]):
                channel, rest = number % channels, number // channels
                p, o = rest % out_width, rest // out_width
                at = image * windows + number
                best, found = y[at], 0
                for i in range(window_height):
                    for j in range(window_width):
                        row, column = o * stride_down - top + i, p * stride_across - left + j
                        each = element(x, image, row, column, channel, height, width, channels)
                        if hits(each, best):
                            found += 1
                shares[at] = g[at] / real(found)

    @cuda.jit
    def max_pool_gather(
        shares,
        y,
        x,
        gradient,
        images,
        height,
        width,
        channels,
        out_height,
        out_width,
        window_height,
        window_width,
        stride_down,
        stride_across,
        dilation_down,
        dilation_across,
        top,
        left,
    ):
        """A thread has one element, and gathers from the windows that see it."""
        elements = height * width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for number in range(cuda.grid(2)[0], elements, cuda.gridsize(2)[0]):
                channel, rest = number % channels, number // channels
                column, row = rest % width, rest // width
                at = image * elements + number
                value, total = x[at], real(0)
                for i in range(window_height):
                    o = seer(row, i, stride_down, dilation_down, top, out_height)
                    if o < 0:
                        continue
                    for j in range(window_width):
                        p = seer(column, j, stride_across, dilation_across, left, out_width)
                        if p >= 0:
                            window = (image * out_height + o) * out_width + p
                            window = window * channels + channel
                            hit = real(1) if hits(value, y[window]) else real(0)
                            total += shares[window] * hit
                gradient[at] = total

    @cuda.jit
    def max_pool_backward_apart(
        g,
        y,
        x,
        gradient,
        images,
        height,
        width,
        channels,
        out_height,
        out_width,
        window_height,
        window_width,
        stride_down,
        stride_across,
        dilation_down,
        dilation_across,
        top,
        left,
    ):
        """A thread has one window, and what lies between it and the next."""
        windows = out_height * out_width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for number in range(cuda.grid(2)[0], windows, cuda.gridsize(2)[0]):
                channel, rest = number % channels, number // channels
                p, o = rest % out_width, rest // out_width
                at = image * windows + number
                best, found = y[at], 0
                for i in range(window_height):
                    for j in range(window_width):
                        row, column = o * stride_down - top + i, p * stride_across - left + j
                        each = element(x, image, row, column, channel, height, width, channels)
                        if hits(each, best):
                            found += 1
                share = g[at] / real(found)
                first, begin = o * stride_down - top, p * stride_across - left
                end_row = first + stride_down if o + 1 < out_height else height
                end_column = begin + stride_across if p + 1 < out_width else width
                for row in range(first if o > 0 else 0, end_row):
                    for column in range(begin if p > 0 else 0, end_column):
                        to = (image * height + row) * width + column
                        to = to * channels + channel
                        result = real(0)
                        if row < first + window_height and column < begin + window_width:
                            result = share * (real(1) if hits(x[to], best) else real(0))
                        gradient[to] = result

    @cuda.jit
    def avg_pool(
        x,
        y,
        images,
        height,
        width,
        channels,
        out_height,
        out_width,
        window_height,
        window_width,
        stride_down,
        stride_across,
        dilation_down,
        dilation_across,
        top,
        left,
    ):
        """A thread has one window; sums go down each of its columns first."""
        windows = out_height * out_width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for number in range(cuda.grid(2)[0], windows, cuda.gridsize(2)[0]):
                channel, rest = number % channels, number // channels
                p, o = rest % out_width, rest // out_width
                at = image * windows + number
                total = real(0)
                for j in range(window_width):
                    column, part = p * stride_across - left + j, real(0)
                    if column < 0 or column >= width:
                        continue
                    for i in range(window_height):
                        row = o * stride_down - top + i
                        if 0 <= row < height:
                            part += x[
                                ((image * height + row) * width + column) * channels + channel
                            ]
                    total += part
                true = count(o, height, window_height, stride_down, top)
                true *= count(p, width, window_width, stride_across, left)
                y[at] = total / real(true)

    @cuda.jit
    def avg_pool_backward(
        g,
        gradient,
        images,
        height,
        width,
        channels,
        out_height,
        out_width,
        window_height,
        window_width,
        stride_down,
        stride_across,
        dilation_down,
        dilation_across,
        top,
        left,
    ):
        """A thread has one element, and gathers from the windows that see it."""
        elements = height * width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for number in range(cuda.grid(2)[0], elements, cuda.gridsize(2)[0]):
                channel, rest = number % channels, number // channels
                column, row = rest % width, rest // width
                at = image * elements + number
                total = real(0)
                for i in range(window_height):
                    o = seer(row, i, stride_down, dilation_down, top, out_height)
                    if o < 0:
                        continue
                    part = real(0)
                    true = count(o, height, window_height, stride_down, top)
                    for j in range(window_width):
                        p = seer(column, j, stride_across, dilation_across, left, out_width)
                        if p >= 0:
                            seen = true * count(p, width, window_width, stride_across, left)
                            window = (image * out_height + o) * out_width + p
                            part += g[window * channels + channel] / real(seen)
                    total += part
                gradient[at] = total

    return {
        "max_pool": max_pool,
        "max_pool_shares": max_pool_shares,
        "max_pool_gather": max_pool_gather,
        "max_pool_backward_apart": max_pool_backward_apart,
        "avg_pool": avg_pool,
        "avg_pool_backward": avg_pool_backward,
    }
