"""`python -m benchmarks.reliability.worker JOB ARGUMENTS`: a job in a process of its own.

It imports little, for many are started. What the job returns is printed as the last line.
"""

from __future__ import annotations

import importlib
import json
import sys

#: Jobs, and the modules that have them under that name.
JOBS = {
    "train": "benchmarks.reliability.trained",
    "soaked": "benchmarks.reliability.soak",
    "steady": "benchmarks.reliability.overhead",
    "streamed": "benchmarks.reliability.memmap",
}


def main() -> None:
    """Do the job that the command line names."""
    name, arguments = sys.argv[1:]
    job = getattr(importlib.import_module(JOBS[name]), name)
    print(json.dumps(job(**json.loads(arguments))), flush=True)


if __name__ == "__main__":
    main()
