"""Training data: arrays that are checked, split and cut into batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from chainrule.engine.hosted import host_array
from chainrule.engine.tensor import Tensor

from .inputs import count, mapped, parts, rows
from .integers import check_integer

#: Samples computed together, unless a user says otherwise.
DEFAULT_BATCH_SIZE = 32

CHUNK = 1 << 20  # elements looked at together: the mask of a whole memory map may not fit


def describe(array: np.ndarray) -> str:
    """Shape and dtype of an array, as messages show them.

    >>> describe(np.zeros((32, 10), np.float32))
    'shape (32, 10), float32'
    """
    return f"shape {array.shape}, {array.dtype}"


def check_arrays(
    x: Any, y: Any = None, *, x_name: str = "x", y_name: str = "y", where: str = "fit"
) -> tuple[Any, np.ndarray | None]:
    """Samples and targets as arrays that can be trained on, without a copy where they are.

    Booleans, integers, float32 and float64 are accepted; lists are converted, and Tensors of a GPU
    copied to the host.

    Arguments:
        x: samples, shape (samples, ...); a tuple or a dict of arrays for a model of several inputs.
        y: targets, shape (samples, ...); None where there are none.
        x_name: name of the argument `x`, for messages.
        y_name: name of the argument `y`, for messages.
        where: name of the public function, for messages.

    Returns:
        `x` and `y` as arrays, in the machine's byte order.

    Raises:
        TypeError: the dtype is not one of those above.
        ValueError: an array is ragged, has no axis or no samples, holds NaN or infinity, or the
            numbers of samples differ.

    >>> x, y = check_arrays([[0.0, 1.0], [2.0, 3.0]], [0, 1])
    >>> x.shape, y.dtype.kind
    ((2, 2), 'i')
    """
    _refuse_inputs_in_list(x, y, x_name, where)
    if isinstance(x, dict) and not x:
        raise ValueError(
            f"{where}: {x_name} is an empty dict; it must have an array for each input"
        )
    checked = iter([_check_array(each, name, where) for name, each in parts(x, x_name)])
    x = mapped(lambda _: next(checked), x)
    (first, _), *others = parts(x, x_name)
    for name, each in others:
        if len(each) != count(x):
            raise ValueError(
                f"{where}: {name} has {len(each)} rows but {first} has {count(x)}; every sample "
                "needs all inputs"
            )
    if y is None:
        return x, None
    y = _check_array(y, y_name, where)
    _check_lengths(x, y, x_name, y_name, where)
    return x, y


def _check_lengths(x: Any, y: np.ndarray, x_name: str, y_name: str, where: str) -> None:
    if count(x) != len(y):
        raise ValueError(
            f"{where}: {y_name} has {len(y)} rows but {x_name} has {count(x)}; "
            "every sample needs one target"
        )


def _refuse_inputs_in_list(x: Any, y: Any, name: str, where: str) -> None:
    """Raise ValueError for a list that can only be meant as a list of several inputs."""
    if not isinstance(x, list) or not all(isinstance(each, (np.ndarray, Tensor)) for each in x):
        return
    shapes = [each.shape for each in x]
    lengths = {shape[:1] for shape in shapes}
    if len(x) < 2 or len(lengths) != 1 or () in lengths:
        return
    if len(set(shapes)) == 1 and (y is None or len(y) == len(x) or len(y) != shapes[0][0]):
        return  # it holds the samples, or what is wrong is something else
    raise ValueError(
        f"{where}: {name} is a list of arrays with the shapes {', '.join(map(str, shapes))}; give "
        "several inputs as a tuple, (a, b), or as a dict"
    )


def refuse_masked(value: Any, name: str, where: str) -> None:
    """Raise ValueError for an array with masked entries, which would lose their mask.

    >>> refuse_masked(np.ma.masked_array([1.0, 2.0], [False, False]), "x", "fit")
    """
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise ValueError(
            f"{where}: {name} has masked entries, whose values are undefined; fill them first: "
            f"{name}.filled(value)"
        )


def _check_array(value: Any, name: str, where: str) -> np.ndarray:
    refuse_masked(value, name, where)
    if isinstance(value, Tensor) and not value._device.on_host:
        value = host_array(value)  # once; it goes to the model's device batch by batch
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{where}: {name} cannot be made an array ({error}); every row must have the same "
            "shape: cr.text.pad_sequences fills up sequences of different lengths"
        ) from error
    _check_dtype(array, name, where)
    if array.ndim == 0:
        raise ValueError(
            f"{where}: {name} is a single number; the first axis must count the samples, "
            f"as in np.array([{name}])"
        )
    if array.size == 0:
        raise ValueError(
            f"{where}: {name} is empty ({describe(array)}); at least one sample with at least one "
            "value is needed"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "f":
        _check_finite(array, name, where)
    return array


def _check_dtype(array: np.ndarray, name: str, where: str) -> None:
    if array.dtype.kind in "biu" or array.dtype.name in ("float32", "float64"):
        return
    reason = 'convert it to numbers first, for example by .astype("float32")'
    if array.dtype.kind in "UST" or any(isinstance(each, str) for each in array.flat[:1]):
        reason = (
            "text must be encoded as numbers first: model.preprocessing = Preprocessing(...), from "
            "chainrule.preprocessing, with Encode(tokenizer, length) makes ids of texts, and with "
            "classes=[...] of targets that are names (for a pipeline, before it is made: "
            "from_arrays(*preprocessing.prepare(x, y)))"
        )
    elif array.dtype.kind == "O":
        reason = "it holds Python objects, or rows of different lengths; make an array of numbers"
    elif array.dtype.kind == "c":
        reason = "complex numbers cannot be trained on; pass real and imaginary parts as features"
    elif array.dtype.kind == "f" and array.dtype.itemsize == 2:
        reason = 'its 11 bits of precision lose small gradient steps; use .astype("float32")'
    raise TypeError(f"{where}: {name} has {describe(array)}, which is not supported: {reason}")


def _check_finite(array: np.ndarray, name: str, where: str) -> None:
    chunk = max(1, CHUNK * len(array) // array.size)
    for start in range(0, len(array), chunk):
        if not np.isfinite(array[start : start + chunk]).all():
            break
    else:
        return
    bad = 0  # counted in chunks, too; `start` is where the first is found
    for later in range(start, len(array), chunk):
        bad += int(np.count_nonzero(~np.isfinite(array[later : later + chunk])))
    index = np.argwhere(~np.isfinite(array[start : start + chunk]))[0]
    first = (int(index[0]) + start, *map(int, index[1:]))
    values = "1 value that is" if bad == 1 else f"{bad} values that are"
    raise ValueError(
        f"{where}: {name} has {values} NaN or infinite, the first at "
        f"{name}[{', '.join(map(str, first))}] = {array[first]} ({describe(array)}); "
        "remove these samples or fill in the values"
    )


def check_targets(y: np.ndarray, n_classes: int, *, y_name: str = "y", where: str = "fit") -> None:
    """Prove that integer class labels lie within 0 ... n_classes - 1.

    Floating labels are refused even if they are whole numbers, and so are booleans: 2.0 may be a
    label or the value of a regression, and an array of booleans used as an index is a mask.

    Arguments:
        y: labels, any shape, an integer dtype.
        n_classes: number of classes.
        y_name: name of the argument, for messages.
        where: name of the public function, for messages.

    Raises:
        TypeError: the dtype is not an integer one.
        ValueError: a label is outside; the message names the first, its index and the range.

    >>> check_targets(np.array([0, 9, 10]), 10)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: fit: y[2] = 10 is outside the classes 0 to 9 ...
    """
    y = np.asarray(y)
    if y.dtype.kind not in "iu":
        raise TypeError(
            f"{where}: {y_name} has {describe(y)}, but class labels are integers; if these are "
            f'labels, convert them: {y_name}.astype("int64")'
        )
    if y.size == 0 or (y.min() >= 0 and y.max() < n_classes):
        return
    outside = (y < 0) | (y >= n_classes)
    first = tuple(map(int, np.argwhere(outside)[0]))
    remedy = f"relabel {y_name} from 0"
    if y.min() >= 0:
        remedy += f", or give the last layer {int(y.max()) + 1} units"
    raise ValueError(
        f"{where}: {y_name}[{', '.join(map(str, first))}] = {y[first]} is outside the classes "
        f"0 to {n_classes - 1} ({np.count_nonzero(outside)} of {y.size} labels are); {remedy}"
    )


def check_generator(generator: object, where: str) -> None:
    """Raise TypeError for anything but a NumPy generator.

    >>> check_generator(np.random.default_rng(0), "fit")
    """
    if not isinstance(generator, np.random.Generator):
        raise TypeError(
            f"{where}: generator must be a numpy.random.Generator, got "
            f"{type(generator).__name__}; make one by np.random.default_rng(seed)"
        )


def split_validation(
    x: Any,
    y: np.ndarray,
    fraction: float,
    generator: np.random.Generator,
    *,
    where: str = "fit",
) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Set a random part of the samples aside for validation.

    The samples are drawn from a shuffled order, so that data sorted by class is no trap; within
    each part they keep their original order. The parts are copies.

    Arguments:
        x: samples, shape (samples, ...).
        y: targets, shape (samples, ...).
        fraction: share set aside, between 0 and 1; the number of samples is rounded.
        generator: source of randomness; one permutation is drawn.
        where: name of the public function, for messages.

    Returns:
        x_train, y_train, x_validation, y_validation.

    Raises:
        TypeError: `fraction` is not a number, `generator` no NumPy generator.
        ValueError: `fraction` is outside (0, 1), leaves one part empty, or the lengths differ.

    >>> x = np.arange(10.0)
    >>> parts = split_validation(x, -x, 0.2, np.random.default_rng(0))
    >>> [len(part) for part in parts]
    [8, 8, 2, 2]
    """
    if isinstance(fraction, (bool, np.bool_)) or not isinstance(
        fraction, (int, float, np.integer, np.floating)
    ):
        raise TypeError(
            f"{where}: validation_split must be a number between 0 and 1, got {fraction!r} "
            f"({type(fraction).__name__})"
        )
    if not 0 < fraction < 1:
        raise ValueError(
            f"{where}: validation_split must lie between 0 and 1, both excluded, got {fraction}; "
            "0.2 sets a fifth of the samples aside"
        )
    check_generator(generator, where)
    _check_lengths(x, y, "x", "y", where)
    held_out = round(len(y) * float(fraction))
    if not 0 < held_out < len(y):
        part = "validation" if held_out == 0 else "training"
        raise ValueError(
            f"{where}: validation_split={fraction} of {len(y)} samples leaves none for {part}; "
            "change the fraction, give more samples, or pass validation_data"
        )
    order = generator.permutation(len(y))
    validation, training = np.sort(order[:held_out]), np.sort(order[held_out:])
    return rows(x, training), y[training], rows(x, validation), y[validation]


