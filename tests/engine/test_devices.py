"""Devices and kernel sets: known by name, chosen per thread, loaded when used."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import active_kernels, cpu


def test_kernel_sets_are_chosen_per_block_and_thread():
    seen = []
    with cr.kernels("reference"):
        assert active_kernels(cpu).name == "reference"
        with cr.kernels("numba"):
            assert active_kernels(cpu).name == "numba"
        thread = threading.Thread(target=lambda: seen.append(active_kernels(cpu).name))
        thread.start()
        thread.join()
        assert active_kernels(cpu).name == "reference"
    assert seen == [cpu.kernels.name]
    with pytest.raises(ZeroDivisionError), cr.kernels("reference"):
        raise ZeroDivisionError
    assert active_kernels(cpu) is cpu.kernels


def test_backward_uses_the_set_of_the_forward_pass():
    x = cr.tensor([0.3, -2.0], requires_grad=True)
    with cr.kernels("reference"):
        y = cr.sigmoid(x)
    assert y._node.kernels.name == "reference"
    y.backward([1.0, -1.0])
    s = 1 / (1 + np.exp(-x.numpy()))
    np.testing.assert_allclose(x.grad.numpy(), [1, -1] * s * (1 - s), rtol=1e-14)


def test_unknown_names_list_the_known():
    abacus = cr.kernels("abacus")
    with (
        pytest.raises(cr.DeviceError, match="'abacus' is unknown; known: numba, raw, reference"),
        abacus,
    ):
        pass
    with pytest.raises(cr.DeviceError, match="'abacus' is unknown; known: 'cpu'"):
        cr.tensor([1.0], device="abacus")


def test_importing_chainrule_loads_nothing_heavy():
    code = """if True:
        import sys, chainrule as cr
        x = cr.tensor([1.0, 2.0], requires_grad=True)
        (cr.softmax(x) * x).sum().backward()
        heavy = {"numba", "cupy", "sympy", "matplotlib", "scipy"} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
