"""Weights in the names and the layout that PyTorch has, and from there.

Dense                    nn.Linear            weight = kernelᵀ, bias
Conv1D, Conv2D           nn.Conv1d, 2d        weight (filters, channels, ...) of a kernel
(..., channels, filters), bias
Embedding,               nn.Embedding         weight
LearnedPositions
SimpleRNN, LSTM, GRU     nn.RNN, LSTM, GRU    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0;
GRU's gates are r, z, n there and z, r, h here
Bidirectional            bidirectional=True   the same, and the same with _reverse
LayerNormalization       nn.LayerNorm         weight = gamma, bias = beta
BatchNormalization       nn.BatchNorm         those, running_mean, running_var
MultiHeadAttention       nn.MultiheadAttention   in_proj_weight, in_proj_bias, out_proj
Transformer…Block        nn.Transformer…Layer    self_attn, linear1, linear2, norm1, norm2, ...
Sequential               nn.Sequential        "0.", "1.", ...
a Model of your own      nn.Module            the names of the attributes
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from chainrule.engine.errors import ShapeError
from chainrule.engine.tensor import on_host
from chainrule.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Conv2D,
    Dense,
    Embedding,
    Layer,
    LayerNormalization,
    LearnedPositions,
    MultiHeadAttention,
    SimpleRNN,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from chainrule.layers.recurrent import Recurrent

from .sequential import Sequential
from .torch_order import in_order
from .weights import assign_weights

Array = np.ndarray[Any, Any]
#: What PyTorch counts beside the running statistics; nothing here depends on it.
IGNORED = "num_batches_tracked"


class Part(NamedTuple):
    """Some weights here that are some weights there.

    Attributes: `theirs` and `ours`, the names; `write`, of ours to theirs; `read`, of theirs to
    ours.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    write: Callable[..., tuple[Array, ...]]
    read: Callable[..., tuple[Array, ...]]

    def within(self, theirs: str, ours: str, suffix: str = "") -> Part:
        """The same with prefixes, and a suffix to their names."""
        return self._replace(
            theirs=tuple(f"{theirs}{each}{suffix}" for each in self.theirs),
            ours=tuple(f"{ours}{each}" for each in self.ours),
        )

    def turned(self, order: Array) -> Part:
        """The same, of features that have another order there: theirs are ours[order]."""
        back = np.argsort(order)
        return self._replace(
            write=lambda *own: self.write(*(each[order] for each in own)),
            read=lambda *given: tuple(each[back] for each in self.read(*given)),
        )


