"""Transformer blocks: attention and a small network, each added to what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.masks import with_mask
from chainrule.engine.tensor import Tensor

from .activations import get_activation
from .arguments import fraction, not_negative, positive_integer
from .attention import MultiHeadAttention
from .calling import checked_mask
from .dense import Dense
from .dropout import drop
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .layer_normalization import LayerNormalization


class TransformerBlock(Layer):
    """What the blocks share: self-attention and the feed-forward network, both normalised.

    Each part f of a block is added to what it was given: norm(x + f(x)), or, with `norm_first`,
    x + f(norm(x)).
    """

    min_ndim = 3
    supports_masking = True
    self_attention: MultiHeadAttention
    self_attention_norm: LayerNormalization
    feed_forward_1: Dense
    feed_forward_2: Dense
    feed_forward_norm: LayerNormalization

    def __init__(
        self,
        num_heads: int,
        intermediate_dim: int,
        dropout: float = 0.0,
        activation: Any = "relu",
        norm_first: bool = False,
        epsilon: float = 1e-5,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        here = type(self).__name__
        self.num_heads = positive_integer(num_heads, "num_heads", here)
        self.intermediate_dim = positive_integer(intermediate_dim, "intermediate_dim", here)
        self.dropout = fraction(dropout, "dropout", here)
        self.activation = get_activation(activation, self.dtype)
        if self.activation.dtype != self.dtype:
            raise DtypeError(
                f"{here}: the activation {self.activation!r} has dtype {self.activation.dtype}, "
                f"the layer {self.dtype}; give both the same dtype="
            )
        self.norm_first = bool(norm_first)
        self.epsilon = not_negative(epsilon, "epsilon", here)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        """Makes the layers within, for an input of shape (None, time, width)."""
        width = input_shape[-1] if len(input_shape) == 3 else None
        if not width:
            raise ShapeError(
                f"{type(self).__name__}: input_shape must be (None, time, width), got "
                f"{tuple(input_shape)}"
            )
        made = self._initializers()
        self.self_attention = self._attention()
        self.self_attention_norm = self._norm()
        self.feed_forward_1 = Dense(self.intermediate_dim, self.activation, **made)
        self.feed_forward_2 = Dense(width, **made)
        self.feed_forward_norm = self._norm()
        self.feed_forward_2.build((*input_shape[:-1], self.intermediate_dim))
        for each in (
            *(self.self_attention, self.self_attention_norm),
            *(self.feed_forward_1, self.feed_forward_norm),
        ):
            each.build(input_shape)
        super().build(input_shape)

    def _initializers(self) -> dict[str, Any]:
        return {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "dtype": self.dtype,
        }

    def _attention(self) -> MultiHeadAttention:
        return MultiHeadAttention(self.num_heads, dropout=self.dropout, **self._initializers())

    def _norm(self) -> LayerNormalization:
        return LayerNormalization(epsilon=self.epsilon, dtype=self.dtype)

    def _added(
        self, x: Tensor, norm: LayerNormalization, part: Callable[[Tensor], Tensor], mask: Any
    ) -> Tensor:
        """x with what a part makes of it, normalised after the sum, or before the part."""
        if self.norm_first:
            return x + drop(part(with_mask(norm(x), mask)), self.dropout)
        return norm(x + drop(part(with_mask(x, mask)), self.dropout))

    def _fed_forward(self, x: Tensor) -> Tensor:
        return self.feed_forward_2(drop(self.feed_forward_1(x), self.dropout))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"activation": "relu"}


@registered
class TransformerEncoderBlock(TransformerBlock):
    """Self-attention, then a network of two dense layers for each step, each added to its input.

    x <- norm(x + attention(x)), x <- norm(x + W2 activation(W1 x)); with `norm_first` x <- x +
    attention(norm(x)), and so on. The input is (batch, time, width), the result has its shape, and
    carries its mask; steps that the mask hides are attended to by none. It computes what
    torch.nn.TransformerEncoderLayer does.

    Its layers are `self_attention`, `self_attention_norm`, `feed_forward_1`, `feed_forward_2`,
    `feed_forward_norm`.

    Arguments: `num_heads` of the attention, which must divide the width; `intermediate_dim`, how
    many units the hidden layer of the network has; `dropout`, the share dropped in training: of the
    weights of attention, of the hidden layer, and of what is added; `activation` of the hidden
    layer; `norm_first`; `epsilon` of the normalisations; `kernel_initializer` and
    `bias_initializer`; the others are `Layer`'s. The call takes `attention_mask` and
    `use_causal_mask`, as `MultiHeadAttention` does.

    Raises what its layers do.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.1; norm_first: Xiong et al.
    2020, On Layer Normalization in the Transformer Architecture.

    >>> import chainrule as cr
    >>> block = TransformerEncoderBlock(num_heads=2, intermediate_dim=16)
    >>> block(cr.ones((2, 5, 8))).shape, block.count_params()
    ((2, 5, 8), 600)
    """

    def call(
        self,
        x: Tensor,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
        mask: Any = None,
    ) -> Tensor:
        """The result for x."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attention(
                x, attention_mask=attention_mask, use_causal_mask=use_causal_mask
            )

        x = self._added(x, self.self_attention_norm, attend, mask)
        return self._added(x, self.feed_forward_norm, self._fed_forward, mask)


