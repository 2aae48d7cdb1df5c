"""What is done to samples before they enter a model, kept with it: in training as in prediction.

Two things are done at two moments. `prepare` makes ids of texts, and of targets that are names,
before any batch is cut: ids are small. `transform` applies the steps that scale numbers to each
batch, so that a memory map is never copied whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.engine.configured import Configured
from chainrule.engine.dtypes import as_dtype
from chainrule.engine.errors import ShapeError, describe
from chainrule.engine.making import Kind, made, refusal
from chainrule.engine.tensor import Tensor

from .class_names import check_units, class_names, ids_of_names, labels
from .data import check_arrays
from .inputs import mapped, parts, several, structure
from .preprocessing_steps import KIND as STEP
from .preprocessing_steps import PREPROCESSING, Step
from .text_encoding import Encode

Steps = tuple[Step, ...]


class Preprocessing(Configured):
    """Steps that every sample goes through on its way into a model, and the names of the classes.

        model.preprocessing = Preprocessing(Standardize.fit(x_train), classes=["no", "yes"])

    Then `fit`, `evaluate`, `predict`, their siblings for single batches and `validation_data` take
    samples as they are, and targets as names; `predict_classes` answers in names. It is saved with
    the model. A call of the model itself, `model(x)`, is not preprocessed.

    Arguments:
        steps: `Rescale`, `Standardize`, `MinMax`, in the order in which they are applied; or one
            `Encode`. A model of several inputs has a dict, or a tuple, of lists of steps, shaped
            as its x: `Preprocessing({"text": [Encode(...)], "image": [Rescale(1 / 255)]})`; an
            empty list leaves an input as it is.
        classes: the classes' names, in the order of their ids.

    Raises:
        TypeError: a step is none, or a class no string.
        ValueError: a class comes twice, or `Encode` is not alone.

    >>> from chainrule.preprocessing import Preprocessing, Rescale
    >>> pixels = Preprocessing(Rescale(1 / 255), classes=["cat", "dog"])
    >>> pixels(np.array([[0, 255]], np.uint8))
    array([[0., 1.]], dtype=float32)
    >>> pixels.targets(["dog", "cat"]), pixels.labels([[0.3, 0.7]]).tolist()
    (array([1, 0]), ['dog'])
    """

    #: The steps of the one input; or of each, by key or position.
    steps: Steps | dict[str, Steps] | tuple[Steps, ...]

    def __init__(self, *steps: Any, classes: Any = None) -> None:
        self.several = False
        only = steps[0] if len(steps) == 1 else None
        if isinstance(only, dict) and only:
            self.several = True
            self.steps = {_key(key): _checked(each) for key, each in only.items()}
        elif isinstance(only, tuple) and any(isinstance(each, (list, tuple)) for each in only):
            self.several = True
            self.steps = tuple(_checked(each) for each in only)
        else:
            self.steps = _checked(only if isinstance(only, (list, tuple)) else steps)
        self.classes = None if classes is None else class_names(classes, "Preprocessing")

    def __call__(self, x: Any, dtype: Any = "float32") -> Any:
        """The samples as a model of this dtype is given them, all at once.

        Arguments: `x`, samples as for `fit`.

        Raises TypeError or ValueError for samples that `fit` would refuse.
        """
        kind, where = as_dtype(dtype, "Preprocessing: dtype"), "Preprocessing"
        x, _ = self.prepare(x, where=where)
        x, _ = check_arrays(x, where=where)
        return self.transform(x, kind, where=where)

    def prepare(
        self,
        x: Any,
        y: Any = None,
        *,
        x_name: str = "x",
        y_name: str = "y",
        column: bool = False,
        where: str = "fit",
    ) -> tuple[Any, Any]:
        """Samples and targets with ids in place of texts and names; numbers are left as they are.

        Arguments:
            x: samples as the user gave them; None to leave them out.
            y: targets as the user gave them, or None.
            x_name: name of the argument `x`, for messages.
            y_name: name of the argument `y`, for messages.
            column: give ids of names of shape (samples,) the shape (samples, 1), which is that of
                the single output of a binary classifier?
            where: name of the public function, for messages.

        Raises:
            TypeError, ValueError: texts are none, or have no token; a name is none of the classes;
                or `x` has not as many inputs as there are lists of steps.

        >>> Preprocessing(classes=["cat", "dog"]).prepare([[0.5]], ["dog"])
        ([[0.5]], array([1]))
        """
        if x is not None:
            x = _encoded(self, x, x_name, where)
        if y is not None and self.classes is not None:
            ids = ids_of_names(y, self.classes, y_name=y_name, where=where)
            if ids is not None:
                y = ids[:, None] if column and ids.ndim == 1 else ids
        return x, y

    def transform(self, x: Any, dtype: Any, *, x_name: str = "x", where: str = "fit") -> Any:
        """A batch as the model is given it, after `prepare` and `check_arrays`.

        Arguments:
            x: an array, shape (batch, ...), or a tuple or a dict of them; they are left as they
                are.
            dtype: the model's; what the steps make is of this dtype.
            x_name: name of the argument `x`, for messages.
            where: name of the public function, for messages.

        Raises:
            ShapeError: a batch has not the shape that a step is for.
            ValueError: `x` has not as many inputs as there are lists of steps, or a number leaves
                the range of floating numbers.

        >>> from chainrule.preprocessing import Preprocessing, Rescale
        >>> Preprocessing(Rescale(0.5)).transform(np.array([[1, 2]]), "float32")
        array([[0.5, 1. ]], dtype=float32)
        """
        if not self.steps:
            return x
        steps = iter(_for_each(self, x, x_name, where))
        names = iter([name for name, _ in parts(x, x_name)])
        kind = np.dtype(dtype)
        return mapped(lambda each: _transformed(next(steps), each, kind, next(names), where), x)

    def targets(self, y: Any) -> Any:
        """Targets that are names as ids, int64; any others as they are.

        Raises ValueError if one is none of the classes.
        """
        return self.prepare(None, y, where="targets")[1]

    def labels(self, outputs: Any, threshold: float = 0.5) -> np.ndarray:
        """The most probable class of each of a model's outputs: see `class_names.labels`."""
        return labels(outputs, self.classes, threshold=threshold)

    def check_outputs(self, shape: tuple[int, ...], where: str) -> None:
        """Raise ShapeError if a model's outputs of a shape cannot be of these classes."""
        check_units(self.classes, shape, where)

    def get_config(self) -> dict[str, Any]:
        """Steps and classes as plain data, which JSON can hold; arrays as lists of exact floats."""
        steps: Any = _plain(self.steps)
        if isinstance(self.steps, dict):
            steps = {key: _plain(each) for key, each in self.steps.items()}
        elif self.several:
            steps = [_plain(each) for each in self.steps]
        return {"steps": steps, "classes": None if self.classes is None else list(self.classes)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Preprocessing:
        """What `get_config` returned, made anew.

        Raises ValueError for anything else; the message says where it stands.
        """
        if set(config) != {"steps", "classes"}:
            raise refusal(
                f"expected a dict with the keys 'steps' and 'classes', got {sorted(config)}",
                "config",
            )
        steps: Any = config["steps"]
        if isinstance(steps, dict) and steps:
            steps = {key: _made(each, f"steps[{key!r}]") for key, each in steps.items()}
        elif isinstance(steps, list) and any(isinstance(each, list) for each in steps):
            steps = tuple(_made(each, f"steps[{i}]") for i, each in enumerate(steps))
        else:
            steps = _made(steps, "steps")
        return cls(steps, classes=config["classes"])

    def __repr__(self) -> str:
        shown = [repr(self.steps)] if self.several else [repr(each) for each in self.steps]
        if self.classes is not None:
            shown.append(f"classes={describe(list(self.classes))}")
        return f"Preprocessing({', '.join(shown)})"


def _transformed(
    steps: Steps, x: np.ndarray, dtype: np.dtype[Any], name: str, where: str
) -> np.ndarray:
    if not steps:
        return x
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            for step in steps:
                x = step.apply(x, dtype)
            return x.astype(dtype, copy=False) if x.dtype.kind == "f" else x
    except ShapeError as error:
        raise ShapeError(f"{where}: {name} does not fit the preprocessing: {error}") from error
    except FloatingPointError as error:
        raise ValueError(
            f"{where}: {name} leaves the range of {dtype} in the preprocessing ({error}); remove "
            "samples that are far outside of the training data"
        ) from error


def _encoded(preprocessing: Preprocessing, x: Any, name: str, where: str) -> Any:
    if not preprocessing.several:
        return _with_ids(preprocessing.steps, x, name, where)
    each_steps = _for_each(preprocessing, x, name, where)
    if isinstance(x, dict):
        named = zip(each_steps, x.items(), strict=True)
        return {
            key: _with_ids(steps, value, f"{name}[{key!r}]", where) for steps, (key, value) in named
        }
    found = []
    for index, (steps, value) in enumerate(zip(each_steps, x, strict=True)):
        part = f"{name}[{index}]"
        value = _with_ids(steps, value, part, where)
        if not isinstance(value, (np.ndarray, Tensor)):  # a tuple of lists would be one array
            value, _ = check_arrays(value, x_name=part, where=where)
        found.append(value)
    return tuple(found)


def _with_ids(steps: Any, x: Any, name: str, where: str) -> Any:
    """One input, with ids in place of texts if that is the step."""
    first = steps[0] if steps else None
    return first.encode(x, name, where) if isinstance(first, Encode) else x


def _for_each(preprocessing: Preprocessing, x: Any, name: str, where: str) -> list[Steps]:
    """The steps of each of the inputs of `x`, in their order."""
    steps: Any = preprocessing.steps
    if isinstance(steps, dict):
        if isinstance(x, dict) and set(x) == set(steps):
            return [steps[key] for key in x]
        needed = f"a dict with the keys {', '.join(map(repr, sorted(steps)))}"
    elif preprocessing.several:
        if isinstance(x, tuple) and len(x) == len(steps):
            return list(steps)
        needed = f"a tuple of {len(steps)}"
    else:
        if not several(x):
            return [steps]
        needed = "one array"
    given = f"a tuple of {len(x)}" if isinstance(x, tuple) else structure(x)
    raise ValueError(
        f"{where}: {name} must be {needed}, as the model's preprocessing is, got {given}; for "
        'several inputs give a list of steps to each, Preprocessing({"image": [Rescale(1 / 255)], '
        '"age": []})'
    )


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"Preprocessing: the names of inputs must be strings, got {key!r}")
    return key


