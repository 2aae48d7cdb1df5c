"""Which function of chainrule answers which entry of PyTorch's operator database, and how.

A call gets our function and the sample's arguments in PyTorch's order; it says how they translate.
`Explained` and `refused` say, one line for each case, what is different on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

from .compare import Answer, Explained, may_refuse, refused
from .windows import conv, conv_transpose, pool

#: Operations of the table that have no entry, or not under their name, and why.
UNANSWERED = {
    "cbrt": "PyTorch has no cube root",
    "cofactor": "PyTorch has no cofactors; compared through linalg.det",
    "conv_kernel_gradient": "the VJP of conv; compared through nn.functional.conv2d",
    "hinge": "PyTorch's hinge losses are of other forms",
    "linear_recurrence": "PyTorch has none; compared through cumprod",
    "log_cosh": "PyTorch has none",
    "packed_slogdet": "the two results of slogdet as one; compared through linalg.slogdet",
    "scatter_index": "the VJP of indexing; compared through __getitem__",
    "transpose": "PyTorch's exchanges two axes; compared through permute",
}


def same(f: Callable[..., Any], *arguments: Any) -> Any:
    """Our function, with PyTorch's arguments as they are."""
    return f(*arguments)


def answer(*ours: str, call: Callable[..., Any] = same, **more: Any) -> Answer:
    """An answer by the functions of these names."""
    return Answer(ours, call, **more)


# Reductions ---------------------------------------------------------------------------------------


def no_axis(x: Any, dim: Any, call: Callable[[], Any]) -> Any:
    """PyTorch lets a 0-d tensor have an axis 0 of length 1."""
    return may_refuse(x.ndim == 0 and dim is not None, "a 0-d tensor has no axis", call)


