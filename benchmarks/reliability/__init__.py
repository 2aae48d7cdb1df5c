"""Can a training run be trusted: killed, for long, with more data than memory, at what cost?

Each of these is a command of its own; without a name, all are run.

    python -m benchmarks reliability kill --runs 50          killed at random moments, and resumed
    python -m benchmarks reliability soak --steps 200000     does memory grow?
    python -m benchmarks reliability overhead --rounds 15    what checkpoints cost
    python -m benchmarks reliability memmap --gigabytes 2    data that stay on disk
    python -m benchmarks reliability corrupt --cases 2000    damaged files

The exit code is 1 if anything was wrong; a target that is missed is only told.
"""
