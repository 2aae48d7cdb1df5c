"""Folders of image files, one for each class, as the source of a pipeline."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.training.integers import check_integer

from ..files import as_path
from .arguments import refuse
from .elements import Element
from .pipeline import Pipeline
from .steps import Opened, Run, Step

#: The endings of files that are images, and how Pillow calls the colours of each choice.
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
COLORS = {"rgb": ("RGB", 3), "rgba": ("RGBA", 4), "grayscale": ("L", 1)}

#: Arguments of Keras, and what to write here.
_ELSEWHERE = {
    "image_size": "it is called size: (height, width)",
    "target_size": "it is called size: (height, width)",
    "color_mode": 'it is called color: "rgb", "rgba" or "grayscale"',
    "label_mode": "targets are class numbers; chainrule.utils.to_categorical makes others",
    "validation_split": "put images for validation into a folder of their own",
    "subset": "put images for validation into a folder of their own",
    "class_names": "classes are the sorted names of the sub-folders: pipeline.classes",
    "classes": "they are the sorted names of the sub-folders: pipeline.classes",
    "class_mode": "targets are class numbers; chainrule.utils.to_categorical makes others",
    "labels": "targets are the numbers of the sub-folders",
    "directory": "it is called folder",
    "root": "it is called folder",
    "rescale": "set model.preprocessing = Preprocessing(Rescale(1 / 255)), of "
    "chainrule.preprocessing",
    "interpolation": "images are scaled bilinearly; leave it out",
}


def from_image_folder(
    folder: str | os.PathLike[str],
    size: tuple[int, int] | None = None,
    color: str = "rgb",
    **elsewhere: Any,
) -> Pipeline:
    """Images in a folder that has a sub-folder for each class, however deep the files lie in it.

    x is uint8, shape (height, width, channels), 0 to 255; y the number of the class, int64. The
    classes are the sorted names of the sub-folders: the pipeline's `classes`. An image is read when
    its turn comes, turned upright as its camera noted, and scaled to `size` whatever its own.
    Animations give their first picture. Hidden files are left out; links are followed to files, and
    from the folder to classes.

    Arguments:
        folder: the folder.
        size: height and width that the images are scaled to; it must be given.
        color: "rgb", "rgba" or "grayscale", 3, 4 or 1 channels.
        **elsewhere: none; arguments of Keras and PyTorch are explained.

    Raises:
        ImportError: Pillow is not installed.
        OSError: the folder cannot be read.
        TypeError, ValueError: `size` or `color` are none of the above; the folder has no
            sub-folder, one of them has no image, or a link to a folder; a file in it is no image,
            or has more than 8 bits a channel. Where the data are read: ValueError for a damaged
            file.

    >>> import chainrule as cr
    >>> photos = cr.data.from_image_folder("photos", size=(64, 64))  # doctest: +SKIP
    >>> photos.shuffle().batch(32)  # doctest: +SKIP
    <Pipeline of 40 batches of 32: x (32, 64, 64, 3) uint8, y (32,) int64;
     images -> shuffle -> batch(32)>
    """
    refuse(elsewhere, "from_image_folder", **_ELSEWHERE)
    _pillow()
    if size is None:
        raise TypeError(
            "from_image_folder: size is missing; give the height and width that images are scaled "
            "to, such as size=(64, 64)"
        )
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise TypeError(f"from_image_folder: size must be (height, width), got {size!r}")
    height, width = (
        check_integer(each, "size", least=1, where="from_image_folder") for each in size
    )
    if color not in COLORS:
        raise ValueError(
            f"from_image_folder: color must be one of {', '.join(COLORS)}, got {color!r}"
        )
    path = as_path(folder, "from_image_folder", "folder")
    return Pipeline(ImageSource(path, (height, width), color))


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError(
            "from_image_folder: reading images needs Pillow, which cannot be imported; install it "
            "with: pip install 'chainrule[images]'"
        ) from error
    return Image, ImageOps


class ImageSource(Step):
    """The images of a folder, sorted by class and then by the path of the file."""

    name = "images"

    def __init__(self, folder: Path, size: tuple[int, int], color: str) -> None:
        self.folder, self.size, self.color = folder, size, color
        self.shown = str(folder)
        self.classes = _classes(folder)
        self.files = [_image_files(folder / name) for name in self.classes]
        self.paths = [path for files in self.files for path in files]
        self.targets = np.repeat(np.arange(len(self.files)), [len(each) for each in self.files])
        for path in self.paths:
            _check(path)
        self.length = len(self.paths)
        image = np.broadcast_to(np.uint8(0), (*size, COLORS[color][1]))
        self.element = Element(image, self.targets[0])

    def settings(self) -> dict[str, Any]:
        """Size, colour and classes, and a hash of the names and sizes of the files."""
        return {
            "size": list(self.size),
            "color": self.color,
            "classes": list(self.classes),
            **self._files,
        }

    @cached_property
    def _files(self) -> dict[str, Any]:
        digest, total = hashlib.sha256(), 0
        for path in self.paths:
            size = path.stat().st_size
            total += size
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{size}\n".encode())
        return {"files": self.length, "bytes": total, "names_and_sizes": digest.hexdigest()}

    def opened(self, run: Run) -> Opened:
        """One epoch."""
        return _Images(self)


class _Images(Opened):
    def __init__(self, source: ImageSource) -> None:
        self.source, self.length = source, source.length

    def get(self, index: int) -> Element:
        source = self.source
        image = _read(source.paths[index], source.size, source.color)
        return Element(image, source.targets[index])


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        kind = NotADirectoryError if folder.exists() else FileNotFoundError
        raise kind(
            f"from_image_folder: there is no folder {str(folder)!r}; give one that has a "
            "sub-folder for each class"
        )
    # By name and not by path: paths have another order on Windows, and classes would swap numbers.
    found = sorted(folder.iterdir(), key=lambda each: each.name)
    found = [each for each in found if not each.name.startswith(".")]
    classes = tuple(each.name for each in found if each.is_dir())
    if not classes:
        raise ValueError(
            f"from_image_folder: {folder} has no sub-folders; there must be one for each class, "
            "with its images in it"
        )
    stray = next((each for each in found if each.suffix.lower() in ENDINGS), None)
    if stray is not None and not stray.is_dir():
        raise ValueError(
            f"from_image_folder: {stray} lies beside the classes; put each image into the "
            "sub-folder of its class"
        )
    return classes


def _image_files(folder: Path) -> list[Path]:
    """The files of one class, sorted by their paths."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=_raised):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for each in folders:
            if os.path.islink(os.path.join(place, each)):  # it may lead in a circle
                raise ValueError(
                    f"from_image_folder: {Path(place, each)} is a link to a folder, which is not "
                    "followed; put a folder in its place, or links to the files"
                )
        found += [Path(place, each) for each in names if not each.startswith(".")]
    if not found:
        raise ValueError(f"from_image_folder: {folder} has no images; remove it, if it is no class")
    for path in found:
        if path.suffix.lower() not in ENDINGS:
            raise ValueError(
                f"from_image_folder: {path} is no image (those end in {', '.join(ENDINGS)}); "
                "remove it from the folder"
            )
    return sorted(found, key=Path.as_posix)  # the same on every system


def _raised(error: OSError) -> None:
    raise error


def _check(path: Path) -> None:
    """Read the head of an image file; raise ValueError if it is none, or not of 8 bits."""
    Image, _ = _pillow()
    try:
        with Image.open(path) as image:
            mode = image.mode
    except Exception as error:  # Pillow's readers raise many kinds
        raise _damaged(path, error) from error
    if mode.startswith("I") or mode == "F":
        raise ValueError(
            f"from_image_folder: {path} has more than 8 bits a channel (Pillow's mode {mode}); "
            "convert it to 8 bits, or read it by from_generator"
        )


def _read(path: Path, size: tuple[int, int], color: str) -> np.ndarray:
    Image, ImageOps = _pillow()
    mode, channels = COLORS[color]
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if "transparency" in image.info:
                image = image.convert("RGBA")
            image = image.convert(mode)
            if image.size != size[::-1]:
                image = image.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.array(image, np.uint8).reshape(*size, channels)
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"from_image_folder: {path} cannot be read as an image, it may be damaged ({error}); "
        "replace or remove it"
    )
