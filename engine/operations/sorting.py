"""Operations that put elements in order. Gradients follow the elements to where they came from."""

from __future__ import annotations

from typing import Any

from ..arguments import axis_of, boolean, integer
from ..cases import case
from ..definitions import composition, operation
from ..errors import ShapeError, describe
from .reductions import checked_axes, count, floating, merged

_NAN = "NaN comes last, in either direction; equal elements keep their order (with `stable`)."


def _order(k: Any, x: Any, axis: Any, descending: bool, stable: bool) -> Any:
    descending = boolean("argsort", "descending", descending)
    axis, stable = axis_of("argsort", axis, x), boolean("argsort", "stable", stable)
    kind = "stable" if stable else None
    if not descending:
        return k.argsort(x, axis=axis, kind=kind)
    if x.dtype.kind not in "biu":
        return k.argsort(-x, axis=axis, kind=kind)
    # Integers may have no negative. The last of equals in reversed order is the first.
    back = (slice(None),) * axis + (slice(None, None, -1),)
    return x.shape[axis] - 1 - k.argsort(x[back], axis=axis, kind=kind)[back]


argsort = operation(
    "argsort",
    summary="The indices (int64) that would sort along an axis.",
    forward=lambda k, x, *, axis=-1, descending=False, stable=True: _order(
        k, x, axis, descending, stable
    ),
    notes=f"{_NAN} Raises ShapeError for an axis that x does not have.",
    example="""
    >>> import chainrule as cr
    >>> cr.argsort(cr.tensor([0.5, 2.0, 1.0]), descending=True).tolist()
    [1, 2, 0]
    """,
    methods=("argsort",),
)


def _sort(k: Any, x: Any, axis: Any, descending: bool, stable: bool) -> Any:
    descending = boolean("sort", "descending", descending)
    axis, stable = axis_of("sort", axis, x), boolean("sort", "stable", stable)
    indices = k.argsort(x, axis=axis, descending=descending, stable=stable)
    return k.take_along_axis(x, indices, axis=axis)


sort = composition(
    "sort",
    summary="The elements in order along an axis: rising, or falling if `descending`.",
    formula="y[i] = x[p[i]], with p the permutation that sorts x",
    derivative="∂y[i]/∂x[j] = [j = p[i]]",
    forward=lambda k, x, *, axis=-1, descending=False, stable=True: _sort(
        k, x, axis, descending, stable
    ),
    notes=f"{_NAN} x itself is not changed. Raises ShapeError for an axis that x does not have.",
    example="""
    >>> import chainrule as cr
    >>> x = cr.tensor([3.0, 1.0, 2.0], requires_grad=True)
    >>> x.sort().backward([10.0, 20.0, 30.0])
    >>> x.sort().tolist(), x.grad.tolist()
    ([1.0, 2.0, 3.0], [30.0, 10.0, 20.0])
    """,
    methods=("sort",),
    cases=[
        case((4,)),
        case((2, 3), axis=0, descending=True),
        case((2, 2, 2), axis=-2, stable=False),
        case((2, 0)),
        case((1,), descending=True),
    ],
)


def _top(F: Any, x: Any, k: Any, axis: Any) -> Any:
    axis = axis_of("top_k", axis, x)
    length, wanted = x.shape[axis], integer("top_k", "k", k, at_least=0)
    if wanted > length:
        raise ShapeError(
            f"top_k: k must be at most {length}, the length of axis={axis}, got {wanted}; x has "
            f"{describe(x)}"
        )
    # Sorted from the end NaN is first, as it is the largest for max; and so is the first of equals.
    before = (slice(None),) * axis
    rising = F.argsort(x[(*before, slice(None, None, -1))], axis=axis)
    indices = length - 1 - rising[(*before, slice(length - wanted, None))]
    indices = indices[(*before, slice(None, None, -1))]
    return F.take_along_axis(x, indices, axis=axis), indices


top_k = composition(
    "top_k",
    summary="The k largest elements along an axis, the largest first: (values, indices).",
    formula="y[i] = x[p[i]] for i < k, with p the permutation that sorts x, falling",
    derivative="∂y[i]/∂x[j] = [j = p[i]]: the elements that were not chosen have gradient 0",
    forward=lambda F, x, *, k, axis=-1: _top(F, x, k, axis),
    notes="""
    `k` is an integer, at most the length of the axis. Of equal elements the first come first. NaN
    counts as the largest, as it does for `max`. The indices (int64) have no gradient.

    Raises ShapeError for a `k` that is negative or too large, and for an axis that x does not
    have; DtypeError if one is no integer.
    """,
    example="""
    >>> import chainrule as cr
    >>> values, indices = cr.top_k(cr.tensor([0.1, 0.7, 0.2]), 2)
    >>> values.tolist(), indices.tolist()
    ([0.7, 0.2], [1, 2])
    """,
    methods=("top_k",),
    cases=[case((4,), k=2), case((3, 2), k=1, axis=0), case((2, 3), k=3), case((3,), k=0)],
)


def _median(k: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    axes = checked_axes("median", x, axis)
    n = count(x.shape, axes)
    if not n:
        raise ShapeError(
            f"median: there is no median of no elements: x has {describe(x)}, axis={axis}; "
            "leave empty arrays out"
        )
    row = k.sort(merged(k, floating(x), axes), axis=-1)
    middle = row[..., n // 2] if n % 2 else row[..., n // 2 - 1] / 2 + row[..., n // 2] / 2
    last = row[..., -1]
    y = k.where(last != last, last, middle)
    if keepdims:
        y = k.reshape(y, tuple(1 if i in axes else each for i, each in enumerate(x.shape)))
    return y


median = composition(
    "median",
    summary="The middle of the sorted elements along axes; of an even number, of the middle two "
    "the mean.",
    formula="y = (s[(n - 1) // 2] + s[n // 2]) / 2, with s the n elements, sorted",
    derivative="∂y/∂x[i] = 1 for the middle element, 1/2 for each of the middle two, 0 for others",
    forward=lambda k, x, *, axis=None, keepdims=False: _median(k, x, axis, keepdims),
    notes="""
    As in NumPy; PyTorch takes the lower one of the middle two. Of elements that are equal to the
    middle one, the one that a stable sort puts there has the gradient. With NaN among the elements
    it is NaN. Raises ShapeError where there are no elements, and errors for `axis` as `sum` does.
    """,
    methods=("median",),
    cases=[
        case((5,)),
        case((2, 4), axis=1),
        case((3, 2, 2), axis=(0, -1), keepdims=True),
        case((2, 3), axis=0, keepdims=True),
        case((), axis=0),
    ],
)
