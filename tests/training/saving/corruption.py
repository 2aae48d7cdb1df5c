"""Damaged files: each is an error at once, which is one of ours, and takes little memory.

    python -m tests.training.saving.corruption --cases 2000

prints a table and exits with 1 if anything loads, crashes, takes long or takes much memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from chainrule.engine.tensor import Tensor
from chainrule.training.saving import read_bundle, write_bundle
from chainrule.training.weights import read_weights, save_weights

#: What a damaged file may raise, and what it may cost.
ERRORS = (ValueError, OSError)
SECONDS = 5.0
TIMES_ITS_SIZE = 4.0
OVERHEAD = 2**16  # bytes that any reading takes: messages, buffers, what is imported late

Draw = random.Random


def samples(folder: Path, seed: int) -> None:
    """Write a bundle `a`, another `b` of the same names, and a bare file of weights `w`."""
    for name in "ab":
        rng = np.random.default_rng([seed, ord(name)])
        weights = {
            "dense.kernel": rng.normal(size=(128, 128)).astype("float32"),
            "dense.bias": rng.normal(size=128).astype("float32"),
            "empty": np.zeros((0, 3)),
            "mask": rng.random(50) < 0.5,
        }
        moments = {name: rng.normal(size=(128, 128)) for name in ("m", "v")}
        document = {
            "epoch": 3,
            "loss": [float(x) for x in rng.normal(size=20)] + [float("nan")],
            "vocabulary": {f"word {i}": i for i in range(50)},
        }
        arrays = {"weights": weights, "optimizer": moments}
        write_bundle(folder / name, "checkpoint", document, arrays)
        save_weights([(key, Tensor(each)) for key, each in weights.items()], folder / f"{name}.st")


def load(folder: Path, bare: bool) -> None:
    if bare:
        read_weights(folder / "a.st")
    else:
        read_bundle(folder / "a", "checkpoint")


# Kinds of damage: each changes what is called `a` -------------------------------------------------


def flip(draw: Draw, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def flip_at_the_start(draw: Draw, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(300)] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def overwrite(draw: Draw, path: Path) -> None:
    content = bytearray(path.read_bytes())
    begin = draw.randrange(len(content) - 16)
    block = bytes(min(draw.choice([16, 512, 4096]), len(content) - begin))
    block = draw.choice([block, draw.randbytes(len(block)), block.replace(b"\0", b"\xff")])
    if content[begin : begin + len(block)] == block:
        block = bytes([block[0] ^ 1]) + block[1:]
    content[begin : begin + len(block)] = block
    path.write_bytes(content)


def cut(draw: Draw, path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, draw.choice([0, 1, 7, 8, 9, size - 1, draw.randrange(size)]))


def lengthen(draw: Draw, path: Path) -> None:
    with open(path, "ab") as file:
        file.write(draw.choice([b"\n", b"\0", b" ", b"}", draw.randbytes(100)]))


def sparse(draw: Draw, path: Path) -> None:
    os.truncate(path, draw.choice([2**34, 2**40]))


def missing(draw: Draw, path: Path) -> None:
    path.unlink()


def renamed(draw: Draw, path: Path) -> None:
    path.rename(path.with_name(draw.choice(["x", f"{path.name}.old", path.name.upper()])))


def folder_instead(draw: Draw, path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo_instead(draw: Draw, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def foreign_text(draw: Draw, path: Path) -> None:
    deep = 10 ** draw.randrange(2, 7)
    path.write_bytes(
        draw.choice(
            [
                b"[" * deep,
                b'{"format":' * deep,
                b'{"a":[' + b"0," * deep + b"0]}",
                b"9" * deep,
                b"null",
                b"{}",
                b"\xff\xfe" * 50,
                b"\x80\x04\x95pickle.",
                json.dumps({"format": "pt", "version": 1, "checksum": "0" * 64}).encode(),
                (10 ** draw.randrange(3)).to_bytes(8, "little") + b"{}",
            ]
        )
    )


def header_changed(draw: Draw, path: Path) -> None:
    """A safetensors file whose header is JSON, but tells something else."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    name = draw.choice([key for key in header if not key.startswith("__")])
    entry = header[name]
    kind = draw.randrange(7)
    if kind == 0:
        entry["shape"] = [*entry["shape"][::-1], 1]
    elif kind == 1:
        entry["shape"] = [2**63, 2**63]
    elif kind == 2:
        entry["data_offsets"] = [0, 2**62]
    elif kind == 3:
        entry["dtype"] = draw.choice(["BF16", "F8_E5M2", "I16", "U64", "object"])
    elif kind == 4:
        header["__metadata__"].update(more="x")
    elif kind == 5:
        header["another"] = header.pop(name)
    else:
        entry["data_offsets"] = [-1, 10**30]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def header_length(draw: Draw, path: Path) -> None:
    content = path.read_bytes()
    told = int.from_bytes(content[:8], "little")
    length = draw.choice([0, 1, told - 1, told + 1, len(content), 2**31, 2**63, 2**64 - 1])
    path.write_bytes(length.to_bytes(8, "little") + content[8:])


def swapped(draw: Draw, path: Path) -> None:
    """The file of another bundle under this name."""
    stem = path.name.partition("-")[0]
    others = (path.parent.parent / "b").iterdir()
    other = next(each for each in others if each.name.partition("-")[0] == stem)
    shutil.copyfile(other, path)


