"""`python -m benchmarks.gpu [--device cuda|emulated] [--smoke] [--json FILE]`."""

from __future__ import annotations

import argparse

from benchmarks.__main__ import show
from benchmarks.gpu import measured, run


def main() -> None:
    """Measures on the device that is named, or on the GPU; without one, what kernels must move."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    parser.add_argument("--device", choices=("cuda", "emulated"))
    parser.add_argument("--smoke", action="store_true", help="small arrays, few repeats")
    parser.add_argument("--json", metavar="FILE", help="write the rows there too")
    options = parser.parse_args()
    device, smoke = options.device, options.smoke
    show(run(smoke) if device is None else measured(device, smoke), options.json)


if __name__ == "__main__":
    main()
