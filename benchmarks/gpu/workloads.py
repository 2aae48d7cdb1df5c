"""What the kernels of a GPU are measured on: for each kernel of the engine, arrays and a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from chainrule.engine.windows import windows
from chainrule.gpu.families.matmul import tiled_matmul


class Call(NamedTuple):
    """A call of a kernel set: which kernel of the engine it runs (None: it replaces none)."""

    kernel: str | None
    run: Callable[[Any], Any]
    note: str = ""  # which variant it is


@dataclass(frozen=True)
class Sizes:
    """Shapes; matrices of `rows` and `columns` are the largest arrays, far beyond any cache."""

    rows: int = 65_536
    columns: int = 1_024
    long: int = 1_048_576  # columns, too many to be kept on the chip
    batch: int = 32_768  # of recurrent cells
    units: int = 512
    images: int = 256
    side: int = 64
    channels: int = 64
    product: int = 4_096


#: What takes the emulator no time; rows enough for what is reduced in two steps.
SMALL = Sizes(600, 5, 8, 2, 3, 1, 4, 2, 5)


class Arrays:
    """Makes arrays of a device. Those that are not `filled` hold zeros, and take no memory."""

    def __init__(self, device: Any, sizes: Sizes, filled: bool = True) -> None:
        self.xp, self.sizes, self._filled = device.xp, sizes, filled

    def real(self, *shape: int) -> Any:
        """Numbers from -3 to 3."""
        if not self._filled:
            return self.xp.zeros(shape, dtype="float32")
        return self.xp.linspace(-3, 3, math.prod(shape), dtype="float32").reshape(shape)

    def positive(self, *shape: int) -> Any:
        """Numbers from 1 to 2."""
        return self.real(*shape) / 6 + 1.5 if self._filled else self.real(*shape)

    def integers(self, count: int, below: int) -> Any:
        """0, 7, 14, ..., each less what it has of `below`."""
        return self.xp.arange(count, dtype="int64") * 7 % below


def softmax(a: Arrays) -> Iterator[Call]:
    """Rows that are kept on the chip, and longer ones."""
    rows, columns, long = a.sizes.rows, a.sizes.columns, a.sizes.long
    x, y = a.real(rows, columns), a.positive(rows, columns)
    z, mask = a.real(-(-rows * columns // long), long), a.xp.ones((rows, columns), dtype=bool)
    yield Call("softmax", lambda k: k.softmax(x, -1))
    yield Call("softmax_backward", lambda k: k.softmax_backward(x, y, -1))
    yield Call("log_softmax", lambda k: k.log_softmax(x, -1))
    yield Call("masked_softmax", lambda k: k.masked_softmax(x, mask, -1))
    yield Call("masked_softmax_backward", lambda k: k.masked_softmax_backward(x, y, mask, -1))
    yield Call("softmax", lambda k: k.softmax(z, -1), "long rows")


def losses(a: Arrays) -> Iterator[Call]:
    """Logits and classes."""
    rows, columns = a.sizes.rows, a.sizes.columns
    logits, targets, g = a.real(rows, columns), a.positive(rows, columns), a.real(rows)
    labels = a.integers(rows, columns)
    for name, given in (("softmax", targets), ("sparse_softmax", labels)):
        forward, backward = f"{name}_cross_entropy", f"{name}_cross_entropy_backward"
        yield Call(forward, lambda k, f=forward, y=given: getattr(k, f)(logits, y))
        yield Call(backward, lambda k, f=backward, y=given: getattr(k, f)(g, logits, y))


def reductions(a: Arrays) -> Iterator[Call]:
    """Along rows and along columns."""
    x = a.real(a.sizes.rows, a.sizes.columns)
    for name in ("sum", "max", "argmax"):
        for axis in (-1, 0):
            yield Call(name, lambda k, name=name, axis=axis: getattr(k, name)(x, axis=axis))


def normalizations(a: Arrays) -> Iterator[Call]:
    """Over the last axis, and over the batch."""
    rows, columns = a.sizes.rows, a.sizes.columns
    x, scale, offset = a.real(rows, columns), a.positive(columns), a.real(columns)
    of_rows, of_columns = a.positive(rows, 1), a.positive(columns)
    yield Call("layer_norm", lambda k: k.layer_norm(x, scale, offset, (1,), 1e-5))
    yield Call(
        "layer_norm_backward", lambda k: k.layer_norm_backward(x, x, of_rows, scale, offset, (1,))
    )
    yield Call("batch_norm", lambda k: k.batch_norm(x, scale, offset, 1e-5))
    yield Call("batch_norm_backward", lambda k: k.batch_norm_backward(x, x, of_columns, scale))


def activations(a: Arrays) -> Iterator[Call]:
    """With a bias, both ways: a cheap one, and the dearest."""
    x, bias = a.real(a.sizes.rows, a.sizes.columns), a.real(a.sizes.columns)
    for name in ("relu", "gelu"):
        yield Call("bias_activation", lambda k, name=name: k.bias_activation(x, bias, name), name)
        yield Call(
            "bias_activation_backward",
            lambda k, name=name: k.bias_activation_backward(x, x, x, bias, None, name),
            name,
        )


def dropout(a: Arrays) -> Iterator[Call]:
    """A mask of random bits, made as it is applied."""
    x = a.real(a.sizes.rows, a.sizes.columns)
    yield Call("dropout", lambda k: k.dropout(x, 0.5, 1, 0))


def embedding(a: Arrays) -> Iterator[Call]:
    """Rows looked up, and gradients added up where they came from."""
    rows, length = a.sizes.rows, a.sizes.columns
    table, index = a.real(rows, length), a.integers(rows, max(1, rows // 8))
    yield Call("gather_rows", lambda k: k.gather_rows(table, index))
    yield Call("scatter_index", lambda k: k.scatter_index(table, index, table.shape))


def recurrent(a: Arrays) -> Iterator[Call]:
    """One step of a cell."""
    batch, units = a.sizes.batch, a.sizes.units
    h, z, r = (a.real(batch, n * units) for n in (1, 4, 3))
    gates, fewer = a.positive(batch, 4 * units), a.positive(batch, 3 * units)
    yield Call("lstm_cell", lambda k: k.lstm_cell(z, h))
    yield Call("lstm_cell_backward", lambda k: k.lstm_cell_backward(h, h, gates, h, h))
    yield Call("gru_cell", lambda k: k.gru_cell(r, fewer, h))
    yield Call("gru_cell_backward", lambda k: k.gru_cell_backward(h, fewer, h, h))


def optimizers(a: Arrays) -> Iterator[Call]:
    """Steps in place, and the size of a gradient."""
    size = a.sizes.rows * a.sizes.columns
    w, g, m, v = a.real(size), a.real(size), a.real(size), a.positive(size)
    norm = a.positive(1).reshape(())
    rates = (1e-3, 0.9, 0.999)
    yield Call("sgd_step", lambda k: k.sgd_step(w, g, m, 1e-3, 0.9, False, 0.0))
    yield Call("adam_step", lambda k: k.adam_step(w, g, m, v, *rates, 1e-8, 0.0, 3))
    yield Call("adam_step_as_printed", lambda k: k.adam_step_as_printed(w, g, m, v, *rates, 3))
    yield Call("sum_of_squares", lambda k: k.sum_of_squares(g))
    yield Call("clip_to_norm", lambda k: k.clip_to_norm(g, norm, 1e-3))
    yield Call("all_finite", lambda k: k.all_finite(g))


def convolutions(a: Arrays) -> Iterator[Call]:
    """Windows of 3 x 3, one at each element."""
    images, side, channels = a.sizes.images, a.sizes.side, a.sizes.channels // 8 or 1
    x, seen = a.real(images, side, side, channels), windows((side, side), 3, 1, "same")
    columns = a.real(3, 3, *x.shape)
    yield Call("im2col", lambda k: k.im2col(x, seen))
    yield Call("col2im", lambda k: k.col2im(columns, seen))


def pooling(a: Arrays) -> Iterator[Call]:
    """Windows of 2 x 2 side by side, and of 3 x 3 that overlap."""
    images, side, channels = a.sizes.images, a.sizes.side, a.sizes.channels
    x, half = a.real(images, side, side, channels), -(-side // 2)
    y = a.real(images, half, half, channels)
    apart, overlapping = (2, None, "same"), (3, 2, "same")
    yield Call("max_pool", lambda k: k.max_pool(x, *apart))
    yield Call("max_pool_backward", lambda k: k.max_pool_backward(y, y, x, *apart))
    yield Call(
        "max_pool_backward", lambda k: k.max_pool_backward(y, y, x, *overlapping), "overlapping"
    )
    yield Call("avg_pool", lambda k: k.avg_pool(x, *apart))
    yield Call("avg_pool_backward", lambda k: k.avg_pool_backward(y, x.shape, *apart))


def matmul(a: Arrays) -> Iterator[Call]:
    """Square matrices."""
    x, y = (a.real(a.sizes.product, a.sizes.product) for _ in range(2))
    yield Call(None, lambda k: tiled_matmul(k, x, y))


WORKLOADS: tuple[Callable[[Arrays], Iterator[Call]], ...] = (
    *(softmax, losses, reductions, normalizations, activations, dropout, embedding),
    *(recurrent, optimizers, convolutions, pooling, matmul),
)
