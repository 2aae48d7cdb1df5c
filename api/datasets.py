"""Real data: two sets of handwritten digits and a text, all packaged, and readers of your own.

    data = cr.datasets.digits()
    model.fit(data.x_train, data.y_train, validation_data=(data.x_validation, data.y_validation))

Origin and licences of what is packaged are told in `data/README.md`, beside this module; the text,
`python_docs`, has a module of its own.
"""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.text_datasets import TextDataset, python_docs

__all__ = [
    "Dataset",
    "TextDataset",
    "digits",
    "load",
    "load_npz",
    "mnist",
    "mnist_small",
    "python_docs",
]

_FOLDER = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and labels to train with, to validate with and to test with.

    Attributes:
        name: what it is called.
        x_train, x_validation, x_test: arrays of shape (n, *image_shape), floating.
        y_train, y_validation, y_test: class numbers, int64 arrays of shape (n,).
        classes: the name of each class, by its number.
        image_shape: the shape of one sample: (height, width), or (features,).
        description: one sentence on what it is and where it comes from.
        licence: under which terms it may be passed on; empty where that is not known.

    >>> digits()
    <Dataset 'digits': 1,257 train, 180 validation, 360 test; samples (8, 8) float32; 10 classes>
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    description: str
    licence: str = ""

    def __repr__(self) -> str:
        return (
            f"<Dataset {self.name!r}: {len(self.x_train):,} train, {len(self.x_validation):,} "
            f"validation, {len(self.x_test):,} test; samples {self.image_shape} "
            f"{self.x_train.dtype}; {len(self.classes)} classes>"
        )


def digits(dtype: Any = "float32") -> Dataset:
    """The UCI optical digits: 1,797 images of 8×8, scaled to [0, 1].

    Arguments: `dtype` of the images, "float32" or "float64". Raises ValueError for another.

    >>> data = digits()
    >>> data.x_train.shape, data.y_train.shape, float(data.x_train.max())
    ((1257, 8, 8), (1257,), 1.0)
    """
    return _packaged(
        "digits",
        "digits.npz",
        16,
        dtype,
        "UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), 8×8 pixels.",
        "CC BY 4.0",
    )


def mnist_small(dtype: Any = "float32") -> Dataset:
    """A balanced subset of MNIST: 5,000 images of 28×28, scaled to [0, 1].

    Arguments: `dtype` of the images, "float32" or "float64". Raises ValueError for another.

    >>> mnist_small().x_test.shape
    (1000, 28, 28)
    """
    return _packaged(
        "mnist-small",
        "mnist_small.npz",
        255,
        dtype,
        "5,000 images of the MNIST database (LeCun, Cortes and Burges, 1998), 28×28 pixels.",
        "CC BY-SA 3.0",
    )


def _packaged(
    name: str, file: str, white: int, dtype: Any, description: str, licence: str
) -> Dataset:
    floating = _floating(dtype, name.replace("-", "_"))
    with np.load(_FOLDER / file, allow_pickle=False) as archive:
        images, labels, split = archive["images"], archive["labels"], archive["split"]
    parts: Any = []
    for part in range(3):
        chosen = split == part
        parts += [_scaled(images[chosen], white, floating), labels[chosen].astype(np.int64)]
    return Dataset(  # type: ignore[misc]
        name,
        *parts,
        classes=tuple("0123456789"),
        image_shape=images.shape[1:],
        description=description,
        licence=licence,
    )


def _floating(dtype: Any, where: str) -> np.dtype[Any]:
    """The dtype, which must be float32 or float64."""
    try:
        known = np.dtype(dtype)
    except TypeError:
        known = None
    if known is None or known not in (np.float32, np.float64):
        raise ValueError(f'{where}: dtype must be "float32" or "float64", got {dtype!r}')
    return known


def _scaled(values: np.ndarray, white: int, dtype: np.dtype[Any]) -> np.ndarray:
    return values.astype(dtype) / dtype.type(white)


