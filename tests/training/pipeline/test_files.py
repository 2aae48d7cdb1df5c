"""Pipelines of files: memory maps, folders of images, texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import PurePath

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.training.pipeline import text_files

# ------------------------------------------------------------------------------ memory maps


@pytest.fixture
def saved(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    return tmp_path, x, y


def test_mapped_files_are_what_arrays_are(saved):
    folder, x, y = saved
    mapped = cr.data.from_npy(folder / "x.npy", str(folder / "y.npy")).shuffle().batch(3)
    whole = cr.data.from_arrays(x, y).shuffle().batch(3)
    assert mapped.fingerprint() == whole.fingerprint()
    for (a, b), (c, d) in zip(mapped.open(1), whole.open(1), strict=True):
        assert np.array_equal(a, c) and np.array_equal(b, d)
        assert type(a) is np.ndarray
    assert not cr.data.from_npy(folder / "x.npy").has_targets


def test_files_that_cannot_be_mapped_are_refused(saved):
    folder, x, _ = saved
    np.savez(folder / "both.npz", x=x)
    np.save(folder / "objects.npy", np.array([None]), allow_pickle=True)
    np.save(folder / "other.npy", x.astype(">f8"))
    (folder / "text.npy").write_text("1, 2, 3")
    for name, text in [
        ("both.npz", "archive of several arrays"),
        ("objects.npy", "x: .*objects.npy is no file of np.save that can be mapped"),
        ("text.npy", "x: .*text.npy is no file of np.save"),
        ("other.npy", "byte order of another machine"),
    ]:
        with pytest.raises(ValueError, match=text):
            cr.data.from_npy(folder / name)
    with pytest.raises(FileNotFoundError):
        cr.data.from_npy(folder / "none.npy")
    x[7, 1] = np.nan
    np.save(folder / "nan.npy", x)
    with pytest.raises(ValueError, match=r"from_npy: x has 1 value .* x\[7, 1\] = nan"):
        cr.data.from_npy(folder / "nan.npy")


GROWTH = """
import sys
import numpy as np
import chainrule as cr

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024

def gone_through(pipeline):
    return sum(float(x[0, 0]) for x in pipeline.open(0))

small = cr.data.from_arrays(np.ones((64, 256), "float32")).shuffle().batch(32).prefetch(2)
gone_through(small)
before = anonymous()
mapped = cr.data.from_npy(sys.argv[1])
mapped.fingerprint()
for pipeline in (mapped.batch(32), mapped.shuffle().batch(32).prefetch(2)):
    gone_through(pipeline)
