"""What a model's weights are kept in: files, and lists of arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.engine.tensor import on_host
from chainrule.layers import Layer

from . import weights as weights_files


class Stored(Layer):
    """A layer whose weights can be written to a file, and read from one."""

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write all weights, by name, to a `safetensors` file; it is complete or not there at all.

        Raises:
            RuntimeError: the model is not built.
            OSError: the file cannot be written.
        """
        weights_files.save_weights(self._named_weights("save_weights"), path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy the weights of a file into the model's own, which stay the same Tensors.

        All names, shapes and dtypes are compared before anything is changed.

        Raises:
            RuntimeError: the model is not built.
            OSError: the file is missing or cannot be read.
            ValueError: it is damaged, or its weights do not fit the model; the message lists the
                missing, unknown and wrongly shaped ones.
        """
        named = self._named_weights("load_weights")
        weights_files.assign_weights(named, weights_files.read_weights(path))

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, in the order of `named_weights`.

        Raises:
            RuntimeError: the model is not built.
        """
        return [np.array(on_host(weight)) for _, weight in self._named_weights("get_weights")]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays into the weights, in the order of `get_weights`.

        Raises:
            RuntimeError: the model is not built.
            ValueError: number or shapes differ; nothing is changed then.
        """
        named = self._named_weights("set_weights")
        values = weights_files.positional(named, weights, where="set_weights")
        weights_files.assign_weights(named, values, where="set_weights")

    def _named_weights(self, where: str) -> weights_files.Named:
        try:
            return self.named_weights()
        except RuntimeError as error:
            raise RuntimeError(f"{where}: {error}") from error
