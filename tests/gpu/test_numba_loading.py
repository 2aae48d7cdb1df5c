"""numba-cuda beside a NumPy that is newer than it knows."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

try:
    metadata.version("numba-cuda")
except metadata.PackageNotFoundError:
    pytest.skip("numba-cuda is not installed", allow_module_level=True)

CODE = """if True:
    import numpy as np
    if hasattr(np, "row_stack"):  # before NumPy 2.5
        np.__all__ = [name for name in np.__all__ if name not in ("row_stack", "in1d", "trapz")]
        del np.row_stack
        np.__version__ = "2.5.0"
    from chainrule.gpu.backends import numba_kernels
    from chainrule.gpu.numba_loading import numba_cuda
    cuda = numba_cuda()
    assert not hasattr(np, "row_stack")
    kernels = numba_kernels("softmax", cuda, "float32")
    # What numba-cuda loads when it first compiles:
    from numba.cuda.descriptor import cuda_target
    cuda_target.typing_context.refresh()
    cuda_target.target_context.refresh()
    print(*kernels)
"""


def test_numpy_2_5_is_no_obstacle():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert "softmax_forward" in done.stdout, done.stderr
