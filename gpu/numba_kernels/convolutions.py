"""What the windows of a convolution see, as rows of a matrix, and the way back.

The same threads and blocks as in kernels/convolutions.cu, one number at a time.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

from .windows import on_axis


def kernels(cuda: Any, real: Any) -> dict[str, Any]:
    """The kernels of the family for one type: name of entry -> function."""
    seer = on_axis(cuda).seer

    @cuda.jit
    def im2col(
        x,
        columns,
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
        """A row of windows has a block, or several; a thread has one element at once."""
        first = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        length = out_width * window_height * window_width * channels
        for row in range(cuda.blockIdx.x, images * out_height, cuda.gridDim.x):
            image, o = row // out_height, row % out_height
            for at in range(first, length, cuda.gridDim.y * cuda.blockDim.x):
                channel, rest = at % channels, at // channels
                j, rest = rest % window_width, rest // window_width
                i, p = rest % window_height, rest // window_height
                y = o * stride_down + i * dilation_down - top
                z = p * stride_across + j * dilation_across - left
                value = real(0)
                if 0 <= y < height and 0 <= z < width:
                    value = x[((image * height + y) * width + z) * channels + channel]
                columns[row * length + at] = value

    @cuda.jit
    def col2im(
        columns,
        x,
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
        """A thread has one element and gathers what windows hold for it, offset by offset."""
        elements = height * width * channels
        for image in range(cuda.blockIdx.y, images, cuda.gridDim.y):
            for at in range(cuda.grid(2)[0], elements, cuda.gridsize(2)[0]):
                channel, rest = at % channels, at // channels
                z, y = rest % width, rest // width
                total = real(0)
                for i in range(window_height):
                    o = seer(y, i, stride_down, dilation_down, top, out_height)
                    if o < 0:
                        continue
                    for j in range(window_width):
                        p = seer(z, j, stride_across, dilation_across, left, out_width)
                        if p >= 0:
                            window = (i * window_width + j) * images + image
                            window = (window * out_height + o) * out_width + p
                            total += columns[window * channels + channel]
                x[image * elements + at] = total

    return {"im2col": im2col, "col2im": col2im}
