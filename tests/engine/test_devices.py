"""Devices and kernel sets: known by name, chosen per thread, loaded when used."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import devices
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [("gpu", "cuda"), ("GPU:0", "cuda"), ("CUDA", "cuda"), ("CPU", "cpu"), ("cpu:0", "cpu")],
)
def test_a_device_under_another_name_is_told_its_own(given, meant):
    for call in (
        lambda: cr.tensor([1.0], device=given),
        lambda: cr.tensor([1.0]).to(given),
        lambda: cr.layers.Dense(2).to(given),
    ):
        with pytest.raises(cr.DeviceError, match=f"{given!r} is unknown.*; write {meant!r}"):
            call()


@pytest.mark.parametrize("name", ["cuda:", "cuda:x", "cuda:²", "cuda:-1"])
def test_the_number_of_a_gpu_is_a_number(name):
    with pytest.raises(cr.DeviceError, match="a GPU is 'cuda', 'cuda:0'"):
        cr.tensor([1.0], device=name)


def test_habits_of_other_libraries_are_answered():
    for name, remedy in (("cuda", "chainrule.devices"), ("device", "by strings")):
        with pytest.raises(ImportError, match=remedy):
            getattr(cr, name)
    with pytest.raises(TypeError, match=r"Dense: there is no argument 'device'; .*\.to\('cuda'\)"):
        cr.layers.Dense(2, device="cuda")
    with pytest.raises(AttributeError, match=r"layer\.device"):
        cr.layers.Dense(2).is_cuda  # noqa: B018


def test_the_environment_is_named_where_it_names_an_unknown_device():
    code = """if True:
        import chainrule as cr
        try:
            cr.tensor([1.0])
        except cr.DeviceError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CHAINRULE_DEVICE": "gpu"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("CHAINRULE_DEVICE=gpu: device: 'gpu' is unknown")


def test_devices_are_told_of_new_threads(monkeypatch):
    """A second GPU must be chosen in each: CuPy's threads begin with the first."""
    seen = []
    monkeypatch.setattr(devices, "on_new_thread", [lambda: seen.append(threading.get_ident())])
    cr.tensor([1.0]) + 1.0
    assert seen == []
    thread = threading.Thread(target=lambda: [cr.tensor([1.0]) * 2.0 for _ in range(3)])
    thread.start()
    ident = thread.ident
    thread.join()
    assert seen == [ident]


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_nothing_with_a_device_is_pickled(device):
    x = cr.tensor([1.0], device=device)
    layer = cr.layers.Dense(2).to(device)
    for each in (x, layer, cr.optim.SGD([cr.tensor(x, requires_grad=True)], 0.1)):
        with pytest.raises(TypeError, match=r"not pickled.*save_weights"):
            pickle.dumps(each)
    assert copy.copy(x).tolist() == copy.deepcopy(x).tolist() == [1.0]


def test_a_gradient_of_another_device_is_refused():
    x = cr.tensor([1.0], requires_grad=True)
    with pytest.raises(cr.GradientError, match=r"on 'emulated', for .* on 'cpu'"):
        x.grad = cr.tensor([2.0], device="emulated")
    assert x.grad is None
    x.grad = cr.tensor([2.0])
    assert x.grad.tolist() == [2.0]


def test_a_tensor_of_pytorch_is_told_the_way_in():
    torch = pytest.importorskip("torch")
    with pytest.raises(cr.DtypeError, match=r"cr\.from_dlpack\(x\.detach\(\)\)"):
        cr.tensor(torch.ones(2))
