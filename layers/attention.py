"""Multi-head attention: queries look up values by keys, several times side by side."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from chainrule.engine.devices import state
from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.hosted import host_array
from chainrule.engine.masks import mask_of
from chainrule.engine.operations.attention import attend, attention_weights
from chainrule.engine.operations.choices import where
from chainrule.engine.record import tensor_functions
from chainrule.engine.tensor import Tensor

from .arguments import fraction, positive_integer
from .dropout import drop
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer

#: The projections, in the order in which PyTorch packs them.
PROJECTIONS = ("query", "key", "value")


@registered
class MultiHeadAttention(Layer):
    """Attention of several heads: concat(head_1, ..., head_n) O, each head a mean of values.

    With q = query Q, k = key K, v = value V cut into heads, head = softmax(q kᵀ / √key_dim) v
    (`cr.scaled_dot_product_attention`). Each of the four maps has a bias.

    `layer(x)` is self-attention, `layer(query, value)` or `layer(query, value, key)` attends to
    another sequence; `key` is `value` unless it is given. Arguments of the call: `query`, (batch,
    queries, width); `value` and `key`, (batch, keys, any width); `attention_mask`, booleans
    (queries, keys), (batch, queries, keys) or (batch, heads, queries, keys), True where a query may
    attend to a key; `use_causal_mask`: may a query not attend to later keys?
    `return_attention_scores`: return the weights too, (batch, heads, queries, keys), before any is
    dropped? The result has the query's shape.

    Steps that the mask of `value` or `key` hides (in self-attention that of x) are attended to by
    no query, whatever stands there. The result carries the mask of the query.

    The weights are `query_kernel` and `key_kernel`, (width, heads * key_dim), `value_kernel`,
    (width, heads * value_dim), `output_kernel`, (heads * value_dim, width of the query), and
    `query_bias`, `key_bias`, `value_bias`, `output_bias`. The columns of head h are h * key_dim to
    (h + 1) * key_dim. (PyTorch's `in_proj_weight` is the transpose of the first three side by side,
    its `out_proj.weight` that of `output_kernel`.)

    Arguments: `num_heads`; `key_dim`, the width of a head's queries and keys, by default the
    query's width divided by the number of heads; `value_dim`, that of its values, by default
    key_dim; `dropout`, the share of the weights that is dropped in training; `use_bias`;
    initialisers and regularisers, as in `Layer.add_weight`; the others are `Layer`'s.

    Raises TypeError or ValueError for numbers that are no positive integers, and for a dropout
    outside 0 <= dropout < 1; called, ShapeError for shapes that do not fit, and if the heads do not
    divide the width; DtypeError for a mask that is not boolean.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.2.2.

    >>> import chainrule as cr
    >>> layer = MultiHeadAttention(num_heads=2, dtype="float64")
    >>> y, weights = layer(cr.ones((1, 3, 4)), use_causal_mask=True, return_attention_scores=True)
    >>> y.shape, weights.numpy()[0, 0].round(2).tolist()
    ((1, 3, 4), [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33, 0.33, 0.33]])
    """

    min_ndim = 3
    supports_masking = True
    output_kernel: Tensor

    def __init__(
        self,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        here = "MultiHeadAttention"
        self.num_heads = positive_integer(num_heads, "num_heads", here)
        self.key_dim = None if key_dim is None else positive_integer(key_dim, "key_dim", here)
        self.value_dim = (
            None if value_dim is None else positive_integer(value_dim, "value_dim", here)
        )
        self.dropout = fraction(dropout, "dropout", here)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)

    def __call__(  # type: ignore[override]  # what else may be given stands by name
        self, x: Any, value: Any = None, key: Any = None, **kwargs: Any
    ) -> Any:
        """The layer applied to queries `x`; see the class, and `Layer.__call__`."""
        value, key = self._sequence("value", value), self._sequence("key", key)
        if not self._built:
            query = self._input(x)
            given = (query, query if value is None else value)
            shapes = [(None, *each.shape[1:]) for each in (*given, key) if each is not None]
            self._build_once(*shapes)
        return super().__call__(x, value, key, **kwargs)

    def _sequence(self, name: str, given: Any) -> Tensor | None:
        """Keys or values, as a Tensor (batch, time, width) of the layer's dtype."""
        if given is None:
            return None
        x = self._input(given)
        if x.ndim != 3:
            raise ShapeError(
                f"MultiHeadAttention: {name} must be (batch, time, width), got {describe(x)}"
            )
        return x

    def build(
        self, input_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> None:
        """Makes the weights, for queries, values and keys of these shapes (None, time, width)."""
        value_shape = input_shape if value_shape is None else value_shape
        key_shape = value_shape if key_shape is None else key_shape
        shapes = {"query": input_shape, "key": key_shape, "value": value_shape}
        self._more_shapes = (value_shape, key_shape)
        widths: dict[str, int] = {}
        for name, shape in shapes.items():
            if len(shape) != 3 or not shape[-1]:
                raise ShapeError(
                    f"MultiHeadAttention: {name} must be (batch, time, width), got a shape of "
                    f"{tuple(shape)}"
                )
            widths[name] = shape[-1]
        width, heads = widths["query"], self.num_heads
        if self.key_dim is None and width % heads:
            raise ShapeError(
                f"MultiHeadAttention: num_heads={heads} does not divide the width of the query, "
                f"{width}; choose another number of heads, or give key_dim"
            )
        key_dim = self.key_dim or width // heads
        value_dim = self.value_dim or key_dim
        inner = {"query": key_dim, "key": key_dim, "value": value_dim}
        sizes = {name: (widths[name], heads * inner[name]) for name in PROJECTIONS}
        sizes["output"] = (heads * value_dim, width)
        for name, (rows, columns) in sizes.items():
            self.add_weight(
                f"{name}_kernel",
                (rows, columns),
                self.kernel_initializer,
                regularizer=self.kernel_regularizer,
            )
            setattr(self, f"{name}_bias", None)
            if self.use_bias:
                self.add_weight(
                    f"{name}_bias",
                    (columns,),
                    self.bias_initializer,
                    regularizer=self.bias_regularizer,
                )
        super().build(input_shape)

    def call(
        self,
        x: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        mask: Any = None,
    ) -> Any:
        """What the queries `x` find; and, if asked for, the weights of the values."""
        hidden = [mask] if value is None else [mask_of(value)]
        if key is not None:
            hidden.append(mask_of(key))
        self._check(x, x if value is None else value, key)
        padding = _together(hidden)
        if padding is not None and padding.ndim != 2:
            raise ShapeError(
                f"MultiHeadAttention: mask must be (batch, time), got {describe(padding)}"
            )
        q, k, v = self._projected(x, value, key, padding)
        shape = (x.shape[0], self.num_heads, q.shape[-2], k.shape[-2])
        seen = _together(
            [
                None if padding is None else padding[:, None, None, :],
                self._attention_mask(attention_mask, shape),
            ]
        )
        causal = bool(use_causal_mask)
        if return_attention_scores or (self.dropout and state.training):
            weights = attention_weights(tensor_functions, q, k, seen, causal)
            heads = drop(weights, self.dropout) @ v
        else:
            heads = attend(tensor_functions, q, k, v, seen, causal)
        heads = heads.permute_dims((0, 2, 1, 3))
        y = self._map("output", heads.reshape(*heads.shape[:2], self.num_heads * v.shape[-1]))
        return [y, weights] if return_attention_scores else y

    def _projected(
        self, x: Tensor, value: Tensor | None, key: Tensor | None, padding: Any
    ) -> list[Tensor]:
        """Queries, keys and values, (batch, heads, time, width of a head)."""
        value = x if value is None else value
        key = value if key is None else key
        if padding is not None:
            shown, same = padding[:, :, None], key is value
            key = where(shown, key, 0.0)
            value = key if same else where(shown, value, 0.0)
        pairs = zip(PROJECTIONS, (x, key, value), strict=True)
        return [self._heads(self._map(name, each)) for name, each in pairs]

    def _map(self, name: str, x: Tensor) -> Tensor:
        """x kernel + bias, with the weights of that name."""
        return _affine(x, getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias"))

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, time, heads * width) -> (batch, heads, time, width)"""
        width = x.shape[-1] // self.num_heads
        return x.reshape(*x.shape[:2], self.num_heads, width).permute_dims((0, 2, 1, 3))

    def _check(self, query: Tensor, value: Tensor, key: Tensor | None) -> None:
        """Raises ShapeError for sequences that do not fit the weights, or each other."""
        key = value if key is None else key
        for name, each in (("query", query), ("key", key), ("value", value)):
            width = getattr(self, f"{name}_kernel").shape[0]
            if each.ndim != 3 or each.shape[-1] != width:
                raise ShapeError(
                    f"MultiHeadAttention: expected {name} of shape (batch, time, {width}) (the "
                    f"layer was built on it), got {name} with {describe(each)}"
                )
        if not len(query) == len(key) == len(value) or key.shape[1] != value.shape[1]:
            raise ShapeError(
                "MultiHeadAttention: query, key and value must be of one batch, key and value of "
                f"one time; query has {describe(query)}, key {describe(key)}, value "
                f"{describe(value)}"
            )

    def _attention_mask(self, mask: Any, shape: tuple[int, ...]) -> Any:
        """The mask as an array of 4 axes, or of 2."""
        if mask is None:
            return None
        given = host_array(mask) if isinstance(mask, Tensor) else np.asarray(mask)
        if given.dtype.kind != "b":
            raise DtypeError(
                "MultiHeadAttention: attention_mask must be boolean, True where a query may attend "
                f"to a key, got {describe(given)}; of zeros and ones, mask != 0 is one"
            )
        found = given[:, None] if given.ndim == 3 else given
        fits = found.ndim in (2, 4) and all(
            n in (1, m) for n, m in zip(found.shape, shape[4 - found.ndim :], strict=True)
        )
        if not fits:
            raise ShapeError(
                "MultiHeadAttention: attention_mask must be (queries, keys), (batch, queries, "
                f"keys) or (batch, heads, queries, keys), here of {shape}, got {describe(given)}"
            )
        return found

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The query's."""
        return tuple(input_shape)


def _affine(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """x kernel + bias, as one product of matrices."""
    y = x.reshape(-1, x.shape[-1]) @ kernel
    y = y if bias is None else y + bias
    return y.reshape(*x.shape[:2], kernel.shape[1])


def _together(masks: list[Any]) -> Any:
    """What all masks show; None if there is none."""
    given = [each for each in masks if each is not None]
    return functools.reduce(np.logical_and, given) if given else None
