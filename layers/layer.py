"""The base of all layers: what happens when one is called; modes, masks, shapes, configuration."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from chainrule.engine.creation import ones, zeros
from chainrule.engine.devices import state
from chainrule.engine.dtypes import as_dtype, default_layer_dtype
from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.hosted import brought
from chainrule.engine.making import Kind, made, making, revived
from chainrule.engine.masks import mask_of, with_mask
from chainrule.engine.tape import no_grad
from chainrule.engine.tensor import Tensor, to_array

from . import initializers, regularizers
from .calling import accepted, cast, checked_mask, checked_result
from .habits import ATTRIBUTES
from .weighted import Shape, Weighted

#: Held by the thread in which a first input builds a layer.
_building = threading.RLock()

#: The layers that a configuration may name, by their class's name.
LAYERS: dict[str, type[Layer]] = {}


class Layer(Weighted):
    """A function with weights.

    A subclass defines `call(x)`; `build(input_shape)` too, if it has weights whose shape follows
    from the input. Its constructor calls `super().__init__()` first. Weights come from
    `add_weight`; a leaf Tensor that requires gradients is a parameter too. Weights and sub-layers
    are found in the layer's attributes, and in lists, tuples and dicts there; one that occurs
    more than once counts once, under its first name.

    If `call` has a parameter `training`, it is told whether the model is being trained, which
    `self.training` says too; if it has a parameter `mask`, it is given the mask that x carries, an
    array of booleans (batch, time), True for steps that are real, or None.

    It is on one device, to which `to` moves it: arrays of NumPy are brought there, Tensors must be.

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
    #: Does the result carry the mask of x? It should where steps are not mixed.
    supports_masking = False
    #: Do integers stay integers, rather than being cast to the layer's dtype?
    keeps_integers = False
    #: Is x a list of Tensors, and an input shape a list of shapes?
    many_inputs = False

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True) -> None:
        where = type(self).__name__
        if name is not None and not (isinstance(name, str) and name and "." not in name):
            raise ValueError(f"{where}: name must be a string without dots, got {name!r}")
        self.name = name or self._default_name()
        self.dtype = default_layer_dtype() if dtype is None else as_dtype(dtype, where)
        if self.dtype.kind != "f":
            raise DtypeError(f"{where}: dtype must be float32 or float64, got {self.dtype}")
        super().__init__(trainable)

    # What it computes -----------------------------------------------------------------------

    def __call__(
        self, x: Any, *args: Any, mask: Any = None, training: bool | None = None, **kwargs: Any
    ) -> Any:
        """The layer applied to `x`; the first `x` builds it.

        Arguments: `x`, a Tensor, an array or a nested list of numbers; cast to the layer's dtype
        (a layer of many inputs takes a list of them); `mask`, booleans (batch, time), by default
        the one that `x` carries; `training`, by default as around: True within `fit`, otherwise
        False. It holds for the layers below too. What else is given goes to `call`, floating
        Tensors and arrays in the layer's dtype.

        Returns what `call` does: a Tensor, or, where a layer says so, several.

        Raises ShapeError or DtypeError for an `x` that does not fit.
        """
        if training is not None:
            before, state.training = state.training, bool(training)
            try:
                return self(x, *args, mask=mask, **kwargs)
            finally:
                state.training = before
        if state.mode is None:
            x = self._prepared(x)
        else:
            with within(self):
                x = self._prepared(x)
        if args or kwargs:
            home = self._home()
            args = tuple(cast(each, self.dtype, home) for each in args)
            kwargs = {name: cast(each, self.dtype, home) for name, each in kwargs.items()}
        if mask is not None:
            mask = checked_mask(mask, x, type(self).__name__)
            # Layers below, and those that return x itself, are to find it there.
            x = _masked(x, mask)
        elif self.many_inputs:
            masks = [mask_of(each) for each in x]
            mask = masks if any(each is not None for each in masks) else None
        else:
            mask = mask_of(x)
        takes = accepted(type(self).call)
        if "mask" in takes:
            kwargs["mask"] = mask
        if "training" in takes:
            kwargs["training"] = state.training
        if state.mode is None:
            result = self.call(x, *args, **kwargs)
        else:
            with within(self):
                result = self.call(x, *args, **kwargs)
            state.mode.returned(self, result)
        if not isinstance(result, Tensor):
            first, *others = checked_result(result, type(self).__name__)
            return [self._carrying(first, x, mask), *others]
        return self._carrying(result, x, mask)

    def call(self, x: Tensor) -> Any:
        """What the layer computes of a Tensor of its dtype; subclasses define it."""
        instead = ", which is the name here of forward" if hasattr(type(self), "forward") else ""
        raise NotImplementedError(f"{type(self).__name__}: define call(self, x){instead}")

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """The mask of the result: that of x if the layer `supports_masking`, else None."""
        return mask if self.supports_masking else None

    def _carrying(self, result: Tensor, x: Any, mask: Any) -> Tensor:
        """The result with the mask that belongs to it, unless a layer below gave it one."""
        found = self.compute_mask(x, mask)
        if found is None or mask_of(result) is not None:
            return result
        return with_mask(result, found)

    @property
    def training(self) -> bool:
        """Is the model being trained, so that units are dropped, for example?

        It holds for a thread: `fit` sets it, and `layer(x, training=True)` for that call.
        """
        return state.training

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

    def _prepared(self, x: Any) -> Any:
        """`x` as a Tensor of the layer's dtype, or a list of them; the layer is built for it."""
        if not self.many_inputs:
            x = self._input(x)
        elif isinstance(x, (list, tuple)) and x:
            x = [self._input(each) for each in x]
        else:
            raise TypeError(
                f"{type(self).__name__}: x must be a list of tensors, as in layer([a, b]), got "
                f"{describe(x)} of type {type(x).__name__}"
            )
        if not self._built:
            self._build_once([shape_of(each) for each in x] if self.many_inputs else shape_of(x))
        return x

    def _build_once(self, *input_shapes: Any) -> None:
        """Builds the layer for inputs of these shapes, unless another thread just did."""
        with _building:
            if not self._built:
                self.build(*input_shapes)
            if not self._built:  # by a build() of a subclass that does not call this one
                Layer.build(self, input_shapes[0])

    def _input(self, x: Any) -> Tensor:
        """One input as a Tensor of the layer's dtype; arrays of NumPy go to the layer's device."""
        if not isinstance(x, Tensor):
            if isinstance(x, (list, tuple)) and any(isinstance(each, Tensor) for each in x):
                raise TypeError(
                    f"{type(self).__name__}: x must be one tensor, got {len(x)} in a "
                    f"{type(x).__name__}; join them by cr.stack, Concatenate() or Add(); of what a "
                    "layer returns with its state, the first is the output"
                )
            if isinstance(x, Layer):
                raise TypeError(
                    f"{type(self).__name__}: x is the layer {x.name!r}; layers are put one after "
                    "the other in Sequential([...]), or called on Tensors in the call(self, x) of "
                    "a Model"
                )
            dtype = None if self.keeps_integers else self.dtype
            x = brought(to_array(x, dtype, type(self).__name__), self._home())
        elif x._device is not self._device:
            self._meet(x)
        if x.dtype != self.dtype and not (self.keeps_integers and x.dtype.kind in "iu"):
            x = cast(x, self.dtype, x._device, integers=True)
        if x.ndim < self.min_ndim:
            remedy = "x[None, :] makes it one sample, x[:, None] samples of one feature"
            raise ShapeError(
                f"{type(self).__name__}: x must have at least {self.min_ndim} axes, the first "
                f"being the batch, got x with {describe(x)}; "
                + (remedy if x.ndim else "x.reshape(1, 1) makes it one sample of one feature")
            )
        return x

    def check_inputs(self, x: Any, where: str, name: str = "x") -> None:
        """Proves that all samples are ones that it can compute with, before a training begins.

        Of most layers nothing is asked; an `Embedding` refuses ids that are not in its vocabulary.

        Arguments: `x`, an array (samples, ...), or a tuple or dict of them; `where`, the name of
        the function that was called, and `name`, that of its argument, for messages.
        """

    def as_checked(self, *inputs: Any) -> tuple[Any, tuple[Any, ...], Any]:
        """What `cr.gradcheck` checks: a function, its inputs, and the parameters' names."""
        return self, inputs, self.named_parameters

    # Shapes ---------------------------------------------------------------------------------

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """The shape of the result for an input of a shape; the batch, None, stays None.

        Unless a subclass knows it, the layer is tried out on zeros (ids of 1, since 0 may be the
        padding), which builds it.

        Raises ShapeError if another length than the batch's is None.
        """
        shapes = input_shape if self.many_inputs else [input_shape]
        dtype = np.dtype(np.int64) if self.keeps_integers else self.dtype
        trial = []
        for shape in shapes:
            if None in shape[1:]:
                raise ShapeError(
                    f"{type(self).__name__}.compute_output_shape: only the batch may be None, got "
                    f"{input_shape}"
                )
            lengths = tuple(1 if each is None else each for each in shape)
            made = ones if self.keeps_integers else zeros
            trial.append(made(lengths, dtype, device=self._home()))
        with no_grad():
            result = self(trial if self.many_inputs else trial[0], training=False)
        found = (result if isinstance(result, Tensor) else result[0]).shape
        return (None, *found[1:]) if found and shapes[0][:1] == (None,) else found

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Explains an attribute that is missing."""
            where = type(self).__name__
            if "_is_parameter" not in vars(self):
                raise AttributeError(
                    f"{where}.__init__ must call super().__init__() before anything else"
                )
            text = f"{where} has no attribute {name!r}"
            if name in ATTRIBUTES:
                raise AttributeError(f"{text}; {ATTRIBUTES[name]}")
            if not self._built:
                text += (
                    "; it has no weights yet: the first input, or build(input_shape), makes them"
                )
            raise AttributeError(text)

    # Configuration --------------------------------------------------------------------------

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A layer, not built, from what `get_config` returned.

        The constructor of a class of your own is given layers, initialisers and regularisers, not
        their configurations.
        """
        if LAYERS.get(cls.__name__) is cls:
            return cls(**config)  # they read configurations themselves
        return cls(**revived(config, (KIND, initializers.KIND, regularizers.KIND)))

    def _is_told_in_full(self) -> bool:
        """A class of the user's own may not know what to do with a name."""
        return LAYERS.get(type(self).__name__) is not type(self)

    def _default_name(self) -> str:
        words = r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])"  # Conv2D is conv2d, as in Keras
        return re.sub(words, "_", type(self).__name__).lower()

    def _defaults(self) -> dict[str, Any]:
        implied = {"name": self._default_name(), "dtype": default_layer_dtype().name}
        return super()._defaults() | implied


