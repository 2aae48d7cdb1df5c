"""Where a run's batches come from: arrays (`data.Batches`), or a pipeline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .arguments import check_samples, refuse_streams
from .data import DEFAULT_BATCH_SIZE, Batches, check_arrays

if TYPE_CHECKING:
    from .pipeline.pipeline import Pipeline


def is_pipeline(value: Any) -> bool:
    """Is it a pipeline of `chainrule.data`?"""
    module = sys.modules.get("chainrule.training.pipeline.pipeline")  # else there is none
    return module is not None and isinstance(value, module.Pipeline)


def require_alone(y: Any, options: Any) -> None:
    """Raise ValueError for arguments of `fit` that a pipeline has a step of its own for."""
    for name, given, instead in (
        ("y", y is not None, "it has the targets itself: cr.data.from_arrays(x, y)"),
        ("batch_size", options.batch_size is not None, "use pipeline.batch(size)"),
        ("validation_split", options.validation_split != 0, "give validation_data="),
        ("augment", options.augment is not None, "use pipeline.map(function)"),
        ("shuffle=False", options.shuffle is not True, "leave out pipeline.shuffle()"),
    ):
        if given:
            raise ValueError(f"fit: x is a pipeline, which {name} does not go with; {instead}")


class Feed(Protocol):
    """Batches in an order that is drawn for each epoch, to be had from any one on."""

    #: Must each batch be proved to fit, since they could not all be looked at before?
    unchecked: bool

    @property
    def steps(self) -> int | None:
        """How many batches an epoch has; None where that shows at its end."""

    def first(self) -> tuple[Any, Any]:
        """Samples and targets to build a model with, and to try it on."""

    def fingerprint(self) -> dict[str, Any]:
        """What tells these batches from others, as plain data."""

    def draw(self, epoch: int = 0) -> np.ndarray | None:
        """The order of an epoch, if it has one that can be kept."""

    def open(
        self, order: np.ndarray | None = None, start: int = 0, epoch: int = 0
    ) -> Generator[tuple[Any, Any], None, None]:
        """The batches of an epoch, from the batch `start` on."""


class PipelineFeed:
    """The batches of a pipeline.

    Arguments:
        pipeline: of batches of (x, y), or of x, where `y` is not needed.
        seed: all that is drawn in it follows from this and the epoch.
        where: name of the public function, for messages.
        name: name of its argument.
        needs_y: must there be targets?
        classes: the names of the model's classes, if it has any, in their order.

    Raises:
        ValueError: it gives single samples, or no targets, or numbers the same classes otherwise.
    """

    unchecked = True

    def __init__(
        self,
        pipeline: Pipeline,
        seed: int,
        *,
        where: str = "fit",
        name: str = "x",
        needs_y: bool = True,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        if pipeline.batch_size is None:
            raise ValueError(
                f"{where}: {name} is a pipeline of single samples; put .batch(32) at its end"
            )
        own = pipeline.classes
        if own is not None and classes is not None and own != classes and set(own) == set(classes):
            raise ValueError(
                f"{where}: {name} has the classes of the model's preprocessing in another order, "
                f"{own} and not {classes}; set Preprocessing(classes=pipeline.classes)"
            )
        self.pipeline, self.seed, self.where, self.name = pipeline, seed, where, name
        self.needs_y = needs_y
        self._first: tuple[Any, Any] | None = None

    @property
    def steps(self) -> int | None:
        """How many batches an epoch has, if that is known."""
        return self.pipeline.length

    def fingerprint(self) -> dict[str, Any]:
        """What tells this pipeline from others, as plain data."""
        return self.pipeline.fingerprint()

    def draw(self, epoch: int = 0) -> np.ndarray | None:
        """The order of an epoch, where it is one permutation of the samples."""
        return self.pipeline.order(self.seed, epoch)

    def open(
        self, order: np.ndarray | None = None, start: int = 0, epoch: int = 0
    ) -> Generator[tuple[Any, Any], None, None]:
        """The batches of an epoch, from the batch `start` on."""
        if not self.pipeline.has_targets:
            if self.needs_y:
                raise ValueError(
                    f"{self.where}: {self.name} gives samples without targets; make it of both, as "
                    "in cr.data.from_arrays(x, y)"
                )
            with closing(self.pipeline.open(self.seed, epoch, start, order)) as items:
                yield from ((x, None) for x in items)
            return
        with closing(self.pipeline.open(self.seed, epoch, start, order)) as items:
            yield from items

    def first(self) -> tuple[Any, Any]:
        """The first batch, to build a model with."""
        if self._first is None:  # a generator is not asked again
            with closing(self.open()) as batches:
                self._first = next(batches, None)
        if self._first is None:
            raise ValueError(f"{self.where}: {self.name} is empty; at least one sample is needed")
        return self._first


def feed_of(
    x: Any,
    y: Any,
    batch_size: int | None,
    *,
    where: str,
    prepare: Callable[..., tuple[Any, Any]],
    needs_y: bool = True,
    classes: tuple[str, ...] | None = None,
) -> Batches | PipelineFeed:
    """What `evaluate` and `predict` go through: arrays in their order, or a pipeline.

    Arguments: `prepare`, what makes ids of texts and names: `Model._prepared_data`; `needs_y` and
    `classes`, see `PipelineFeed`.

    Raises:
        ValueError, TypeError: they cannot be computed with; something is given twice; or outputs
            of which the targets are not known would come in another order than the samples.
    """
    if not is_pipeline(x):
        x, y = prepare(x, y, where)
        if needs_y:
            x, y = check_samples(x, y, where=where)
        else:
            refuse_streams(x, where)
            x, _ = check_arrays(x, where=where)
        return Batches(x, y, DEFAULT_BATCH_SIZE if batch_size is None else batch_size, where=where)
    for name, given in (("y", y), ("batch_size", batch_size)):
        if given is not None:
            raise ValueError(f"{where}: x is a pipeline, which has {name} itself; leave it out")
    if where == "predict" and x.is_shuffled:
        raise ValueError(
            f"{where}: x is a shuffled pipeline, and what is predicted would be in the order of "
            "none of your arrays; leave out shuffle()"
        )
    return PipelineFeed(x, 0, where=where, needs_y=needs_y, classes=classes)
