"""Tensors move between devices by name only, and gradients go back the way they came."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine.devices import get_device, set_default_device


def test_a_moved_tensor_is_a_copy_with_the_same_elements():
    x = cr.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    y = x.to("emulated")
    assert (x.device, y.device, y.dtype, y.shape) == ("cpu", "emulated", np.float32, (2, 3))
    with cr.no_grad():
        x += 1.0
    assert y.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert y.to("emulated") is y and x.cpu() is x
    assert y.cpu().device == "cpu"
    assert x.to(y).device == "emulated"


def test_the_gradient_of_a_move_goes_back_to_the_first_device():
    rng = np.random.default_rng(0)
    data, upstream = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    x = cr.tensor(data, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.device))
    y = (x.to("emulated") ** 2).cpu() * cr.tensor(upstream)
    y.sum().backward()
    assert x.grad.device == "cpu" and seen == ["cpu"]
    np.testing.assert_allclose(x.grad.numpy(), 2 * data * upstream, rtol=1e-15)


def test_a_function_that_moves_is_differentiated_twice():
    def function(x):
        return (x.to("emulated") ** 3).cpu().sum()

    x = np.array([0.5, -2.0])
    np.testing.assert_allclose(cr.hessian(function)(cr.tensor(x)).numpy(), np.diag(6 * x))


def test_two_devices_in_one_operation_are_an_error_that_names_both():
    x, y = cr.ones(3), cr.ones(3, device="emulated")
    for operation in (
        lambda: x + y,
        lambda: cr.concat([y, x]),
        lambda: cr.where(cr.tensor([True, False, True]), y, x),
        lambda: y @ x,
    ):
        with pytest.raises(cr.DeviceError, match=r"'(cpu|emulated)' and '(cpu|emulated)'.*\.to\("):
            operation()
    with pytest.raises(cr.DeviceError, match="'emulated' and 'cpu'"), cr.no_grad():
        y += x


def test_numbers_and_host_arrays_go_where_the_tensor_is():
    y = cr.ones(3, device="emulated")
    assert (y + 1.0).device == "emulated"
    assert (y + np.arange(3.0)).tolist() == [1, 2, 3]
    assert (y * [2.0, 3.0, 4.0]).device == "emulated"
    with cr.no_grad():
        y += np.arange(3.0)
    assert y.tolist() == [1, 2, 3]
    y.assign([5.0, 6.0, 7.0])
    assert (y.tolist(), y.device) == ([5, 6, 7], "emulated")


def test_the_host_reads_a_device_only_where_it_is_told_to():
    device = get_device("emulated")
    y = cr.ones((2, 2), device="emulated", requires_grad=True)
    before = device.copies_back
    z = (y * 3.0).sum()
    z.backward()
    assert device.copies_back == before
    assert z.item() == 12.0
    assert device.copies_back == before + 1
    for read in (y.detach().numpy, lambda: np.asarray(y.detach())):
        with pytest.raises(cr.DeviceError, match=r"'emulated'.*x\.cpu\(\)"):
            read()
    assert "device=emulated" in repr(y)


def test_creation_and_copies_stay_on_the_device():
    y = cr.ones((2, 2), device="emulated")
    assert cr.zeros_like(y).device == "emulated"
    assert cr.tensor(y).device == "emulated"
    assert cr.tensor(y, device="cpu").device == "cpu"
    assert cr.tensor([y[0, 0], 2.0]).tolist() == [1.0, 2.0]
    assert cr.random.normal(3, device="emulated").device == "emulated"
    leaf = cr.ones(2, device="emulated", requires_grad=True)
    leaf.grad = [1.0, 2.0]
    assert leaf.grad.device == "emulated"


def test_the_default_device_is_where_tensors_are_made():
    set_default_device("emulated")
    try:
        assert cr.default_device().name == "emulated"
        assert cr.tensor([1.0]).device == "emulated"
        assert cr.zeros(2).device == "emulated"
        assert cr.tensor([1.0], device="cpu").device == "cpu"
    finally:
        set_default_device(None)
    assert cr.tensor([1.0]).device == "cpu"
    with pytest.raises(cr.DeviceError, match="'tpu' is unknown; known: 'cpu'"):
        set_default_device("tpu")


@pytest.mark.parametrize(("named", "expected"), [("emulated", "emulated"), ("", "cpu")])
def test_the_environment_names_the_default_device(named, expected, monkeypatch):
    monkeypatch.setenv("CHAINRULE_DEVICE", named)
    code = "import chainrule as cr; print(cr.tensor([1.0]).device)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_a_dtype_is_not_a_device():
    with pytest.raises(cr.DtypeError, match=r"x\.astype\('float32'\)"):
        cr.ones(2).to("float32")
    with pytest.raises(cr.DtypeError, match="name of a device"):
        cr.ones(2).to(np.float32)


# ------------------------------------------------------------------------------ other libraries


def test_dlpack_shares_memory_both_ways():
    array = np.array([1.0, 2.0])
    x = cr.from_dlpack(array)
    array[0] = 5.0
    assert x.tolist() == [5.0, 2.0]
    assert np.shares_memory(np.from_dlpack(x), array)
    with pytest.raises(cr.GradientError, match="detach"):
        np.from_dlpack(cr.ones(2, requires_grad=True))
    with pytest.raises(cr.DtypeError, match="__dlpack__"):
        cr.from_dlpack([1.0])
    with pytest.raises(cr.DtypeError, match="float16"):
        cr.from_dlpack(np.ones(2, np.float16))


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.arange(3.0)
    x = cr.from_dlpack(theirs)
    theirs[0] = 7.0
    assert x.tolist() == [7.0, 1.0, 2.0]
    back = torch.from_dlpack(cr.tensor([1.0, 2.0]))
    assert back.tolist() == [1.0, 2.0]


def test_arrays_of_unknown_devices_are_refused():
    class Elsewhere:
        def __dlpack__(self, **request):
            raise AssertionError("not reached")

        def __dlpack_device__(self):
            return (10, 0)

    with pytest.raises(cr.DeviceError, match="kind 10"):
        cr.from_dlpack(Elsewhere())


def test_only_tensors_on_a_gpu_have_the_cuda_array_interface():
    assert not hasattr(cr.ones(2), "__cuda_array_interface__")
    assert not hasattr(cr.ones(2, device="emulated"), "__cuda_array_interface__")
