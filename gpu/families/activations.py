"""Activations, with and without a bias before them."""

from __future__ import annotations

from typing import Any

from chainrule.engine.devices import REFERENCE
from chainrule.engine.operations.biased import BY_RESULT

from ..table import I32, I64, REAL, entry, reads, scalar, writes
from .reductions import put_together

#: The functions by the numbers that the kernels know them by.
FUNCTIONS = ("relu", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "erf", "erfc")

#: Rows that one block adds up, unless there are more than so many chunks of them then.
CHUNK, MOST_CHUNKS = 128, 512

bias_activation_forward = entry(
    "activations",
    "bias_activation_forward",
    reads("x", REAL, "size"),
    reads("bias", REAL, "columns", optional=True),
    writes("y", REAL, "size"),
    writes("share", REAL, "size", optional=True),
    scalar("size", I64),
    scalar("columns", I32),
    scalar("activation", I32),
)

bias_activation_backward_rows = entry(
    "activations",
    "bias_activation_backward",
    reads("g", REAL, "rows * columns"),
    reads("y", REAL, "rows * columns"),
    reads("x", REAL, "rows * columns", optional=True),
    reads("bias", REAL, "columns", optional=True),
    writes("slope", REAL, "rows * columns"),
    writes("sums", REAL, "chunks * columns"),
    scalar("rows", I64),
    scalar("columns", I32),
    scalar("chunks", I32),
    scalar("activation", I32),
)


def _real(x: Any) -> bool:
    return getattr(x, "size", 0) > 0 and x.dtype.name in ("float32", "float64")


def blocks(x: Any) -> int:
    """How many blocks stride over the elements of x: enough for every GPU."""
    return min(-(-x.size * x.itemsize // (16 * 256)), 65_536)


def _forward(k: Any, x: Any, bias: Any, name: str, shares: bool = False) -> Any:
    """The function of x + bias, and with `shares` by what x + bias was multiplied for it."""
    shape, x = x.shape, k.xp.ascontiguousarray(x)
    y = k.xp.empty(x.shape, x.dtype)
    share = k.xp.empty(x.shape, x.dtype) if shares else None
    columns, number = 0 if bias is None else x.shape[-1], FUNCTIONS.index(name)
    bias_activation_forward(k, x, bias, y, share, x.size, columns, number, grid=blocks(x))
    y = y.reshape(shape)
    return y if share is None else (y, share.reshape(shape))


def bias_activation(k: Any, x: Any, bias: Any, activation: str) -> Any:
    """The activation of x + bias. Nothing is kept: the way back makes the sum again."""
    fits = _real(x) and bias.dtype == x.dtype and bias.shape == x.shape[-1:]
    if not fits or activation not in FUNCTIONS:
        return REFERENCE["bias_activation"](k, x, bias, activation)
    return _forward(k, x, k.xp.ascontiguousarray(bias), activation), None


def bias_activation_backward(
    k: Any, g: Any, y: Any, x: Any, bias: Any, kept: Any, activation: str
) -> Any:
    """The gradients of x and of bias."""
    if not _real(g) or g.dtype != y.dtype or kept is not None:
        return REFERENCE["bias_activation_backward"](k, g, y, x, bias, kept, activation)
    xp = k.xp
    if activation in BY_RESULT:
        x = bias = None
    else:
        x, bias = xp.ascontiguousarray(x), xp.ascontiguousarray(bias)
    slope, columns = xp.empty(g.shape, g.dtype), g.shape[-1]
    rows = g.size // columns
    chunks = chunks_of(rows)
    sums = xp.empty((chunks, columns), g.dtype)
    given = (xp.ascontiguousarray(g), xp.ascontiguousarray(y), x, bias, slope, sums)
    number = FUNCTIONS.index(activation)
    grid = min(-(-columns // 32) * chunks, 65_536)
    bias_activation_backward_rows(k, *given, rows, columns, chunks, number, grid=grid)
    return slope, put_together(k, sums, chunks)


def chunks_of(rows: int) -> int:
    """Into how many chunks rows are cut: it depends on their number alone, as the result does."""
    return max(1, min(-(-rows // CHUNK), MOST_CHUNKS))


# Without a bias -----------------------------------------------------------------------------


def _plain(k: Any, x: Any, name: str) -> Any:
    return _forward(k, x, None, name) if _real(x) else REFERENCE[name](k, x)


def sigmoid(k: Any, x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return _plain(k, x, "sigmoid")


def erf(k: Any, x: Any) -> Any:
    """The error function."""
    return _plain(k, x, "erf")


def erfc(k: Any, x: Any) -> Any:
    """1 - erf(x)."""
    return _plain(k, x, "erfc")


def silu(k: Any, x: Any) -> Any:
    """x * sigmoid(x), and sigmoid(x)."""
    return _forward(k, x, None, "silu", True) if _real(x) else REFERENCE["silu"](k, x)


def gelu(k: Any, x: Any, approximate: bool) -> Any:
    """x * p, and p: the normal distribution function of x, or the approximation by tanh."""
    if not _real(x):
        return REFERENCE["gelu"](k, x, approximate)
    return _forward(k, x, None, "gelu_tanh" if approximate else "gelu", True)


REPLACES = (
    "bias_activation",
    "bias_activation_backward",
    "sigmoid",
    "erf",
    "erfc",
    "silu",
    "gelu",
)