def check_batch_size(batch_size: object, *, where: str = "fit") -> int:
    """The batch size as a Python integer.

    Raises:
        TypeError: it is not an integer (booleans and floats are not).
        ValueError: it is less than 1.

    >>> check_batch_size(np.int64(32))
    32
    """
    return check_integer(batch_size, "batch_size", least=1, where=where)


class Batches:
    """The samples in batches, in a fresh random order each time they are gone through.

    Every sample comes once; the last batch is shorter where the batch size does not divide the
    number of samples. Without a generator the batches are views of the arrays, in their order.

    Arguments:
        x: samples, shape (samples, ...), or a tuple or a dict of such arrays.
        y: targets, shape (samples, ...); None where there are none.
        batch_size: samples per batch.
        generator: source of the order, one permutation per pass; None keeps the arrays' order.
        where: name of the public function, for messages.

    Raises:
        TypeError: `batch_size` is not an integer, `generator` no NumPy generator.
        ValueError: `batch_size` is less than 1, there is no sample, or the lengths differ.

    >>> batches = Batches(np.arange(5), np.arange(5) ** 2, 2)
    >>> len(batches)
    3
    >>> [(x.tolist(), y.tolist()) for x, y in batches]
    [([0, 1], [0, 1]), ([2, 3], [4, 9]), ([4], [16])]
    """

    def __init__(
        self,
        x: Any,
        y: np.ndarray | None,
        batch_size: int,
        generator: np.random.Generator | None = None,
        *,
        where: str = "fit",
    ) -> None:
        self.batch_size = check_batch_size(batch_size, where=where)
        if generator is not None:
            check_generator(generator, where)
        if y is not None:
            _check_lengths(x, y, "x", "y", where)
        if count(x) == 0:
            raise ValueError(f"{where}: x is empty ({describe(x)}); at least one sample is needed")
        self.x = x
        self.y = y
        self.generator = generator

    #: All samples are looked at before a run.
    unchecked = False

    def __len__(self) -> int:
        return -(-count(self.x) // self.batch_size)

    @property
    def steps(self) -> int:
        """How many batches there are."""
        return len(self)

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray | None]]:
        return self.open(self.draw())

    def first(self) -> tuple[Any, np.ndarray | None]:
        """The first sample, and all targets: what a model is built and tried with."""
        return rows(self.x, slice(0, 1)), self.y

    def fingerprint(self) -> dict[str, Any]:
        """What tells these samples, and how they come, from others, as plain data."""
        from .pipeline.fingerprints import array_fingerprint

        return {
            "x": array_fingerprint(self.x),
            "y": None if self.y is None else array_fingerprint(self.y),
            "batch_size": self.batch_size,
            "shuffle": self.generator is not None,
        }

    def draw(self, epoch: int = 0) -> np.ndarray | None:
        """The order of a pass, shape (samples,), drawn anew; None if it is that of the arrays."""
        return None if self.generator is None else self.generator.permutation(count(self.x))

    def open(
        self, order: np.ndarray | None = None, start: int = 0, epoch: int = 0
    ) -> Generator[tuple[Any, np.ndarray | None], None, None]:
        """The batches of a pass in an order that `draw` gave, from the batch `start` on.

        >>> batches = Batches(np.arange(5), None, 2, np.random.default_rng(0))
        >>> order = batches.draw()
        >>> whole, rest = list(batches.open(order)), list(batches.open(order, start=2))
        >>> (rest[0][0] == whole[2][0]).all()
        np.True_
        """
        x, y = self.x, self.y
        for begin in range(start * self.batch_size, count(x), self.batch_size):
            which: Any = slice(begin, begin + self.batch_size)
            if order is not None:
                which = order[which]
            yield rows(x, which), None if y is None else y[which]
