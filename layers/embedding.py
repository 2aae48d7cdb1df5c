"""Layers at the start of sequences: Embedding turns ids into vectors, Masking finds the padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.arguments import number
from chainrule.engine.errors import DtypeError, ShapeError, describe
from chainrule.engine.hosted import brought, host_array
from chainrule.engine.masks import mask_of, with_mask
from chainrule.engine.operations.choices import where
from chainrule.engine.operations.indexing import take
from chainrule.engine.tensor import Tensor, to_array

from .arguments import positive_integer
from .initializers import get_initializer
from .layer import Layer, Shape, registered
from .regularizers import get_regularizer


@registered
class Embedding(Layer):
    """A vector for each id: y[..., :] = embeddings[x[...]].

    Its weight is `embeddings`, (input_dim, output_dim). The input x is ids, integers (batch, time)
    from 0 to input_dim - 1 (floats if they are whole numbers); the result is (batch, time,
    output_dim). Ids that occur more than once add up in the gradient.

    Arguments: `input_dim`, the size of the vocabulary; `output_dim`, the length of a vector;
    `embeddings_initializer` and `embeddings_regularizer`, as in `Dense`; `mask_zero`: is id 0 the
    padding? Then the result carries a mask, False there, for the layers that follow; the others are
    `Layer`'s.

    Raises TypeError or ValueError for lengths that are no positive integers, and for unknown names;
    called, DtypeError for ids that are not whole numbers, ValueError for one outside of the
    vocabulary or a row of nothing but padding, ShapeError for no steps.

    >>> layer = Embedding(10, 2, embeddings_initializer="ones")
    >>> layer([[4, 0, 9]]).tolist()
    [[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]
    """

    min_ndim = 1
    keeps_integers = True
    embeddings: Tensor

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        self.input_dim = positive_integer(input_dim, "input_dim", "Embedding")
        self.output_dim = positive_integer(output_dim, "output_dim", "Embedding")
        self.embeddings_initializer = get_initializer(embeddings_initializer)
        self.embeddings_regularizer = get_regularizer(embeddings_regularizer)
        self.mask_zero = bool(mask_zero)

    def build(self, input_shape: Shape) -> None:
        """Makes `embeddings`, whatever the shape of the input."""
        self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )
        super().build(input_shape)

    def _input(self, x: Any) -> Tensor:
        """The ids as integers."""
        if not isinstance(x, Tensor):
            x = brought(to_array(x, None, "Embedding"), self._home())
        if x.dtype.kind not in "iu":
            raw = host_array(x)
            whole = np.isfinite(raw) & (np.rint(raw) == raw) if raw.dtype.kind == "f" else raw >= 0
            if not whole.all():
                at = np.argwhere(~whole)[0]
                raise DtypeError(
                    f"Embedding: ids must be integers, got {raw[tuple(at)]} at index "
                    f"{tuple(at.tolist())} of x with {describe(x)}; ids come from a vocabulary or "
                    "a tokenizer"
                )
            if raw.dtype.kind == "f" and raw.size:
                exact = 2 ** (np.finfo(raw.dtype).nmant + 1)
                if raw.max() >= exact:
                    raise DtypeError(
                        f"Embedding: ids from {exact} on are rounded in {raw.dtype}, got "
                        f"{raw.max():.0f} in x with {describe(x)}; give integers, and to a model "
                        "whose first layer keeps them"
                    )
            x = with_mask(brought(raw.astype(np.int64), x._device), mask_of(x))
        return super()._input(x)

    def call(self, x: Tensor) -> Tensor:
        """The vectors of the ids."""
        ids = host_array(x)
        if 0 in ids.shape[1:]:
            raise ShapeError(
                f"Embedding: x must be (batch, time) with at least one step, got x with "
                f"{describe(x)}"
            )
        self._check_ids(ids, "Embedding: x")
        return take(self.embeddings, x, axis=0)

    def check_inputs(self, x: Any, where: str, name: str = "x") -> None:
        """Proves that all ids are in the vocabulary, and that no row is nothing but padding."""
        if isinstance(x, np.ndarray) and x.dtype.kind in "iu":
            self._check_ids(x, f"{where}: {name}")

    def _check_ids(self, ids: np.ndarray, where: str) -> None:
        if ids.size and not 0 <= ids.min() <= ids.max() < self.input_dim:
            at = np.argwhere((ids < 0) | (ids >= self.input_dim))[0]
            raise ValueError(
                f"{where}[{', '.join(map(str, at))}] = {ids[tuple(at)]} is not in the vocabulary "
                f"of input_dim={self.input_dim} ids, 0 to {self.input_dim - 1}; give the Embedding "
                "input_dim= the size of the vocabulary, or replace unknown ids"
            )
        if self.mask_zero and ids.ndim == 2 and not (real := ids.any(axis=1)).all():
            raise ValueError(
                f"{where}[{int(np.argmin(real))}], of {describe(ids)}, is nothing but padding "
                "(id 0); remove such rows, and their targets"
            )

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """True where the id is not 0, if that is the padding."""
        return host_array(x) != 0 if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(batch, time) -> (batch, time, output_dim)"""
        return (*input_shape, self.output_dim)

    def _defaults(self) -> dict[str, Any]:
        return super()._defaults() | {"embeddings_initializer": "random_uniform"}


@registered
class Masking(Layer):
    """Steps whose features all equal a value are padding: the result carries a mask, False there.

    The input x is (batch, time, features); the result is x, with 0 at the padded steps.

    Arguments: `mask_value`, the value, which may be NaN; the others are `Layer`'s.

    Raises DtypeError for a value that is no number.

    >>> from chainrule.engine.masks import mask_of
    >>> y = Masking()([[[1.0, 0.0], [0.0, 0.0]]])
    >>> mask_of(y).tolist()
    [[True, False]]
    """

    min_ndim = 3

    def __init__(
        self,
        mask_value: float = 0.0,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, dtype, trainable)
        self.mask_value = number("Masking", "mask_value", mask_value)

    def call(self, x: Tensor) -> Tensor:
        """x, with 0 at the padded steps."""
        return where(self.compute_mask(x, None)[..., None], x, 0.0)

    def compute_mask(self, x: Any, mask: Any) -> Any:
        """True where a feature is something else."""
        raw, value = host_array(x), self.dtype.type(self.mask_value)
        return (~np.isnan(raw) if np.isnan(value) else raw != value).any(axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's."""
        return tuple(input_shape)
