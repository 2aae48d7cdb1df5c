"""A model with the preprocessing that it was trained with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .class_names import labels
from .crossentropy import BinaryCrossentropy
from .described import Described
from .objective import Objective

if TYPE_CHECKING:
    from .preprocessing import Preprocessing


class Preprocessed(Described):
    """What a model knows of its preprocessing.

    It is applied at two moments: `_prepared_data` makes ids of all texts, and of targets that are
    names, before batches are cut; `_entering` applies the other steps to each batch.
    """

    _preprocessing: Preprocessing | None = None
    _objective: Objective | None = None
    predict: Callable[..., np.ndarray]

    @property
    def preprocessing(self) -> Preprocessing | None:
        """The `Preprocessing` that samples and targets go through; None if there is none.

        It is applied by `fit`, `evaluate`, `predict`, `predict_classes`, and by their siblings for
        single batches, and saved with the model; a call `model(x)` takes what comes after it, as
        `model(model.preprocessing(x))`.

        Setting it to anything else raises TypeError.
        """
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, value: Any) -> None:
        from .preprocessing import Preprocessing

        if value is not None and not isinstance(value, Preprocessing):
            raise TypeError(
                f"{type(self).__name__}.preprocessing must be a Preprocessing, or None, got "
                f"{value!r:.60}; write model.preprocessing = Preprocessing(...), from "
                "chainrule.preprocessing"
            )
        self._preprocessing = value

    def _known_classes(self) -> tuple[str, ...] | None:
        """The names of the classes, in the order of their ids, if the preprocessing has any."""
        return None if self._preprocessing is None else self._preprocessing.classes

    def predict_classes(
        self, x: Any, batch_size: int | None = None, verbose: int | str = 0
    ) -> np.ndarray:
        """The most probable class of each sample.

        Arguments:
            x: samples, as for `predict`.
            batch_size: samples computed together, 32 unless given.
            verbose: 0 silent, 1 or "auto" a progress bar, 2 one line.

        Returns:
            names, if the preprocessing has classes, or ids, int64: an array of the shape of the
            predictions without their last axis. Where that has the length 1, or is not there, the
            prediction is the probability of the second of two classes, and 0.5 is the threshold;
            or 0, if the loss takes logits.

        Raises:
            ShapeError: there are not as many outputs as classes.
            ValueError, TypeError: as for `predict`; or predictions are NaN, or a single output is
                no probability.

        >>> import chainrule as cr
        >>> from chainrule.layers import Dense
        >>> from chainrule.preprocessing import MinMax, Preprocessing
        >>> cr.seed(0)
        >>> x, y = np.array([[1.5], [1.6], [1.8], [1.9]]), ["short", "short", "tall", "tall"]
        >>> model = cr.models.Sequential([Dense(2, activation="softmax")])
        >>> model.preprocessing = Preprocessing(MinMax.fit(x), classes=["short", "tall"])
        >>> model.compile(cr.optim.SGD(learning_rate=1.0), "sparse_categorical_crossentropy")
        >>> history = model.fit(x, y, epochs=100, verbose=0)
        >>> model.predict_classes([[1.55], [1.85]]).tolist()
        ['short', 'tall']
        """
        outputs = self.predict(x, batch_size, verbose)
        from_logits = self._objective is not None and self._objective.loss.from_logits
        return labels(
            outputs,
            self._known_classes(),
            threshold=0.0 if from_logits else 0.5,
            where="predict_classes",
        )

    def _prepared_data(
        self, x: Any, y: Any, where: str, names: tuple[str, str] = ("x", "y")
    ) -> tuple[Any, Any]:
        """Samples and targets, as the user gave them, with ids in place of texts and names."""
        if self._preprocessing is None:
            return x, y
        objective = self._objective
        return self._preprocessing.prepare(
            x,
            y,
            x_name=names[0],
            y_name=names[1],
            column=objective is not None and isinstance(objective.loss, BinaryCrossentropy),
            where=where,
        )

    def _entering(self, x: Any, where: str, name: str = "x") -> Any:
        """A batch, as `_prepared_data` leaves it, after the other steps."""
        if self._preprocessing is None:
            return x
        return self._preprocessing.transform(x, self.dtype, x_name=name, where=where)
