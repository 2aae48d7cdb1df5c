"""What all tests share: how hypothesis draws, so that the same commit gives the same result."""

from __future__ import annotations

import os

# Where other processes want the cores too, the threads of OpenBLAS wait for each other, and a test
# of seconds takes minutes. It reads this when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Our own share the cores with the processes that pytest-xdist starts; tests of threads set them.
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("CHAINRULE_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _workers)))

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# How often a test draws that does not say so itself: fewer, where another run draws them all.
examples = int(os.environ.get("CHAINRULE_EXAMPLES", "100"))
# A first call may compile a kernel or load a library: no deadline, here or there.
settings.register_profile("local", deadline=None, max_examples=examples)
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, max_examples=examples
)
settings.load_profile("ci" if os.environ.get("CI", "").lower() in ("1", "true") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """CHAINRULE_TEST_KERNELS=reference runs all tests with that kernel set of the CPU."""
    name = os.environ.get("CHAINRULE_TEST_KERNELS")
    if name:
        from chainrule.engine.devices import cpu

        cpu.kernels = cpu.sets[name]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is no GPU, tests for one are left out, unless `-m gpu` or the like asks for them.

    Asked for, they are skipped, with the reason.
    """
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked or "gpu" in config.getoption("-m"):
        return
    from chainrule.gpu.probing import probe_cuda

    if not probe_cuda().usable:
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in set(marked)]
