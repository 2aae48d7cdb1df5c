"""What holds weights: parameters, state and what is below, with names; freezing; penalties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from chainrule.engine.errors import ShapeError
from chainrule.engine.tensor import Tensor

from .at_hand import first_values
from .initializers import get_initializer
from .placed import Placed
from .regularizers import get_regularizer

#: The length of each axis; None for the batch, which may have any.
Shape = tuple[int | None, ...]


#: Has any weight been given a regulariser? While none has, no training step looks for one.
_any_regularized = False


class Weighted(Placed):
    """What `Layer` is without being called: a holder of weights and of other holders.

    They are found in its attributes, and in lists, tuples and dicts there; one that occurs more
    than once counts once, under its first name.

    Arguments: `trainable`: do its parameters require gradients?
    """

    name: str
    dtype: np.dtype[Any]
    #: Of a layer that is built for several inputs, as `build(x_shape, memory_shape)`, those after
    #: the first.
    _more_shapes: tuple[Any, ...] = ()

    def __init__(self, trainable: bool) -> None:
        self._trainable = bool(trainable)
        # Layers that are frozen when this one is built: all but these, or None. Sub-layers come
        # after this constructor, and some are made by `build`.
        self._spared_at_build: frozenset[Weighted] | None = None if trainable else frozenset()
        self._built = False
        self._built_for: Any = None
        self._is_parameter: dict[str, bool] = {}  # by the name of the weight; False for state
        self._penalties: dict[str, Callable[[Tensor], Tensor]] = {}  # likewise

    # Building -------------------------------------------------------------------------------

    @property
    def built(self) -> bool:
        """Does it have its weights?"""
        return self._built

    @property
    def built_for(self) -> Any:
        """The input shape for which it was built, the batch first, as None; None before."""
        return self._built_for

    @property
    def build_shapes(self) -> tuple[Any, ...]:
        """What `build` was called with, so that another one like this can be built."""
        return (self._built_for, *self._more_shapes)

    def build(self, input_shape: Any) -> None:
        """Makes the weights, whose shape follows from that of the input.

        Arguments: `input_shape`, with the batch axis first, as None: (None, 100); a list of such
        shapes for a layer of many inputs.

        The first input calls it. A subclass that defines it ends with `super().build(input_shape)`.
        """
        self._gather_below()
        self._built, self._built_for = True, input_shape
        if self._spared_at_build is not None:
            spared, self._spared_at_build = self._spared_at_build, None
            for _, layer in list(self._tree()):
                if layer not in spared:
                    layer._set_trainable(False)

    def add_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any = "glorot_uniform",
        trainable: bool = True,
        regularizer: Any = None,
    ) -> Tensor:
        """Makes a weight of the layer's dtype, on its device, and keeps it in the attribute `name`.

        Arguments: `initializer`, a name, an `Initializer` or a callable (shape, dtype) -> array;
        `trainable`: False for state, such as statistics, which is saved but is no parameter;
        `regularizer`, a name, a `Regularizer`, a callable weight -> penalty, or None.

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
        start = get_initializer(initializer)
        values = first_values(name, tuple(shape), self.dtype, start, where)
        weight = Tensor(values, self.dtype, device=self._settle())
        if weight.shape != tuple(shape):
            raise ShapeError(
                f"{where}: the initializer of {name!r} returned shape {weight.shape}, not {shape}"
            )
        weight.requires_grad = trainable and self._trainable
        setattr(self, name, weight)
        self._is_parameter[name] = trainable
        penalty = get_regularizer(regularizer)
        if penalty is not None:
            global _any_regularized
            self._penalties[name], _any_regularized = penalty, True
        return weight

    # Weights --------------------------------------------------------------------------------

    def sublayers(self) -> list[tuple[str, Any]]:
        """The layers that it holds itself, by the names of their attributes."""
        return [(name, each) for name, each in _found(self) if isinstance(each, Weighted)]

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
        for _, layer in list(self._tree()):
            layer._set_trainable(bool(value))
            if not value and not layer._built:
                layer._spared_at_build = frozenset(each for _, each in layer._tree())

    def _set_trainable(self, value: bool) -> None:
        self._trainable, self._spared_at_build = value, None
        for _, weight, is_parameter in self._own_weights():
            if is_parameter:
                weight.requires_grad = value

    @property
    def losses(self) -> list[Tensor]:
        """The penalties of the regularisers on its weights and those below, frozen ones excepted.

        Each is a Tensor of shape (), computed anew. Training adds them to the loss.
        """
        if not _any_regularized:
            return []
        penalties, seen = [], set()
        for _, layer in self._tree():
            for name, penalty in layer._penalties.items():
                weight = getattr(layer, name)
                if weight.requires_grad and id(weight) not in seen:
                    seen.add(id(weight))
                    penalties.append(penalty(weight))
        return penalties

    def zero_grad(self) -> None:
        """Forgets the gradients that its parameters have kept."""
        for _, layer in self._tree():
            for _, weight, _ in layer._own_weights():
                weight.grad = None

    def _tree(self) -> Iterator[tuple[str, Any]]:
        """The layer and all below it, each once, with a prefix for the names of its weights."""
        return ((prefix, layer) for prefix, layer, _ in self._walk())

    def _walk(self) -> Iterator[tuple[str, Any, list[tuple[str, Any]]]]:
        """The same, and what was found in each."""
        seen: set[int] = set()
        waiting: list[tuple[str, Any]] = [("", self)]
        while waiting:
            prefix, layer = waiting.pop()
            if id(layer) not in seen:
                seen.add(id(layer))
                yield prefix, layer, (found := _found(layer))
                if type(layer).sublayers is not Weighted.sublayers:
                    found = layer.sublayers()
                for name, each in reversed(found):
                    if isinstance(each, Weighted):
                        waiting.append((f"{prefix}{name}.", each))

    def _weights(self) -> Iterator[tuple[str, Tensor, bool]]:
        seen = set()
        for prefix, layer, found in self._walk():
            if not layer._built and type(layer).build is not Weighted.build:
                raise RuntimeError(
                    f"{type(layer).__name__} {prefix[:-1] or layer.name!r} has no weights yet: the "
                    "first input makes them; call the model on some data, or "
                    "build(input_shape), with an input_shape such as (None, 100), before"
                )
            for name, weight, is_parameter in layer._own_weights(found):
                if id(weight) not in seen:
                    seen.add(id(weight))
                    yield prefix + name, weight, is_parameter

    def _tensors(self) -> Iterator[Tensor]:
        """All that it holds itself and that goes where it goes: weights, state, constants."""
        for _, each in _found(self):
            if isinstance(each, Tensor) and each.is_leaf:
                yield each

    def _own_weights(
        self, found: list[tuple[str, Any]] | None = None
    ) -> Iterator[tuple[str, Tensor, bool]]:
        for name, each in _found(self) if found is None else found:
            if isinstance(each, Tensor):
                if each.requires_grad and each.is_leaf:
                    self._is_parameter.setdefault(name, True)  # and stays one when frozen
                if name in self._is_parameter:
                    yield name, each, self._is_parameter[name]


def _found(holder: Weighted) -> list[tuple[str, Any]]:
    """The Tensors and layers among a layer's attributes, and in lists, tuples and dicts there."""
    found: list[tuple[str, Any]] = []
    _look(vars(holder).items(), "", found)
    return found


def _look(items: Iterable[tuple[Any, Any]], prefix: str, found: list[tuple[str, Any]]) -> None:
    for key, each in items:
        role = _roles.get(type(each))
        if role is None:
            role = _role(type(each))
        if role == "one":
            found.append((f"{prefix}{key}", each))
        elif role and each:
            within = each.items() if role == "dict" else enumerate(each)
            _look(within, f"{prefix}{key}.", found)


#: What objects of a type are for `_look`. A training step asks it of every attribute of a model.
_roles: dict[type, str] = {}
MANY_TYPES = 1024


def _role(kind: type) -> str:
    """One of those looked for, a "dict" or a "list" to look into, or "" for anything else."""
    role = "one" if issubclass(kind, (Tensor, Weighted)) else ""
    if not role and issubclass(kind, (dict, list, tuple)):
        role = "dict" if issubclass(kind, dict) else "list"
    if len(_roles) >= MANY_TYPES:
        _roles.clear()
    _roles[kind] = role
    return role
