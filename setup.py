"""Which folder is which package; everything else about the project stands in pyproject.toml."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

from setuptools import setup

#: The top-level folders of code. Folder X/ is imported as chainrule.X, and api/ is chainrule.
FOLDERS = ("engine", "layers", "optim", "training", "gpu", "api")

#: What is installed beside the modules of a package.
DATA = [
    "py.typed",
    *("*.npz", "data/*.npz", "data/*.gz", "data/*.md"),
    *("kernels/*.cu", "kernels/*.cuh", "runtime/*.h", "runtime/include/*.h", "runtime/*.cpp"),
]


def package_map(root: Path) -> dict[str, str]:
    """The folder of every package below `root`, by the package's name, subpackages included."""
    folders: dict[str, str] = {}
    for top in FOLDERS:
        for file in sorted((root / top).rglob("__init__.py")):
            parts = file.parent.relative_to(root).parts
            name = ".".join(("chainrule", *(parts[1:] if top == "api" else parts)))
            if name in folders:
                raise ValueError(f"{folders[name]}/ and {'/'.join(parts)}/ are both {name}")
            folders[name] = "/".join(parts)
    return folders


packages = package_map(Path(__file__).resolve().parent)

# Setuptools copies build/lib into the wheel, modules deleted from the tree since included: build
# in a folder of its own, fresh every time.
build_base = tempfile.mkdtemp(prefix="chainrule-build-")
atexit.register(shutil.rmtree, build_base, ignore_errors=True)

setup(
    packages=list(packages),
    package_dir=packages,
    package_data=dict.fromkeys(packages, DATA),
    include_package_data=False,
    options={"build": {"build_base": build_base}},
)