def link_out(draw: Draw, path: Path) -> None:
    """The right content, but elsewhere."""
    outside = path.parent.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def link_in_circles(draw: Draw, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def resigned(draw: Draw, path: Path) -> None:
    """A manifest that tells something else, with a checksum that is right."""
    manifest = json.loads(path.read_bytes())
    entry = manifest["files"]["weights"]
    kind = draw.randrange(10)
    if kind == 0:
        entry["name"] = draw.choice(["../b/x.safetensors", "/etc/passwd", "..", "", 3, "a\0b"])
    elif kind == 1:
        entry["bytes"] = draw.choice([2**62, -1, None, "1", 1.5, True])
    elif kind == 2:
        entry["sha256"] = draw.choice(["0" * 64, None, [], "x"])
    elif kind == 3:
        manifest["files"] = draw.choice([None, [], "weights", {"weights": None}, {"weights": []}])
    elif kind == 4:
        manifest["version"] = draw.choice([2, 10**8, 0, -1, "1", None])
    elif kind == 5:
        manifest["format"] = draw.choice(["chainrule model", "pickle", None, {}])
    elif kind == 6:
        del manifest[draw.choice(["files", "version", "format", "chainrule"])]
    elif kind == 7:
        manifest["loss"] = {"$float": draw.choice(["1", None, [], "nan:zz", "__import__('os')"])}
    elif kind == 8:
        manifest["files"]["../x"] = entry
    else:
        manifest["deep"] = "DEEP"
    del manifest["checksum"]
    text = json.dumps({**manifest, "checksum": "0" * 64}, indent=1) + "\n"
    deep = 10 ** draw.randrange(5, 7)
    text = text.replace('"DEEP"', draw.choice(["[" * deep, "9" * deep, "[" * deep + "]" * deep]))
    digest = sha256(text.encode()).hexdigest()
    path.write_text(text[:-68] + digest + text[-4:])


ANY_FILE: list[Callable[[Draw, Path], None]] = [
    *(flip, flip_at_the_start, overwrite, cut, lengthen, sparse),
    *(missing, renamed, folder_instead, fifo_instead, foreign_text, link_in_circles),
]
ARRAYS = [header_changed, header_length]
IN_BUNDLES = [swapped, link_out]


class Case(NamedTuple):
    """What was done to which file, and what came of it; `error` is None if it was loaded."""

    kind: str
    file: str
    error: BaseException | None
    seconds: float
    peak: int  # bytes that were allocated at once
    size: int  # of the files

    @property
    def verdict(self) -> str:
        """What is wrong with the outcome, or nothing."""
        if self.error is None:
            return "loaded"
        if not isinstance(self.error, ERRORS) or type(self.error) is ValueError:
            return "crashed"
        text = str(self.error)
        if not text.startswith(("read_bundle: ", "load_weights: ")) or len(text) > 2000:
            return "unclear"
        if self.seconds > SECONDS:
            return "slow"
        return "large" if self.peak > TIMES_ITS_SIZE * self.size + OVERHEAD else ""


def cases(number: int, seed: int) -> Iterator[Case]:
    """So many damaged folders, one after the other, each drawn from the seed."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        pristine, folder = Path(name, "pristine"), Path(name, "damaged")
        samples(pristine, seed)
        for bare in (False, True):
            load(pristine, bare)  # it loads as it is
        read_weights(pristine / "a")  # what is imported late is there now
        for _ in range(number):
            shutil.copytree(pristine, folder)
            bare = draw.random() < 0.4
            path = folder / "a.st" if bare else draw.choice(sorted((folder / "a").iterdir()))
            kinds = list(ANY_FILE)
            kinds += ARRAYS if path.suffix != ".json" else [resigned] * 3
            kinds += IN_BUNDLES if not bare else []
            damage = draw.choice(kinds)
            damage(draw, path)
            size = sum(
                each.stat().st_blocks * 512 if damage is sparse else each.stat().st_size
                for each in ([path] if bare else (folder / "a").iterdir())
                if each.is_file()
            )
            file = "weights file" if bare else path.name.partition("-")[0]
            yield measured(folder, bare, damage.__name__, file, size)
            shutil.rmtree(folder)


def measured(folder: Path, bare: bool, kind: str, file: str, size: int) -> Case:
    error: BaseException | None = None
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        load(folder, bare)
    except Exception as caught:
        error = caught
    seconds = time.perf_counter() - begin
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Case(kind, file, error, seconds, peak, size)


def main(arguments: list[str] | None = None) -> int:
    """Print what came of all kinds of damage; 1 if anything of it should not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found: dict[str, list[Case]] = {}
    for case in cases(options.cases, options.seed):
        found.setdefault(case.kind, []).append(case)
    print(f"{'damage':18} {'cases':>5} {'slowest':>9} {'peak/size':>9}  errors")
    for kind, these in sorted(found.items()):
        errors = Counter(type(each.error).__name__ for each in these)
        slowest = max(each.seconds for each in these)
        peak = max(max(0, each.peak - OVERHEAD) / max(each.size, 1) for each in these)
        listed = ", ".join(f"{name} {count}" for name, count in errors.most_common())
        print(f"{kind:18} {len(these):5} {slowest * 1000:6.0f} ms {peak:9.2f}  {listed}")
    bad = [each for these in found.values() for each in these if each.verdict]
    for each in bad:
        print(f"{each.verdict}: {each.kind} of {each.file}: {each.error!r}"[:400])
    print(f"{options.cases - len(bad)} of {options.cases} as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
