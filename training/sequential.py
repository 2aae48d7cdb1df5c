"""The Sequential model: layers applied one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from chainrule.engine.devices import state
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.making import refusal
from chainrule.engine.tensor import Tensor
from chainrule.layers import Layer, from_config
from chainrule.layers.layer import Shape, registered, within

from .inputs import several_shapes
from .model import Model
from .summary import Row


@registered
class Sequential(Model):
    """A plain stack of layers: each is applied to what the one before it returned.

    It is built by its first input, or by `build((None, ...))`. A layer is known in it by its name,
    with a number where it has only the default name of its class: dense, dense_1, dense_2; so are
    its weights, as "dense_1.kernel". The same layer may stand in it twice: its weights are shared,
    and count once. Inputs are cast to the dtype of the first layer.

    Arguments:
        layers: the layers, in order; more can be added later.
        name: name of the model, without dots.

    Raises:
        TypeError: an item is not a layer.
        ValueError: two layers were given the same name.

    >>> import chainrule as cr
    >>> from chainrule.layers import Dense
    >>> model = Sequential([Dense(500, activation="relu"), Dense(10, activation="softmax")])
    >>> model.build((None, 100))
    >>> model.count_params()
    55510
    >>> model(cr.zeros((32, 100))).shape
    (32, 10)
    """

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self._layers: list[Layer] = []
        if isinstance(layers, (Layer, type)):
            raise TypeError(f"Sequential: layers must be a list of layers, got {layers!r}")
        for layer in () if layers is None else layers:
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, one that stands twice twice; changing this list changes nothing."""
        return list(self._layers)

    def add(self, layer: Layer) -> None:
        """Put a layer at the end. A model that was built is built further at its next input.

        Raises:
            TypeError: it is not a layer; a class instead of an instance, for example.
            ValueError: another layer was given the same name, or it is the model itself.
        """
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise TypeError(
                f"Sequential.add: got the class {layer.__name__}, not a layer of that class; "
                f"write {layer.__name__}(...) with parentheses"
            )
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Sequential.add: a layer is needed, got {describe(layer)} "
                f"({type(layer).__name__}); activations, for example, are layers as ReLU() or "
                "Activation('relu')"
            )
        if any(each is self for _, each in layer._tree()):
            raise ValueError("Sequential.add: a model cannot be put into itself")
        if all(each is not layer for each in self._layers) and not _has_default_name(layer):
            taken = [name for name, each in self.sublayers() if name == layer.name]
            if taken:
                raise ValueError(
                    f"Sequential.add: there is a layer called {layer.name!r} already; give this "
                    f"{type(layer).__name__} another name="
                )
        self._layers.append(layer)
        self._changed()

    def pop(self) -> Layer:
        """Take the last layer away, and return it.

        Raises:
            IndexError: there is no layer.
        """
        if not self._layers:
            raise IndexError("Sequential.pop: there is no layer to take away")
        was_built, layer = self._built, self._layers.pop()
        self._changed()
        self._built = was_built and bool(self._layers)
        return layer

    def get_layer(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            ValueError: there is none; the message lists the names.
        """
        named = dict(self.sublayers())
        if name not in named:
            raise ValueError(
                f"Sequential.get_layer: there is no layer {name!r}; there are: {', '.join(named)}"
            )
        return named[name]

    def sublayers(self) -> list[tuple[str, Layer]]:
        """The layers, each once, with names that differ: dense, dense_1, dense_2."""
        named: dict[str, Layer] = {}
        for layer in self._layers:
            if any(each is layer for each in named.values()):
                continue
            name, number = layer.name, 0
            while name in named:
                number += 1
                name = f"{layer.name}_{number}"
            named[name] = layer
        return list(named.items())

    def _changed(self) -> None:
        """What depends on the layers, after these have changed."""
        self._built = False
        if self._layers:
            self.dtype = self._layers[0].dtype

    # What it computes ---------------------------------------------------------------------------

    def build(self, input_shape: Shape) -> None:
        """Make the weights of all layers for an input of a shape, the batch first: (None, 100).

        Raises:
            ValueError: there is no layer, or the shape does not fit one.
        """
        if not self._layers:
            raise ValueError(f"{self.name}: there are no layers; add one: model.add(Dense(10))")
        self._input_shape = shape = _checked_shape(input_shape)
        for layer in self._layers:
            if not layer.built:
                layer.build(shape)
                if not layer.built:  # by a build() that does not call that of Layer
                    Layer.build(layer, shape)
            shape = layer.compute_output_shape(shape)
        super().build(self._input_shape)

    def call(self, x: Tensor) -> Tensor:
        """The last layer's result."""
        for layer in self._layers:
            x = layer(x)
        return x

    def check_inputs(self, x: Any, where: str, name: str = "x") -> None:
        """What the first layer asks of the samples."""
        if self._layers:
            self._layers[0].check_inputs(x, where, name)

    @property
    def keeps_integers(self) -> bool:  # type: ignore[override]
        """Does the first layer?"""
        return bool(self._layers) and self._layers[0].keeps_integers

    @property
    def final_activation(self) -> str | None:
        """That of the last layer."""
        return self._layers[-1].final_activation if self._layers else None

    def logits(self, x: Any) -> Tensor:
        """What the last layer's `final_activation` is applied to."""
        if state.mode is None:
            return self._logits(x)
        with within(self):
            return self._logits(x)

    def _logits(self, x: Any) -> Tensor:
        x = self._prepared(x)
        *before, last = self._layers
        for layer in before:
            x = layer(x)
        if state.mode is None:
            return last.logits(x)
        with within(last):
            return last.logits(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, ...) -> the last layer's shape, found layer by layer."""
        for layer in self._layers:
            input_shape = layer.compute_output_shape(input_shape)
        return tuple(input_shape)

    # What is told of it -------------------------------------------------------------------------

    def _rows(self) -> list[Row]:
        names = {id(layer): name for name, layer in self.sublayers()}
        shape: Shape | None = self._input_shape if self.built else None
        rows = []
        for layer in self._layers:
            count = None
            if shape is not None:
                shape = layer.compute_output_shape(shape)
                count = sum(math.prod(weight.shape) for _, weight in layer.named_weights())
            rows.append(Row(names[id(layer)], type(layer).__name__, shape, count))
        return rows

    def get_config(self) -> dict[str, Any]:
        """Name and layers as plain data, from which `from_config` makes the model, not built.

        In the place of a layer that has stood before is `{"repeats": its position}`.

        Raises:
            TypeError: a layer has an argument that is no plain data, or stands in another
                `Sequential` within this one too, of which a configuration would make two layers.
        """
        if type(self).__init__ is not Sequential.__init__:
            return super().get_config()  # a subclass that makes its layers itself
        _require_one_place(self, {}, "")
        first: dict[int, int] = {}
        layers = []
        for i, layer in enumerate(self._layers):
            before = first.setdefault(id(layer), i)
            layers.append(layer.to_config() if before == i else {"repeats": before})
        return {"name": self.name, "layers": layers}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Sequential:
        """A model, not built, from what `get_config` returned.

        Raises:
            ValueError: it is something else; the message names the place in it.
        """
        if cls.__init__ is not Sequential.__init__:
            remade: Sequential = super().from_config(config)
            return remade
        unknown = [key for key in config if key not in ("name", "layers")]
        if unknown:
            raise ValueError(
                f"{cls.__name__}: there is no argument {unknown[0]!r}; there are: layers, name"
            )
        described = config.get("layers")
        if not isinstance(described, list):
            raise refusal(f"expected a list, got {describe(described)}", "layers")
        layers: list[Layer] = []
        for i, each in enumerate(described):
            if isinstance(each, dict) and set(each) == {"repeats"}:
                if type(each["repeats"]) is not int or not 0 <= each["repeats"] < i:
                    raise refusal("it must repeat an earlier position", f"layers[{i}].repeats")
                layers.append(layers[each["repeats"]])
            else:
                layers.append(from_config(each, place=f"layers[{i}]"))
        return cls(layers, config.get("name"))

    def __repr__(self) -> str:
        return f"Sequential({self._layers!r})"


def _require_one_place(model: Sequential, found: dict[int, str], path: str) -> None:
    """Raise TypeError if a layer lies in several of the models that lie within each other."""
    for i, layer in enumerate(model.layers):
        here, holder = f"{path}layers[{i}]", f"{path}layers["
        before = found.setdefault(id(layer), here)
        if not (before.startswith(holder) and "." not in before[len(path) :]):
            raise TypeError(
                f"{model.name}.get_config: {before} and {here} are the same layer "
                f"{layer.name!r}, in different models; its configuration would describe two "
                "layers with weights of their own. Put both places in one model, or write a Model "
                "of your own that makes the layer once"
            )
        if before == here and isinstance(layer, Sequential):
            _require_one_place(layer, found, f"{here}.")


def _has_default_name(layer: Layer) -> bool:
    return layer.name == layer._default_name()


def _checked_shape(input_shape: Any) -> Shape:
    if several_shapes(input_shape):
        raise ShapeError(
            f"Sequential: it takes one input, got shapes {input_shape}; for several write a Model "
            "whose call(self, x) takes them apart: a, b = x"
        )
    if isinstance(input_shape, (tuple, list)) and len(input_shape) > 0:
        return (None, *input_shape[1:])
    raise ValueError(
        f"build: input_shape must be a tuple with the batch first, such as (None, 100), got "
        f"{input_shape!r}"
    )