@registered
class TransformerDecoderBlock(TransformerBlock):
    """Causal self-attention, attention to a memory if there is one, and the feed-forward network.

    `block(x)` is a block of a language model such as GPT: no step sees a later one. In
    `block(x, memory)` each step also attends to the memory (batch, steps, any width), say what an
    encoder made of another sequence, between the two other parts. Every part is added to its input
    and normalised as in `TransformerEncoderBlock`. It computes what
    torch.nn.TransformerDecoderLayer does with a causal mask.

    `memory_mask` (batch, steps), True for the steps of the memory that are real, is by default the
    mask that the memory carries. The result carries the mask of x.

    Its layers are `self_attention`, `self_attention_norm`, `cross_attention` and
    `cross_attention_norm` (if the first call has a memory), `feed_forward_1`, `feed_forward_2`,
    `feed_forward_norm`. Arguments as `TransformerEncoderBlock`'s.

    Raises what its layers do; ValueError for a memory if the layer was built without one, and the
    other way about.

    Source: Vaswani et al. 2017, Attention Is All You Need, section 3.1; without memory: Radford et
    al. 2018, Improving Language Understanding by Generative Pre-Training.

    >>> import chainrule as cr
    >>> block = TransformerDecoderBlock(num_heads=2, intermediate_dim=16, norm_first=True)
    >>> x = cr.random.normal((1, 5, 8))
    >>> first, whole = block(x[:, :3]), block(x)
    >>> bool((abs(whole[:, :3] - first) < 1e-5).all())
    True
    """

    cross_attention: MultiHeadAttention | None
    cross_attention_norm: LayerNormalization | None

    def __call__(  # type: ignore[override]  # what else may be given stands by name
        self, x: Any, memory: Any = None, memory_mask: Any = None, **kwargs: Any
    ) -> Any:
        """The layer applied to `x`, with or without a memory; see the class, and `Layer`."""
        if memory is not None:
            memory = self._input(memory)
            if memory_mask is not None:
                where = f"{type(self).__name__}, memory_mask"
                memory = with_mask(memory, checked_mask(memory_mask, memory, where))
        if not self._built:
            shapes = [
                (None, *self._input(each).shape[1:]) for each in (x, memory) if each is not None
            ]
            self._build_once(*shapes)
        return super().__call__(x, memory, **kwargs)

    def build(self, input_shape: Shape, memory_shape: Shape | None = None) -> None:
        """Makes the layers within, with attention to a memory if its shape is given."""
        self.cross_attention = self.cross_attention_norm = None
        if memory_shape is not None:
            self._more_shapes = (memory_shape,)
            self.cross_attention, self.cross_attention_norm = self._attention(), self._norm()
            self.cross_attention.build(input_shape, memory_shape)
            self.cross_attention_norm.build(input_shape)
        super().build(input_shape)

    def call(self, x: Tensor, memory: Tensor | None = None, mask: Any = None) -> Tensor:
        """The result for x, and a memory."""
        x = self._added(
            x,
            self.self_attention_norm,
            lambda x: self.self_attention(x, use_causal_mask=True),
            mask,
        )
        cross, norm = self.cross_attention, self.cross_attention_norm
        if (cross is None) is not (memory is None):
            built = "without a memory, and has no attention to one" if cross is None else "with one"
            raise ValueError(
                f"TransformerDecoderBlock: memory is {describe(memory)}, but the layer was built "
                f"{built}; give a memory in the first call, and in every call, or never"
            )
        if cross is not None and norm is not None:
            x = self._added(x, norm, lambda x: cross(x, memory), mask)
        return self._added(x, self.feed_forward_norm, self._fed_forward, mask)
