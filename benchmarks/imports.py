"""What `import chainrule` costs beyond `import numpy`, in fresh processes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.harness import Row, interleave


def run(smoke: bool) -> list[Row]:
    """The time of `import chainrule` beside that of `import numpy`; the target is 0.1 s more."""

    def importing(name: str) -> None:
        subprocess.run([sys.executable, "-c", f"import {name}"], check=True)

    times = interleave(
        {name: lambda name=name: importing(name) for name in ("chainrule", "numpy")},
        repeats=2 if smoke else 20,
    )
    beyond = float(np.median(times["chainrule"] - times["numpy"]))
    return [
        Row(
            "import chainrule (a whole process)",
            float(np.median(times["chainrule"])),
            "import numpy",
            float(np.median(times["numpy"])),
            float(np.median(times["chainrule"] / times["numpy"])),
            note=f"{beyond:.3f} s more than numpy; to be at most 0.1 s",
        )
    ]