def reduction(f: Any, x: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """PyTorch's dim= is our axis=, and dtype= what astype does before."""
    if dtype is not None:
        x = x.astype(dtype)
    return no_axis(x, dim, lambda: f(x, axis=dim, keepdims=keepdim))


def median(f: Any, x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Of an even number of elements PyTorch takes the lower of the middle two, we their mean."""
    length = x.size if dim is None else x.shape[dim] if x.ndim else 1
    if length % 2 == 0:
        raise Explained("the median of an even number of elements is the mean of two with us")
    return reduction(f, x, dim, keepdim)


def extreme_with_index(index: str) -> Callable[..., Any]:
    """The extreme along an axis and its index: two operations of ours."""

    def call(f: Any, x: Any, dim: Any, keepdim: bool = False) -> Any:
        where = getattr(cr, index)
        return [reduction(f, x, dim, keepdim), reduction(where, x, dim, keepdim)]

    return call


def spread_measure(f: Any, x: Any, *given: Any, **named: Any) -> Any:
    """Variance and deviation: `unbiased` is a correction of 1 or 0; the default of PyTorch is 1."""
    if given:
        named["unbiased"] = given[0]
    correction = named.get("correction")
    if "unbiased" in named:
        correction = int(named["unbiased"])
    return f(
        x,
        axis=named.get("dim"),
        correction=1 if correction is None else correction,
        keepdims=named.get("keepdim", False),
    )


def cumulative(f: Any, x: Any, dim: int, *, dtype: Any = None) -> Any:
    """dtype= is what astype does before."""
    if dtype is not None:
        x = x.astype(dtype)
    return no_axis(x, dim, lambda: f(x, axis=dim))


def vector_norm(f: Any, x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """The norm of all elements, or of vectors along axes."""
    return no_axis(x, dim, lambda: f(x, ord=2 if ord is None else ord, axis=dim, keepdims=keepdim))


def torch_norm(f: Any, x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """torch.norm: p="fro" is the norm of order 2 of all elements."""
    if p == "nuc":
        return refused("no nuclear norm", lambda: f(x, ord="nuc"))
    return vector_norm(f, x, 2 if p == "fro" else p, dim, keepdim)


def linalg_norm(f: Any, x: Any, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Any:
    """torch.linalg.norm: with two axes and an order, a matrix norm, which is not ours."""
    two = (dim is None and x.ndim == 2) or (isinstance(dim, tuple) and len(dim) == 2)
    if two and ord not in (None, "fro"):
        if isinstance(ord, str):
            return refused("no nuclear norm", lambda: f(x, ord=ord, axis=dim))
        raise Explained("a norm of matrices; ours takes the entries of a matrix for a vector")
    return torch_norm(f, x, 2 if ord is None else ord, dim, keepdim)


def matrix_norm(
    f: Any, x: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False
) -> Any:
    """torch.linalg.matrix_norm: only the Frobenius norm is a norm of entries."""
    return linalg_norm(f, x, ord, dim, keepdim)


def soft(f: Any, x: Any, dim: int, *, dtype: Any = None) -> Any:
    """softmax and log_softmax: dtype= is what astype does before."""
    if dtype is not None:
        x = x.astype(dtype)
    return no_axis(x, dim, lambda: f(x, axis=dim))


# Shapes -------------------------------------------------------------------------------------------


def expand(f: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """-1 leaves an axis as it is."""
    new = len(shape) - x.ndim
    return f(x, shape=tuple(x.shape[i - new] if n == -1 else n for i, n in enumerate(shape)))


def squeeze(f: Any, x: Any, dim: Any = None) -> Any:
    """PyTorch leaves a named axis alone whose length is not 1."""
    named = () if dim is None else dim if isinstance(dim, tuple) else (dim,)
    if any(x.ndim and x.shape[each] != 1 for each in named):
        return refused("a named axis has a length other than 1", lambda: f(x, axis=dim))
    return no_axis(x, dim if named else None, lambda: f(x, axis=dim))


def concat(f: Any, tensors: Any, dim: int = 0) -> Any:
    """PyTorch passes over 1-d tensors without elements."""
    legacy = len({each.ndim for each in tensors}) > 1
    if legacy:
        return refused("tensors with different numbers of axes", lambda: f(tensors, axis=dim))
    return f(tensors, axis=dim)


def split(f: Any, x: Any, sizes: Any, dim: int = 0) -> Any:
    """PyTorch takes the length, or the lengths, of pieces; we take the places of the cuts."""
    if isinstance(sizes, int):
        return f(x, list(range(sizes, x.shape[dim], sizes)), axis=dim)
    cuts = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return f(x, cuts, axis=dim)


def tensor_split(f: Any, x: Any, cuts: Any, dim: int = 0) -> Any:
    """The number of pieces, or the places of the cuts (a tensor of PyTorch's is a list of ours)."""
    if isinstance(cuts, cr.Tensor):
        cuts = cuts.tolist()
    if isinstance(cuts, int):
        if x.shape[dim] % cuts:
            return refused(
                "pieces of different lengths from a number", lambda: f(x, cuts, axis=dim)
            )
        return f(x, cuts, axis=dim)
    return f(x, list(cuts), axis=dim)


def tile(f: Any, x: Any, counts: tuple[int, ...]) -> Any:
    """The same counts."""
    return f(x, counts)


def repeat(f: Any, x: Any, *, repeats: Any, dim: Any = None, output_size: Any = None) -> Any:
    """repeat_interleave; the size of the result follows from the counts."""
    return f(x, repeats, axis=dim)


def roll(f: Any, x: Any, shifts: Any, dims: Any = None) -> Any:
    """The same shifts."""
    return f(x, shifts, axis=dims)


_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(f: Any, x: Any, widths: tuple[int, ...], mode: str = "constant", value: Any = 0.0) -> Any:
    """PyTorch lists widths from the last axis on; a negative one cuts, which is not ours."""
    pairs = [tuple(widths[2 * i : 2 * i + 2]) for i in range(len(widths) // 2)]
    every = tuple([(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1])
    more = {"constant_values": value} if mode == "constant" else {}

    def call() -> Any:
        return f(x, every, mode=_MODES[mode], **more)

    if any(each < 0 for each in widths):
        return refused("a negative width, which cuts", call)
    return call()


def diagonal(first: int, second: int) -> Callable[..., Any]:
    """Diagonals, by default over these axes; ours are those of the last two."""

    def call(f: Any, x: Any, offset: int = 0, dim1: int = first, dim2: int = second) -> Any:
        dim1, dim2 = dim1 % x.ndim, dim2 % x.ndim
        rest = [i for i in range(x.ndim) if i not in (dim1, dim2)]
        return f(cr.permute_dims(x, (*rest, dim1, dim2)), offset=offset)

    return call


# Linear algebra -----------------------------------------------------------------------------------


def tensordot(f: Any, a: Any, b: Any, *, dims: Any) -> Any:
    """dims is our axes; PyTorch broadcasts those of length 1."""
    if not isinstance(dims, int):
        pairs = zip(*dims, strict=True)
        if any(a.shape[i] != b.shape[j] for i, j in pairs):
            return refused("axes of different lengths", lambda: f(a, b, axes=dims))
    return f(a, b, axes=dims)


def einsum(f: Any, tensors: Any, subscripts: str) -> Any:
    """PyTorch sums over the axes under '...' if the result does not name them."""
    before, _, after = subscripts.partition("->")
    if "..." in before and "..." not in after:
        return refused("axes under '...' that the result lacks", lambda: f(subscripts, *tensors))
    return f(subscripts, *tensors)


def solve(f: Any, a: Any, b: Any) -> Any:
    """PyTorch takes b for vectors if it has the shape of rows of a; we, if it has one axis."""
    if b.ndim > 1 and b.shape == a.shape[:-1]:
        return f(a, cr.expand_dims(b, -1))[..., 0]
    return f(a, b)


def cholesky(f: Any, x: Any, *, upper: bool = False) -> Any:
    """The upper factor is the lower one transposed."""
    lower = f(x)
    return cr.matrix_transpose(lower) if upper else lower


# Indexing -----------------------------------------------------------------------------------------


def along(f: Any, x: Any, indices: Any, dim: Any = None) -> Any:
    """Without dim, indices into the elements in a row."""
    if dim is None:
        return f(x.flatten(), indices.flatten(), axis=0)
    return f(x, indices, axis=dim)


def gather(f: Any, x: Any, dim: int, index: Any) -> Any:
    """The dim comes last with us. PyTorch lets an empty index have any number of axes."""
    if x.ndim and index.ndim != x.ndim:
        return refused("indices with another number of axes", lambda: f(x, index, axis=dim))
    return no_axis(x, dim, lambda: f(x, index, axis=dim))


def scatter_add(f: Any, x: Any, dim: int, index: Any, source: Any) -> Any:
    """The dim comes last with us."""
    return no_axis(x, dim, lambda: f(x, index, source, axis=dim))


def place(x: Any, dim: int, index: Any) -> tuple[Any, ...]:
    """An index along one axis as a whole index."""
    return (slice(None),) * (dim % max(1, x.ndim)) + (index,)


def index_select(f: Any, x: Any, dim: int, index: Any) -> Any:
    """The dim comes last with us."""
    return no_axis(x, dim, lambda: f(x, index, axis=dim))


def index_add(f: Any, x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    """alpha is a factor of the source; ours takes a whole index; 0-d is one element of an axis."""
    if x.ndim == 0:
        row = f(cr.reshape(x, (1,)), cr.reshape(source, (1,)) * alpha, (index,))
        return cr.reshape(row, ())
    return f(x, source * alpha, place(x, dim, index))


def masked_select(f: Any, x: Any, mask: Any) -> Any:
    """PyTorch broadcasts the two; an index of ours is a mask of the same shape."""
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return cr.broadcast_to(x, shape)[cr.broadcast_to(mask, shape)]


def index_put(f: Any, x: Any, indices: Any, values: Any, *, accumulate: bool) -> Any:
    """x.at[indices], set or added to."""
    at = x.at[tuple(indices)]
    return at.add(values) if accumulate else at.set(values)


def ordered(f: Any, x: Any, dim: int = -1, descending: bool = False, *, stable: Any = None) -> Any:
    """Always stable with us."""
    return no_axis(x, dim, lambda: f(x, axis=dim, descending=descending))


def sort(f: Any, x: Any, dim: int = -1, descending: bool = False, *, stable: Any = None) -> Any:
    """PyTorch gives the order too."""
    return [ordered(f, x, dim, descending), ordered(cr.argsort, x, dim, descending)]


def top_k(f: Any, x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Always in order with us."""
    return no_axis(x, dim, lambda: f(x, k, axis=dim))


def select(f: Any, x: Any, dim: int, index: int) -> Any:
    """One place of an axis."""
    return x[place(x, dim, index)]


def narrow(f: Any, x: Any, dim: int, start: Any, length: int) -> Any:
    """A run of places of an axis."""
    start = int(start.item()) if isinstance(start, cr.Tensor) else start
    start %= x.shape[dim]
    return x[place(x, dim, slice(start, start + length))]


# Elementwise --------------------------------------------------------------------------------------


def gelu(f: Any, x: Any, *, approximate: str) -> Any:
    """The same names of approximations."""
    return f(x, approximate=approximate)


def clamp(f: Any, x: Any, low: Any = None, high: Any = None) -> Any:
    """Bounds by position."""
    return f(x, low, high)


# Normalisations and attention ---------------------------------------------------------------------


def layer_norm(
    f: Any, x: Any, shape: tuple[int, ...], weight: Any = 1, bias: Any = 0, *, eps: float = 1e-5
) -> Any:
    """PyTorch names the lengths of the last axes, and lets epsilon be negative."""
    axes = tuple(range(-len(shape), 0))
    call = lambda: f(x, weight, bias, axis=axes, epsilon=eps)  # noqa: E731
    return may_refuse(eps < 0, "epsilon is negative", call)


def batch_norm(
    f: Any,
    x: Any,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """PyTorch's features lie along axis 1, and its other form takes given statistics."""
    if not training:
        raise Explained("with given statistics: elementwise, of other operations")
    scale, offset = 1 if weight is None else weight, 0 if bias is None else bias
    return may_refuse(
        x.ndim < 2,
        "a batch without features",
        lambda: cr.moveaxis(f(cr.moveaxis(x, 1, -1), scale, offset, epsilon=eps), -1, 1),
    )


def masked_softmax(f: Any, x: Any, dim: int, *, mask: Any, dtype: Any = None) -> Any:
    """Rows that are hidden as a whole are 0, in PyTorch NaN."""
    if dtype is not None:
        x = x.astype(dtype)
    shown = np.broadcast_to(True if mask is None else mask.numpy(), x.shape)
    y = no_axis(x, dim, lambda: f(x, shown, axis=dim))
    if not shown.any(axis=dim).all():
        assert not y.numpy()[np.broadcast_to(~shown.any(axis=dim, keepdims=True), x.shape)].any()
        raise Explained("everything is hidden in a row: zeros, in PyTorch NaN")
    return y


def attention(
    f: Any,
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    *,
    is_causal: bool = False,
    dropout_p: float = 0.0,
    enable_gqa: bool = False,
) -> Any:
    """PyTorch's mask may be of numbers, which are added to the scores."""
    if dropout_p or enable_gqa:
        raise Explained("dropout, which is random" if dropout_p else "heads that share keys")
    if query.ndim == 4 and attn_mask is None:
        raise Explained("PyTorch's fused form, which has no second derivative; see test_attention")
    if attn_mask is not None and attn_mask.dtype.kind == "f":
        return refused(
            "a mask of numbers, added to the scores",
            lambda: f(query, key, value, mask=attn_mask),
        )
    return f(query, key, value, mask=attn_mask, is_causal=is_causal)


# Losses -------------------------------------------------------------------------------------------


def reduced(values: Any, reduction: str) -> Any:
    """What PyTorch's losses do with the values of all elements, by reduction=."""
    if reduction == "batchmean":
        return values.sum() / values.shape[0]
    return {"mean": values.mean, "sum": values.sum, "none": lambda: values}[reduction]()


def elementwise_loss(f: Any, x: Any, y: Any, *, reduction: str = "mean") -> Any:
    """Ours are values of elements."""
    return reduced(f(x, y), reduction)


def cross_entropy(f: Any, x: Any, y: Any, **named: Any) -> Any:
    """Classes lie along axis 1 in PyTorch, along the last one with us."""
    if named.get("weight") is not None:
        raise Explained("weights of classes: PyTorch's argument weight=, none of ours")
    if "ignore_index" in named:
        raise Explained("labels to ignore: PyTorch's argument ignore_index=, none of ours")
    last = lambda z: cr.permute_dims(z, (0, *range(2, z.ndim), 1))  # noqa: E731
    if y.dtype.kind == "f":
        values = cr.softmax_cross_entropy(last(x), last(y))
    else:
        values = f(last(x), y)
    return reduced(values, named.get("reduction", "mean"))


def with_logits(f: Any, x: Any, y: Any, *, reduction: str = "mean", **named: Any) -> Any:
    """Weights are factors of the values."""
    if "pos_weight" in named:
        raise Explained("weights of positives: PyTorch's argument pos_weight=, none of ours")
    return reduced(f(x, y) * named.get("weight", 1.0), reduction)


def binary_cross_entropy(f: Any, x: Any, y: Any, *, reduction: str = "mean", weight: Any = 1.0):
    """Two classes: a probability and its complement."""
    return reduced((f(x, y) + f(1 - x, 1 - y)) * weight, reduction)


def huber(f: Any, x: Any, y: Any, *, reduction: str = "mean", delta: float = 1.0) -> Any:
    """The same delta."""
    return reduced(f(x, y, delta=delta), reduction)


def smooth_l1(f: Any, x: Any, y: Any, *, reduction: str = "mean", beta: float = 1.0) -> Any:
    """The Huber loss over its delta; the absolute error for beta = 0."""
    if beta == 0:
        return refused("a Huber loss of delta 0", lambda: f(x, y, delta=beta))
    return reduced(f(x, y, delta=beta) / beta, reduction)


def kl_divergence(f: Any, x: Any, y: Any, *, reduction: str, log_target: bool) -> Any:
    """PyTorch takes logarithms of probabilities, we take the probabilities."""
    return reduced(f(cr.exp(x), cr.exp(y) if log_target else y), reduction)


def poisson(
    f: Any,
    x: Any,
    y: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """log_input= is exp before; eps= is added to the rate inside of the logarithm."""
    return reduced(f(cr.exp(x), y) if log_input else f(x + eps, y) - eps, reduction)


_UNARY = {
    **{name: name for name in ("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh")},
    **{name: name for name in ("cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "isfinite")},
    **{name: name for name in ("log", "log10", "log1p", "log2", "logical_not", "positive")},
    **{name: name for name in ("reciprocal", "sigmoid", "sign", "sin", "sinh", "sqrt", "square")},
    **{name: name for name in ("tan", "tanh", "trace")},
    **{f"nn.functional.{name}": name for name in ("relu", "selu", "silu", "mish")},
    **{name: name for name in ("floor", "ceil", "trunc", "round", "isinf", "isnan")},
    "bitwise_not": "bitwise_invert",
    "nn.functional.relu6": "relu6",
    "neg": "negative",
    "sgn": "sign",
    "nn.functional.logsigmoid": "log_sigmoid",
    "mT": "matrix_transpose",
    "linalg.inv": "inv",
    "linalg.det": "det",
}

_BINARY = {
    **{name: name for name in ("atan2", "logaddexp", "maximum", "minimum", "matmul", "outer")},
    **{name: name for name in ("floor_divide", "remainder", "hypot")},
    **{name: name for name in ("logical_and", "logical_or", "logical_xor")},
    **{name: name for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    "mul": "multiply",
    "div/no_rounding_mode": "divide",
    "true_divide": "divide",
    "pow": "power",
    "max/binary": "maximum",
    "min/binary": "minimum",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "mm": "matmul",
    "bmm": "matmul",
    "mv": "matmul",
    "dot": "matmul",
}

_REFLECTED = {
    "__radd__": ("add", "__radd__"),
    "__rsub__": ("subtract", "__rsub__"),
    "__rmul__": ("multiply", "__rmul__"),
    "__rdiv__": ("divide", "__rtruediv__"),
    "__rpow__": ("power", "__rpow__"),
    "__rmatmul__": ("matmul", "__rmatmul__"),
}

_AT_ZERO: dict[str, Any] = {
    "undefined": True,
    "reason": "at 0, and of nothing, PyTorch's second derivatives are not numbers; ours are 0",
}

ANSWERS: dict[str, Answer] = {
    **{entry: answer(ours) for entry, ours in {**_UNARY, **_BINARY}.items()},
    **{
        entry: answer(ours, call=lambda f, x, other, method=method: getattr(x, method)(other))
        for entry, (ours, method) in _REFLECTED.items()
    },
    # Elementwise, with arguments of their own
    "add": answer("add", call=lambda f, x, y, alpha=1: f(x, y * alpha)),
    "sub": answer("subtract", call=lambda f, x, y, alpha=1: f(x, y * alpha)),
    "rsub": answer("subtract", call=lambda f, x, y, alpha=1: f(y, x * alpha)),
    "div/floor_rounding": answer("floor_divide", call=lambda f, x, y, rounding_mode: f(x, y)),
    "clamp": answer("clip", call=clamp),
    "clamp_min": answer("clip", call=lambda f, x, low: f(x, low, None)),
    "clamp_max": answer("clip", call=lambda f, x, high: f(x, None, high)),
    "where": answer("where", call=lambda f, x, condition, y: f(condition, x, y)),
    "masked_fill": answer("where", call=lambda f, x, mask, value: f(mask, value, x)),
    "lerp": answer("lerp"),
    "nn.functional.hardsigmoid": answer(
        "hard_sigmoid", first=1e-7, second=1e-7, reason="PyTorch's slope is 1/6 in float32"
    ),
    "nn.functional.leaky_relu": answer("leaky_relu"),
    "nn.functional.elu": answer("elu"),
    "nn.functional.softplus": answer(
        "softplus",
        call=lambda f, x, beta, threshold: f(x * beta) / beta,
        theirs={"threshold": math.inf},
        reason="threshold= is infinite: above it PyTorch gives x for log(1 + exp(x))",
    ),
    "nn.functional.gelu": answer("gelu", call=gelu),
    **{
        f"round/decimals_{name}": answer("round", call=lambda f, x, *, decimals: f(x, decimals))
        for name in ("0", "3", "neg_3")
    },
    "nn.functional.hardtanh": answer(
        "hardtanh", call=lambda f, x, min_val=-1.0, max_val=1.0: f(x, min_val, max_val)
    ),
    "double": answer("astype", call=lambda f, x, memory_format=None: f(x, "float64")),
    # Reductions
    "sum": answer("sum", call=reduction),
    "mean": answer("mean", call=reduction),
    "prod": answer("prod", call=reduction),
    "amax": answer("max", call=reduction),
    "amin": answer("min", call=reduction),
    "max/reduction_no_dim": answer("max", call=reduction),
    "min/reduction_no_dim": answer("min", call=reduction),
    "max/reduction_with_dim": answer("max", "argmax", call=extreme_with_index("argmax")),
    "min/reduction_with_dim": answer("min", "argmin", call=extreme_with_index("argmin")),
    "all": answer("all", call=reduction),
    "any": answer("any", call=reduction),
    "count_nonzero": answer("count_nonzero", call=reduction),
    "median": answer("median", call=median, results=1, reason="our median gives no index"),
    "argmax": answer("argmax", call=reduction),
    "argmin": answer("argmin", call=reduction),
    "var": answer("var", call=spread_measure),
    "var/unbiased": answer("var", call=spread_measure),
    "std": answer("std", call=spread_measure),
    "std/unbiased": answer("std", call=spread_measure),
    "logsumexp": answer("logsumexp", call=reduction),
    "norm": answer("norm", call=torch_norm),
    "norm/fro": answer("norm", call=torch_norm),
    "norm/inf": answer("norm", call=torch_norm),
    "norm/nuc": answer("norm", call=torch_norm),
    "linalg.vector_norm": answer("norm", call=vector_norm, **_AT_ZERO),
    "linalg.norm": answer("norm", call=linalg_norm, **_AT_ZERO),
    "linalg.norm/subgradients_at_zero": answer(
        "norm",
        call=linalg_norm,
        **_AT_ZERO,
    ),
    "linalg.matrix_norm": answer("norm", call=matrix_norm),
    "cumsum": answer("cumulative_sum", call=cumulative),
    "cumprod": answer("cumulative_prod", call=cumulative),
    "softmax": answer("softmax", call=soft),
    "softmax/with_dtype": answer("softmax", call=soft),
    "log_softmax": answer("log_softmax", call=soft),
    "log_softmax/with_dtype": answer("log_softmax", call=soft),
    # Linear algebra
    "linalg.vecdot": answer("vecdot", call=lambda f, x, y, dim=-1: f(x, y, axis=dim)),
    "tensordot": answer("tensordot", call=tensordot),
    "einsum": answer("einsum", call=einsum),
    "linalg.solve": answer("solve", call=solve),
    "linalg.slogdet": answer(
        "slogdet",
        constant=(0,),
        reason="the sign has no gradient with us, the gradient 0 in PyTorch",
    ),
    "diagonal": answer("diagonal", call=diagonal(0, 1)),
    "linalg.diagonal": answer("diagonal", call=diagonal(-2, -1)),
    "cholesky": answer("cholesky", call=cholesky),
    "linalg.cholesky": answer("cholesky", call=cholesky),
    # Shapes
    "reshape": answer("reshape"),
    "view": answer("reshape"),
    "ravel": answer("Tensor.flatten"),
    "permute": answer("permute_dims"),
    "transpose": answer("swapaxes", call=lambda f, x, i, j: no_axis(x, i, lambda: f(x, i, j))),
    "movedim": answer("moveaxis"),
    "T": answer("Tensor.transpose"),
    "unsqueeze": answer("expand_dims"),
    "squeeze": answer("squeeze", call=squeeze),
    "squeeze/multiple": answer("squeeze", call=squeeze),
    "broadcast_to": answer("broadcast_to"),
    "expand": answer("broadcast_to", call=expand),
    "cat": answer("concat", call=concat),
    "stack": answer("stack", call=lambda f, tensors, dim: f(tensors, axis=dim)),
    "unbind": answer("unstack", call=lambda f, x, dim: f(x, axis=dim)),
    "split": answer("split", call=split),
    "split/list_args": answer("split", call=split),
    "split_with_sizes": answer("split", call=split),
    "tensor_split": answer("split", call=tensor_split),
    "tile": answer("tile", call=tile),
    "repeat": answer("tile", call=tile),
    "repeat_interleave": answer("repeat", call=repeat),
    "roll": answer("roll", call=roll),
    "flip": answer("flip", call=lambda f, x, dims: f(x, axis=dims)),
    "flipud": answer("flip", call=lambda f, x: f(x, axis=0)),
    "fliplr": answer("flip", call=lambda f, x: f(x, axis=1)),
    "constant_pad_nd": answer(
        "pad", call=lambda f, x, widths, *v: pad(f, x, widths, "constant", *v)
    ),
    **{
        f"nn.functional.pad/{mode}": answer("pad", call=pad)
        for mode in ("constant", "reflect", "replicate", "replicate_negative", "circular")
    },
    "tril": answer("tril"),
    "triu": answer("triu"),
    # Indexing
    "__getitem__": answer("getitem", call=lambda f, x, index: x[index]),
    "select": answer("getitem", call=select),
    "narrow": answer("getitem", call=narrow),
    "take": answer("take", call=lambda f, x, indices: f(x, indices, axis=None)),
    "take_along_dim": answer("take_along_axis", call=along),
    "gather": answer("gather", call=gather),
    "scatter_add": answer("scatter_add", call=scatter_add),
    "index_select": answer("take", call=index_select),
    "index_add": answer("index_add", call=index_add),
    "index_put": answer("Tensor.at", "index_add", "index_set", call=index_put),
    "masked_select": answer("getitem", call=masked_select),
    "nn.functional.embedding": answer(
        "take", call=lambda f, weight, indices: f(weight, indices, axis=0)
    ),
    "sort": answer("sort", "argsort", call=sort),
    "argsort": answer("argsort", call=ordered),
    "topk": answer("top_k", call=top_k),
    # Windows
    **{f"nn.functional.conv{n}d": answer("conv", call=conv) for n in (1, 2)},
    **{
        f"nn.functional.conv_transpose{n}d": answer("conv_transpose", call=conv_transpose)
        for n in (1, 2)
    },
    **{
        f"nn.functional.{name}_pool{n}d": answer(
            f"{name}_pool", call=pool(n), results=1, reason="our max_pool gives no indices"
        )
        for name in ("max", "avg")
        for n in (1, 2)
    },
    # Normalisations and attention
    "nn.functional.layer_norm": answer(
        "layer_norm",
        call=layer_norm,
        first=1e-10,
        reason="of one number PyTorch's gradient for the scale is rounding, where ours is 0",
    ),
    "nn.functional.batch_norm": answer("batch_norm", call=batch_norm),
    "masked.softmax": answer("masked_softmax", call=masked_softmax),
    "nn.functional.scaled_dot_product_attention": answer(
        "scaled_dot_product_attention", call=attention
    ),
    # Losses
    "nn.functional.cross_entropy": answer(
        "sparse_softmax_cross_entropy", "softmax_cross_entropy", call=cross_entropy
    ),
    "nn.functional.binary_cross_entropy_with_logits": answer(
        "sigmoid_cross_entropy", call=with_logits
    ),
    "nn.functional.binary_cross_entropy": answer(
        "cross_entropy",
        call=binary_cross_entropy,
        second=1e-8,
        reason="PyTorch's second derivative adds 1e-12 to probabilities",
    ),
    "nn.functional.mse_loss": answer("squared_error", call=elementwise_loss),
    "nn.functional.l1_loss": answer("absolute_error", call=elementwise_loss),
    "nn.functional.huber_loss": answer("huber", call=huber),
    "nn.functional.smooth_l1_loss": answer("huber", call=smooth_l1),
    "nn.functional.kl_div": answer("kl_divergence", call=kl_divergence),
    "nn.functional.poisson_nll_loss": answer(
        "poisson",
        call=poisson,
        theirs={"full": False},
        reason="full= is False: Stirling's term, of targets alone, is none of ours",
    ),
}


def unasked() -> list[str]:
    """The operations that no answer above uses, and that are not said to have no entry."""
    asked = {name for each in ANSWERS.values() for name in each.ours} | set(UNANSWERED)
    return sorted(set(cr.OPERATIONS) - asked)


# An operation that is added is compared with the entry of its name, if there is one, as it stands.
ANSWERS |= {name: answer(name) for name in unasked()}