# The format IDX: a magic number (two zero bytes, the type of the values, the number of axes), the
# length of each axis as a big-endian 32-bit integer, the values.

_IDX_UINT8 = 0x08

_MNIST_FILES = {
    "x_train": ("train-images", 3),
    "y_train": ("train-labels", 1),
    "x_test": ("t10k-images", 3),
    "y_test": ("t10k-labels", 1),
}


def mnist(folder: str | os.PathLike[str], dtype: Any = "float32") -> Dataset:
    """The full MNIST database, or one in its format (Fashion-MNIST, ...), from its four files.

    The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`
    and `t10k-labels-idx1-ubyte`, plain or as `.gz` (a dot for the second hyphen will do). The
    last twelfth of the training images, 5,000 of MNIST's 60,000, is for validation.

    Arguments:
        folder: where the four files are.
        dtype: of the images, which are scaled to [0, 1]: "float32" or "float64".

    Raises FileNotFoundError if the folder or one of the files is missing, ValueError if a file is
    not what its header says or the files do not fit each other.
    """
    floating = _floating(dtype, "mnist")
    folder = Path(folder)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(
            f"mnist: folder must hold the four files of MNIST, but {folder} {found}; "
            f"put {_listed_names()} into a folder, and give that"
        )
    found_files = {part: _find_idx(folder, *_MNIST_FILES[part]) for part in _MNIST_FILES}
    missing = [_idx_name(*_MNIST_FILES[part]) for part, file in found_files.items() if not file]
    if missing:
        raise FileNotFoundError(
            f"mnist: {folder} lacks {', '.join(missing)} (plain or .gz); the four files "
            f"{_listed_names()} must all be there"
        )
    files = {part: file for part, file in found_files.items() if file}
    arrays = {part: _read_idx(file, _MNIST_FILES[part][1]) for part, file in files.items()}
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if len(images) != len(labels):
            raise ValueError(
                f"mnist: {files[f'x_{part}']} has {len(images):,} images, but "
                f"{files[f'y_{part}']} has {len(labels):,} labels; they must be of the same set"
            )
    train, test = arrays["x_train"], arrays["x_test"]
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"mnist: images to train with are {train.shape[1:]} pixels, those to test with "
            f"{test.shape[1:]}; the four files must be of the same set"
        )
    if len(train) < 2 or not len(test) or not train[0].size:
        raise ValueError(
            f"mnist: {folder} holds {len(train)} images to train with and {len(test)} to test "
            f"with, of {train.shape[1:]} pixels; needed are at least 2 and 1, not empty"
        )
    x_train, x_test = _scaled(train, 255, floating), _scaled(test, 255, floating)
    y_train, y_test = arrays["y_train"].astype(np.int64), arrays["y_test"].astype(np.int64)
    kept = len(x_train) - max(1, len(x_train) // 12)
    classes = max(10, 1 + int(y_train.max()), 1 + int(y_test.max()))
    return Dataset(
        "mnist",
        x_train[:kept],
        y_train[:kept],
        x_train[kept:],
        y_train[kept:],
        x_test,
        y_test,
        classes=tuple(map(str, range(classes))),
        image_shape=x_train.shape[1:],
        description=f"Images and labels in the format of MNIST, read from {folder}.",
    )


def _idx_name(stem: str, axes: int) -> str:
    return f"{stem}-idx{axes}-ubyte"


def _listed_names() -> str:
    return ", ".join(_idx_name(*each) for each in _MNIST_FILES.values())


def _find_idx(folder: Path, stem: str, axes: int) -> Path | None:
    name = _idx_name(stem, axes)
    for each in (name, name.replace("-idx", ".idx")):
        for file in (folder / each, folder / f"{each}.gz"):
            if file.is_file():
                return file
    return None


def _read_idx(file: Path, axes: int) -> np.ndarray:
    """The uint8 array of `axes` axes in an IDX file. Raises ValueError for any other content."""
    remedy = "download it again, or restore it"
    try:
        if file.suffix == ".gz":
            with gzip.open(file) as stream:
                content = stream.read()
        else:
            content = file.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"mnist: {file} is not a whole gzip file ({error}); {remedy}") from error
    header = 4 + 4 * axes
    if len(content) < header:
        raise ValueError(
            f"mnist: {file} has {len(content)} bytes, fewer than the {header} of its header; "
            f"{remedy}"
        )
    magic, *shape = struct.unpack(f">{1 + axes}I", content[:header])
    expected = _IDX_UINT8 << 8 | axes
    if magic != expected:
        raise ValueError(
            f"mnist: {file} starts with the magic number 0x{magic:08x}, expected 0x{expected:08x} "
            f"({axes} axes of unsigned bytes); is it another file under this name?"
        )
    size = 1
    for length in shape:
        size *= length
    if len(content) - header != size:
        what = "is truncated" if len(content) - header < size else "has bytes left over"
        raise ValueError(
            f"mnist: {file} {what}: its header says {' × '.join(map(str, shape))} = {size:,} "
            f"bytes of values, found {len(content) - header:,}; {remedy}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def load_npz(path: str | os.PathLike[str], dtype: Any = "float32", seed: int = 0) -> Dataset:
    """Your own data, from an archive that `numpy.savez` wrote.

    It holds `x_train` (n, ...), `y_train` (n,), `x_test` and `y_test`, and may hold `x_validation`
    and `y_validation`; otherwise a tenth of the training samples, drawn with `seed`, is for
    validation. Samples of dtype uint8 are divided by 255; others are kept as they are. Labels
    are class numbers from 0. Nothing is unpickled.

    Arguments:
        path: of the file.
        dtype: of the samples: "float32" or "float64".
        seed: of the draw, used only where the file has no validation samples.

    Raises FileNotFoundError if there is no such file, ValueError if it is no such archive, or an
    array is missing, does not fit the others or is not finite.
    """
    floating = _floating(dtype, "load_npz")
    path = Path(path)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"load_npz: path must be an .npz file, but {path} {found}")
    arrays = _npz_arrays(path)
    parts = ["train", "test"]
    if "x_validation" in arrays or "y_validation" in arrays:
        parts.insert(1, "validation")
    wanted = [f"{axis}_{part}" for part in parts for axis in "xy"]
    missing = [each for each in wanted if each not in arrays]
    if missing:
        raise ValueError(
            f"load_npz: {path} lacks {', '.join(missing)}; it has {', '.join(sorted(arrays))}; "
            f"write it with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)"
        )
    checked: dict[str, np.ndarray] = {}
    for part in parts:
        x, y = _samples(path, f"x_{part}", arrays, floating), _labels(path, f"y_{part}", arrays)
        if len(x) != len(y):
            raise ValueError(
                f"load_npz: {path} has {len(x):,} samples in x_{part}, but {len(y):,} labels in "
                f"y_{part}; there must be one label for each sample"
            )
        if x.shape[1:] != checked.setdefault("x_train", x).shape[1:]:
            raise ValueError(
                f"load_npz: in {path} the samples of x_{part} have shape {x.shape[1:]}, those of "
                f"x_train {checked['x_train'].shape[1:]}; they must be alike"
            )
        checked[f"x_{part}"], checked[f"y_{part}"] = x, y
    if "validation" not in parts:
        n = len(checked["x_train"])
        if n < 2:
            raise ValueError(
                f"load_npz: {path} has 1 sample in x_train, and no x_validation; at least 2 are "
                f"needed, so that one can be kept for validation"
            )
        order = np.random.default_rng(seed).permutation(n)
        held_out, kept = np.split(order, [max(1, n // 10)])
        for axis in "xy":
            whole = checked[f"{axis}_train"]
            checked[f"{axis}_validation"], checked[f"{axis}_train"] = whole[held_out], whole[kept]
    classes = 1 + max(int(checked[f"y_{part}"].max()) for part in parts)
    return Dataset(
        name=path.stem,
        **checked,  # type: ignore[arg-type]
        classes=tuple(map(str, range(classes))),
        image_shape=checked["x_train"].shape[1:],
        description=f"Samples and labels read from {path}.",
    )


def _npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the archive. Raises ValueError if it is none, is damaged, or holds objects."""
    try:
        # NumPy leaves a damaged file open if it opened it.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            with archive:
                return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ValueError(
            f"load_npz: {path} cannot be read as an .npz archive of plain arrays ({error}); write "
            f"it with numpy.savez, and without arrays of objects"
        ) from error


def _samples(
    path: Path, name: str, arrays: dict[str, np.ndarray], dtype: np.dtype[Any]
) -> np.ndarray:
    x = arrays[name]
    if x.dtype.kind not in "fiub":
        raise ValueError(f"load_npz: {name} in {path} must be real numbers, got dtype {x.dtype}")
    if x.ndim < 2 or not x.size:
        raise ValueError(
            f"load_npz: {name} in {path} must have shape (samples, ...) and not be empty, got "
            f"{x.shape}"
        )
    if x.dtype == np.uint8:
        return _scaled(x, 255, dtype)
    with np.errstate(over="ignore"):
        values = x.astype(dtype)
    finite = np.isfinite(values)
    if not finite.all():
        where = tuple(int(each) for each in np.argwhere(~finite)[0])
        raise ValueError(
            f"load_npz: {name} in {path} has {x[where]} at {where}, and {np.sum(~finite):,} values "
            f"in all that are not finite as {dtype}; clean or rescale the data first"
        )
    return values


def _labels(path: Path, name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    y = arrays[name]
    if y.dtype.kind not in "iu" or y.ndim != 1 or not y.size:
        raise ValueError(
            f"load_npz: {name} in {path} must be class numbers, integers of shape (samples,), not "
            f"empty, got shape {y.shape}, {y.dtype}"
        )
    if y.min() < 0 or y.max() > _MOST_CLASSES:
        raise ValueError(
            f"load_npz: {name} in {path} must be class numbers from 0 to {_MOST_CLASSES:,}, got "
            f"values from {y.min()} to {y.max()}; number the classes 0, 1, 2, ..."
        )
    return y.astype(np.int64)


# The network's last layer has a unit for each class: a label like 2**31 is a mistake.
_MOST_CLASSES = 99_999

_NAMED = {"digits": digits, "mnist-small": mnist_small}


def load(source: str | os.PathLike[str], dtype: Any = "float32") -> Dataset:
    """The data set of that name, or in that file or folder.

    Arguments:
        source: "digits", "mnist-small", the path of an .npz file (see `load_npz`) or of a folder
            with the four files of MNIST (see `mnist`).
        dtype: of the samples: "float32" or "float64".

    Raises FileNotFoundError if it is none of these, ValueError for a text, and what the readers
    raise.

    >>> load("digits").name
    'digits'
    """
    name = os.fspath(source)
    if name in _NAMED:
        return _NAMED[name](dtype)
    if name.replace("_", "-") == "python-docs":
        raise ValueError(
            "load: python-docs is a text, not samples and labels; it is "
            "chainrule.datasets.python_docs()"
        )
    path = Path(name)
    if path.is_dir():
        return mnist(path, dtype)
    if path.is_file():
        return load_npz(path, dtype)
    raise FileNotFoundError(
        f"load: source {name!r} is no known data set ({', '.join(_NAMED)}), and no file or folder "
        f"of that name exists; give a known name, an .npz file with x_train, y_train, x_test and "
        f"y_test, or a folder with the four files of MNIST"
    )
