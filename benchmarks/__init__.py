"""Benchmarks: our time over a peer's, interleaved in one run, medians; `python -m benchmarks`."""
