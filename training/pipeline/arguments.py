"""Arguments of pipelines, checked; and what stands for those of other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: Arguments of tf.data, Keras and PyTorch, and what to write here.
ELSEWHERE = {
    "batch_size": "add .batch(32)",
    "drop_last": "add .batch(32, drop_last=True)",
    "shuffle": "add .shuffle()",
    "seed": "add .shuffle(seed=1)",
    "num_workers": "add .prefetch(2): a thread computes two items ahead",
    "prefetch_factor": "add .prefetch(2): a thread computes two items ahead",
    "num_parallel_calls": "add .prefetch(2): a thread computes two items ahead",
    "deterministic": "the order is always the same",
    "pin_memory": "batches are arrays of the host; the model moves them",
    "collate_fn": "add .map(function) before .batch(32), and after it",
    "transform": "add .map(lambda x, y: (transform(x), y))",
    "output_signature": "shapes and dtypes are those of the first sample; leave it out",
    "output_types": "shapes and dtypes are those of the first sample; leave it out",
    "output_shapes": "shapes and dtypes are those of the first sample; leave it out",
    "args": "give a function without arguments: lambda: function(1, 2)",
    "mmap_mode": 'it is always "r": read, not written',
    "reshuffle_each_iteration": "each epoch has an order of its own",
}


#: Methods of tf.data and PyTorch, and what to write here.
METHODS = {
    "repeat": "fit(..., epochs=n) goes through the data n times",
    "cache": "arrays stay where they are; for others, make arrays once and use from_arrays",
    "filter": "leave the samples out in the function that from_generator is given",
    "enumerate": "use Python's enumerate(pipeline)",
    "shard": "take every n-th row of the arrays: from_arrays(x[k::n], y[k::n])",
    "as_numpy_iterator": "a pipeline yields NumPy arrays: for x, y in pipeline",
    "padded_batch": "make the samples of one length first: map(function), then batch()",
    "unbatch": "leave batch() out",
    "random_split": "use take(n) and skip(n) before shuffle()",
    "apply": "use map(function)",
    "element_spec": "it is called element",
    "cardinality": "it is called length, None where it is unknown",
    "class_names": "it is called classes",
    "class_indices": "classes has the names in the order of their numbers",
    "num_classes": "it is len(pipeline.classes)",
    "flow": "give the pipeline to fit",
    "dataset": "the pipeline is all there is: for x, y in pipeline",
    "concatenate": "use from_arrays on np.concatenate of the arrays, or from_generator",
}


def refuse(given: Mapping[str, Any], where: str, **remedies: str) -> None:
    """Raise TypeError for the first argument that there is not, with what stands for it.

    Arguments: `remedies`, what to write in place of arguments, beside those of `ELSEWHERE`.

    >>> refuse({"drop_remainder": True}, "batch", drop_remainder="it is called drop_last")
    Traceback (most recent call last):
        ...
    TypeError: batch: there is no argument 'drop_remainder'; it is called drop_last
    """
    for name in given:
        remedy = remedies.get(name, ELSEWHERE.get(name))
        raise TypeError(
            f"{where}: there is no argument {name!r}" + ("" if remedy is None else f"; {remedy}")
        )


def permutation(order: Any, length: int, where: str) -> np.ndarray:
    """An order of so many elements, as an array of integers.

    Raises ValueError unless each of 0 to length − 1 is in it once.

    >>> permutation([1, 0], 2, "open")
    array([1, 0])
    """
    order = np.asarray(order)
    if order.shape == (length,) and order.dtype.kind in "iu":
        seen = np.zeros(length, bool)
        seen[order[(order >= 0) & (order < length)]] = True
        if seen.all():
            return order
    raise ValueError(
        f"{where}: order must be a permutation of 0 to {length - 1}, got shape {order.shape}, "
        f"{order.dtype}; give what order(seed, epoch) returned for the same data"
    )
