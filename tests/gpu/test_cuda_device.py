"""The device "cuda", with CuPy replaced by the stand-in: which GPU, which thread, which process."""

from __future__ import annotations

import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import devices
from chainrule.engine.tensor import on_host
from chainrule.gpu import devices as gpu_devices
from chainrule.gpu import probing

from .strict import module


class Fake(ModuleType):
    """CuPy on a machine of two GPUs; `used` are the threads and the GPUs that they chose."""

    def __init__(self) -> None:
        super().__init__("cupy")
        self.used: list[tuple[int, int]] = []
        self.cuda = SimpleNamespace(
            Device=lambda index: SimpleNamespace(
                use=lambda: self.used.append((threading.get_ident(), index))
            ),
            runtime=SimpleNamespace(getDeviceCount=lambda: 2, memGetInfo=lambda: (10, 20)),
        )

    def __getattr__(self, name: str):
        return getattr(module, name)


@pytest.fixture
def cupy(monkeypatch):
    fake = Fake()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(probing, "require", lambda name: None)
    monkeypatch.setattr(gpu_devices, "_chosen", None)
    monkeypatch.setattr(gpu_devices.os, "register_at_fork", lambda **hooks: None, raising=False)
    monkeypatch.setattr(devices, "_devices", {"cpu": devices.cpu})
    monkeypatch.setattr(devices, "on_new_thread", hooks := [])
    monkeypatch.setattr(gpu_devices, "on_new_thread", hooks)
    return fake


def test_the_first_gpu_has_two_names(cupy):
    x = cr.tensor([1.0, 2.0]).to("cuda:0")
    assert x.device == "cuda" and x.to("cuda") is x and x.cuda(0) is x
    assert on_host(x + cr.ones(2, device="cuda")).tolist() == [2.0, 3.0]
    assert x.__dlpack_device__() == (2, 0)
    with pytest.raises(cr.DeviceError, match=r"one process computes on one GPU.*DEVICES=1"):
        x.to("cuda:1")


def test_a_gpu_that_is_not_there_is_told(cupy):
    with pytest.raises(cr.DeviceError, match="no 'cuda:2' here; CUDA sees 2 GPUs"):
        cr.ones(2, device="cuda:2")
    assert cr.ones(2, device="cuda:1").device == "cuda:1"


def test_every_thread_computes_on_the_gpu_that_was_chosen(cupy):
    x = cr.ones(2, device="cuda:1")
    assert x.device == "cuda:1" and x.to("cuda") is x
    assert set(cupy.used) == {(threading.get_ident(), 1)}
    cupy.used.clear()
    thread = threading.Thread(target=lambda: x * 2.0)
    thread.start()
    ident = thread.ident
    thread.join()
    assert cupy.used == [(ident, 1)]


def test_threads_that_ask_at_once_get_one_device(cupy, monkeypatch):
    def slowly(name):
        time.sleep(0.01)

    monkeypatch.setattr(probing, "require", slowly)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(devices.get_device("cuda"))) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4 and len(set(map(id, found))) == 1


def test_a_forked_process_is_told_that_it_has_no_gpu(cupy):
    x = cr.ones(2, device="cuda")
    x._device._lose()
    for call in (
        lambda: cr.exp(x),
        lambda: x.cpu(),
        lambda: x.tolist(),
        lambda: cr.tensor(np.ones(2), device="cuda"),
    ):
        with pytest.raises(cr.DeviceError, match=r"forked.*spawn"):
            call()
    with cr.kernels("raw"), pytest.raises(cr.DeviceError, match="forked"):
        cr.exp(x)
