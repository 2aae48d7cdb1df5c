"""Data that are made on the way: sources, and the steps from them to batches.

A `Pipeline` (`pipeline.py`) is a source (`arrays.py`, ...) and steps (`steps.py`). What an epoch
yields is a function of a seed and the epoch's number alone, so that it can be gone on with at any
place; `prefetching.py` computes ahead in a thread.
"""
