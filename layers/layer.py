"""The base of all layers: building, weights and their names, freezing, configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from chainrule.engine.creation import zeros
from chainrule.engine.devices import cpu, state
from chainrule.engine.dtypes import as_dtype, default_layer_dtype
from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.tape import no_grad
from chainrule.engine.tensor import Tensor, to_array, wrap

from .config import Configured
from .initializers import get_initializer

#: The length of each axis; None for the batch, which may have any.
Shape = tuple[int | None, ...]

#: The layers that a configuration may name, by their class's name.
LAYERS: dict[str, type[Layer]] = {}


class Layer(Configured):
    """A function with weights.

    A subclass defines `call(x)`; `build(input_shape)` too, if it has weights whose shape follows
    from the input. Its constructor calls `super().__init__()` first. Weights come from
    `add_weight`; a leaf Tensor that requires gradients is a parameter too. Weights and sub-layers
    are found in the layer's attributes, and in lists, tuples and dicts there; one that occurs
    more than once counts once, under its first name.

    Arguments: `name`, by default the class's name in snake case; `dtype`, float32 or float64, of
    its weights and of what it computes, by default that of `cr.set_default_dtype`, or float32;
    `trainable`: do its parameters require gradients?

    >>> import chainrule as cr
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight("factor", (input_shape[-1],), "ones")
    ...         super().build(input_shape)
    ...
    ...     def call(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> scale([[1.0, 2.0]]).tolist()
    [[1.0, 2.0]]
    >>> [(name, weight.shape) for name, weight in scale.named_parameters()]
    [('factor', (2,))]
    """

    #: With fewer axes than this, the input is refused.
    min_ndim = 0

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        where = type(self).__name__
        if name is not None and not (isinstance(name, str) and name and "." not in name):
            raise ValueError(f"{where}: name must be a string without dots, got {name!r}")
        self.name = name or self._default_name()
        self.dtype = default_layer_dtype() if dtype is None else as_dtype(dtype, where)
        if self.dtype.kind != "f":
            raise DtypeError(f"{where}: dtype must be float32 or float64, got {self.dtype}")
        self._trainable = bool(trainable)
        self._freezes_at_build = not trainable  # sub-layers come after this constructor
        self._built = False
        self._is_parameter: dict[str, bool] = {}  # by the name of the weight; False for state

    # What it computes -----------------------------------------------------------------------

    def __call__(self, x: Any) -> Tensor:
        """The layer applied to `x`; the first `x` builds it.

        Arguments: `x`, a Tensor, an array or a nested list of numbers; cast to the layer's dtype.

        Raises ShapeError or DtypeError for an `x` that does not fit.
        """
        if state.mode is None:
            result = self.call(self._prepared(x))
        else:
            with within(self):
                result = self.call(self._prepared(x))
        if not isinstance(result, Tensor):
            raise TypeError(
                f"{type(self).__name__}: call(x) must return a Tensor, got {describe(result)} of "
                f"type {type(result).__name__}"
            )
        return result

    def call(self, x: Tensor) -> Tensor:
        """What the layer computes of a Tensor of its dtype; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__}: define call(self, x)")

    @property
    def final_activation(self) -> str | None:
        """The name of the activation that the layer applies last; None if there is none.

        Only the activations of `ACTIVATIONS` have names here, softmax only along the last axis: a
        loss may take `logits(x)` and put its own, exact form of the activation in the place.
        """
        return None

    def logits(self, x: Any) -> Tensor:
        """What `final_activation` is applied to; the layer's result where that is None."""
        return self(x)

    def _prepared(self, x: Any) -> Tensor:
        """`x` as a Tensor of the layer's dtype; the layer is built for it."""
        if not isinstance(x, Tensor):
            x = wrap(to_array(x, self.dtype, type(self).__name__), cpu)
        elif x.dtype != self.dtype:
            x = x.astype(self.dtype)
        if x.ndim < self.min_ndim:
            remedy = "x[None, :] makes it one sample, x[:, None] samples of one feature"
            raise ShapeError(
                f"{type(self).__name__}: x must have at least {self.min_ndim} axes, the first "
                f"being the batch, got x with {describe(x)}; "
                + (remedy if x.ndim else "x.reshape(1, 1) makes it one sample of one feature")
            )
        if not self._built:
            input_shape = (None, *x.shape[1:]) if x.ndim else ()
            self.build(input_shape)
            if not self._built:  # by a build() of a subclass that does not call this one
                Layer.build(self, input_shape)
        return x

    def as_checked(self, *inputs: Any) -> tuple[Any, tuple[Any, ...], Any]:
        """What `cr.gradcheck` checks: a function, its inputs, and the parameters' names."""
        return self, inputs, self.named_parameters

    # Building -------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Does it have its weights?"""
        return self._built

    def build(self, input_shape: Shape) -> None:
        """Makes the weights, whose shape follows from that of the input.

        Arguments: `input_shape`, with the batch axis first, as None: (None, 100).

        The first input calls it. A subclass that defines it ends with `super().build(input_shape)`.
        """
        self._built = True
        if self._freezes_at_build:
            self.trainable = False

    def add_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
    ) -> Tensor:
        """Makes a weight of the layer's dtype, and keeps it in the attribute `name`.

        Arguments: `initializer`, a name, an `Initializer` or a callable (shape, dtype) -> array;
        `trainable`: False for state, such as statistics, which is saved but is no parameter.

        Raises ValueError if the layer has an attribute of that name, ShapeError if the
        initialiser returns another shape.
        """
        where = f"{type(self).__name__}.add_weight"
        if vars(self).get(name) is not None or hasattr(type(self), name):
            raise ValueError(
                f"{where}: the layer already has an attribute {name!r}; choose another name. If "
                "that is this weight, build() ran twice, or stopped halfway: make a new layer, "
                "and end its build with super().build(input_shape)"
            )
        weight = Tensor(get_initializer(initializer)(tuple(shape), self.dtype), self.dtype)
        if weight.shape != tuple(shape):
            raise ShapeError(
                f"{where}: the initializer of {name!r} returned shape {weight.shape}, not {shape}"
            )
        weight.requires_grad = trainable and self._trainable
        setattr(self, name, weight)
        self._is_parameter[name] = trainable
        return weight

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the result for an input of a shape; the batch, None, stays None.

        Unless a subclass knows it, the layer is tried out on zeros, which builds it.

        Raises ShapeError if another length than the batch's is None.
        """
        if None in input_shape[1:]:
            raise ShapeError(
                f"{type(self).__name__}.compute_output_shape: only the batch may be None, got "
                f"{input_shape}"
            )
        lengths = tuple(1 if each is None else each for each in input_shape)
        with no_grad():
            found = self(zeros(lengths, self.dtype)).shape
        return (None, *found[1:]) if found and input_shape[:1] == (None,) else found

    # Weights --------------------------------------------------------------------------------

    def sublayers(self) -> list[tuple[str, Layer]]:
        """The layers that it holds itself, by the names of their attributes."""
        return [(name, each) for name, each in _found(self) if isinstance(each, Layer)]

    def named_weights(self) -> list[tuple[str, Tensor]]:
        """Parameters and state, each once, with dotted names: what a file of weights holds.

        Raises RuntimeError while a layer that will have weights is not built.
        """
        return [(name, weight) for name, weight, _ in self._weights()]

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """What training may change, frozen or not, each once, with names as "hidden.kernel".

        Raises RuntimeError while a layer that will have weights is not built.
        """
        return [(name, weight) for name, weight, is_parameter in self._weights() if is_parameter]

    def parameters(self) -> list[Tensor]:
        """What training may change, frozen or not, each once.

        Raises RuntimeError while a layer that will have weights is not built.
        """
        return [weight for _, weight in self.named_parameters()]

    def count_params(self) -> int:
        """How many numbers the parameters are together (state not counted).

        Raises RuntimeError while a layer that will have weights is not built.
        """
        return sum(weight.size for weight in self.parameters())

    @property
    def trainable(self) -> bool:
        """Do its parameters require gradients?

        Setting it goes for the parameters of sub-layers too, and for those yet to be built.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for _, layer in self._tree():
            layer._trainable, layer._freezes_at_build = bool(value), False
            for _, weight, is_parameter in layer._own_weights():
                if is_parameter:
                    weight.requires_grad = bool(value)

    def zero_grad(self) -> None:
        """Forgets the gradients that its parameters have kept."""
        for _, layer in self._tree():
            for _, weight, _ in layer._own_weights():
                weight.grad = None

    def _tree(self) -> Iterator[tuple[str, Layer]]:
        """The layer and all below it, each once, with a prefix for the names of its weights."""
        seen: set[int] = set()
        waiting: list[tuple[str, Layer]] = [("", self)]
        while waiting:
            prefix, layer = waiting.pop()
            if id(layer) not in seen:
                seen.add(id(layer))
                yield prefix, layer
                below = [(f"{prefix}{name}.", each) for name, each in layer.sublayers()]
                waiting += reversed(below)

    def _weights(self) -> Iterator[tuple[str, Tensor, bool]]:
        seen = set()
        for prefix, layer in self._tree():
            if not layer._built and type(layer).build is not Layer.build:
                raise RuntimeError(
                    f"{type(layer).__name__} {prefix[:-1] or layer.name!r} has no weights yet: the "
                    "first input makes them; call the model on some data, or "
                    "build(input_shape), with an input_shape such as (None, 100), before"
                )
            for name, weight, is_parameter in layer._own_weights():
                if id(weight) not in seen:
                    seen.add(id(weight))
                    yield prefix + name, weight, is_parameter

    def _own_weights(self) -> Iterator[tuple[str, Tensor, bool]]:
        for name, each in _found(self):
            if isinstance(each, Tensor):
                if each.requires_grad and each.is_leaf:
                    self._is_parameter.setdefault(name, True)  # and stays one when frozen
                if name in self._is_parameter:
                    yield name, each, self._is_parameter[name]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Explains an attribute that is missing."""
            where = type(self).__name__
            if "_is_parameter" not in vars(self):
                raise AttributeError(
                    f"{where}.__init__ must call super().__init__() before anything else"
                )
            text = f"{where} has no attribute {name!r}"
            if not self._built:
                text += (
                    "; it has no weights yet: the first input, or build(input_shape), makes them"
                )
            raise AttributeError(text)

    # Configuration --------------------------------------------------------------------------

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """A layer, not built, from what `get_config` returned."""
        return cls(**config)

    def _default_name(self) -> str:
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def _defaults(self) -> dict[str, Any]:
        implied = {"name": self._default_name(), "dtype": default_layer_dtype().name}
        return super()._defaults() | implied


@contextmanager
def within(layer: Layer) -> Iterator[None]:
    """For the length of a `with` block, what is computed belongs to `layer`, errors will say.

    Its name is the one under which the layer around it holds it, as in the names of weights.
    """
    before = state.layers
    if state.mode is None:
        yield
        return
    around = before[-1][1].sublayers() if before else []
    name = next((name for name, each in around if each is layer), layer.name)
    state.layers = (*before, (name, layer))
    try:
        yield
    finally:
        state.layers = before


def _found(holder: Any, name: str = "") -> Iterator[tuple[str, Tensor | Layer]]:
    """The Tensors and layers among a layer's attributes, and in lists, tuples and dicts there."""
    if isinstance(holder, (Tensor, Layer)) and name:
        yield name, holder
        return
    items: Any = ()
    if isinstance(holder, Layer):
        items = vars(holder).items()
    elif isinstance(holder, dict):
        items = holder.items()
    elif isinstance(holder, (list, tuple)):
        items = enumerate(holder)
    for key, each in items:
        if isinstance(each, (Tensor, Layer, dict, list, tuple)):
            yield from _found(each, f"{name}.{key}" if name else str(key))


AnyLayer = TypeVar("AnyLayer", bound=type[Layer])


def registered(cls: AnyLayer) -> AnyLayer:
    """Enters a class of layers among those that a configuration may name."""
    LAYERS[cls.__name__] = cls
    return cls


def from_config(config: dict[str, Any]) -> Layer:
    """A layer, not built, from `layer.to_config()`: `{"class_name": ..., "config": {...}}`.

    Raises ValueError for anything else, and for a class that is not in `LAYERS`.

    >>> from chainrule import layers
    >>> layers.from_config(layers.Dense(10, activation="relu").to_config())
    Dense(units=10, activation='relu')
    """
    if not isinstance(config, dict) or set(config) != {"class_name", "config"}:
        raise ValueError(
            "from_config: expected a dict with the keys 'class_name' and 'config', got "
            f"{describe(config)}"
        )
    name, arguments = config["class_name"], config["config"]
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(
            f"from_config: class_name {name!r} is unknown; known: {', '.join(sorted(LAYERS))}"
        )
    if not isinstance(arguments, dict):
        raise ValueError(f"from_config: config must be a dict, got {describe(arguments)}")
    return LAYERS[name].from_config(arguments)
