"""The devices on which kernels are compared with their references."""

from __future__ import annotations

import pytest

from chainrule.engine.devices import get_device
from chainrule.gpu.probing import probe_cuda


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """The emulated device; and, in tests that `pytest -m gpu` selects, the GPU."""
    if request.param == "cuda":
        report = probe_cuda()
        if not report.usable:
            pytest.skip(f"{report.reason}; {report.remedy}")
    return get_device(request.param)


@pytest.fixture(params=["raw", "numba"])
def kernel_set(request):
    """Each kernel set of a GPU."""
    return request.param
