"""How many threads compute a kernel on the CPU: as many as there are cores, or as was set."""

from __future__ import annotations

import operator
import os
import sys

from .errors import DeviceError

#: Environment variables that limit the threads, the first that is set. The second is read by
#: OpenMP's programs, PyTorch and OpenBLAS too.
VARIABLES = ("CHAINRULE_NUM_THREADS", "OMP_NUM_THREADS")

_set: int | None = None


def get_num_threads() -> int:
    """How many threads compute a large operation on the CPU, the one that calls included.

    That is what `set_num_threads` has set; or the environment variable CHAINRULE_NUM_THREADS, or
    OMP_NUM_THREADS; or else the number of cores that this process may use.

    Raises DeviceError if CHAINRULE_NUM_THREADS is no positive integer.

    >>> get_num_threads() >= 1
    True
    """
    if _set is not None:
        return _set
    named = os.environ.get(VARIABLES[0])
    if named:
        if not (named.isascii() and named.isdigit() and int(named) > 0):
            raise DeviceError(f"{VARIABLES[0]}={named}: it must be a positive integer, such as 4")
        return int(named)
    # OpenMP allows a list, for nested threads; what it would not understand is not ours to refuse.
    other = os.environ.get(VARIABLES[1], "").partition(",")[0].strip()
    if other.isascii() and other.isdigit() and int(other) > 0:
        return int(other)
    return cores()


def set_num_threads(threads: int) -> None:
    """Has large operations on the CPU computed by so many threads, the one that calls included.

    Results do not depend on it. The threads of NumPy's own products of matrices, and of other
    libraries, are not concerned.

    Raises TypeError for what is no integer, ValueError for one below 1.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    global _set
    try:
        number = operator.index(threads)
    except TypeError:
        raise TypeError(f"set_num_threads: threads must be an integer, got {threads!r}") from None
    if number < 1:
        raise ValueError(f"set_num_threads: threads must be at least 1, got {number}")
    _set = number
    helpers = sys.modules.get(f"{__package__}.kernels.compiled.threads")
    limit = getattr(helpers, "limit", None)  # another thread may be loading it
    if limit is not None:
        limit(number)


def cores() -> int:
    """How many cores this process may use.

    >>> cores() >= 1
    True
    """
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has it
        return os.cpu_count() or 1
