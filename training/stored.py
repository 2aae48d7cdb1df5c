"""What a model's weights are kept in: files, and lists of arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.engine.configured import Given, keeps_arguments, plain
from chainrule.engine.habits import explains_calls
from chainrule.engine.making import revived
from chainrule.engine.tensor import on_host
from chainrule.layers import Layer

from . import habits
from . import weights as weights_files


class Stored(Layer):
    """A layer that can be written to files, whole or its weights alone, and read from them.

    What a subclass's own constructor is given is its configuration: plain data, layers, and lists
    and dicts of them.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        keeps_arguments(cls)

    def get_config(self) -> dict[str, Any]:
        """What the constructor was given, as plain data, which JSON can hold.

        Raises:
            TypeError: something is no plain data, such as a function of your own.

        >>> from chainrule.layers import Dense
        >>> from chainrule.training import Model
        >>> class Tower(Model):
        ...     def __init__(self, floors, width=8):
        ...         super().__init__()
        ...         self.floors = [Dense(width) for _ in range(floors)]
        >>> Tower(3).get_config()
        {'floors': 3, 'width': 8}
        """
        given: Given | None = vars(self).get("_given")
        if given is None:
            return super().get_config()
        where = f"{type(self).__name__}.get_config: argument "
        if given.nameless:
            raise TypeError(
                f"{type(self).__name__}.get_config: its constructor takes arguments without names "
                "(*args), which a configuration cannot tell; name them"
            )
        return {
            name: plain(value, f"{where}{name!r}", whole=True)
            for name, value in given.arguments.items()
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A model, not built, from what `get_config` returned."""
        from .saving.registry import KINDS

        return cls(**revived(config, list(KINDS.values())))

    @explains_calls(habits.SAVE)
    def save(self, path: str | os.PathLike[str], *, include_optimizer: bool = True) -> None:
        """Write the whole model to a folder, from which `chainrule.load_model` reads it.

        It holds the layers' configurations and the weights, how the model was compiled, what the
        optimiser remembers, and the preprocessing: training goes on from it as if there had been
        no pause. The folder is complete or as it was before, whenever the writing is interrupted.

        Classes of your own are told by their names and constructor arguments, never as code: give
        them to `load_model` as `custom_objects`.

        Arguments:
            path: the folder, which is made, or holds an earlier model, which is replaced. Any name
                does: "digits", "digits.keras".
            include_optimizer: write what the optimiser remembers too? Of Adam, that is twice as
                much as the weights.

        Raises:
            RuntimeError: the model is not built.
            TypeError: it holds something that is no plain data, such as a function of your own as
                an activation; the message names it.
            FileExistsError: there is a file of that name, or a folder that holds something else.
            OSError: it cannot be written.

        >>> import tempfile
        >>> import chainrule as cr
        >>> from chainrule.layers import Dense
        >>> model = cr.models.Sequential([Dense(3, activation="relu"), Dense(2)])
        >>> model.build((None, 4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/small")
        ...     again = cr.load_model(f"{folder}/small")
        >>> bool((again.predict(np.ones((1, 4))) == model.predict(np.ones((1, 4)))).all())
        True
        """
        from .saving.models import save_model

        save_model(self, path, include_optimizer=include_optimizer)

    @explains_calls(habits.SAVE_WEIGHTS)
    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write all weights, by name, to a `safetensors` file; it is complete or not there at all.

        Raises:
            RuntimeError: the model is not built.
            OSError: the file cannot be written.
        """
        weights_files.save_weights(self._named_weights("save_weights"), path)

    @explains_calls(habits.LOAD_WEIGHTS)
    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Copy the weights of a file into the model's own, which stay the same Tensors.

        All names, shapes and dtypes are compared before anything is changed.

        Arguments:
            path: a file that `save_weights` wrote, which holds a checksum, or any other of the
                `safetensors` format; or the folder of a saved model, or of checkpoints.

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


@explains_calls(habits.LOAD_MODEL)
def load_model(
    path: str | os.PathLike[str],
    custom_objects: dict[str, Any] | None = None,
    *,
    compile: bool = True,
    device: Any = None,
) -> Any:
    """A model from a folder that `model.save` wrote, or from a checkpoint of `fit`.

    The model is built, has its weights, and predicts the same bits. If it was compiled when it was
    saved, it is, and its optimiser goes on where it was. Nothing in a file is executed: it names
    layers and the rest by words, which are looked up among chainrule's own and `custom_objects`.
    How long its predictions take is up to the model, though: the regular expression of a
    `WordTokenizer`, if it was saved with one of its own, may be slow beyond measure on some texts.

    Arguments:
        path: the folder; of a folder of checkpoints, the one of the latest step is read, of that
            of a `ModelCheckpoint` the best.
        custom_objects: classes of your own (layers, models, losses, ...) and functions (losses,
            metrics), by their names: `{"MyLayer": MyLayer}`.
        compile: compile the model as it was?
        device: where it shall be, as "cuda"; by default the default device.

    Returns:
        the model.

    Raises:
        OSError: there is nothing, or it cannot be read.
        ValueError: it is damaged, was written by a newer chainrule, or does not fit: names a class
            that is unknown, for example. The message names the place.
        TypeError: `custom_objects` is no dict.
    """
    from .saving.models import load_model

    return load_model(path, custom_objects, compile=compile, device=device)