def _masked(x: Any, mask: Any) -> Any:
    """The inputs of a layer with the masks that a caller gave, in place of their own."""
    if not isinstance(x, list):
        return with_mask(x, mask)
    return [with_mask(each, one) for each, one in zip(x, mask, strict=True)]


def shape_of(x: Tensor) -> Shape:
    """The shape for which an input builds a layer: the batch, which comes first, may have any.

    >>> import chainrule as cr
    >>> shape_of(cr.zeros((32, 100)))
    (None, 100)
    """
    return (None, *x.shape[1:]) if x.ndim else ()


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


AnyLayer = TypeVar("AnyLayer", bound=type[Layer])


def registered(cls: AnyLayer) -> AnyLayer:
    """Enters a class of layers among those that a configuration may name."""
    LAYERS[cls.__name__] = cls
    return cls


#: What a configuration of a layer may describe.
KIND = Kind("layer", Layer, LAYERS)


def from_config(
    config: dict[str, Any],
    custom_objects: dict[str, Any] | None = None,
    *,
    place: str = "",
) -> Layer:
    """A layer, not built, from `layer.to_config()`: `{"class_name": ..., "config": {...}}`.

    Arguments: `custom_objects`, classes of your own by their names; `place`, where the
    configuration lies within that of the layer around it, for messages.

    Raises ValueError for anything else, for a class that is neither in `LAYERS` nor given, and for
    arguments that its constructor refuses.

    >>> from chainrule import layers
    >>> layers.from_config(layers.Dense(10, activation="relu").to_config())
    Dense(units=10, activation='relu')
    """
    if custom_objects is None:
        found: Layer = made(config, KIND, place)
        return found
    with making(custom_objects=custom_objects):
        return from_config(config, place=place)