print(anonymous() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_of_64_mb_takes_a_few_mb_of_memory(tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", "float32", (65536, 256))
    out[:] = 1
    del out
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "x.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # The order takes 0.5 MB, batches 32 KB each, the mask of what is proved finite 1 MB.
    assert float(done.stdout) < 8


# ------------------------------------------------------------------------------ images


@pytest.fixture
def photos(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    generator = np.random.default_rng(0)
    for name, count in (("dog", 2), ("cat", 3)):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 256, (10, 8, 3), np.uint8)
            place = "deeper/" if i == 1 else ""
            Image.fromarray(pixels).save(tmp_path / name / f"{place}{i}.png")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"no image")
    return tmp_path


def test_images_come_by_class_and_as_they_are_where_the_size_is_theirs(photos):
    from PIL import Image

    pipeline = cr.data.from_image_folder(photos, size=(10, 8))
    assert pipeline.classes == ("cat", "dog")
    assert repr(pipeline.batch(2)).startswith(
        "<Pipeline of 3 batches of 2: x (2, 10, 8, 3) uint8, y (2,) int64; images("
    )
    found = list(pipeline)
    assert [int(y) for _, y in found] == [0, 0, 0, 1, 1]
    names = ["cat/0.png", "cat/2.png", "cat/deeper/1.png", "dog/0.png", "dog/deeper/1.png"]
    for (x, _), name in zip(found, names, strict=True):
        assert np.array_equal(x, np.asarray(Image.open(photos / name)))


@pytest.mark.parametrize(("color", "channels"), [("rgb", 3), ("rgba", 4), ("grayscale", 1)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_every_kind_of_image_is_read_in_every_colour(photos, color, channels, mode):
    from PIL import Image

    ending = "jpg" if mode == "CMYK" else "png"
    Image.new("RGB", (5, 7), (204, 204, 204)).convert(mode).save(photos / "dog" / f"9.{ending}")
    pipeline = cr.data.from_image_folder(photos, (6, 4), color).batch(6)
    ((x, y),) = pipeline
    assert x.shape == (6, 6, 4, channels) and x.dtype == np.uint8
    assert pipeline.element == f"x (6, 6, 4, {channels}) uint8, y (6,) int64"
    nine = x[4].astype(int)  # sorted before "deeper/1.png"
    assert y[4] == 1
    if mode == "1":  # dithered: black and white in a mixture
        assert 100 < nine[..., 0].mean() < 255
    else:
        assert abs(nine[..., :3] - 204).max() <= 3
        assert channels != 4 or nine[..., 3].min() == 255


def test_images_are_scaled_to_height_and_width(photos):
    from PIL import Image

    pixels = np.zeros((10, 8, 3), np.uint8)
    pixels[:, 4:] = 255  # the right half
    Image.fromarray(pixels).save(photos / "cat" / "0.png")
    x, _ = next(iter(cr.data.from_image_folder(photos, (4, 6))))
    assert x.shape == (4, 6, 3)
    assert x[:, :2].max() == 0 and x[:, 4:].min() == 255


def test_images_are_turned_upright(photos):
    from PIL import Image

    pixels = np.zeros((10, 8, 3), np.uint8)
    pixels[:5] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(photos / "cat" / "0.png", exif=exif)
    x, _ = next(iter(cr.data.from_image_folder(photos, (10, 8))))
    assert x[:5].max() == 0 and x[5:].min() == 255


def test_wrong_folders_and_files_are_refused_by_name(photos):
    from PIL import Image

    def refused(text, error=ValueError, size=(4, 4), **options):
        with pytest.raises(error, match=text):
            cr.data.from_image_folder(photos, size, **options)

    refused(r"size must be \(height, width\), got 64", TypeError, size=64)
    refused("size must be at least 1, got 0", size=(0, 4))
    refused("color must be one of rgb, rgba, grayscale", color="hsv")
    refused("it is called size", TypeError, image_size=(4, 4))
    with pytest.raises(TypeError, match="target_size'; it is called size"):
        cr.data.from_image_folder(photos, target_size=(4, 4), batch_size=8)
    with pytest.raises(TypeError, match=r"size is missing; .* such as size="):
        cr.data.from_image_folder(photos)
    (photos / "dog" / "notes.txt").write_text("no image")
    refused("notes.txt is no image")
    (photos / "dog" / "notes.txt").rename(photos / "dog" / "notes.png")
    refused("notes.png cannot be read as an image")
    (photos / "dog" / "notes.png").unlink()
    deep = Image.fromarray(np.full((4, 4), 3000, np.uint16))
    deep.save(photos / "dog" / "deep.png")
    refused("deep.png has more than 8 bits a channel")
    (photos / "dog" / "deep.png").unlink()
    (photos / "bird").mkdir()
    refused("bird has no images")
    (photos / "bird").rmdir()
    Image.new("L", (2, 2)).save(photos / "stray.png")
    refused("stray.png lies beside the classes")
    (photos / "stray.png").unlink()
    whole = (photos / "dog" / "0.png").read_bytes()
    (photos / "dog" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"0\.png cannot be read as an image"):
        list(cr.data.from_image_folder(photos, (4, 4)))
    with pytest.raises(ValueError, match="no sub-folders"):
        cr.data.from_image_folder(photos / "dog" / "deeper", (4, 4))
    with pytest.raises(FileNotFoundError, match=r"from_image_folder: there is no folder '.*none'"):
        cr.data.from_image_folder(photos / "none", (4, 4))
    with pytest.raises(NotADirectoryError, match="from_image_folder: there is no folder"):
        cr.data.from_image_folder(photos / "cat" / "0.png", (4, 4))


def test_classes_have_one_order_on_every_system(photos, monkeypatch):
    (photos / "cat").rename(photos / "a")
    (photos / "dog").rename(photos / "B")
    monkeypatch.setattr(PurePath, "__lt__", lambda a, b: str(a).lower() < str(b).lower())  # Windows
    assert cr.data.from_image_folder(photos, (2, 2)).classes == ("B", "a")


def test_no_folder_within_a_class_is_left_out_without_a_word(photos, monkeypatch):
    (photos / "bird").symlink_to(photos / "cat")  # a class may be a link
    assert len(cr.data.from_image_folder(photos, (2, 2))) == 8
    (photos / "dog" / "more").symlink_to(photos / "cat")
    with pytest.raises(ValueError, match="more is a link to a folder, which is not followed"):
        cr.data.from_image_folder(photos, (2, 2))
    (photos / "dog" / "more").unlink()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("deeper"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PermissionError, match="deeper"):
        cr.data.from_image_folder(photos, (2, 2))


def test_the_fingerprint_of_a_folder_changes_with_names_sizes_and_settings(photos):
    def now(size=(4, 4), color="rgb"):
        return cr.data.from_image_folder(photos, size, color).fingerprint()

    first = now()
    assert json.loads(json.dumps(first)) == first
    found = [first, now(size=(4, 5)), now(color="rgba")]
    assert now() == first
    (photos / "cat" / "0.png").rename(photos / "cat" / "7.png")
    found.append(now())
    (photos / "cat" / "7.png").rename(photos / "cat" / "0.png")
    assert now() == first
    with open(photos / "cat" / "0.png", "ab") as file:
        file.write(b"x")
    found.append(now())
    (photos / "dog").rename(photos / "wolf")
    found.append(now())
    assert all(a != b for i, a in enumerate(found) for b in found[:i])


def test_without_pillow_the_error_names_the_extra(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"chainrule\[images\]"):
        cr.data.from_image_folder(photos, (4, 4))


# ------------------------------------------------------------------------------ texts

TEXT = "one two\r\nthree\n\nzwölf"


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_windows_are_those_of_the_whole_text(book):
    text = TEXT.replace("\r\n", "\n")
    tokenizer = cr.text.CharTokenizer().fit(text)
    for options in ({}, {"stride": 3}, {"target": "last"}):
        pipeline = cr.data.from_text_file(book, tokenizer, 5, **options).batch(4)
        x, y = cr.text.windows(tokenizer.encode(text), 5, **options)
        assert np.array_equal(np.concatenate([a for a, _ in pipeline]), x)
        assert np.array_equal(np.concatenate([b for _, b in pipeline]), y)
    book.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    found = next(iter(cr.data.from_text_file(book, tokenizer, 5)))[0]
    assert tokenizer.decode(found) == "one t"


def test_lines_as_strings_and_as_ids(book):
    assert list(cr.data.from_text_file(book, lines=True)) == ["one two", "three", "zwölf"]
    tokenizer = cr.text.CharTokenizer().fit(TEXT)
    found = list(cr.data.from_text_file(book, tokenizer, lines=True))
    assert [tokenizer.decode(each) for each in found] == ["one two", "three", "zwölf"]
    (batch,) = cr.data.from_text_file(book, tokenizer, 6, lines=True).batch(3)
    assert batch.shape == (3, 6)
    assert [tokenizer.decode(each) for each in batch] == ["ne two", "three", "zwölf"]


@settings(max_examples=60)
@given(st.text(alphabet="aé€😀\n\r ", min_size=1, max_size=20), st.integers(1, 5), st.booleans())
def test_lines_do_not_depend_on_how_the_file_is_read(tmp_path_factory, text, chunk, mark):
    path = tmp_path_factory.mktemp("lines") / "text"
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    expected = [each.removesuffix("\r") for each in text.split("\n") if each.strip(" \r")]
    before, text_files.CHUNK = text_files.CHUNK, chunk
    try:
        if not expected:
            with pytest.raises(ValueError, match="nothing but white space"):
                cr.data.from_text_file(path, lines=True)
            return
        assert list(cr.data.from_text_file(path, lines=True)) == expected
    finally:
        text_files.CHUNK = before


@settings(max_examples=60)
@given(st.text(alphabet="aé€😀\n", max_size=8), st.integers(1, 5), st.booleans(), st.booleans())
@example("a€", 3, False, False)  # cut within the last character, and the line goes on
def test_what_is_not_utf_8_is_refused_with_byte_and_line(tmp_path_factory, text, chunk, mark, cut):
    path = tmp_path_factory.mktemp("bad") / "text"
    head = (b"\xef\xbb\xbf" if mark else b"") + text.encode()
    path.write_bytes(head + (b"\xe2\x82" if cut else b"\xff\n\n"))
    text_place = rf"not UTF-8 at byte {len(head)}, in line {text.count(chr(10)) + 1} "
    before, text_files.CHUNK = text_files.CHUNK, chunk
    try:
        with pytest.raises(ValueError, match=text_place):
            cr.data.from_text_file(path, lines=True)
        with pytest.raises(ValueError, match=text_place):
            cr.data.from_text_file(path, cr.text.CharTokenizer().fit("a"), 1)
    finally:
        text_files.CHUNK = before


def test_wrong_arguments_are_explained(book, tmp_path):
    tokenizer = cr.text.CharTokenizer().fit(TEXT)
    for arguments, options, error, text in [
        ((), {}, TypeError, "tokenizer is missing"),
        ((tokenizer,), {}, TypeError, "length is missing"),
        ((tokenizer, 0), {}, ValueError, "length must be at least 1"),
        ((str.split, 3), {}, TypeError, r"method encode\(text\)"),
        ((tokenizer, 100), {}, ValueError, "windows: "),
        ((cr.text.CharTokenizer(), 3), {}, RuntimeError, "encode"),
        ((None, 3), {"lines": True}, TypeError, "length needs a tokenizer"),
        ((), {"lines": True, "stride": 2}, TypeError, "are for windows"),
    ]:
        with pytest.raises(error, match=text):
            cr.data.from_text_file(book, *arguments, **options)
    for content in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "empty").write_bytes(content)
        with pytest.raises(ValueError, match="empty is empty"):
            cr.data.from_text_file(tmp_path / "empty", lines=True)


def test_the_fingerprint_of_a_text_changes_with_it_and_the_settings(book):
    chars, words = cr.text.CharTokenizer().fit(TEXT), cr.text.WordTokenizer().fit(TEXT)
    other = cr.text.CharTokenizer().fit(TEXT + "!")
    made = [
        cr.data.from_text_file(book, chars, 3),
        cr.data.from_text_file(book, other, 3),
        cr.data.from_text_file(book, words, 3),
        cr.data.from_text_file(book, chars, 4),
        cr.data.from_text_file(book, chars, 3, stride=2),
        cr.data.from_text_file(book, chars, 3, target="last"),
        cr.data.from_text_file(book, lines=True),
        cr.data.from_text_file(book, chars, lines=True),
        cr.data.from_text_file(book, chars, 3, lines=True),
    ]
    found = [each.fingerprint() for each in made]
    assert json.loads(json.dumps(found)) == found
    assert found[0] == cr.data.from_text_file(book, chars, 3).fingerprint()
    book.write_bytes(TEXT.replace("o", "u").encode())
    found.append(cr.data.from_text_file(book, chars, 3).fingerprint())
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