def to_torch_weights(layer: Layer) -> dict[str, Array]:
    """The weights of a layer or model by PyTorch's names, in its layout, as NumPy arrays.

    `module.load_state_dict({name: torch.tensor(array) for ...})` takes them, if `module` is the
    counterpart: see the table above. Of a Sequential, features that come out of a Flatten of images
    are put in the order that they have there, channels first. An LSTM of PyTorch with
    `num_layers=2` is two layers here; the names of the second end in `_l0` too.

    Raises RuntimeError if the layer is not built, ShapeError if it has weights without a
    counterpart, or goes backwards through time.

    >>> import chainrule as cr
    >>> layer = cr.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> {name: array.shape for name, array in cr.utils.to_torch_weights(layer).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    own = {name: on_host(weight) for name, weight in layer.named_weights()}
    found: dict[str, Array] = {}
    for part in _checked_parts(layer):
        values = part.write(*(own[name] for name in part.ours))
        found.update(
            {
                name: np.array(value, order="C")
                for name, value in zip(part.theirs, values, strict=True)
            }
        )
    return found


def from_torch_weights(layer: Layer, weights: Mapping[str, Any]) -> None:
    """Copies weights with PyTorch's names and layout into a layer or model of the same structure.

    Arguments: `layer`, which must be built; `weights`, arrays or PyTorch's tensors by name, as
    `module.state_dict()` gives them.

    Raises RuntimeError if the layer is not built; ShapeError if names are missing or unknown, or
    shapes differ: the message lists them, and the layer is left as it was.

    >>> import chainrule as cr
    >>> layer = cr.layers.Dense(2)
    >>> layer.build((None, 3))
    >>> cr.utils.from_torch_weights(layer, {"weight": np.ones((2, 3)), "bias": np.zeros(2)})
    >>> layer(np.ones((1, 3))).tolist()
    [[3.0, 3.0]]
    """
    where = "from_torch_weights"
    expected = to_torch_weights(layer)
    given = {
        name: np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        for name, value in weights.items()
        if name.rpartition(".")[2] != IGNORED
    }
    wrong = [
        f"{name} is missing" if name not in given else f"{name} is unknown"
        for name in {**expected, **given}
        if name not in given or name not in expected
    ]
    wrong += [
        f"{name} has shape {given[name].shape}, not {expected[name].shape}"
        for name in expected
        if name in given and given[name].shape != expected[name].shape
    ]
    if wrong:
        raise ShapeError(
            f"{where}: the weights do not fit {layer.name}, which was left as it is: "
            f"{'; '.join(wrong[:8])}" + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        )
    values: dict[str, Array] = {}
    for part in _checked_parts(layer):
        read = part.read(*(given[name] for name in part.theirs))
        values.update(dict(zip(part.ours, read, strict=True)))
    assign_weights(layer.named_weights(), values, where=where)


def _checked_parts(layer: Layer) -> list[Part]:
    """The parts of a layer, which must hold all of its weights."""
    own = [name for name, _ in layer.named_weights()]
    parts = [part for part in _parts(layer) if all(name in own for name in part.ours)]
    known = {name for part in parts for name in part.ours}
    left = [name for name in own if name not in known]
    if left:
        raise ShapeError(
            f"PyTorch's layout: {', '.join(left)} of {layer.name} have no counterpart in PyTorch"
        )
    return parts


# Layer by layer ---------------------------------------------------------------------------------


def _parts(layer: Layer) -> Iterator[Part]:
    rule = next((rule for kinds, rule in _RULES if isinstance(layer, kinds)), _attributes)
    yield from rule(layer)


def _below(layer: Layer, theirs: str, ours: str, suffix: str = "") -> Iterator[Part]:
    for part in _parts(layer):
        yield part.within(theirs, ours, suffix)


def _same(theirs: str, ours: str) -> Part:
    return Part((theirs,), (ours,), lambda a: (a,), lambda a: (a,))


def _transposed(theirs: str, ours: str) -> Part:
    return Part((theirs,), (ours,), lambda a: (a.T,), lambda a: (a.T,))


def _biases(layer: Any, theirs: str = "bias", ours: str = "bias") -> list[Part]:
    return [_same(theirs, ours)] if getattr(layer, ours) is not None else []


def _attributes(layer: Layer) -> Iterator[Part]:
    for name, each in layer.sublayers():
        yield from _below(each, f"{name}.", f"{name}.")


def _sequential(layer: Sequential) -> Iterator[Part]:
    yield from in_order(layer, _parts)[0]


def _dense(layer: Dense) -> Iterator[Part]:
    yield _transposed("weight", "kernel")
    yield from _biases(layer)
    yield from _attributes(layer)  # an activation may be a layer with weights


def _conv(layer: Conv1D | Conv2D) -> Iterator[Part]:
    def write(kernel: Array) -> tuple[Array]:
        return (np.moveaxis(kernel, (-1, -2), (0, 1)),)

    def read(weight: Array) -> tuple[Array]:
        return (np.moveaxis(weight, (0, 1), (-1, -2)),)

    yield Part(("weight",), ("kernel",), write, read)
    yield from _biases(layer)
    yield from _attributes(layer)


def _embedding(layer: Embedding | LearnedPositions) -> Iterator[Part]:
    yield _same("weight", "embeddings")


def _same_way(layer: Recurrent) -> None:
    """Raises ShapeError for a layer that goes another way through time than its counterpart."""
    if layer.go_backwards:
        raise ShapeError(
            f"PyTorch's layout: {layer.name} with go_backwards=True has no "
            "counterpart in PyTorch; Bidirectional of a layer that goes forwards has one"
        )


def _rnn(layer: SimpleRNN | LSTM) -> Iterator[Part]:
    yield _transposed("weight_ih_l0", "kernel")
    yield _transposed("weight_hh_l0", "recurrent_kernel")
    if layer.bias is not None:
        names = ("bias_ih_l0", "bias_hh_l0")
        yield Part(names, ("bias",), lambda b: (b, np.zeros_like(b)), lambda a, b: (a + b,))


def _gru(layer: GRU) -> Iterator[Part]:
    def swapped(a: Array) -> Array:
        """z, r, h as r, z, n along the last axis, and back."""
        first, second, third = np.split(a, 3, axis=-1)
        return np.concatenate([second, first, third], axis=-1)

    for theirs, ours in (("weight_ih_l0", "kernel"), ("weight_hh_l0", "recurrent_kernel")):
        yield Part((theirs,), (ours,), lambda a: (swapped(a).T,), lambda a: (swapped(a.T),))
    if layer.bias is not None:
        yield Part(
            ("bias_ih_l0", "bias_hh_l0"),
            ("bias",),
            lambda b: tuple(swapped(b)),
            lambda a, b: (swapped(np.stack([a, b])),),
        )


def _recurrent(layer: Recurrent) -> Iterator[Part]:
    _same_way(layer)
    yield from (_gru if isinstance(layer, GRU) else _rnn)(layer)  # type: ignore[arg-type]


def _bidirectional(layer: Bidirectional) -> Iterator[Part]:
    _same_way(layer.forward_layer)
    for each, name, suffix in (
        (layer.forward_layer, "forward_layer.", ""),
        (layer.backward_layer, "backward_layer.", "_reverse"),
    ):
        for part in (_gru if isinstance(each, GRU) else _rnn)(each):  # type: ignore[arg-type]
            yield part.within("", name, suffix)


def _norm(layer: LayerNormalization | BatchNormalization) -> Iterator[Part]:
    yield from _biases(layer, "weight", "gamma")
    yield from _biases(layer, "bias", "beta")
    if isinstance(layer, BatchNormalization):
        yield _same("running_mean", "moving_mean")
        yield _same("running_var", "moving_variance")


def _attention(layer: MultiHeadAttention) -> Iterator[Part]:
    kernels = ("query_kernel", "key_kernel", "value_kernel")
    shapes = {getattr(layer, name).shape for name in kernels}
    if len(shapes) == 1:
        yield Part(
            ("in_proj_weight",),
            kernels,
            lambda *each: (np.concatenate([a.T for a in each]),),
            lambda a: tuple(b.T for b in np.split(a, 3)),
        )
    else:  # as with kdim and vdim
        for letter, name in zip("qkv", kernels, strict=True):
            yield _transposed(f"{letter}_proj_weight", name)
    yield _transposed("out_proj.weight", "output_kernel")
    if layer.use_bias:
        ends = np.cumsum([getattr(layer, name).shape[-1] for name in kernels])[:-1]
        yield Part(
            ("in_proj_bias",),
            ("query_bias", "key_bias", "value_bias"),
            lambda *each: (np.concatenate(each),),
            lambda a: tuple(np.split(a, ends)),
        )
        yield _same("out_proj.bias", "output_bias")


def _block(layer: TransformerEncoderBlock | TransformerDecoderBlock) -> Iterator[Part]:
    names = {"self_attention": "self_attn", "self_attention_norm": "norm1"}
    names |= {"feed_forward_1": "linear1", "feed_forward_2": "linear2"}
    crosses = getattr(layer, "cross_attention", None) is not None
    if crosses:
        names |= {"cross_attention": "multihead_attn", "cross_attention_norm": "norm2"}
    names["feed_forward_norm"] = "norm3" if crosses else "norm2"
    for ours, theirs in names.items():
        yield from _below(getattr(layer, ours), f"{theirs}.", f"{ours}.")


#: For the layers of these classes, what makes their parts.
_RULES: list[tuple[Any, Callable[[Any], Iterator[Part]]]] = [
    (Sequential, _sequential),
    (Dense, _dense),
    ((Conv1D, Conv2D), _conv),
    ((Embedding, LearnedPositions), _embedding),
    (Recurrent, _recurrent),
    (Bidirectional, _bidirectional),
    ((LayerNormalization, BatchNormalization), _norm),
    (MultiHeadAttention, _attention),
    ((TransformerEncoderBlock, TransformerDecoderBlock), _block),
]