def _checked(steps: Any) -> Steps:
    """The steps of one input."""
    if not isinstance(steps, (list, tuple)):
        raise TypeError(
            f"Preprocessing: each input needs a list of steps, as in [Rescale(1 / 255)], got "
            f"{describe(steps)}"
        )
    for each in steps:
        if isinstance(each, type) and issubclass(each, Step):
            raise TypeError(
                f"Preprocessing: {each.__name__} is a class; make a step of it, as by "
                f"{each.__name__}{'.fit(x_train)' if hasattr(each, 'fit') else '(...)'}"
            )
        if not isinstance(each, Step):
            raise TypeError(
                f"Preprocessing: a step must be one of {', '.join(sorted(PREPROCESSING))}, got "
                f"{describe(each)}; a function is none, since it could not be saved with the model"
            )
        if isinstance(each, Encode) and len(steps) > 1:
            raise ValueError(
                "Preprocessing: Encode must be the only step of its input; what it makes are ids, "
                "which are not scaled"
            )
    return tuple(steps)


def _plain(steps: Any) -> list[dict[str, Any]]:
    return [each.to_config() for each in steps if isinstance(each, Step)]


def _made(config: Any, place: str) -> list[Any]:
    """The steps of one input from their configurations."""
    if not isinstance(config, list):
        raise refusal(f"must be a list of steps, got {describe(config)}", place)
    return [made(each, STEP, f"{place}[{i}]") for i, each in enumerate(config)]


#: What a configuration of preprocessing may describe.
KIND = Kind("preprocessing", Preprocessing, {"Preprocessing": Preprocessing})
