"""A sequence read from both ends."""

from __future__ import annotations

from typing import Any

from chainrule.engine.errors import ShapeError
from chainrule.engine.masks import with_mask
from chainrule.engine.operations.choices import where
from chainrule.engine.operations.joining import concat
from chainrule.engine.tensor import Tensor

from .arguments import choice
from .layer import Layer, Shape, from_config, registered
from .recurrent import Recurrent

#: How two results become one, by Keras's names.
MERGED = {
    "concat": lambda a, b: concat([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


@registered
class Bidirectional(Layer):
    """Two recurrent layers read the sequence, one from each end (Schuster & Paliwal 1997).

    They are `forward_layer` and `backward_layer`. What the second returns for all steps is turned
    round, so that both results of a step stand together; padded steps are 0 then. The states that
    are returned are those of the first layer, then those of the second, and likewise those given as
    `initial_state`.

    Arguments: `layer`, a recurrent layer; `merge_mode`, how the results are joined: "concat", one
    after the other along the last axis, "sum", "mul", "ave", or None, for a list of both;
    `backward_layer`, a layer that goes the other way, by default one like the first, with weights
    of its own; the others are `Layer`'s, `dtype` by default that of the layer.

    Raises TypeError for a layer that is not recurrent, ValueError for a merge_mode that is unknown,
    and for layers that go the same way or do not return the same; called, what the layers do.

    >>> import chainrule as cr
    >>> from chainrule.layers import LSTM, Bidirectional
    >>> layer = Bidirectional(LSTM(4, return_sequences=True))
    >>> layer(cr.zeros((2, 5, 3))).shape, layer.count_params()
    ((2, 5, 8), 256)
    """

    min_ndim = 3

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        backward_layer: Any = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        forward = _recurrent(layer, "layer")
        super().__init__(name, forward.dtype if dtype is None else dtype, trainable)
        if merge_mode is not None:
            choice(merge_mode, MERGED, "merge_mode", "Bidirectional")
        self.merge_mode = merge_mode
        self._is_copy = backward_layer is None
        if self._is_copy:
            backward_layer = type(forward).from_config(_mirrored(forward))
        backward = _recurrent(backward_layer, "backward_layer")
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "Bidirectional: backward_layer must go the other way; give one of the two "
                f"go_backwards=True, got {forward!r} and {backward!r}"
            )
        for key in ("return_sequences", "return_state", "dtype"):
            if getattr(forward, key) != getattr(backward, key) or forward.dtype != self.dtype:
                raise ValueError(
                    f"Bidirectional: both layers must have the same {key}, and the dtype be theirs,"
                    f" got {forward!r} and {backward!r}"
                )
        if merge_mode not in ("concat", None) and forward.units != backward.units:
            raise ValueError(
                f"Bidirectional: for merge_mode={merge_mode!r} both layers must have the same "
                f"units, got {forward.units} and {backward.units}"
            )
        self.forward_layer, self.backward_layer = forward, backward

    @property
    def layer(self) -> Recurrent:
        """The layer that it was made with: `forward_layer`."""
        return self.forward_layer

    def build(self, input_shape: Shape) -> None:
        """Makes the weights of both layers, for an input of shape (None, time, features)."""
        for each in (self.forward_layer, self.backward_layer):
            if not each.built:
                each.build(input_shape)
        super().build(input_shape)

    def call(self, x: Tensor, initial_state: Any = None, mask: Any = None) -> Any:
        """The merged results; and, with `return_state`, the last states of both layers."""
        ahead, back = self._split(initial_state)
        result, *states = _several(self.forward_layer(x, initial_state=ahead, mask=mask))
        turned, *others = _several(self.backward_layer(x, initial_state=back, mask=mask))
        if self.forward_layer.return_sequences:
            turned = turned[:, ::-1]
        pair = [result, turned]
        results = pair if self.merge_mode is None else [MERGED[self.merge_mode](*pair)]
        real = self.compute_mask(x, mask)
        if real is not None:
            results = [where(real[..., None], each, 0.0) for each in results]
            results = [with_mask(each, real) for each in results]
        if len(results) == 1 and not states:
            return results[0]
        return [*results, *states, *others]

    def _split(self, given: Any) -> tuple[Any, Any]:
        """The initial states of each layer."""
        if given is None:
            return None, None
        count = self.forward_layer.state_count, self.backward_layer.state_count
        if not isinstance(given, (list, tuple)) or len(given) != sum(count):
            got = len(given) if isinstance(given, (list, tuple)) else type(given).__name__
            raise ShapeError(
                f"Bidirectional: initial_state must be a list of {sum(count)} Tensors, first those "
                f"of the forward layer, got {got}"
            )
        return list(given[: count[0]]), list(given[count[0] :])

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """The mask of the results of all steps; None for the last."""
        return self.forward_layer.compute_mask(x, mask)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """That of the layer's result, with twice as many features if they are concatenated."""
        *rest, units = self.forward_layer.compute_output_shape(input_shape)
        if self.merge_mode != "concat":
            return (*rest, units)
        return (*rest, self.forward_layer.units + self.backward_layer.units)

    def _arguments(self) -> dict[str, Any]:
        found = super()._arguments()
        # One that was changed since, frozen say, is told.
        if self._is_copy and self.backward_layer.get_config() == _mirrored(self.forward_layer):
            return found | {"backward_layer": None}
        return found

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"dtype": self.dtype.name}


def _mirrored(layer: Recurrent) -> dict[str, Any]:
    """The configuration of a layer like this one that goes the other way."""
    other = {"go_backwards": not layer.go_backwards, "name": f"backward_{layer.name}"}
    return layer.get_config() | other


def _several(result: Any) -> list[Any]:
    return result if isinstance(result, list) else [result]


def _recurrent(layer: Any, name: str) -> Recurrent:
    """A recurrent layer, also from its configuration."""
    if isinstance(layer, dict):
        layer = from_config(layer, place=name)
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"Bidirectional: {name} must be a recurrent layer, such as LSTM(64), got {layer!r}"
        )
    return layer
